"""Waiting for the end of a container."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nakagin.containers.streams import WaitResult
from nakagin.errors import Invalid, NotFound

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from nakagin.containers.shelf import Capsule, Shelf

_CONDITIONS = ("", "not-running", "next-exit", "removed")


def wait(shelf: Shelf, reference: str, condition: str = "not-running") -> Awaitable[WaitResult]:
    """Register at once and return what to await: conditions "not-running", "next-exit", "removed".

    NotFound and Invalid are raised by the call itself, so that a door can answer its headers between
    the call and the await (the docker CLI starts the container only after it has seen them). Who asks only after the
    start, as dockerode does, may be later than the end of a container that removes itself: for a while its id is known.
    """
    if condition not in _CONDITIONS:
        raise Invalid(f'invalid condition: "{condition}"', hint="not-running, next-exit or removed")
    try:
        capsule = shelf.find(reference)
    except NotFound:
        past = shelf.departed.get(reference)
        if past is None or condition == "next-exit":
            raise
        return _departed(shelf, reference, WaitResult(past[0], past[1] or None))
    facts = capsule.record.facts
    waiter: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
    if condition == "removed":
        capsule.removal_waiters.add(waiter)
    elif condition == "next-exit" or capsule.record.running or facts.restarting:
        capsule.exit_waiters.add(waiter)
    else:
        waiter.set_result(None)
    return _end(shelf, capsule, waiter)


async def _departed(shelf: Shelf, id: str, result: WaitResult) -> WaitResult:
    await shelf.audience.served(id)
    return result


async def _end(shelf: Shelf, capsule: Capsule, waiter: asyncio.Future[str | None]) -> WaitResult:
    try:
        error = await waiter
    finally:
        capsule.exit_waiters.discard(waiter)
        capsule.removal_waiters.discard(waiter)
    result = WaitResult(capsule.record.facts.exit_code, error)
    if not capsule.pending:  # else it has not run yet for those who are attached
        await shelf.audience.served(capsule.id)
    return result
