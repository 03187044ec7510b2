"""POST /nakagin/system/fsck: the check of the store, one line of JSON for each finding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nakagin.api.answers import begin, encode

if TYPE_CHECKING:
    from aiohttp import web

    from nakagin.api.call import Call


async def fsck(call: Call) -> web.StreamResponse:
    """With `dryRun`, nothing is repaired."""
    findings = call.engine.upkeep.fsck(dry_run=call.flag("dryRun"))
    response = await begin(call)
    async for finding in findings:
        await response.write(encode(finding) + b"\r\n")
    await response.write_eof()
    return response


DEEDS = {"POST /nakagin/system/fsck": fsck}
