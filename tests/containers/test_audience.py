"""Who waits for whom: `served` returns when those who read have read, and does not know of others."""

from __future__ import annotations

import asyncio

import pytest

from nakagin.containers import audience
from nakagin.containers.audience import Audience

_PATIENCE = 30.0


async def test_the_last_reader_ends_the_waiting() -> None:
    room = Audience()
    leave = [room.join("one"), room.join("one")]
    stays = room.join("other")
    waiting = asyncio.ensure_future(room.served("one"))
    for each in leave:
        await asyncio.sleep(0)
        assert not waiting.done()
        each()
        each()  # a second call does nothing
    await asyncio.wait_for(waiting, _PATIENCE)
    again = room.join("one")
    leave[0]()  # nor for those who came later
    late = asyncio.ensure_future(room.served("one"))
    await asyncio.sleep(0)
    assert not late.done()
    again()
    await asyncio.wait_for(late, _PATIENCE)
    stays()


async def test_who_never_reads_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audience, "_PATIENCE", 0.01)
    room = Audience()
    leave = room.join("one")
    await asyncio.wait_for(room.served("one"), _PATIENCE)
    leave()
