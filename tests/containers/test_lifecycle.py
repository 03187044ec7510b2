"""Containers on the real kernel, through the engine's own facades: life, exits, policies, crashes."""

from __future__ import annotations

import asyncio
import functools
import glob
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from nakagin.cgroups.group import Group
from nakagin.cgroups.layout import detect
from nakagin.containers.streams import Stream
from nakagin.engine import Engine
from nakagin.errors import CommandFailed, Conflict, Invalid, NotFound, NotModified
from nakagin.images.bootstrap import bootstrap
from nakagin.settings import Settings
from nakagin.spec.docker import (
    ContainerCreate,
    ExecCreate,
    Extension,
    Healthcheck,
    HostConfig,
    RestartPolicy,
    UpdateRequest,
)

pytestmark = [pytest.mark.root, pytest.mark.asyncio(loop_scope="module")]

PATIENCE = 20.0


def settings(root: Path, instance: str) -> Settings:
    return Settings(instance=instance, data_root=f"{root}/data", exec_root=f"{root}/exec")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    """An engine with a busybox image; what a test leaves in it fails at the end."""
    root = tmp_path_factory.mktemp("engine")
    made = Engine(settings(root, "l" + secrets.token_hex(3)))
    await made.start()
    await asyncio.to_thread(bootstrap, made.images, "busybox")
    yield made
    left = [each["Names"] for each in await made.containers.list(all=True)]
    await made.stop()
    assert left == []
    assert os.listdir(root / "exec") == []
    assert os.listdir(root / "data/containers") == os.listdir(root / "data/snapshots") == []


def body(*command: str, config: dict[str, Any] | None = None, **host: Any) -> ContainerCreate:
    host.setdefault("network_mode", "none")
    return ContainerCreate(image="busybox", cmd=command, host_config=HostConfig(**host), **(config or {}))


async def make(engine: Engine, *command: str, name: str | None = None, **options: Any) -> str:
    """A started container."""
    made, _ = await engine.containers.create(name, body(*command, **options))
    await engine.containers.start(made)
    return made


async def finish(engine: Engine, made: str) -> tuple[int, str]:
    """Exit code and standard output of a container, which is removed."""
    async with asyncio.timeout(PATIENCE):
        result = await engine.containers.wait(made)
    text = await logged(engine, made)
    await engine.containers.remove(made)
    return result.exit_code, text


async def logged(engine: Engine, made: str, **options: Any) -> str:
    output = await engine.containers.logs(made, **options)
    return frames(b"".join([chunk async for chunk in output.chunks]))


def frames(data: bytes) -> str:
    """The text in Docker's frames."""
    text = b""
    while data:
        size = int.from_bytes(data[4:8], "big")
        text, data = text + data[8 : 8 + size], data[8 + size :]
    return text.decode()


async def read(stream: Stream) -> str:
    data = b""
    with stream.socket as sock:
        async with asyncio.timeout(PATIENCE):
            while more := await asyncio.get_running_loop().sock_recv(sock, 65536):
                data += more
    return data.decode() if stream.tty else frames(data)


async def until(true: Callable[[], Any]) -> None:
    """Poll a coroutine function until it gives something true."""
    async with asyncio.timeout(PATIENCE):
        while not await true():
            await asyncio.sleep(0.02)


async def status(engine: Engine, made: str) -> str:
    found: str = (await engine.containers.inspect(made))["State"]["Status"]
    return found


async def test_from_create_to_remove(engine: Engine) -> None:
    made, warnings = await engine.containers.create(
        "whole-life", body("sh", "-c", "echo out; echo err >&2; exit 3")
    )
    assert warnings == []
    assert await status(engine, made) == "created"
    waiting = engine.containers.wait(made, "next-exit")
    await engine.containers.start("whole-life")
    async with asyncio.timeout(PATIENCE):
        assert await waiting == (3, None)
    state = (await engine.containers.inspect(made[:12]))["State"]
    assert (state["Status"], state["ExitCode"], state["Pid"], state["OOMKilled"]) == ("exited", 3, 0, False)
    assert await logged(engine, made) == "out\nerr\n"
    assert await logged(engine, made, stdout=False) == "err\n"
    assert await logged(engine, made, tail=1) == "err\n"
    gone = engine.containers.wait(made, "removed")
    await engine.containers.remove(made)
    assert (await gone).exit_code == 3
    with pytest.raises(NotFound, match="No such container: whole-life"):
        await engine.containers.inspect("whole-life")


@pytest.mark.parametrize(("command", "code"), [("no-such-program", 127), ("/etc/passwd", 126)])
async def test_a_command_that_cannot_be_run(engine: Engine, command: str, code: int) -> None:
    made, _ = await engine.containers.create(None, body(command))
    attached = await engine.containers.attach(made, stdout=True, stderr=True)
    waiting = engine.containers.wait(made, "next-exit")
    with pytest.raises(CommandFailed) as raised:
        await engine.containers.start(made)
    assert raised.value.exit_code == code
    assert await read(attached) == "", "an attached client is let go"
    assert (await waiting).exit_code == code
    state = (await engine.containers.inspect(made))["State"]
    assert (state["Status"], state["ExitCode"]) == ("created", code)
    await engine.containers.remove(made)


async def test_automatic_removal_also_after_a_failed_start(engine: Engine) -> None:
    made = await make(engine, "true", auto_remove=True)
    await until(lambda: gone(engine, made))
    made, _ = await engine.containers.create(None, body("no-such-program", auto_remove=True))
    waiting = engine.containers.wait(made, "removed")
    with pytest.raises(CommandFailed):
        await engine.containers.start(made)
    assert (await waiting) == (127, None)
    assert await gone(engine, made)


async def gone(engine: Engine, made: str) -> bool:
    return made not in {each["Id"] for each in await engine.containers.list(all=True)}


async def test_verbs_on_a_running_one(engine: Engine) -> None:
    made = await make(engine, "sleep", "1000", name="runner")
    with pytest.raises(NotModified):
        await engine.containers.start(made)
    with pytest.raises(Conflict, match="force remove"):
        await engine.containers.remove(made)
    await engine.containers.pause(made)
    assert await status(engine, made) == "paused"
    with pytest.raises(Conflict, match="already paused"):
        await engine.containers.pause(made)
    await engine.containers.unpause(made)
    await engine.containers.rename(made, "walker")
    assert (await engine.containers.inspect("walker"))["Name"] == "/walker"
    top = await engine.containers.top(made, "-o pid,args")
    assert [row[1] for row in top["Processes"]] == ["sleep 1000"]
    first = (await engine.containers.inspect(made))["State"]["Pid"]
    await engine.containers.restart(made, timeout=0)
    assert (await engine.containers.inspect(made))["State"]["Pid"] not in {0, first}
    await engine.containers.stop(made, timeout=0)
    assert (await engine.containers.inspect(made))["State"]["ExitCode"] == 137
    with pytest.raises(NotModified):
        await engine.containers.stop(made)
    await engine.containers.remove(made)


async def test_a_paused_one_can_be_stopped_and_force_removed(engine: Engine) -> None:
    for end in ("stop", "remove"):
        made = await make(engine, "sleep", "1000")
        await engine.containers.pause(made)
        async with asyncio.timeout(PATIENCE):
            if end == "stop":
                await engine.containers.stop(made, timeout=0)
            await engine.containers.remove(made, force=True)


async def test_kill_sends_the_signal(engine: Engine) -> None:
    made = await make(
        engine, "sh", "-c", "trap 'echo heard; exit 7' USR1; echo ready; while :; do sleep 0.02; done"
    )
    await until(lambda: logged(engine, made))
    await engine.containers.kill(made, signal="USR1")
    assert await finish(engine, made) == (7, "ready\nheard\n")


async def test_exec(engine: Engine) -> None:
    made = await make(engine, "sleep", "1000", config={"env": ("A=1",), "user": "daemon"})
    run = await engine.containers.exec_create(
        made,
        ExecCreate(
            cmd=("sh", "-c", "echo $A $B $(id -u) $PWD; exit 4"),
            env=("B=2",),
            attach_stdout=True,
            working_dir="/tmp",
        ),
    )
    stream = await engine.containers.exec_start(run)
    assert stream is not None
    assert await read(stream) == "1 2 1 /tmp\n"
    await until(lambda: exec_ended(engine, run))
    assert (await engine.containers.exec_inspect(run))["ExitCode"] == 4
    with pytest.raises(Conflict, match="already run"):
        await engine.containers.exec_start(run)
    missing = await engine.containers.exec_create(
        made, ExecCreate(cmd=("no-such-program",), attach_stdout=True)
    )
    with pytest.raises(CommandFailed):
        await engine.containers.exec_start(missing)
    assert (await engine.containers.exec_inspect(missing))["ExitCode"] == 127
    with pytest.raises(Invalid, match="no exec command"):
        await engine.containers.exec_create(made, ExecCreate())
    await engine.containers.remove(made, force=True)
    with pytest.raises(NotFound):
        await engine.containers.exec_inspect(run)


async def exec_ended(engine: Engine, run: str) -> bool:
    return not (await engine.containers.exec_inspect(run))["Running"]


async def test_attach_carries_input_and_output(engine: Engine) -> None:
    made, _ = await engine.containers.create(
        None, body("cat", config={"open_stdin": True, "stdin_once": True})
    )
    stream = await engine.containers.attach(made, stdin=True, stdout=True, stderr=True)
    await engine.containers.start(made)
    await asyncio.get_running_loop().sock_sendall(stream.socket, b"to and fro\n")
    stream.socket.shutdown(1)
    assert await read(stream) == "to and fro\n"
    assert await finish(engine, made) == (0, "to and fro\n")


async def test_a_terminal(engine: Engine) -> None:
    made, _ = await engine.containers.create(
        None, body("sh", "-c", "read x; stty size; tty", config={"tty": True, "open_stdin": True})
    )
    stream = await engine.containers.attach(made, stdin=True, stdout=True)
    await engine.containers.start(made)
    await engine.containers.resize(made, 33, 44)
    await asyncio.get_running_loop().sock_sendall(stream.socket, b"\n")
    assert (await read(stream)).split() == ["33", "44", "/dev/pts/0"]
    await engine.containers.wait(made)
    await engine.containers.remove(made)


async def test_force_wins_over_a_restart_policy(engine: Engine) -> None:
    for _ in range(10):
        made = await make(engine, "false", restart_policy=RestartPolicy(name="always"))
        await until(functools.partial(restarting, engine, made))
        await asyncio.sleep(0.2 * secrets.randbelow(100) / 100)  # any moment of a restart is the point here
        await engine.containers.remove(made, force=True)


async def test_restart_policy_and_its_end(engine: Engine) -> None:
    policy = RestartPolicy(name="on-failure", maximum_retry_count=2)
    made = await make(engine, "sh", "-c", "echo again; exit 9", restart_policy=policy)
    async with asyncio.timeout(PATIENCE):
        assert (await engine.containers.wait(made)).exit_code == 9
    assert (await engine.containers.inspect(made))["RestartCount"] == 2
    assert await finish(engine, made) == (9, "again\n" * 3)


async def test_a_stop_by_hand_ends_restarting(engine: Engine) -> None:
    made = await make(engine, "false", restart_policy=RestartPolicy(name="always"))
    await until(lambda: restarting(engine, made))
    waiting = engine.containers.wait(made)
    await stop_surely(engine, made)
    async with asyncio.timeout(PATIENCE):
        assert (await waiting).exit_code == 1
    assert await status(engine, made) == "exited"
    await engine.containers.remove(made)


async def restarting(engine: Engine, made: str) -> bool:
    return await status(engine, made) == "restarting"


async def stop_surely(engine: Engine, made: str) -> None:
    try:
        await engine.containers.stop(made, timeout=0)
    except NotModified:
        return


async def test_health(engine: Engine) -> None:
    check = Healthcheck(
        test=("CMD-SHELL", "test -f /ok || { echo missing; false; }"), interval=30_000_000, retries=2
    )
    made = await make(engine, "sleep", "1000", config={"healthcheck": check})

    async def is_(wanted: str) -> bool:
        health = (await engine.containers.inspect(made))["State"]["Health"]
        return bool(health["Status"] == wanted)

    await until(lambda: is_("unhealthy"))
    assert (await engine.containers.inspect(made))["State"]["Health"]["Log"][-1]["Output"] == "missing\n"
    touch = await engine.containers.exec_create(made, ExecCreate(cmd=("touch", "/ok")))
    await engine.containers.exec_start(touch, detach=True)
    await until(lambda: is_("healthy"))
    assert [each["Id"] for each in await engine.containers.list(filters={"health": ["healthy"]})] == [made]
    await engine.containers.remove(made, force=True)


async def test_limits_and_update(engine: Engine) -> None:
    made = await make(engine, "sleep", "1000", memory=64 << 20, pids_limit=50)
    await engine.containers.update(made, UpdateRequest(memory=32 << 20, memory_swap=32 << 20))
    host = (await engine.containers.inspect(made))["HostConfig"]
    assert (host["Memory"], host["PidsLimit"]) == (32 << 20, 50)
    stats = await engine.containers.stats(made, stream=False, one_shot=True)
    document = await anext(stats)
    await stats.aclose()  # type: ignore[attr-defined]
    assert document["memory_stats"]["limit"] == 32 << 20
    assert document["pids_stats"]["current"] == 1
    await engine.containers.remove(made, force=True)


async def test_out_of_memory(engine: Engine) -> None:
    made = await make(engine, "sh", "-c", "tail /dev/zero", memory=8 << 20, memory_swap=8 << 20)
    async with asyncio.timeout(PATIENCE):
        await engine.containers.wait(made)
    state = (await engine.containers.inspect(made))["State"]
    assert (state["OOMKilled"], state["ExitCode"]) == (True, 137)
    await engine.containers.remove(made)


async def test_volumes(engine: Engine) -> None:
    first = await make(engine, "sh", "-c", "echo kept > /data/file; cat /etc/passwd > /anon/x",
                       binds=("shared:/data",), config={"volumes": {"/anon": {}}})  # fmt: skip
    await engine.containers.wait(first)
    second = await make(engine, "sh", "-c", "cat /data/file; touch /data/no", volumes_from=(f"{first}:ro",))
    code, text = await finish(engine, second)
    assert code != 0
    assert text.startswith("kept\n")
    with pytest.raises(Conflict, match="volume is in use"):
        engine.volumes.remove("shared")
    assert len(engine.volumes.list()) == 2
    await engine.containers.remove(first, volumes=True)
    assert [each["Name"] for each in engine.volumes.list()] == ["shared"], "only the anonymous one goes along"
    engine.volumes.remove("shared")


async def test_a_new_volume_gets_the_images_content(engine: Engine) -> None:
    made = await make(engine, "ls", "/etc", binds=("etc-copy:/etc", "etc-empty:/mnt:nocopy"))
    code, text = await finish(engine, made)
    assert code == 0
    assert "passwd" in text
    engine.volumes.remove("etc-copy")
    engine.volumes.remove("etc-empty")


async def test_namespaces_of_another(engine: Engine) -> None:
    other = await make(engine, "sleep", "1000", ipc_mode="shareable", config={"hostname": "other"})
    joined = f"container:{other}"
    mine = await make(
        engine,
        "sh",
        "-c",
        "touch /dev/shm/seen; hostname; ps -o args",
        pid_mode=joined,
        ipc_mode=joined,
        network_mode=joined,
    )
    code, text = await finish(engine, mine)
    assert code == 0
    assert text.startswith("other\n")
    assert "sleep 1000" in text
    look = await engine.containers.exec_create(other, ExecCreate(cmd=("ls", "/dev/shm"), attach_stdout=True))
    stream = await engine.containers.exec_start(look)
    assert stream is not None
    assert await read(stream) == "seen\n"
    await engine.containers.remove(other, force=True)
    with pytest.raises(Invalid, match="No such container"):
        await engine.containers.create(None, body("true", pid_mode="container:nobody"))


async def test_rootfs_of_ones_own(engine: Engine) -> None:
    request = ContainerCreate(
        cmd=("sh", "-c", "touch /nakagin-was-here && echo done"), host_config=HostConfig(network_mode="none"),
        nakagin=Extension(rootfs="/:overlay"),
    )  # fmt: skip
    made, _ = await engine.containers.create(None, request)
    await engine.containers.start(made)
    assert await finish(engine, made) == (0, "done\n")
    assert not os.path.exists("/nakagin-was-here")


async def test_refused_and_nothing_left(engine: Engine) -> None:
    for request, error, words in (
        (ContainerCreate(image="no-such-image", cmd=("a",)), NotFound, "No such image: no-such-image:latest"),
        (body("true", memory=1 << 20), Invalid, "Minimum memory limit"),
        (body("true", binds=("/x:y",)), Invalid, "mount path must be absolute"),
        (body("true", runtime="odd"), Invalid, "unknown or invalid runtime name: odd"),
        (body("true", cap_add=("FLY",)), Invalid, "invalid capability"),
        (body("true", config={"working_dir": "here"}), Invalid, "needs to be an absolute path"),
        (body("true", links=("x",)), Invalid, "could not get container for x"),
        (body("true", sysctls={"kernel.panic": "1"}), Invalid, "not in a separate kernel namespace"),
    ):
        with pytest.raises(error, match=words):
            await engine.containers.create(None, request)
    assert await engine.containers.list(all=True) == []
    assert os.listdir(f"{engine.settings.data_root}/containers") == []


async def test_events_of_a_life(engine: Engine) -> None:
    found = engine.events.subscribe(filters={"type": ["container"]})
    made = await make(engine, "sh", "-c", "exit 5", name="told", config={"labels": {"tier": "front"}})
    await engine.containers.wait(made)
    await engine.containers.remove(made)
    async with asyncio.timeout(PATIENCE):
        events = [await anext(found) for _ in range(4)]
    await found.aclose()  # type: ignore[attr-defined]
    assert [each.action for each in events] == ["create", "start", "die", "destroy"]
    attributes = events[2].attributes
    assert (attributes["exitCode"], attributes["name"], attributes["image"], attributes["tier"]) == (
        "5", "told", "busybox", "front",
    )  # fmt: skip
    assert attributes["execDuration"] == "0"


async def test_list_and_prune(engine: Engine) -> None:
    running = await make(engine, "sleep", "1000", name="listed-up", config={"labels": {"a": "1"}})
    ended = await make(engine, "sh", "-c", "exit 2", name="listed-down")
    await engine.containers.wait(ended)

    async def names(**filters: list[str]) -> list[str]:
        return sorted(each["Names"][0] for each in await engine.containers.list(all=True, filters=filters))

    assert [each["Id"] for each in await engine.containers.list()] == [running]
    assert [each["Id"] for each in await engine.containers.list(limit=1)] == [ended]
    assert await names(name=["listed"]) == ["/listed-down", "/listed-up"]
    assert (
        await names(status=["exited"])
        == await names(exited=["2"])
        == await names(since=["listed-up"])
        == ["/listed-down"]
    )
    assert (
        await names(label=["a=1"])
        == await names(before=["listed-down"])
        == await names(id=[running[:9]])
        == ["/listed-up"]
    )
    assert len(await names(ancestor=["busybox"])) == 2
    assert (await engine.containers.prune())["ContainersDeleted"] == [ended]
    await engine.containers.remove(running, force=True)


@pytest.fixture
def instance() -> Iterator[str]:
    """An instance name; whatever a failed test left running under it is ended."""
    name = "r" + secrets.token_hex(3)
    yield name
    layout = detect()
    parent = Group(f"/nakagin-{name}", layout)
    for path in glob.glob(f"{layout.hierarchies[0] if layout.hierarchies else layout.v2}/nakagin-{name}/*/"):
        left = Group(f"/nakagin-{name}/{os.path.basename(path[:-1])}", layout)
        left.kill()
        left.remove()
    parent.remove()


async def test_the_next_engine_finds_the_living_and_the_dead(tmp_path: Path, instance: str) -> None:
    """The connections of a first engine are dropped without a word, as by kill -9; a second one takes over."""
    first = Engine(settings(tmp_path, instance))
    await first.start()
    await asyncio.to_thread(bootstrap, first.images, "busybox")
    living = await make(first, "sh", "-c", "while :; do echo on; sleep 0.05; done")
    gate = "while [ ! -e /go ]; do sleep 0.02; done"
    ending = await make(first, "sh", "-c", f"{gate}; exit 6")
    removing = await make(first, "sh", "-c", gate, auto_remove=True)
    murdered = await make(first, "sleep", "1000")
    restarted = await make(
        first, "sh", "-c", f"{gate}; rm /go; exit 1", restart_policy=RestartPolicy(name="unless-stopped")
    )
    monitor = int(
        Path(f"/proc/{(await first.containers.inspect(murdered))['State']['Pid']}/stat")
        .read_text()
        .split()[3]
    )
    gates = [
        Path(f"/proc/{(await first.containers.inspect(each))['State']['Pid']}/root/go")
        for each in (ending, removing, restarted)
    ]
    made, _ = await first.containers.create("half-made", body("true"))
    first.containers._shelf.save(
        first.containers._shelf.find(made),
        first.containers._shelf.find(made).record.with_facts(intent="creating"),
    )
    await first.containers.close()
    await first._zygote.stop()
    first.records.close()
    for lock in first._locks:
        os.close(lock)
    os.kill(monitor, signal.SIGKILL)
    for path in gates:
        path.touch()
    exits = [Path(tmp_path, "exec/containers", each, "exit.json") for each in (ending, removing, restarted)]

    async def over() -> bool:
        return all(each.exists() for each in exits)

    await until(over)
    stray = Group(f"/nakagin-{instance}/{'f' * 64}", detect())
    stray.create()
    second = Engine(settings(tmp_path, instance))
    await second.start()
    second.go_on()
    try:
        assert await status(second, living) == "running"
        assert (await second.containers.wait(ending)).exit_code == 6
        await until(lambda: gone(second, removing))
        state = (await second.containers.inspect(murdered))["State"]
        assert (state["Status"], state["ExitCode"]) == ("exited", 137)
        assert "monitor was killed" in state["Error"]
        assert await gone(second, made), "what was half made is undone"
        assert not stray.exists(), "what belongs to no container is ended"

        async def again() -> bool:
            return bool((await second.containers.inspect(restarted))["RestartCount"])

        await until(again)
        before = (await logged(second, living)).count("on")

        async def grows() -> bool:
            return (await logged(second, living)).count("on") > before

        await until(grows)
    finally:
        for each in (living, ending, murdered, restarted):
            await second.containers.remove(each, force=True)
        await second.stop()
    assert os.listdir(tmp_path / "exec") == os.listdir(tmp_path / "data/snapshots") == []


async def test_jumps_of_the_clock(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A month back, then a year ahead, while containers live: nothing waits for the old time to come again."""
    real_ns, real, shift = time.time_ns, time.time, 0
    monkeypatch.setattr(time, "time_ns", lambda: real_ns() + shift * 10**9)
    monkeypatch.setattr(time, "time", lambda: real() + shift)
    heard = engine.events.subscribe(filters={"type": ["container"]})
    check = {"healthcheck": Healthcheck(test=("CMD", "true"), interval=50_000_000, start_period=10**9)}
    first = await make(engine, "sleep", "100", name="first", config=check)
    shift = -30 * 86400
    second = await make(engine, "sleep", "100", name="second")
    shown = {each["Names"][0]: each["Status"] for each in await engine.containers.list()}
    assert {"/first", "/second"} <= set(shown)
    assert all(status.startswith("Up Less than a second") or "second" in status for status in shown.values())

    async def healthy() -> bool:
        shown: dict[str, Any] = (await engine.containers.inspect(first))["State"]
        return bool(shown["Health"]["Status"] == "healthy")

    await until(healthy)
    shift = 365 * 86400
    again = RestartPolicy(name="on-failure", maximum_retry_count=2)
    third = await make(engine, "false", name="third", restart_policy=again)
    assert await finish(engine, third) == (1, "")
    for each in (first, second):
        await engine.containers.stop(each, timeout=0)
        assert (await engine.containers.inspect(each))["State"]["Status"] == "exited"
        await engine.containers.remove(each)
    times = []
    async with asyncio.timeout(PATIENCE):
        async for event in heard:
            times.append(event.time_ns)
            if event.action == "destroy" and event.id == second:
                break
    await heard.aclose()  # type: ignore[attr-defined]  # it is a generator
    assert times == sorted(set(times))
