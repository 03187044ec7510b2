"""`nakagin pull`, and the pulling that `run` and `create` do when an image is missing."""

from __future__ import annotations

import sys

from nakagin.cli.command import Call, Command, say
from nakagin.cli.flags import Flag
from nakagin.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, TextIO

    from nakagin.client import Client

FLAGS = (
    Flag("all-tags", "a", "bool", "Download all tagged images in the repository"),
    Flag("disable-content-trust", "", "bool", "Skip image verification", True),
    Flag("platform", "", "string", "Set platform if server is multi-platform capable"),
    Flag("quiet", "q", "bool", "Suppress verbose output"),
)
POLICIES = ("always", "missing", "never")


def check_policy(policy: str) -> None:
    """Invalid unless it is one of POLICIES (or empty, which is "missing")."""
    if policy and policy not in POLICIES:
        raise Invalid(f'invalid pull option: \'{policy}\': must be one of "always", "missing" or "never"')


def full_name(reference: str) -> str:
    """ "busybox" → "busybox:latest"; tagged and digested names stay."""
    tagged = ":" in reference.rpartition("/")[2] or "@" in reference
    return reference if tagged else f"{reference}:latest"


def pull_image(client: Client, reference: str, *, platform: str, quiet: bool, output: TextIO) -> None:
    """Fetch an image and show progress on `output`."""
    messages = client.images.pull(reference, platform=platform or None)
    show_progress(messages, output, quiet=quiet)


def show_progress(messages: Iterable[dict[str, Any]], output: TextIO, *, quiet: bool = False) -> None:
    """Progress messages as docker prints them when its output is no terminal: each change of state once."""
    shown: dict[str, str] = {}
    for message in messages:
        if quiet:
            continue
        if "stream" in message:
            output.write(str(message["stream"]))
            continue
        status, layer = str(message.get("status", "")), str(message.get("id", ""))
        if not status or message.get("progressDetail") or shown.get(layer) == status:
            continue
        if layer:
            shown[layer] = status
        output.write(f"{layer}: {status}\n" if layer else f"{status}\n")
        output.flush()


def pull(call: Call) -> int:
    """Download an image from a registry."""
    (reference,) = call.arguments
    if call.options.on("all-tags") and full_name(reference) == reference:
        raise Invalid("tag can't be used with --all-tags/-a")
    quiet = call.options.on("quiet")
    if not call.options.on("all-tags") and full_name(reference) != reference and not quiet:
        say("Using default tag: latest")
    platform = call.options.text("platform")
    pull_image(call.client, reference, platform=platform, quiet=quiet, output=sys.stdout)
    say(full_name(reference))
    return 0


PULL = Command(pull, "[OPTIONS] NAME[:TAG|@DIGEST]", FLAGS, least=1, most=1)
