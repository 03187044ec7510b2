"""A tar stream with its topmost entry renamed on the way, for what goes from one container to another."""

from __future__ import annotations

import io
import tarfile

from nakagin.client.copying.unpack import Pieces
from nakagin.errors import Damaged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_PIECE = 1 << 20
_BLOCK = 512


def rebased(pieces: Iterable[bytes], base: str, name: str) -> Iterator[bytes]:
    """The tar with `name` in place of `base` at the beginning of each name. Raises Damaged."""
    try:
        with tarfile.open(fileobj=io.BufferedReader(Pieces(pieces), _PIECE), mode="r|") as archive:
            for member in archive:
                member.name = _renamed(member.name, base, name)
                if member.islnk():
                    member.linkname = _renamed(member.linkname, base, name)
                # Names that are longer than the plain header holds are written anew.
                kept = member.pax_headers.items()
                member.pax_headers = {key: value for key, value in kept if key not in ("path", "linkpath")}
                yield member.tobuf(tarfile.PAX_FORMAT, errors="surrogateescape")
                content = archive.extractfile(member) if member.isreg() else None
                while content and (piece := content.read(_PIECE)):
                    yield piece
                if content:
                    yield bytes(-member.size % _BLOCK)
    except tarfile.TarError as error:
        raise Damaged(f"the archive from the container is damaged: {error}") from None
    yield bytes(2 * _BLOCK)


def _renamed(path: str, base: str, name: str) -> str:
    if base == "/":
        return f"{name}/{path.lstrip('/')}"
    rest = path[len(base) :] if path == base or path.startswith(f"{base}/") else f"/{path}"
    return name + rest
