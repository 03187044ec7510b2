"""`nakagin recreate`: the same container with other mounts, environment, image or labels (not in Docker)."""

from __future__ import annotations

from nakagin.cli.command import Call, Command, complain, say
from nakagin.cli.flags import Flag
from nakagin.cli.request.mounts import mount, volumes
from nakagin.cli.request.secrets import parse_secret
from nakagin.errors import Invalid, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Document = dict[str, Any]

FLAGS = (
    Flag("env", "e", "list", "Set an environment variable"),
    Flag("env-rm", "", "list", "Remove an environment variable"),
    Flag("image", "", "string", "Make it from another image"),
    Flag("label", "l", "list", "Set a label"),
    Flag("mount", "", "list", "Attach a mount, in place of what is there"),
    Flag("secret", "", "list", "Give it secrets in place of those that it has"),
    Flag("volume", "v", "list", "Bind mount a volume, in place of what is there"),
    Flag("volume-rm", "", "list", "Take away the mount at a path"),
)


def recreate(call: Call) -> int:
    """Replace a container and print its new id; where it fails, everything is as it was."""
    from nakagin.client.portrait import request_of

    options, client = call.options, call.client
    container = client.containers.refer(call.arguments[0])
    found = container.inspect()
    try:
        image = client.images.get(found["Image"])
    except NotFound:
        image = None
    _, body = request_of(found, image, client.info())
    if options.text("image"):
        body["Image"] = options.text("image")
    _environment(body, options.many("env"), options.many("env-rm"))
    for text in options.many("label"):
        key, _, value = text.partition("=")
        body.setdefault("Labels", {})[key] = value
    _mounts(body, options.many("volume"), options.many("mount"), options.many("volume-rm"))
    if options.many("secret"):
        body["Nakagin"] = {"Secrets": [parse_secret(each) for each in options.many("secret")]}
    made, warnings = container.recreate(body)
    for warning in warnings:
        complain(f"WARNING: {warning}")
    say(made.reference)
    return 0


def _environment(body: Document, given: list[str], removed: list[str]) -> None:
    variables = {each.partition("=")[0]: each for each in body.get("Env", ())}
    for each in given:
        variables[each.partition("=")[0]] = each
    variables |= {name: name for name in removed}  # "NAME" alone takes away what the image says
    body["Env"] = list(variables.values())


def _mounts(body: Document, given: list[str], mounts: list[str], removed: list[str]) -> None:
    host = body["HostConfig"]
    binds, anonymous = volumes(given)
    try:
        documents = [mount(each) for each in mounts]
    except ValueError as error:
        raise Invalid(f"invalid --mount: {error}") from None
    targets = {each.split(":")[1] for each in binds} | anonymous.keys()
    targets |= {each["Target"] for each in documents} | set(removed)
    host["Binds"] = [each for each in host.get("Binds", ()) if each.split(":")[1] not in targets] + binds
    host["Mounts"] = [each for each in host.get("Mounts", ()) if each["Target"] not in targets] + documents
    host["Tmpfs"] = {path: words for path, words in host.get("Tmpfs", {}).items() if path not in targets}
    kept: Document = {path: {} for path in body.get("Volumes", {}) if path not in targets}
    body["Volumes"] = {**kept, **anonymous}


RECREATE = Command(recreate, "[OPTIONS] CONTAINER", FLAGS, least=1, most=1)
