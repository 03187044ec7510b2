"""`nakagin version` and `nakagin --version`."""

from __future__ import annotations

from nakagin.cli.command import Call, Command, say
from nakagin.cli.flags import Flag


def short_version() -> str:
    """The line of `nakagin --version`."""
    return f"Nakagin version {own_version()}"


def own_version() -> str:
    """The installed package's version."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("nakagin")
    except PackageNotFoundError:  # run from a source tree
        return "0+unknown"


def show(call: Call) -> int:
    """Client and server, in words or by a template."""
    say(str(call.client.version()))
    return 0


VERSION = Command(
    show, "[OPTIONS]", (Flag("format", "f", "string", "Format output using a Go template or 'json'"),)
)
