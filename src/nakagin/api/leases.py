"""Leases: what ends with a client's connection."""

from __future__ import annotations

import asyncio

from aiohttp import web

from nakagin.api.answers import begin, encode, no_content
from nakagin.api.call import Call


async def hold(call: Call) -> web.StreamResponse:
    """POST /nakagin/leases[?id=]: {"Id": ...}, then nothing; the lease is held until the client goes."""
    with call.engine.leases.held(call.text("id")) as id:
        response = await begin(call)
        await response.write(encode({"Id": id}) + b"\n")
        await asyncio.Event().wait()
        return response


async def end(call: Call) -> web.StreamResponse:
    """DELETE /nakagin/leases/{id}: remove all that is under it now, and answer when it is gone."""
    await call.engine.leases.end(call.name)
    return no_content()


DEEDS = {"DELETE /nakagin/leases/*": end}
READS = {"POST /nakagin/leases": hold}
