"""A layer's tar as an archive that ADD unpacks: what it deletes is told apart, as ADD only adds."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import IO

_DELETED = ".wh."
_EMPTIED = ".wh..wh..opq"


def keep(layer: IO[bytes], path: str) -> list[str]:
    """Write a layer (a tar, compressed or not, as a stream) without its whiteouts to a path; the paths it deletes.

    Of a folder that was emptied and filled anew the folder is deleted: the archive has it again.
    """
    deleted: list[str] = []
    with (
        tarfile.open(fileobj=layer, mode="r|*") as source,
        tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as target,
    ):
        for member in source:
            folder, _, name = member.name.strip("/").removeprefix("./").rpartition("/")
            if name == _EMPTIED:
                deleted.append(f"/{folder}")
            elif name.startswith(_DELETED):
                deleted.append(f"/{folder}/{name.removeprefix(_DELETED)}".replace("//", "/"))
            else:
                target.addfile(member, source.extractfile(member) if member.isreg() else None)
    return deleted
