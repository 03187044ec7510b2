"""The async face of the SDK: made from the sync one, and it lets go when it is cancelled."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nakagin.client import AsyncClient
from nakagin.client.aio.containers import Container
from nakagin.client.execution import TimeoutExpired
from nakagin.errors import NotFound, Unavailable
from tests.engine_fixture import ScratchEngine, await_until

TOOL = Path(__file__).parents[2] / "tools/async-client"


def test_it_is_as_it_would_be_made_now() -> None:
    done = subprocess.run([sys.executable, TOOL, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"run tools/async-client: {done.stdout}{done.stderr}"


def threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("nakagin-")]


@pytest.mark.root
async def test_the_nouns(engine: ScratchEngine, tmp_path: Path) -> None:
    async with AsyncClient(engine.host) as client, client.lease():
        assert (await client.version())["ApiVersion"]
        made = await client.containers.run(
            "busybox", ["sleep", "1000"], detach=True, network="none", init=True
        )
        assert isinstance(made, Container)
        assert made.status == "running"
        outputs = await asyncio.gather(
            *(made.exec(["sh", "-c", f"echo {number}; exit {number}"]) for number in range(12))
        )
        for number, command in enumerate(outputs):
            assert await command.communicate() == (b"%d\n" % number, b"")
            assert command.returncode == number
        await made.put_bytes(b"content", "/tmp/f")
        assert await made.get_bytes("/tmp/f") == b"content"
        status, pieces = await made.get_archive("/tmp/f")
        assert (status.name, len(b"".join([piece async for piece in pieces])) > 512) == ("f", True)
        assert made.id in [each["Id"] for each in await client.containers.list()]
        with pytest.raises(NotFound):
            await client.containers.get("no-such-container")
        done = await client.sandbox("busybox", ["sh", "-c", "echo x > made"])
        assert done.changed == {"made": b"x\n"}
        id = made.id
    async with AsyncClient(engine.host) as client:
        with pytest.raises(NotFound):
            await client.containers.get(id)


@pytest.mark.root
async def test_streams_and_cancellation(engine: ScratchEngine) -> None:
    async with AsyncClient(engine.host) as client, client.lease():
        talker = await client.containers.run(
            "busybox", ["sh", "-c", "while echo line; do sleep 0.05; done"], detach=True, network="none"
        )
        assert isinstance(talker, Container)
        seen = 0
        async for _, piece in talker.logs(follow=True):
            seen += piece.count(b"line")
            if seen > 3:
                break
        waiting = asyncio.create_task(talker.wait())
        command = await talker.exec(["sh", "-c", "echo begun; sleep 1000"])
        with pytest.raises(TimeoutExpired):
            await command.communicate(timeout=0.3)
        reading = asyncio.create_task(command.stdout.read())
        await asyncio.sleep(0)
        for task in (waiting, reading):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await command.kill()
        await command.close()
        events = client.events(since=1, filters={"container": talker.id, "event": "start"})
        assert (await anext(events))["Action"] == "start"
        del events
    # Nothing of what was cancelled goes on.
    await asyncio.to_thread(await_until, lambda: not threads(), f"the threads to end: {threads()}")


async def test_no_engine() -> None:
    with pytest.raises(Unavailable, match="Cannot connect"):
        await AsyncClient("unix:///nonexistent.sock").ping()
