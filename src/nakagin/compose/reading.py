"""What one loading shares with the files that it includes and extends, and how a file becomes documents."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from msgspec import Struct

from nakagin.compose.elsewhere import is_elsewhere
from nakagin.compose.interpolate import Interpolation, Lookup
from nakagin.compose.source import Document, parse
from nakagin.compose.tree import Mapping
from nakagin.errors import Invalid, NotFound, Unsupported


class Stages(Struct, frozen=True):
    """Which stages are left out (the --no-… flags of `config`)."""

    interpolate: bool = True
    normalize: bool = True
    paths: bool = True
    consistency: bool = True
    environment: bool = True


class Loading(Struct):
    """What one loading shares with the files it includes and extends."""

    lookup: Lookup
    folder: str
    stages: Stages
    interpolation: Interpolation
    warnings: list[str] = []
    files: list[str] = []
    chain: tuple[str, ...] = ()
    #: brings files that are elsewhere: a name → paths
    fetch: Callable[[str], list[str]] | None = None

    def paths(self, name: str, folder: str) -> list[str]:
        """Where the file of this name lies, seen from `folder`; of a project elsewhere, all its files.

        Raises Unsupported, and what fetching raises.
        """
        if not is_elsewhere(name):
            return [os.path.normpath(os.path.join(folder, name))]
        if self.fetch is None:
            raise Unsupported(f"{name} is not here, and nobody fetches it")
        return self.fetch(name)


def documents(path: str) -> list[Document]:
    """A file's documents. Raises NotFound, Invalid."""
    if path == "-":
        return parse(sys.stdin.buffer.read(), "<stdin>")
    try:
        with open(path, "rb") as file:
            text = file.read()
    except FileNotFoundError:
        raise NotFound(f"{path}: no such file") from None
    except OSError as error:
        raise Invalid(f"cannot be read: {error.strerror}", where=path) from None
    return parse(text, path)


def top(document: Document, path: str) -> Mapping:
    """The document as the map that it must be."""
    if document.root is None:
        return Mapping()
    if not isinstance(document.root, Mapping):
        raise Invalid("top-level object must be a mapping", where=path)
    return document.root
