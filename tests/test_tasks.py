"""What is to come to its end does, however often its caller is given up."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from nakagin.tasks import drop, to_the_end


def test_a_deed_in_a_queue_is_done_though_its_caller_is_cancelled_twice() -> None:
    free, done = Event(), Event()

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(free.wait)
            caller = asyncio.create_task(to_the_end(loop.run_in_executor(pool, done.set)))
            for _ in range(2):
                await asyncio.sleep(0)
                caller.cancel()
            await asyncio.sleep(0)
            assert not caller.done(), "it waits"
            free.set()
            with pytest.raises(asyncio.CancelledError):
                await caller

    asyncio.run(scene())
    assert done.is_set()


def test_results_and_failures_come_through() -> None:
    async def well() -> int:
        return 3

    async def badly() -> int:
        raise KeyError("no")

    assert asyncio.run(to_the_end(well())) == 3
    with pytest.raises(KeyError):
        asyncio.run(to_the_end(badly()))


def test_dropped_tasks_have_ended_though_their_caller_is_cancelled() -> None:
    async def scene() -> None:
        may_end = asyncio.Event()

        async def stubborn() -> None:
            try:
                await asyncio.sleep(1000)
            finally:
                await may_end.wait()

        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        dropping = asyncio.create_task(drop(task))
        for _ in range(3):
            await asyncio.sleep(0)
        dropping.cancel()
        for _ in range(3):
            await asyncio.sleep(0)
        assert not task.done()
        assert not dropping.done()
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await dropping
        assert task.cancelled()

    asyncio.run(scene())


def test_nothing_to_drop() -> None:
    asyncio.run(drop())
