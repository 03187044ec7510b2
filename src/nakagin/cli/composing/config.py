"""`nakagin compose config`: what the files mean, as Compose prints it, and where a variable came from."""

from __future__ import annotations

import sys

from nakagin.cli.composing.context import Compose, Verb
from nakagin.cli.flags import Flag
from nakagin.cli.listing import columns
from nakagin.compose.explain import explain_variable, variables
from nakagin.compose.hashes import service_hash
from nakagin.compose.labels import image_name
from nakagin.compose.loader import load, load_untyped
from nakagin.compose.model import Project
from nakagin.compose.reading import Stages
from nakagin.compose.render import as_json, as_yaml, json_document, tree_document, yaml_document
from nakagin.compose.select import with_image_digests
from nakagin.errors import Invalid, NotFound

_LISTS = ("services", "images", "volumes", "networks", "profiles", "models")


def config(compose: Compose) -> int:
    """Print the project, or one thing about it."""
    options = compose.options
    form = options.text("format") or "yaml"
    if form not in ("yaml", "json"):
        raise Invalid(f'unsupported format "{form}"', hint="write yaml or json")
    stages = Stages(
        interpolate=not options.on("no-interpolate"),
        normalize=not options.on("no-normalize"),
        paths=not options.on("no-path-resolution"),
        consistency=not options.on("no-consistency"),
        environment=not options.on("no-env-resolution"),
    )
    if options.text("explain") or options.on("environment") or options.on("variables"):
        return _about_variables(compose, stages)
    if not stages.interpolate:
        return _unfinished(compose, stages, form)
    project = compose.project(compose.arguments, stages=stages)
    if options.on("quiet"):
        return 0
    for kind in _LISTS:
        if options.on(kind):
            _say(compose, "".join(f"{each}\n" for each in _names(project, kind)))
            return 0
    if chosen := options.text("hash"):
        _say(compose, _hashes(project, chosen))
        return 0
    if options.on("resolve-image-digests") or options.on("lock-image-digests"):
        project = with_image_digests(compose.client, project)
    if options.on("lock-image-digests"):
        locked = {
            "services": {name: {"image": each.image} for name, each in project.services.items() if each.image}
        }
        _say(compose, as_yaml(locked))
        return 0
    text = as_json(json_document(project)) if form == "json" else as_yaml(yaml_document(project))
    _say(compose, text.replace("$", "$$"))
    return 0


def _names(project: Project, kind: str) -> list[str]:
    match kind:
        case "services":
            return list(project.services)
        case "images":
            return [
                image_name(project, name, each)
                for name, each in project.services.items()
                if not each.provider
            ]
        case "profiles":
            every = [*project.services.values(), *project.disabled.values()]
            return sorted({profile for each in every for profile in each.profiles})
        case "volumes":
            return list(project.volumes)
        case "networks":
            return list(project.networks)
    return list(project.models)


def _hashes(project: Project, chosen: str) -> str:
    names = list(project.services) if chosen == "*" else sorted(chosen.split(","))
    for name in names:
        if name not in project.services:
            raise NotFound(f"no such service: {name}")
    return "".join(f"{name} {service_hash(project.services[name])}\n" for name in names)


def _about_variables(compose: Compose, stages: Stages) -> int:
    sources = compose.sources()
    loaded = load(sources, stages)
    if name := compose.options.text("explain"):
        _say(compose, explain_variable(name, sources, loaded.interpolation.uses))
    elif compose.options.on("environment"):
        _say(compose, "".join(f"{key}={value}\n" for key, value in sorted(sources.environment.items())))
    else:
        rows = [
            ("NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE"),
            *variables(loaded.interpolation.uses),
        ]
        _say(compose, columns(rows, minimum=20))
    return 0


def _unfinished(compose: Compose, stages: Stages, form: str) -> int:
    """A project with variables in it has no types yet: its tree is shown."""
    name, tree = load_untyped(compose.sources(), stages)
    if compose.options.on("quiet"):
        return 0
    shown = tree_document(tree, name if stages.normalize else "")
    _say(compose, as_json(shown) if form == "json" else as_yaml(shown))
    return 0


def _say(compose: Compose, text: str) -> None:
    if output := compose.options.text("output"):
        with open(output, "w", encoding="utf-8") as file:
            file.write(text)
    elif text:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")


CONFIG = Verb(
    config,
    "[OPTIONS] [SERVICE...]",
    (
        Flag("environment", "", "bool", "Print environment used for interpolation"),
        Flag(
            "explain",
            "",
            "string",
            "Say where a variable's value comes from, what it hides, and where it is used",
        ),
        Flag("format", "", "string", "Format the output. Values: [yaml | json]"),
        Flag("hash", "", "string", "Print the service config hash, one per line"),
        Flag("images", "", "bool", "Print the image names, one per line"),
        Flag("lock-image-digests", "", "bool", "Produces an override file with image digests"),
        Flag("models", "", "bool", "Print the model names, one per line"),
        Flag("networks", "", "bool", "Print the network names, one per line"),
        Flag("no-consistency", "", "bool", "Don't check model consistency"),
        Flag("no-env-resolution", "", "bool", "Don't resolve service env files"),
        Flag("no-interpolate", "", "bool", "Don't interpolate environment variables"),
        Flag("no-normalize", "", "bool", "Don't normalize compose model"),
        Flag("no-path-resolution", "", "bool", "Don't resolve file paths"),
        Flag("output", "o", "string", "Save to file (default to stdout)"),
        Flag("profiles", "", "bool", "Print the profile names, one per line"),
        Flag("quiet", "q", "bool", "Only validate the configuration, don't print anything"),
        Flag("resolve-image-digests", "", "bool", "Pin image tags to digests"),
        Flag("services", "", "bool", "Print the service names, one per line"),
        Flag("variables", "", "bool", "Print model variables and default values"),
        Flag("volumes", "", "bool", "Print the volume names, one per line"),
    ),
)
