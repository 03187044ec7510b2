"""Images straight from one engine to another over their APIs; only what the receiver lacks travels."""

from __future__ import annotations

from nakagin.client.refusals import check_stream_message
from nakagin.client.session import document
from nakagin.errors import Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nakagin.client.client import Client
    from nakagin.client.session import Document

    Tell = Callable[[str, int, int], None]

_PLAIN = "application/vnd.oci.image.layer.v1.tar", "application/vnd.docker.image.rootfs.diff.tar"
#: Fast, and close to what stronger ones reach on file systems.
_LEVEL = 3


class Handover:
    """From `source` to `target`. `tell(digest, bytes sent so far, bytes in all)` hears how it goes."""

    def __init__(self, source: Client, target: Client, tell: Tell) -> None:
        self._source = source
        self._target = target
        self._tell = tell
        self.sent = 0
        """Layer bytes that went over the wire."""
        self.present = 0
        """Layers that the target had."""

    def send(self, names: Sequence[str], *, platform: str = "", rename: str = "") -> list[Document]:
        """Hand the images over; [{"id", "names"}]. `rename` is what a single one shall be called there.

        Raises what either engine refuses, and Unavailable where a connection breaks: then the next call goes on.
        """
        offer = self._ask(self._source, "offer", {"Names": [*names], "Platform": platform})
        if rename:
            for image in offer["Images"]:
                image["Names"], image["Digests"] = [rename], []
        missing = self._ask(self._target, "missing", offer)
        self.present = missing["Present"]
        for blob in missing["Blobs"] or ():
            self._blob(blob)
        return list(self._finish(offer))

    def _ask(self, client: Client, verb: str, body: Document) -> Document:
        answer = client.session.request(
            "POST", f"/nakagin/handover/{verb}", body=body, versioned=False, timeout=None
        )
        return document(answer)

    def _blob(self, blob: Document) -> None:
        digest, size, offset = blob["Digest"], blob["Size"], blob["Offset"]
        plain = blob["MediaType"] in _PLAIN
        query = {"digest": digest, "offset": offset}
        with self._source.session.request(
            "GET", "/nakagin/handover/blob", query, versioned=False, timeout=None
        ) as body:
            pieces = self._told(body.iterate(), digest, size, offset)
            self._target.session.request(
                "POST", "/nakagin/handover/blob",
                {**query, "size": size, "encoding": "zstd" if plain else None},
                data=self._counted(_compressed(pieces) if plain else pieces), versioned=False, timeout=None,
                headers={"Content-Type": "application/octet-stream"},
            ).read()  # fmt: skip

    def _told(self, pieces: Iterator[bytes], digest: str, size: int, done: int) -> Iterator[bytes]:
        for piece in pieces:
            yield piece
            done += len(piece)
            self._tell(digest, done, size)
        if done != size:
            raise Unavailable(f"the source gave {done} of the {size} bytes of {digest}")

    def _counted(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self.sent += len(piece)
            yield piece

    def _finish(self, offer: Document) -> Iterator[Document]:
        with self._target.session.request(
            "POST", "/nakagin/handover/images", body=offer, versioned=False, timeout=None
        ) as answer:
            for message in answer.documents():
                check_stream_message(message)
                yield message


def _compressed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """A layer that is kept plain travels compressed."""
    import zstandard

    packer = zstandard.ZstdCompressor(level=_LEVEL, threads=-1).compressobj()
    for piece in pieces:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()
