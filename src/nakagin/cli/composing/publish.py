"""`nakagin compose publish`: the project's files into a registry, its built images too; `-f oci://NAME` runs it."""

from __future__ import annotations

import datetime as dt
import os
import sys

from nakagin.cli.command import complain, say
from nakagin.cli.composing.context import Compose, Verb
from nakagin.cli.composing.service import only_said
from nakagin.cli.flags import Flag
from nakagin.compose.artifact import Artifact
from nakagin.compose.model import Project
from nakagin.compose.reading import Stages, documents, top
from nakagin.compose.render import as_yaml
from nakagin.compose.tree import Mapping
from nakagin.errors import Invalid, Unsupported
from nakagin.spec.reference import Reference


def publish(compose: Compose) -> int:
    """Check that the project can live elsewhere, push its images and then its files."""
    options = compose.options
    if options.on("app"):
        raise Unsupported("--app is not supported", hint="--resolve-image-digests pins the images instead")
    if options.text("oci-version") not in ("", "1.1"):
        raise Unsupported("only OCI 1.1 is written", hint="leave --oci-version out")
    project = compose.project(all=True, stages=Stages(environment=False))
    _check(project, with_env=options.on("with-env") or options.on("yes"), assured=options.on("yes"))
    artifact = _artifact(compose, project)
    (name,) = compose.arguments
    if only_said(compose, f"publish {', '.join([*artifact.files, *artifact.env_files])} as {name}"):
        return 0
    _push_images(compose, project)
    from nakagin.cli.composing.remote import publish as send

    created = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    insecure = compose.settings.many("insecure-registry")
    if options.on("insecure-registry"):
        insecure = [*insecure, Reference.parse(name).domain]
    digest = send(name, artifact, created, insecure)
    complain(f" {name}  Published")
    say(digest)
    return 0


def _check(project: Project, *, with_env: bool, assured: bool) -> None:
    services = project.services.items()
    if built := [name for name, each in services if each.build is not None and not each.image]:
        raise Invalid(
            f"service {built[0]} has a build section but no image: nobody else could run it",
            hint="name with `image:` where it is pushed to",
        )
    secret = [name for name, each in services if each.env_file or each.environment]
    if secret and not with_env:
        raise Invalid(
            f"service {secret[0]} has environment variables, which everybody who may pull could read",
            hint="--with-env publishes them all the same",
        )
    bound = [
        f"{name}: {mount.source}" for name, each in services for mount in each.volumes if mount.type == "bind"
    ]
    if bound and not assured:
        raise Invalid(f"a folder of this machine does not go along: {bound[0]}", hint="--yes goes on anyway")
    for path in project.files:
        for document in documents(path):
            _check_alone(top(document, path), path)


def _check_alone(tree: Mapping, path: str) -> None:
    services = tree.get("services")
    extended = []
    for name, each in services.items() if isinstance(services, Mapping) else ():
        extends = each.get("extends") if isinstance(each, Mapping) else None
        if isinstance(extends, Mapping) and "file" in extends:
            extended.append(name)
    if tree.get("include") or extended:
        what = f"services.{extended[0]}.extends" if extended else "include"
        raise Invalid(
            f"{what} names further files, which do not go along", where=path,
            hint="`compose config --no-interpolate > one.yaml` makes one file of all",
        )  # fmt: skip


def _artifact(compose: Compose, project: Project) -> Artifact:
    files: dict[str, bytes] = {}
    for path in project.files:
        name = os.path.basename(path)
        files[f"{len(files)}-{name}" if name in files else name] = _read(path)
    if compose.options.on("resolve-image-digests"):
        from nakagin.compose.select import with_image_digests

        pinned = with_image_digests(compose.client, project).services
        images = {name: {"image": each.image} for name, each in pinned.items() if each.image}
        files["image-digests.yaml"] = as_yaml({"services": images}).encode()
    env_files: dict[str, bytes] = {}
    for each in project.services.values():
        for one in each.env_file:
            if one.required or os.path.exists(one.path):
                env_files[_relative(project, one.path)] = _read(one.path)
    variables = os.path.join(project.working_dir, ".env")
    if compose.options.on("with-env") and os.path.isfile(variables):
        env_files[".env"] = _read(variables)
    return Artifact(files, env_files)


def _relative(project: Project, path: str) -> str:
    relative = os.path.relpath(path, project.working_dir)
    if relative.startswith(".."):
        raise Invalid(f"{path} lies outside of the project's folder", hint="move it below the Compose file")
    return relative


def _read(path: str) -> bytes:
    if path == "-":
        raise Invalid("what came by standard input cannot be published", hint="write it into a file")
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise Invalid(f"{path}: {error.strerror}") from None


def _push_images(compose: Compose, project: Project) -> None:
    from nakagin.cli.progress import show_progress

    for image in dict.fromkeys(each.image for each in project.services.values() if each.build is not None):
        show_progress(compose.client.images.push(image), sys.stderr, quiet=not sys.stderr.isatty())


PUBLISH = Verb(
    publish,
    "[OPTIONS] REPOSITORY[:TAG]",
    (
        Flag("app", "", "bool", "Published compose application (includes referenced images)"),
        Flag("insecure-registry", "", "bool", "The registry may be without TLS", hidden=True),
        Flag("oci-version", "", "string", "OCI image/artifact specification version"),
        Flag("resolve-image-digests", "", "bool", "Pin image tags to digests"),
        Flag("with-env", "", "bool", "Include environment variables in the published OCI artifact"),
        Flag("yes", "y", "bool", 'Assume "yes" as answer to all prompts'),
    ),
    least=1,
    most=1,
)
