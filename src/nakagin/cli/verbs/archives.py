"""`nakagin load|save|import`: images as archives."""

from __future__ import annotations

import os
import sys
from contextlib import closing

from nakagin.cli.command import Call, Command, say
from nakagin.cli.flags import Flag
from nakagin.cli.output_file import write_stream
from nakagin.cli.platforms import default_platform
from nakagin.cli.progress import show_progress
from nakagin.cli.terminal import is_terminal
from nakagin.errors import Invalid, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import BinaryIO


def load(call: Call) -> int:
    """Take images from an archive file, a folder in OCI layout, or standard input."""
    path = call.options.text("input")
    if not path and is_terminal(0):
        raise Invalid("requested load from stdin, but stdin is empty")
    quiet, platform = call.options.on("quiet"), call.options.text("platform") or None
    with _folder(path) if os.path.isdir(path) else _source(path) as archive:
        show_progress(call.client.images.load(archive, quiet=quiet, platform=platform), sys.stdout)
    return 0


def _folder(path: str) -> closing[Generator[bytes]]:
    from nakagin.client.copying.pack import pack

    return closing(pack(path, "."))


def save(call: Call) -> int:
    """Write images to an archive file or standard output."""
    platform = call.options.text("platform") or None
    write_stream(call.client.images.save(call.arguments, platform=platform), call.options.text("output"))
    return 0


def import_(call: Call) -> int:
    """Make an image from a tar file, a URL (the engine fetches it) or standard input; prints its id."""
    options = call.options
    source, *reference = call.arguments
    images = call.client.images
    changes, message = options.many("change"), options.text("message")
    platform = options.text("platform") or default_platform() or None
    name = reference[0] if reference else ""
    if "://" in source:
        messages = images.import_(source, name, changes=changes, message=message, platform=platform)
        show_progress(messages, sys.stdout)
        return 0
    with _source("" if source == "-" else source) as archive:
        for told in images.import_(archive, name, changes=changes, message=message, platform=platform):
            say(str(told.get("status", "")))
    return 0


def _source(path: str) -> BinaryIO:
    if not path:
        return sys.stdin.buffer
    try:
        return open(path, "rb")
    except FileNotFoundError:
        raise NotFound(f"open {path}: no such file or directory") from None
    except OSError as error:
        raise Invalid(f"open {path}: {error.strerror}") from None


LOAD = Command(
    load,
    "[OPTIONS]",
    (
        Flag("input", "i", "string", "Read from tar archive file, instead of STDIN"),
        Flag("platform", "", "string", "Load only the given platform variant"),
        Flag("quiet", "q", "bool", "Suppress the load output"),
    ),
)
SAVE = Command(
    save,
    "[OPTIONS] IMAGE [IMAGE...]",
    (
        Flag("output", "o", "string", "Write to a file, instead of STDOUT"),
        Flag("platform", "", "string", "Save only the given platform variant"),
    ),
    least=1,
    most=None,
)
IMPORT = Command(
    import_,
    "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    (
        Flag("change", "c", "list", "Apply Dockerfile instruction to the created image"),
        Flag("message", "m", "string", "Set commit message for imported image"),
        Flag("platform", "", "string", "Set platform if server is multi-platform capable"),
    ),
    least=1,
    most=2,
)
