"""The distribution protocol's verbs against one endpoint: manifests, blobs, tags, referrers, uploads.

Every verb raises the errors of `refusals` (NotFound, Denied, …), Unavailable where nothing answers, and Damaged
where content is not what its digest says. Content is verified here, except a blob's, which the reader verifies
(`storage` does) because it may arrive in several pieces.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import msgspec

from nakagin.errors import Damaged, NotFound, Unsupported
from nakagin.registry.model import (
    ACCEPTED,
    LARGEST_MANIFEST,
    Content,
    Descriptor,
    Document,
    Index,
    decode,
    media_type_of,
    verify,
)
from nakagin.registry.transport import Interrupted
from nakagin.registry.uploads import Mounted, Uploads
from nakagin.spec.digest import digest_of, is_digest
from nakagin.spec.image import MEDIA_INDEX

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from nakagin.registry.endpoints import Endpoint
    from nakagin.registry.transport import Answer, Transport
    from nakagin.registry.uploads import Body

_PAGE = 1000
_MOST_PAGES = 1000


class BlobStream:
    """A blob on its way in, from `offset` on. `size` is the length of the whole blob, -1 where unknown.

    `offset` may be less than was asked for: a registry that knows no ranges begins at 0.
    """

    def __init__(self, answer: Answer, offset: int, size: int) -> None:
        self._answer = answer
        self.offset = offset
        self.size = size

    def pieces(self) -> AsyncIterator[bytes]:
        """The bytes in pieces, as they arrive. Raises Interrupted where the connection breaks or stalls."""
        return self._answer.pieces()


def blob_stream(answer: Answer, offset: int, endpoint: Endpoint) -> BlobStream:
    """What an answer to a request from `offset` on has of the blob. Raises Damaged where that is another part."""
    if answer.status != 206:
        length = answer.headers.get("Content-Length", "")
        return BlobStream(answer, 0, int(length) if length.isdecimal() else -1)
    begin, size = _content_range(answer.headers.get("Content-Range", ""))
    if begin != offset:
        raise Damaged(f"{endpoint} sent bytes from {begin} on, not from {offset}")
    return BlobStream(answer, begin, size)


class Registry:
    """One endpoint. Repositories are paths ("library/busybox"); a `reference` is a tag or a digest."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._uploads = Uploads(transport)

    @property
    def endpoint(self) -> Endpoint:
        """Whom it asks."""
        return self._transport.endpoint

    def take_warnings(self) -> Sequence[str]:
        """What the registry wants people to know (Warning headers) since the last call."""
        found = list(self._transport.warnings)
        self._transport.warnings.clear()
        return found

    async def ping(self) -> None:
        """Ask whether it is there and lets us in (GET /v2/). Raises Denied for credentials that do not fit."""
        async with self._transport.request("GET", "/v2/", f"registry {self.endpoint}") as answer:
            await answer.read(LARGEST_MANIFEST)

    # --- Manifests

    async def head_manifest(self, repository: str, reference: str) -> Descriptor:
        """What a tag or digest stands for, without the document; media type and size as the registry says.

        Registries that answer HEAD without a digest are asked for the document.
        """
        path = _path(repository, "manifests", reference)
        async with self._transport.request(
            "HEAD", path, _manifest(repository, reference), scopes=(pull_scope(repository),),
            headers={"Accept": ", ".join(ACCEPTED)},
        ) as answer:  # fmt: skip
            digest = answer.headers.get("Docker-Content-Digest", "")
            size = answer.headers.get("Content-Length", "")
            kind = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        if not is_digest(digest) or not size.isdecimal():
            return (await self.get_manifest(repository, reference)).descriptor
        _same_digest(reference, digest)
        return Descriptor(kind, digest, int(size))

    async def get_manifest(self, repository: str, reference: str) -> Content:
        """The document, verified: against `reference` if that is a digest, else against what the registry says."""
        path = _path(repository, "manifests", reference)
        async with self._transport.request(
            "GET", path, _manifest(repository, reference), scopes=(pull_scope(repository),),
            headers={"Accept": ", ".join(ACCEPTED)},
        ) as answer:  # fmt: skip
            data = await answer.read(LARGEST_MANIFEST)
            said = answer.headers.get("Docker-Content-Digest", "")
            kind = answer.headers.get("Content-Type", "")
        digest = reference if is_digest(reference) else said if is_digest(said) else digest_of(data)
        verify(data, digest)
        return Content(Descriptor(media_type_of(data, kind), digest, len(data)), data)

    async def put_manifest(self, repository: str, reference: str, content: Content) -> str:
        """Store a document under a tag or its digest; the digest that the registry gave it. Its blobs must be there."""
        path = _path(repository, "manifests", reference)
        async with self._transport.request(
            "PUT", path, _manifest(repository, reference), scopes=(push_scope(repository),),
            headers={"Content-Type": content.descriptor.media_type}, body=content.data,
        ) as answer:  # fmt: skip
            said = answer.headers.get("Docker-Content-Digest", "")
        if is_digest(said) and said.partition(":")[0] == content.descriptor.digest.partition(":")[0]:
            _same_digest(content.descriptor.digest, said)
        return content.descriptor.digest

    async def delete_manifest(self, repository: str, reference: str) -> None:
        """Take a tag, or a document (by digest), out of the repository."""
        path = _path(repository, "manifests", reference)
        scopes = (f"repository:{repository}:delete",)
        async with self._transport.request("DELETE", path, _manifest(repository, reference), scopes=scopes):
            pass

    # --- Blobs

    async def blob_size(self, repository: str, digest: str) -> int | None:
        """Its length if the repository has the blob (-1: it does not say), else None."""
        path = _path(repository, "blobs", digest)
        try:
            async with self._transport.request(
                "HEAD", path, f"blob {digest}", scopes=(pull_scope(repository),)
            ) as answer:
                size = answer.headers.get("Content-Length", "")
                return int(size) if size.isdecimal() else -1
        except NotFound:
            return None

    @asynccontextmanager
    async def get_blob(self, repository: str, digest: str, offset: int = 0) -> AsyncIterator[BlobStream]:
        """A blob from `offset` on, as it arrives. Redirects are followed; credentials stay behind (CVE-2020-15157)."""
        path = _path(repository, "blobs", digest)
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        async with self._transport.request(
            "GET", path, f"blob {digest}", scopes=(pull_scope(repository),), headers=headers
        ) as answer:
            yield blob_stream(answer, offset, self.endpoint)

    async def read_blob(self, repository: str, digest: str, size: int) -> bytes:
        """All bytes of a small blob of `size` bytes, verified. Raises Damaged where they are others."""
        data = bytearray()
        for attempt in range(self._transport.patience.attempts):
            try:
                async with self.get_blob(repository, digest, len(data)) as stream:
                    del data[stream.offset :]
                    async for piece in stream.pieces():
                        data += piece
                        if len(data) > size:
                            raise Damaged(
                                f"the blob {digest} has more than the {size} bytes that its manifest says"
                            )
                break
            except Interrupted:
                if attempt + 1 == self._transport.patience.attempts:
                    raise
        verify(bytes(data), digest)
        return bytes(data)

    async def mount_blob(self, repository: str, digest: str, source: str) -> bool:
        """Take the blob over from another repository of the registry; False where it must be uploaded."""
        return await self._uploads.begin(repository, digest, source) is Mounted.YES

    async def upload_blob(
        self, repository: str, digest: str, size: int, body: Body, *, chunk: int = 0
    ) -> None:
        """Upload in one request, or in pieces of `chunk` bytes. `body(offset)` gives the bytes from there on."""
        await self._uploads.upload(repository, digest, size, body, chunk=chunk)

    # --- What is there

    async def tags(self, repository: str) -> Sequence[str]:
        """All tags, as the registry orders them, over as many pages as it takes."""
        path = _path(repository, "tags", "list")
        pages = self._pages(f"{path}?n={_PAGE}", f"tags of {repository}", pull_scope(repository))
        found: list[str] = []
        async for page in pages:
            found += _converted(page, _Tags).tags or ()
        return found

    async def catalog(self) -> Sequence[str]:
        """The names of all repositories, where the registry tells (it is Docker's own addition)."""
        found: list[str] = []
        async for page in self._pages(f"/v2/_catalog?n={_PAGE}", "catalog", "registry:catalog:*"):
            found += _converted(page, _Catalog).repositories or ()
        return found

    async def search_v1(self, query: str) -> bytes:
        """Docker Hub's search (GET /v1/search); NotFound at registries that have none."""
        async with self._transport.request("GET", f"/v1/search?{query}", "search") as answer:
            return await answer.read(LARGEST_MANIFEST)

    async def referrers(self, repository: str, digest: str, artifact_type: str = "") -> Sequence[Descriptor]:
        """The manifests whose subject is `digest`: by the API, or by the tag schema of older registries."""
        path = _path(repository, "referrers", digest)
        query = "?" + urlencode({"artifactType": artifact_type}) if artifact_type else ""
        found: list[Descriptor] = []
        try:
            async for page in self._pages(path + query, f"referrers of {digest}", pull_scope(repository)):
                found += _converted(page, Index).manifests
        except (NotFound, Unsupported):
            found = await self._referrers_by_tag(repository, digest)
        # The registry may have ignored the filter.
        return [each for each in found if not artifact_type or each.artifact_type == artifact_type]

    async def _referrers_by_tag(self, repository: str, digest: str) -> list[Descriptor]:
        tag = digest.replace(":", "-", 1)[:128]
        try:
            content = await self.get_manifest(repository, tag)
        except NotFound:
            return []
        found = decode(content.data, content.descriptor.media_type)
        return list(found.manifests) if isinstance(found, Index) else []

    async def _pages(self, path: str, what: str, scope: str) -> AsyncIterator[bytes]:
        """The pages of a list, by the Link header (RFC 8288)."""
        for _ in range(_MOST_PAGES):
            headers = {"Accept": f"application/json, {MEDIA_INDEX}"}
            async with self._transport.request("GET", path, what, scopes=(scope,), headers=headers) as answer:
                yield await answer.read(LARGEST_MANIFEST)
                following = answer.next_page()
            if following is None:
                return
            path = following
        raise Damaged(f"{what}: the registry's list does not end")


class _Tags(msgspec.Struct):
    tags: list[str] | None = None


class _Catalog(msgspec.Struct):
    repositories: list[str] | None = None


def pull_scope(repository: str) -> str:
    """What a token must allow to read a repository."""
    return f"repository:{repository}:pull"


def push_scope(repository: str) -> str:
    """What a token must allow to write to a repository."""
    return f"repository:{repository}:pull,push"


def _path(repository: str, *parts: str) -> str:
    return "/v2/" + "/".join((quote(repository, safe="/"), *(quote(part, safe=":") for part in parts)))


def _manifest(repository: str, reference: str) -> str:
    return f"manifest for {repository}{'@' if is_digest(reference) else ':'}{reference}"


def _same_digest(wanted: str, said: str) -> None:
    if is_digest(wanted) and wanted != said:
        raise Damaged(f"the registry speaks of {said} where {wanted} was asked for")


def _content_range(text: str) -> tuple[int, int]:
    """ "bytes 5-9/10" → (5, 10); the size is -1 where it says "*"."""
    unit, _, rest = text.partition(" ")
    span, _, size = rest.partition("/")
    begin = span.partition("-")[0]
    if unit.lower() != "bytes" or not begin.isdecimal():
        raise Damaged(f"the registry's Content-Range is not as it should be: {text[:100]!r}")
    return int(begin), int(size) if size.isdecimal() else -1


def _converted(data: bytes, kind: type[Document]) -> Document:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Damaged(f"the registry's answer is not as it should be: {error}") from None
