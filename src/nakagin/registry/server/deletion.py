"""Content management: tags, manifests and blobs that shall be here no more."""

from __future__ import annotations

from aiohttp import web

from nakagin.registry.server.call import Call, done
from nakagin.registry.server.names import check_digest, is_tag
from nakagin.registry.server.refusals import blob_unknown, manifest_unknown


async def manifest(call: Call) -> web.StreamResponse:
    """DELETE …/manifests/<reference>: of a tag only the tag, of a digest the manifest with all its tags."""
    reference = call.target.reference
    lock = call.registry.lock(call.name)
    async with lock:
        if ":" in reference:
            digest = check_digest(reference)
            gone = await call.threaded(call.registry.delete_manifest, call.repository, digest)
        else:
            gone = is_tag(reference) and call.repository.delete_tag(reference)
    if not gone:
        raise manifest_unknown(call.name, reference)
    return done(202)


async def blob(call: Call) -> web.StreamResponse:
    """DELETE …/blobs/<digest>: out of this repository; the collector frees the space."""
    digest = check_digest(call.target.reference)
    lock = call.registry.lock(call.name)
    async with lock:
        if not await call.threaded(call.registry.delete_blob, call.repository, digest):
            raise blob_unknown(digest)
    return done(202)
