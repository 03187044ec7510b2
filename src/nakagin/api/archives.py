"""Files of containers as tar archives: copy in and out, export."""

from __future__ import annotations

import base64
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiohttp import web

from nakagin.api.answers import TAR, Answer, begin, encode
from nakagin.api.body import body_file
from nakagin.api.call import Call
from nakagin.errors import Invalid

_PATIENCE = 60.0
_WIDE = 1 << 20


def _path(call: Call) -> str:
    path = call.text("path")
    if not path:
        raise Invalid('bad parameter: "path" is required')
    return path


def _stat_header(stat: Mapping[str, Any]) -> dict[str, str]:
    return {"X-Docker-Container-Path-Stat": base64.b64encode(encode(stat)).decode()}


async def stat(call: Call) -> web.StreamResponse:
    """HEAD /containers/{id}/archive."""
    found = await call.engine.containers.files.stat(call.name, _path(call))
    return Answer(200, headers=_stat_header(found))


async def read(call: Call) -> web.StreamResponse:
    """GET /containers/{id}/archive."""
    found, chunks = await call.engine.containers.files.read(call.name, _path(call))
    return await send_tar(call, chunks, headers=_stat_header(found))


async def write(call: Call) -> web.StreamResponse:
    """PUT /containers/{id}/archive."""
    path = _path(call)
    # A stopped container waits for its lock meanwhile: a client that is gone may not hold it for ever.
    with body_file(call, patience=_PATIENCE) as file:
        await call.engine.containers.files.write(
            call.name,
            path,
            file,
            no_overwrite_dir_non_dir=call.flag("noOverwriteDirNonDir"),
            copy_uid_gid=call.flag("copyUIDGID"),
        )
    return Answer(200)


async def export(call: Call) -> web.StreamResponse:
    """GET /containers/{id}/export."""
    return await send_tar(
        call, await call.engine.containers.export(call.name), kind="application/octet-stream"
    )


async def layer(call: Call) -> web.StreamResponse:
    """GET /nakagin/containers/{id}/layer: what it changed, with OCI whiteouts for what it deleted."""
    return await send_tar(call, call.engine.containers.files.layer(call.name))


def widen(call: Call) -> None:
    """A larger buffer for the connection: each hand-over between two processes costs a turn of the scheduler."""
    sock = call.request.transport.get_extra_info("socket") if call.request.transport else None
    if sock is not None and sock.family == socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _WIDE)


async def send_tar(
    call: Call, chunks: AsyncIterator[bytes], *, kind: str = TAR, headers: Mapping[str, str] | None = None
) -> web.StreamResponse:
    """Stream an archive; its first piece comes before the head, so that early errors get their status."""
    first = await anext(chunks, b"")
    widen(call)
    response = await begin(call, kind, headers=headers)
    await response.write(first)
    async for chunk in chunks:
        await response.write(chunk)
    await response.write_eof()
    return response


DEEDS = {"PUT /containers/*/archive": write}
READS = {
    "HEAD /containers/*/archive": stat,
    "GET /containers/*/archive": read,
    "GET /containers/*/export": export,
    "GET /nakagin/containers/*/layer": layer,
}
