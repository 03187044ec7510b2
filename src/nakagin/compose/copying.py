"""Configs and secrets that are no files of the host: put into a container before it starts."""

from __future__ import annotations

from nakagin.compose.parts import FileReference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.client.containers import Container


def copy_files(container: Container, files: list[tuple[FileReference, bytes]]) -> None:
    """Write each file where its reference says, with its owner and mode (0444 unless it says otherwise)."""
    if not files:
        return
    import io
    import tarfile

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for reference, content in files:
            entry = tarfile.TarInfo(reference.target.lstrip("/"))
            entry.size = len(content)
            entry.mode = int(reference.mode or "0444", 8)
            entry.uid, entry.gid = int(reference.uid or 0), int(reference.gid or 0)
            archive.addfile(entry, io.BytesIO(content))
    container.put_archive("/", packed.getvalue())
