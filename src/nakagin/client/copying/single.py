"""A tar of one file, made of bytes and read to bytes."""

from __future__ import annotations

import io
import tarfile

from nakagin.client.copying.unpack import Pieces
from nakagin.errors import Damaged, Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def packed(name: str, data: bytes, mode: int, uid: int, gid: int) -> bytes:
    """The tar of a file called `name`."""
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.uid, info.gid = len(data), mode, uid, gid
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def content(pieces: Iterable[bytes], path: str) -> bytes:
    """The bytes of the one file in a tar. Invalid where it has something else, Damaged."""
    for name, data in files(pieces):
        if data is None or "/" in name:
            break
        return data
    raise Invalid(f"{path} is not a file")


def files(pieces: Iterable[bytes]) -> Iterable[tuple[str, bytes | None]]:
    """(name, content) of each entry of a tar; None for what is no regular file. Damaged."""
    try:
        with tarfile.open(fileobj=io.BufferedReader(Pieces(pieces)), mode="r|") as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isreg() else None
                yield member.name, file.read() if file is not None else None
    except tarfile.TarError as error:
        raise Damaged(f"the archive from the container is damaged: {error}") from None
