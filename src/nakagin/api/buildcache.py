"""POST /build/prune: what the build cache keeps, made less."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nakagin.api.answers import answer
from nakagin.build.cleanup import limits_of, prune

if TYPE_CHECKING:
    from aiohttp import web

    from nakagin.api.call import Call


async def prune_cache(call: Call) -> web.StreamResponse:
    """`keep-storage` is what `reserved-space` was called before API 1.48."""
    limits = limits_of(
        call.filters(),
        all=call.flag("all"),
        reserved=call.number("reserved-space") or call.number("keep-storage") or 0,
        most=call.number("max-used-space") or 0,
        free=call.number("min-free-space") or 0,
    )
    gone, freed = await asyncio.to_thread(prune, call.engine.builder, limits)
    call.engine.events.publish("builder", "prune", "", {"reclaimed": str(freed)})
    return answer({"CachesDeleted": gone, "SpaceReclaimed": freed})


DEEDS = {"POST /build/prune": prune_cache}
