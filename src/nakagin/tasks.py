"""What must come to its end, whatever becomes of whoever waits for it.

A request can be cancelled twice: its answer can no longer be written, and then its connection is gone. The second
time meets the clearing up that the first has begun, and `asyncio.to_thread` in a `finally` is then given up before
its thread has begun. What clears up, and what a thread may not go on with behind the caller's back, is awaited here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable

T = TypeVar("T")


async def to_the_end(deed: Awaitable[T]) -> T:
    """The result of `deed`, which is never cancelled with the caller: that waits, however often it is cancelled, and
    only then goes its way."""
    task = asyncio.ensure_future(deed)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return task.result()
    if not task.cancelled():
        task.exception()  # looked at: nobody will hear of it
    raise cancelled


async def drop(*tasks: asyncio.Future[Any]) -> None:
    """End tasks that are of no more use, however they end."""
    for task in tasks:
        task.cancel()
    await to_the_end(asyncio.gather(*tasks, return_exceptions=True))
