"""`nakagin compose build`, `pull`, `push` and `scale`: by what `nakagin build`, `pull`, `push` and `up` do."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable

from nakagin.cli.command import Call, Command, complain, say
from nakagin.cli.composing.building import build_words
from nakagin.cli.composing.builds import build_all
from nakagin.cli.composing.context import Compose, Verb
from nakagin.cli.composing.service import only_said
from nakagin.cli.composing.up import UP
from nakagin.cli.flags import Flag
from nakagin.cli.verbs.build import BUILD as BUILD_IMAGE
from nakagin.cli.verbs.pull import PULL as PULL_IMAGE
from nakagin.cli.verbs.push import PUSH as PUSH_IMAGE
from nakagin.compose.bake import bake
from nakagin.compose.labels import image_key
from nakagin.compose.model import Project
from nakagin.compose.select import build_order
from nakagin.errors import Invalid, NakaginError


def build(compose: Compose) -> int:
    """Build the images of the services that have a `build` section; the first failure ends it."""
    options = compose.options
    project = compose.project(compose.arguments, dependencies=options.on("with-dependencies"))
    every = project.every_service
    built = [name for name in build_order(project, list(project.services)) if every[name].build is not None]
    if options.on("print"):
        say(json.dumps(bake(project, built, push=options.on("push")), indent=2))
        return 0
    more = [f"--{name}" for name in ("no-cache", "pull", "quiet", "check") if options.on(name)]
    for name in ("provenance", "sbom"):
        if options.given(name):
            more += [f"--{name}", options.text(name)]
    for name in ("build-arg", "ssh"):
        more += [word for each in options.many(name) for word in (f"--{name}", each)]
    if options.given("memory"):
        more += ["--memory", str(options.number("memory"))]
    wanted = [name for name in built if not only_said(compose, f"build {name}")]
    if options.on("check"):
        return _check(compose, project, wanted, more)
    if wanted:
        build_all(compose, project, wanted, more, _form(compose))
    if options.on("push"):
        return _each(compose, project, PUSH_IMAGE, "push", built, ignore=False)
    return 0


def _check(compose: Compose, project: Project, names: Iterable[str], words: list[str]) -> int:
    """One after the other: each has a page to say."""
    code = 0
    for name in names:
        with tempfile.TemporaryDirectory(prefix="nakagin-compose-") as folder:
            own = build_words(project, name, project.every_service[name], folder)
            code = _run(compose, BUILD_IMAGE, "build", [*own[:-1], *words, own[-1]]) or code
    return code


def _form(compose: Compose) -> str:
    """How `build` shows its progress, by its own flag or Compose's."""
    form = compose.options.text("progress") or compose.progress
    return "quiet" if compose.options.on("quiet") else {"json": "rawjson"}.get(form, form)


def pull(compose: Compose) -> int:
    """Pull the images of the services."""
    options = compose.options
    project = compose.project(compose.arguments, dependencies=options.on("include-deps"))
    policy = options.text("policy")
    if policy not in {"", "missing", "always"}:
        raise Invalid(f'invalid --policy "{policy}"', hint="missing or always")
    chosen = [
        name
        for name, service in project.services.items()
        if not (service.build is not None and (options.on("ignore-buildable") or not service.image))
        and not (policy == "missing" and _is_here(compose, *image_key(project, name, service)))
    ]
    return _each(compose, project, PULL_IMAGE, "pull", chosen, ignore=options.on("ignore-pull-failures"))


def push(compose: Compose) -> int:
    """Push the images of the services that are built and have a name for it."""
    options = compose.options
    project = compose.project(compose.arguments, dependencies=options.on("include-deps"))
    chosen = [
        name for name, service in project.services.items() if service.build is not None and service.image
    ]
    return _each(compose, project, PUSH_IMAGE, "push", chosen, ignore=options.on("ignore-push-failures"))


def scale(compose: Compose) -> int:
    """Bring services to so many containers: `up` with the numbers, and nothing else built or pulled anew."""
    words = ["-d", "--no-recreate"]
    services = []
    for each in compose.arguments:
        service, equals, number = each.partition("=")
        if not equals or not number.isdecimal():
            raise Invalid(f"invalid scale specifier: {each}", hint="SERVICE=NUMBER")
        words += ["--scale", each]
        services.append(service)
    if compose.options.on("no-deps"):
        words.append("--no-deps")
    return compose.run(UP, [*words, *services])


def _is_here(compose: Compose, image: str, platform: str) -> bool:
    try:
        compose.client.images.get(image, platform=platform or None)
    except NakaginError:
        return False
    return True


def _each(
    compose: Compose, project: Project, command: Command, verb: str, services: Iterable[str], *, ignore: bool
) -> int:
    """A command on the image of each service, each image once; the exit code of the first that failed.

    For several platforms an image is pulled several times, and pushed once.
    """
    code = 0
    every = project.every_service
    keys = [image_key(project, name, every[name]) for name in services]
    for image, platform in dict.fromkeys(keys if verb == "pull" else ((image, "") for image, _ in keys)):
        if only_said(compose, f"{verb} {image}"):
            continue
        try:
            words = ["--quiet"] if compose.options.on("quiet") else []
            words += ["--platform", platform] if platform else []
            failed = _run(compose, command, verb, [*words, image])
        except NakaginError as error:
            if not ignore:
                raise
            complain(f"{image}: {error}")
            continue
        code = code or (0 if ignore else failed)
    return code


def _run(compose: Compose, command: Command, verb: str, words: list[str]) -> int:
    options, arguments = command.parse(verb, words)
    return command.function(Call(verb, options, arguments, compose.connect))


BUILD = Verb(
    build,
    "[OPTIONS] [SERVICE...]",
    (
        Flag("build-arg", "", "list", "Set build-time variables for services"),
        Flag("builder", "", "string", "Set builder to use (there is one: the engine's own)"),
        Flag("check", "", "bool", "Check the build configuration, and build nothing"),
        Flag("compress", "", "bool", "Compress the build context using gzip", hidden=True),
        Flag("force-rm", "", "bool", "Always remove intermediate containers", hidden=True),
        Flag("memory", "m", "bytes", "Set a memory limit for the build container"),
        Flag("no-cache", "", "bool", "Do not use cache when building the image"),
        Flag("no-rm", "", "bool", "Do not remove intermediate containers after a build", hidden=True),
        Flag("parallel", "", "bool", "Build images in parallel", hidden=True),
        Flag("print", "", "bool", "Print the equivalent bake file, and build nothing"),
        Flag("progress", "", "string", "Set the type of progress output", hidden=True),
        Flag("provenance", "", "string", "Add a provenance attestation"),
        Flag("pull", "", "bool", "Always attempt to pull a newer version of the image"),
        Flag("push", "", "bool", "Push service images"),
        Flag("quiet", "q", "bool", "Suppress the build output"),
        Flag("sbom", "", "string", "Add an SBOM attestation"),
        Flag("ssh", "", "list", "Set SSH authentications used when building service images"),
        Flag("with-dependencies", "", "bool", "Also build dependencies (transitively)"),
    ),
)
PULL = Verb(
    pull,
    "[OPTIONS] [SERVICE...]",
    (
        Flag("ignore-buildable", "", "bool", "Ignore images that can be built"),
        Flag("ignore-pull-failures", "", "bool", "Pull what it can and ignores images with pull failures"),
        Flag("include-deps", "", "bool", "Also pull services declared as dependencies"),
        Flag("no-parallel", "", "bool", "Without effect", hidden=True),
        Flag("parallel", "", "bool", "Without effect", hidden=True),
        Flag("policy", "", "string", 'Apply pull policy ("missing"|"always")'),
        Flag("quiet", "q", "bool", "Pull without printing progress information"),
    ),
)
PUSH = Verb(
    push,
    "[OPTIONS] [SERVICE...]",
    (
        Flag("ignore-push-failures", "", "bool", "Push what it can and ignores images with push failures"),
        Flag("include-deps", "", "bool", "Also push images of services declared as dependencies"),
        Flag("quiet", "q", "bool", "Push without printing progress information"),
    ),
)
SCALE = Verb(
    scale,
    "[SERVICE=REPLICAS...]",
    (Flag("no-deps", "", "bool", "Don't start linked services"),),
    least=1,
)
