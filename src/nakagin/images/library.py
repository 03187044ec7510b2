"""The image library: every image here, by id and by name, and what may be done with them.

An index in memory answers `resolve` and `list`; records and blobs hold the truth, and the index is built from
them at start and kept in step. Refuses to remove what somebody holds; knows nothing of containers.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nakagin.images.model import Image
    from nakagin.storage.blobs import Blobs
    from nakagin.storage.layers import Layers
    from nakagin.storage.records import Records

KIND = "image"
"""The kind of image documents, and of holds on them: `records.hold("image", id, "container:ID", why)`."""


class Images:
    """All images of one engine."""

    def __init__(self, records: Records, blobs: Blobs, layers: Layers) -> None:
        self._records = records
        self._blobs = blobs
        self._layers = layers

    def resolve(self, reference: str) -> Image:
        """The image of a name, digest, ID or unique ID prefix; NotFound says "No such image: x:latest"."""
        raise NotImplementedError

    def list(self, filters: Mapping[str, Sequence[str]] | None = None) -> Sequence[Image]:
        """The images, the newest first. Filters: reference, dangling, label, before, since, until."""
        raise NotImplementedError

    def tag(self, source: str, target: str) -> Image:
        """Give the image `source` the name `target` (a tag moves away from another image)."""
        raise NotImplementedError

    def remove(self, reference: str, *, force: bool = False, prune: bool = True) -> Sequence[dict[str, str]]:
        """Untag, and delete where that was the last name: [{"Untagged": name}, {"Deleted": id}, ...].

        Raises NotFound, or Conflict where it is held or has several names (and is given by ID without force).
        """
        raise NotImplementedError

    def inspect(self, reference: str) -> dict[str, object]:
        """Docker's ImageInspect document."""
        raise NotImplementedError

    def history(self, reference: str) -> Sequence[dict[str, object]]:
        """Docker's history, newest first: Id, Created (unix seconds), CreatedBy, Tags, Size, Comment."""
        raise NotImplementedError

    def import_(
        self,
        stream: IO[bytes],
        reference: str | None = None,
        *,
        changes: Sequence[str] = (),
        message: str = "",
        platform: str = "",
    ) -> Image:
        """A one-layer image from the tar of a root file system; `changes` are Dockerfile instructions."""
        raise NotImplementedError

    def load(self, stream: IO[bytes]) -> Sequence[str]:
        """Take in the images of an archive (docker save, OCI layout); returns their references or IDs."""
        raise NotImplementedError

    def save(self, references: Sequence[str]) -> Iterator[bytes]:
        """The images as one tar that is a docker archive and an OCI layout at once."""
        raise NotImplementedError

    def prune(
        self, *, dangling: bool = True, filters: Mapping[str, Sequence[str]] | None = None
    ) -> tuple[Sequence[dict[str, str]], int]:
        """Remove unused images (only nameless if `dangling`); returns as `remove`, and the bytes freed."""
        raise NotImplementedError
