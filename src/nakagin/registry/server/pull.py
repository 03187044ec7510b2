"""Pulling: manifests as they came, and blobs straight from the disk."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from typing import IO

import msgspec
from aiohttp import web

from nakagin.errors import NotFound
from nakagin.registry.server.call import OCTETS, Call, done, streamed, whole
from nakagin.registry.server.names import check_digest, is_tag
from nakagin.registry.server.refusals import blob_unknown, manifest_unknown, range_unsatisfiable
from nakagin.spec.digest import digest_of, is_digest
from nakagin.spec.image import MEDIA_INDEX

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
#: What clients that do not know the referrers API ask for (specification, "Referrers Tag Schema").
_FALLBACK = re.compile(r"(sha256|sha512)-([0-9a-f]+)")
#: A digest names its content for ever.
_FOREVER = "max-age=31536000, immutable"


async def manifest(call: Call) -> web.StreamResponse:
    """GET and HEAD …/manifests/<reference>."""
    reference = call.target.reference
    digest = check_digest(reference) if ":" in reference else None
    if call.through is not None:
        await call.through.ensure_manifest(call, reference)
    repository = call.repository
    if digest is None:
        digest = repository.tag(reference) if is_tag(reference) else None
        if digest is None and (found := await _fallback(call, reference)) is not None:
            return found
    kind = repository.media_type(digest) if digest else None
    if digest is None or kind is None:
        raise manifest_unknown(call.name, reference)
    if not accepts(call.request.headers.getall("Accept", ()), kind):
        raise manifest_unknown(call.name, reference, f"the manifest is {kind}, which Accept does not list")
    call.registry.leases.touch(digest)
    headers = {"Docker-Content-Digest": digest, "ETag": f'"{digest}"', "Content-Type": kind}
    if _is_known(call, digest):
        return done(304, headers)
    data = await call.threaded(call.registry.manifest, repository, digest)
    return whole(data, headers)


def accepts(values: list[str] | tuple[str, ...], kind: str) -> bool:
    """Whether Accept headers take a media type; no header, or a wildcard, takes everything."""
    ranges = [part.partition(";")[0].strip().lower() for value in values for part in value.split(",")]
    wildcards = ("", "*/*", "application/*", "application/json", "*")
    return not ranges or kind in ranges or any(each in wildcards for each in ranges)


def _is_known(call: Call, digest: str) -> bool:
    tags = call.request.headers.get("If-None-Match", "")
    return bool(tags) and any(tag.strip() in (f'"{digest}"', digest, "*") for tag in tags.split(","))


async def _fallback(call: Call, reference: str) -> web.StreamResponse | None:
    """The tag "sha256-<hex>" that nobody has set stands for the list of referrers."""
    found = _FALLBACK.fullmatch(reference)
    if found is None or not is_digest(subject := f"{found[1]}:{found[2]}"):
        return None
    referrers = await call.threaded(call.repository.referrers, subject)
    if not referrers:
        return None
    data = msgspec.json.encode(index_of(referrers))
    digest = digest_of(data)
    headers = {"Docker-Content-Digest": digest, "ETag": f'"{digest}"', "Content-Type": MEDIA_INDEX}
    return whole(data, headers)


def index_of(referrers: object) -> dict[str, object]:
    """The image index that lists descriptors."""
    return {"schemaVersion": 2, "mediaType": MEDIA_INDEX, "manifests": referrers}


async def blob(call: Call) -> web.StreamResponse:
    """GET and HEAD …/blobs/<digest>; ranges of one part."""
    digest = check_digest(call.target.reference)
    if not call.registry.finds_blob(call.repository, digest):
        if call.through is not None:
            return await call.through.blob(call, digest)
        raise blob_unknown(digest)
    try:
        file = call.registry.blobs.open(digest)
    except NotFound:
        raise blob_unknown(digest) from None
    with file:
        return await send_blob(call, digest, file)


def blob_headers(digest: str) -> dict[str, str]:
    """The headers of every answer with a blob."""
    return {
        "Docker-Content-Digest": digest,
        "ETag": f'"{digest}"',
        "Accept-Ranges": "bytes",
        "Cache-Control": _FOREVER,
        "Content-Type": OCTETS,
    }


async def send_blob(call: Call, digest: str, file: IO[bytes]) -> web.StreamResponse:
    """The blob or a range of it, by the kernel's sendfile. Refusal 416."""
    size = os.fstat(file.fileno()).st_size
    headers = blob_headers(digest)
    if _is_known(call, digest):
        return done(304, headers)
    first, count = 0, size
    wanted = range_of(call.request.headers, size, digest)
    if wanted is not None:
        first, count = wanted
        if count <= 0:
            raise range_unsatisfiable(size)
        headers["Content-Range"] = f"bytes {first}-{first + count - 1}/{size}"
    answer = streamed(200 if wanted is None else 206, headers, count)
    call.started = True
    await answer.prepare(call.request)
    if not call.head_only and count:
        await answer.write(b"")  # the head, which else waits for the body
        transport = call.request.transport
        if transport is None:
            raise ConnectionResetError("the client has gone")
        await asyncio.get_running_loop().sendfile(transport, file, first, count)
    await answer.write_eof()
    return answer


def range_of(headers: Mapping[str, str], size: int, digest: str) -> tuple[int, int] | None:
    """(first byte, count) of the range that is asked for; None for the whole. A count of 0 or less: there is no
    such range. Forms that are not understood are ignored (RFC 9110, 14.2)."""
    found = _RANGE.fullmatch(headers.get("Range", "").strip())
    if found is None or not (found[1] or found[2]):
        return None
    if headers.get("If-Range", f'"{digest}"') != f'"{digest}"':
        return None
    if not found[1]:
        count = min(int(found[2]), size)
        return size - count, count
    first = int(found[1])
    if found[2] and int(found[2]) < first:
        return None
    last = min(int(found[2]), size - 1) if found[2] else size - 1
    return first, last - first + 1
