"""Pushing: upload sessions in all their forms, mounts, and manifests."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial

from aiohttp import web

from nakagin.errors import Damaged
from nakagin.registry.model import verify
from nakagin.registry.server.call import Call, done
from nakagin.registry.server.manifests import read
from nakagin.registry.server.names import check_digest, check_tag, is_name
from nakagin.registry.server.refusals import (
    digest_invalid,
    out_of_order,
    size_invalid,
    too_large,
    upload_invalid,
)
from nakagin.registry.server.settings import size_of
from nakagin.registry.server.uploads import Upload
from nakagin.spec.digest import digest_of

# The specification's form is "0-99"; clients of HTTP's school write "bytes 0-99/200".
_CHUNK = re.compile(r"(?:bytes[ =])?(\d{1,18})-(\d{1,18})(?:/(?:\d{1,18}|\*))?")
_ALGORITHMS = ("sha256", "sha512")
#: Tags that one manifest may be given at once.
_MOST_TAGS = 100


async def begin(call: Call) -> web.StreamResponse:
    """POST …/blobs/uploads/: a session; or at once a mount, or the whole blob."""
    if digest := call.text("mount"):
        return await _mount(call, check_digest(digest))
    if "digest" in call.request.query:
        return await _monolithic(call, check_digest(call.text("digest")))
    wanted = call.text("digest-algorithm") or "sha256"
    if wanted not in _ALGORITHMS:
        raise digest_invalid(wanted, f"unsupported digest algorithm; known are {', '.join(_ALGORITHMS)}")
    return _accepted(call, call.registry.uploads.begin(call.name, wanted), 202)


async def _mount(call: Call, digest: str) -> web.StreamResponse:
    source = call.text("from")
    if source:
        sources = [source] if is_name(source) and call.identity.may("pull", source) else []
    elif not call.registry.blobs.exists(digest):
        sources = []
    else:
        every = await call.threaded(lambda: list(call.registry.repositories.all()))
        sources = [each.name for each in every if call.identity.may("pull", each.name)]
    if await call.threaded(call.registry.mount, call.repository, digest, sources):
        return _created(call, digest)
    return _accepted(call, call.registry.uploads.begin(call.name), 202)


async def _monolithic(call: Call, digest: str) -> web.StreamResponse:
    upload = call.registry.uploads.begin(call.name, digest.partition(":")[0])
    try:
        async with upload.owned():
            await _receive(call, upload, digest)
            await call.threaded(call.registry.finish, upload, call.repository, digest)
    finally:
        call.registry.uploads.discard(upload)
    return _created(call, digest)


async def chunk(call: Call) -> web.StreamResponse:
    """PATCH of a session: the next chunk, or with no Content-Range a stream of any length."""
    upload = _upload(call)
    async with upload.owned():
        await _receive(call, upload)
    return _accepted(call, upload, 202)


async def finish(call: Call) -> web.StreamResponse:
    """PUT of a session: the last chunk, if any, and the digest of the whole."""
    upload = _upload(call)
    digest = check_digest(call.text("digest"))
    async with upload.owned():
        await _receive(call, upload, digest)
        try:
            await call.threaded(call.registry.finish, upload, call.repository, digest)
        finally:
            # What does not have its digest will not have it later either.
            call.registry.uploads.discard(upload)
    return _created(call, digest)


async def status(call: Call) -> web.StreamResponse:
    """GET of a session: how far it is."""
    return _accepted(call, _upload(call), 204)


async def cancel(call: Call) -> web.StreamResponse:
    """DELETE of a session."""
    upload = _upload(call)
    async with upload.owned():
        call.registry.uploads.discard(upload)
    return done(204)


def _upload(call: Call) -> Upload:
    return call.registry.uploads.get(call.target.reference, call.name)


def _allow(_: int) -> None:
    return


async def _receive(call: Call, upload: Upload, digest: str = "") -> None:
    """Append the request's body. Refusal 416 for a chunk out of order, SIZE_INVALID for one of another length."""
    announced = _announced(call, upload)
    check: Callable[[int], None] = partial(call.registry.quotas.check, upload.repository)
    if digest and call.registry.blobs.exists(digest):
        check = _allow  # it takes no more room; what it counts in this repository, `finish` looks at
    await call.threaded(check, upload.size + (call.length or 0))
    received = await upload.append(call.pieces(), call.pool, check)
    if announced is not None and received != announced:
        raise size_invalid(
            f"the chunk has {received} bytes, its Content-Range says {announced}", {"received": received}
        )


def _announced(call: Call, upload: Upload) -> int | None:
    """The length of the chunk by its Content-Range."""
    text = call.request.headers.get("Content-Range")
    if text is None:
        return None
    found = _CHUNK.fullmatch(text.strip())
    if found is None or int(found[2]) < int(found[1]):
        if call.length == 0:  # an empty last chunk, which has no valid range
            return None
        raise upload_invalid(f"invalid Content-Range {text[:100]!r}", {"expected": "<first>-<last>"})
    start, end = int(found[1]), int(found[2])
    if start != upload.size:
        raise out_of_order(start, upload.size, _place(call, upload))
    if call.length is not None and call.length != end - start + 1:
        raise size_invalid(f"Content-Length is {call.length}, Content-Range has {end - start + 1} bytes")
    return end - start + 1


def _place(call: Call, upload: Upload) -> Mapping[str, str]:
    headers = {
        "Location": f"/v2/{upload.repository}/blobs/uploads/{upload.id}",
        # There is no range of no bytes; clients know this form of it.
        "Range": f"0-{max(0, upload.size - 1)}",
        "Docker-Upload-UUID": upload.id,
    }
    if least := size_of(call.registry.settings.chunk_min_length):
        headers["OCI-Chunk-Min-Length"] = str(least)
    return headers


def _accepted(call: Call, upload: Upload, status: int) -> web.Response:
    return done(status, _place(call, upload))


def _created(call: Call, digest: str) -> web.Response:
    headers = {"Location": f"/v2/{call.name}/blobs/{digest}", "Docker-Content-Digest": digest}
    return done(201, headers)


async def put_manifest(call: Call) -> web.StreamResponse:
    """PUT …/manifests/<reference>."""
    data = await _document(call)
    reference = call.target.reference
    if ":" in reference:
        digest = check_digest(reference)
        tags = [check_tag(tag) for tag in call.request.query.getall("tag", ())[:_MOST_TAGS]]
        try:
            verify(data, digest)
        except Damaged as error:
            raise digest_invalid(digest, error.message) from None
    else:
        tags = [check_tag(reference)]
        digest = digest_of(data)
    reading = read(data, call.request.headers.get("Content-Type", ""))
    lock = call.registry.lock(call.name)
    async with lock:
        await call.threaded(call.registry.put_manifest, call.repository, digest, data, reading, tags)
    answer = done(201, {"Location": f"/v2/{call.name}/manifests/{digest}", "Docker-Content-Digest": digest})
    if reading.subject:
        answer.headers["OCI-Subject"] = reading.subject
    if ":" in reference:
        for tag in tags:
            answer.headers.add("OCI-Tag", tag)
    return answer


async def _document(call: Call) -> bytes:
    """The manifest's bytes. Refusal with 413 where they are too many."""
    limit = size_of(call.registry.settings.manifest_limit)
    if call.length is not None and call.length > limit:
        raise too_large(limit)
    data = b""
    async for piece in call.pieces():
        data += piece
        if len(data) > limit:
            raise too_large(limit)
    return data
