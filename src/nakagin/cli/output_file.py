"""Where export and save put their stream: standard output unless it is a terminal, or a file, whole or absent."""

from __future__ import annotations

import os

from nakagin.cli.command import write_bytes
from nakagin.cli.terminal import is_terminal
from nakagin.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def write_stream(pieces: Iterable[bytes], path: str) -> None:
    """Write to `path` (under a temporary name until all is there), or to standard output when it is empty."""
    if not path:
        if is_terminal(1):
            raise Invalid("cowardly refusing to save to a terminal. Use the -o flag or redirect")
        for piece in pieces:
            write_bytes(piece)
        return
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise Invalid(f'invalid output path: directory "{folder}" does not exist')
    if os.path.isdir(path):
        raise Invalid(f'invalid output path: "{path}" is a directory')
    if os.path.exists(path) and not os.path.isfile(path):
        # A device or pipe takes the bytes directly.
        _write(pieces, path, os.O_WRONLY)
        return
    temporary = os.path.join(folder, f".{os.path.basename(path)}.{os.getpid()}")
    try:
        _write(pieces, temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        os.rename(temporary, path)
    except BaseException:
        if os.path.lexists(temporary):
            os.unlink(temporary)
        raise


def _write(pieces: Iterable[bytes], path: str, flags: int) -> None:
    try:
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Invalid(f"open {path}: {error.strerror}") from None
    with open(descriptor, "wb") as file:
        file.writelines(pieces)
