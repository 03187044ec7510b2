"""`nakagin inspect` and `nakagin container|image|network|volume inspect`."""

from __future__ import annotations

import json
import sys

from nakagin.cli.command import Call, Command, complain, say
from nakagin.cli.door import explain
from nakagin.cli.flags import Flag
from nakagin.errors import Invalid, NakaginError, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Finder = Callable[[str], dict[str, Any]]

_FORMAT = Flag("format", "f", "string", "Format output using a Go template, or 'json'")
_SIZE = Flag("size", "s", "bool", "Display total file sizes if the type is container")


def inspect_any(call: Call) -> int:
    """Show objects of any kind: the first kind that has one of that name."""
    if call.options.text("as"):
        return _portrait(call)
    wanted = call.options.text("type")
    size = call.options.on("size")
    client = call.client
    kinds: dict[str, Finder] = {
        "container": lambda name: client.containers.refer(name).inspect(size=size),
        "image": client.images.get,
        "network": client.networks.get,
        "volume": client.volumes.get,
    }
    if wanted and wanted not in kinds:
        known = ", ".join(f'"{kind}"' for kind in kinds)
        raise Invalid(f'unknown type: "{wanted}": must be one of {known}')
    finders = [kinds[wanted]] if wanted else list(kinds.values())

    def find(name: str) -> dict[str, Any]:
        for finder in finders:
            try:
                return finder(name)
            except NotFound:
                if wanted:
                    raise
        from nakagin.cli.completion import similar

        raise NotFound(f"Error: No such object: {name}", hint=similar(client, name))

    return show_documents(call, find)


_FORMS = ("run", "compose", "kube", "python")
_AS = Flag("as", "", "string", "Text that makes the container again: run, compose, kube or python")


def _portrait(call: Call) -> int:
    """Print what makes each container again."""
    from nakagin.cli.portraits import command, documents
    from nakagin.client.portrait import request_of

    form = call.options.text("as")
    if form not in _FORMS:
        raise Invalid(f"invalid value {form!r} for --as", hint=f"one of {', '.join(_FORMS)}")
    draw = command.command_line if form == "run" else getattr(documents, form)
    info = call.client.info()
    for name in call.arguments:
        found = call.client.containers.refer(name).inspect()
        try:
            image = call.client.images.get(found["Image"])
        except NotFound:
            image = None
        request = request_of(found, image, info)
        say(draw(*request))
        for bind in request[1]["HostConfig"].get("Binds", ()) if form in {"compose", "kube"} else ():
            if bind.endswith(":O"):
                complain(
                    f"WARNING: {form} has no word for -v {bind}: that container would write into the folder itself"
                )
    return 0


def inspect_container(call: Call) -> int:
    """Show containers."""
    if call.options.text("as"):
        return _portrait(call)
    return show_documents(
        call, lambda name: call.client.containers.refer(name).inspect(size=call.options.on("size"))
    )


def inspect_image(call: Call) -> int:
    """Show images."""
    return show_documents(
        call, lambda name: call.client.images.get(name, platform=call.options.text("platform") or None)
    )


def inspect_network(call: Call) -> int:
    """Show networks; with --draw as `explain` does."""
    if call.options.on("draw"):
        from nakagin.cli.verbs.explain import draw

        return max([draw(call, name, rules=call.options.on("verbose")) for name in call.arguments])
    return show_documents(
        call, lambda name: call.client.networks.get(name, verbose=call.options.on("verbose"))
    )


def inspect_volume(call: Call) -> int:
    """Show volumes."""
    return show_documents(call, lambda name: call.client.volumes.get(name))


def show_documents(call: Call, find: Finder) -> int:
    """Print what is found as a JSON list or by the template, line by line; what is not, on standard error."""
    template = call.options.text("format")
    render = _renderer(template) if template else None
    found: list[dict[str, Any]] = []
    errors: list[str] = []
    shown = False
    for name in call.arguments:
        try:
            document = find(name)
        except NakaginError as error:
            errors.append(explain(error))
            continue
        if render is None:
            found.append(document)
        else:
            say(render(document))
            shown = True
    if render is not None and not shown:
        say("")
    if render is None:
        sys.stdout.write(json.dumps(found, indent=4, ensure_ascii=False) + "\n")
    for text in errors:
        complain(text)
    return 1 if errors else 0


def _renderer(template: str) -> Callable[[dict[str, Any]], str]:
    if template == "json":
        return lambda document: json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    from nakagin.cli.gotypes import ABSENT, typed
    from nakagin.cli.templates import Template, TemplateError

    try:
        parsed = Template(template)
    except TemplateError as error:
        raise Invalid(f"template parsing error: {error.message}") from None

    def render(document: dict[str, Any]) -> str:
        try:
            return parsed.render(typed(document), absent=ABSENT)
        except TemplateError as error:
            words = f'template: :1:2: executing "" at {error.message}'
            raise Invalid(f"template parsing error: {words}") from None

    return render


def _command(function: Callable[[Call], int], noun: str, *flags: Flag) -> Command:
    return Command(function, f"[OPTIONS] {noun} [{noun}...]", (_FORMAT, *flags), least=1, most=None)


ANY = _command(
    inspect_any, "NAME|ID", _SIZE, _AS, Flag("type", "", "string", "Only inspect objects of the given type")
)
CONTAINER = _command(inspect_container, "CONTAINER", _SIZE, _AS)
IMAGE = _command(
    inspect_image, "IMAGE", Flag("platform", "", "string", "Inspect a specific platform of the image")
)
NETWORK = _command(
    inspect_network, "NETWORK", Flag("verbose", "v", "bool", "Verbose output for diagnostics"),
    Flag("draw", "", "bool", "Draw the way of a packet, as explain does"),
)  # fmt: skip
VOLUME = _command(inspect_volume, "VOLUME")
