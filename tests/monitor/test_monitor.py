"""A real zygote, real monitors and real containers: nothing is lost, whoever dies."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from nakagin.cgroups import layout
from nakagin.errors import CommandFailed, Unavailable
from nakagin.monitor.launch import Monitor, Zygote
from nakagin.monitor.logreader import Reader

pytestmark = pytest.mark.root

# Seconds that an event may take; an emulated machine has more of them.
PATIENCE = float(os.environ.get("NAKAGIN_PATIENCE", "20"))

APPLETS = ("sh", "cat", "echo", "sleep", "true", "tty", "seq", "stty", "kill", "ps", "tail")
NAMESPACES = ("pid", "mount", "network", "uts", "ipc", "cgroup")


def process_document(args: tuple[str, ...], tty: bool) -> dict[str, Any]:
    user = {"uid": 0, "gid": 0}
    return {"args": list(args), "env": ["PATH=/bin"], "cwd": "/", "terminal": tty, "user": user}


def parent_of(pid: int) -> int:
    """Of a container's first process: its monitor."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def children_of(pid: int, name: str) -> list[int]:
    """Its children of that name."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(each) for each in listed if Path(f"/proc/{each}/comm").read_text().strip() == name]


async def named_children(pid: int, name: str) -> list[int]:
    """The same, as soon as there are any."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not (found := children_of(pid, name)):
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)
    return found


class Launched:
    """A container under a monitor, and what the monitor told."""

    def __init__(self, rig: Rig, request: dict[str, Any]) -> None:
        self.request = request
        self.events: list[dict[str, Any]] = []
        self.exited: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.exec_exits: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.monitor: Monitor
        self._rig = rig

    def on_event(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        if event["event"] == "exec-exit":
            self.exec_exits.put_nowait(event)
        elif event["event"] in {"exit", "lost"} and not self.exited.done():
            self.exited.set_result(event)

    async def told(self, event: dict[str, Any]) -> None:
        """Return when the monitor has told that."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while event not in self.events:
            assert asyncio.get_running_loop().time() < deadline, self.events
            await asyncio.sleep(0.01)

    async def exit(self) -> dict[str, Any]:
        event = await asyncio.wait_for(self.exited, PATIENCE)
        await asyncio.wait_for(self.monitor.cleared(), PATIENCE)
        return event

    @property
    def log(self) -> list[str]:
        reader = Reader(self.request["log"]["path"])
        try:
            return [entry.data.decode() for entry in reader]
        finally:
            reader.close()

    @property
    def run_dir(self) -> Path:
        return Path(self.request["run_dir"])

    async def exec(self, *args: str, tty: bool = False, apparmor: str = "", **fields: Any) -> socket.socket:
        ours, theirs = socket.socketpair()
        process: dict[str, Any] = {
            "args": list(args),
            "env": ["PATH=/bin"],
            "cwd": "/",
            "terminal": tty,
            "user": {"uid": 0, "gid": 0},
        }
        if apparmor:
            process["apparmorProfile"] = apparmor
        options = {"exec_id": "e1", "stdin": True, "stdout": True, "stderr": True} | fields
        with theirs:
            try:
                await self.monitor.request("exec", [theirs.fileno()], process=process, **options)
            except BaseException:
                ours.close()
                raise
        ours.setblocking(False)
        return ours


class Rig:
    """One zygote and a busybox root for all containers of a test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.zygote = Zygote()
        self.root = folder / "rootfs"
        binaries = self.root / "bin"
        binaries.mkdir(parents=True)
        binaries.joinpath("busybox").write_bytes(Path("/bin/busybox").read_bytes())
        binaries.joinpath("busybox").chmod(0o755)
        for applet in APPLETS:
            binaries.joinpath(applet).symlink_to("busybox")
        self.launched: list[Launched] = []

    async def launch(self, *args: str, fds: tuple[int, ...] = (), **changes: Any) -> Launched:
        container_id = f"monitor-test-{os.getpid()}-{self.folder.name[-1:]}-{len(self.launched)}"
        bundle = self.folder / container_id
        bundle.mkdir()
        tty = bool(changes.get("tty"))
        config = self._config(args, tty, changes.pop("namespaces", NAMESPACES))
        if memory := changes.pop("memory", 0):
            config["linux"]["resources"] = {"memory": {"limit": memory, "swap": memory}}
        if changes.get("foreign"):
            config["ociVersion"] = "1.0.2"  # as the engine does: crun before 1.9 refuses later ones
            config["linux"]["cgroupsPath"] = f"/{container_id}"
        if "apparmor" in changes:
            config["process"]["apparmorProfile"] = changes.pop("apparmor")
        bundle.joinpath("config.json").write_text(json.dumps(config))
        request = {
            "id": container_id, "run_dir": str(bundle / "run"), "bundle": str(bundle),
            "runtime_root": str(self.folder / "runtime"), "rootfs": [], "rootfs_cwd": "/",
            "cgroup_path": f"/{container_id}", "seccomp_cache": str(self.folder), "tty": tty,
            "open_stdin": False,
            "stdin_once": False, "network": [], "proxies": [], "attach": [],
            "log": {"driver": "json-file", "path": str(bundle / "log"), "max_size": 0, "max_file": 1},
        } | changes  # fmt: skip
        launched = Launched(self, request)
        self.launched.append(launched)
        launched.monitor = await self.zygote.launch(request, fds, launched.on_event)
        await asyncio.wait_for(launched.monitor.started(), PATIENCE)
        return launched

    def _config(self, args: tuple[str, ...], tty: bool, namespaces: Sequence[str]) -> dict[str, Any]:
        return {
            "ociVersion": "1.2.0",
            "root": {"path": str(self.root)},
            "process": process_document(args, tty),
            "hostname": "capsule",
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
                {
                    "destination": "/dev/pts", "type": "devpts", "source": "devpts",
                    "options": ["newinstance", "ptmxmode=0666"],
                },
            ],
            "linux": {"namespaces": [{"type": each} for each in namespaces]},
        }  # fmt: skip

    async def close(self) -> None:
        for each in self.launched:
            if not each.exited.done() and hasattr(each, "monitor") and each.monitor.pid:
                with suppress(ProcessLookupError):
                    os.kill(each.monitor.pid, signal.SIGKILL)
                await each.exit()
            if hasattr(each, "monitor"):
                await asyncio.wait_for(each.monitor.cleared(), PATIENCE)
        await self.zygote.stop()


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    made = Rig(tmp_path)
    await made.zygote.start()
    yield made
    await made.close()
    groups = Path("/sys/fs/cgroup")
    name = f"monitor-test-{os.getpid()}-*"
    assert [*groups.glob(name), *groups.glob(f"*/{name}")] == []


async def death(pidfd: int) -> None:
    """Wait until the process has ended, and close its descriptor."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(pidfd, ended.set)
    try:
        await asyncio.wait_for(ended.wait(), PATIENCE)
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)


async def everything(sock: socket.socket) -> bytes:
    loop = asyncio.get_running_loop()
    received = b""
    while data := await asyncio.wait_for(loop.sock_recv(sock, 1 << 16), PATIENCE):
        received += data
    sock.close()
    return received


async def until(sock: socket.socket, text: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    received = b""
    while text not in received:
        data = await asyncio.wait_for(loop.sock_recv(sock, 1 << 16), PATIENCE)
        assert data, received
        received += data
    return received


def frame(channel: int, data: bytes) -> bytes:
    return struct.pack(">BxxxL", channel, len(data)) + data


async def test_output_and_exit_code_are_kept(rig: Rig) -> None:
    container = await rig.launch("sh", "-c", "echo out; echo err >&2; exit 7")
    event = await container.exit()
    assert event["event"] == "exit"
    assert event["exit_code"] == 7
    assert sorted(container.log) == ["err\n", "out\n"]
    assert json.loads((container.run_dir / "exit.json").read_text())["exit_code"] == 7


async def test_a_signal_is_128_and_its_number(rig: Rig) -> None:
    container = await rig.launch("sleep", "1000")
    await container.monitor.request("signal", number=9)
    assert (await container.exit())["exit_code"] == 137


async def test_a_missing_command_is_127(rig: Rig) -> None:
    with pytest.raises(CommandFailed) as caught:
        await rig.launch("no-such-command")
    assert caught.value.exit_code == 127
    assert "no-such-command" in str(caught.value)
    failed = rig.launched[-1]
    assert await failed.monitor.cleared() is False, "the connection ends with it"
    assert not failed.events, "nothing was lost: it never ran, and another attempt may run by now"


async def test_streams_attached_before_the_start_get_all_output(rig: Rig) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs:
        attach = [{"fd_index": 0, "stdin": True, "stdout": True, "stderr": True}]
        await rig.launch("cat", fds=(theirs.fileno(),), attach=attach, open_stdin=True, stdin_once=True)
    ours.sendall(b"through the capsule")
    ours.shutdown(socket.SHUT_WR)
    assert await everything(ours) == frame(1, b"through the capsule")


async def test_exec_carries_streams_and_exit_code(rig: Rig) -> None:
    container = await rig.launch("sleep", "1000")
    stream = await container.exec("sh", "-c", "cat; echo done >&2; exit 3")
    stream.sendall(b"hello")
    stream.shutdown(socket.SHUT_WR)
    assert await everything(stream) == frame(1, b"hello") + frame(2, b"done\n")
    assert await container.exec_exits.get() == {"event": "exec-exit", "exec_id": "e1", "exit_code": 3}


async def test_exec_of_a_missing_command_is_told_and_leaves_the_container(rig: Rig) -> None:
    container = await rig.launch("sleep", "1000")
    with pytest.raises(CommandFailed):
        await container.exec("no-such-command")
    stream = await container.exec("echo", "still here")
    assert await everything(stream) == frame(1, b"still here\n")


async def test_exec_does_not_wait_for_what_it_left_in_the_background(rig: Rig) -> None:
    container = await rig.launch("sleep", "1000")
    stream = await container.exec("sh", "-c", "sleep 1000 & echo started")
    assert await everything(stream) == frame(1, b"started\n")


async def test_a_terminal_is_the_containers_own_and_takes_its_size(rig: Rig) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs:
        attach = [{"fd_index": 0, "stdin": True, "stdout": True, "stderr": True}]
        container = await rig.launch(
            "sh", tty=True, open_stdin=True, fds=(theirs.fileno(),), attach=attach, console_size=[33, 101]
        )
    ours.sendall(b"tty; stty size\n")
    assert b"/dev/pts/0\r\n33 101\r\n" in await until(ours, b"33 101\r\n")
    await container.monitor.request("resize", rows=44, cols=99)
    ours.sendall(b"stty size\n")
    await until(ours, b"44 99\r\n")
    ours.sendall(b"exit 5\n")
    assert (await container.exit())["exit_code"] == 5
    ours.close()


async def test_the_container_outlives_engine_and_zygote(rig: Rig) -> None:
    container = await rig.launch("sh", "-c", "while ! [ -e /go ]; do sleep 0.01; done; seq 1000; exit 9")
    container.monitor.close()
    await rig.zygote.stop()
    again = Launched(rig, container.request)
    again.monitor = await Monitor.connect(str(container.run_dir), again.on_event)
    assert again.monitor.pid == container.monitor.pid
    Path(f"/proc/{again.monitor.pid}/root/go").touch()
    assert (await again.exit())["exit_code"] == 9
    assert container.log == [f"{number}\n" for number in range(1, 1001)]
    container.exited.set_result({})


async def test_an_exit_while_nobody_listens_is_recorded(rig: Rig) -> None:
    container = await rig.launch("sh", "-c", "while ! [ -e /go ]; do sleep 0.01; done; exit 4")
    monitor = parent_of(container.monitor.pid)
    pidfd = os.pidfd_open(monitor)
    pid = container.monitor.pid
    container.monitor.close()
    Path(f"/proc/{pid}/root/go").touch()
    await death(pidfd)
    assert json.loads((container.run_dir / "exit.json").read_text())["exit_code"] == 4
    with pytest.raises(Unavailable):
        await Monitor.connect(str(container.run_dir), lambda _: None)
    container.exited.set_result({})


async def test_after_the_exit_nothing_is_left_once_it_is_cleared(rig: Rig) -> None:
    container = await rig.launch("true")
    await asyncio.wait_for(container.exited, PATIENCE)
    assert await asyncio.wait_for(container.monitor.cleared(), PATIENCE)
    assert not os.path.exists(f"/sys/fs/cgroup/pids{container.request['cgroup_path']}")
    assert not os.path.exists(os.path.join(container.request["runtime_root"], container.request["id"]))


async def test_a_monitor_that_dies_before_it_has_cleared_up_is_noticed(rig: Rig) -> None:
    container = await rig.launch("sleep", "1000")
    pidfd = os.pidfd_open(container.monitor.pid)
    os.kill(parent_of(container.monitor.pid), signal.SIGKILL)
    assert not await asyncio.wait_for(container.monitor.cleared(), PATIENCE)
    await death(pidfd)
    _remove_cgroup(container.request["cgroup_path"])


async def test_a_killed_monitor_takes_only_its_own_container(rig: Rig) -> None:
    one = await rig.launch("sleep", "1000")
    other = await rig.launch("sleep", "1000")
    pidfd = os.pidfd_open(one.monitor.pid)
    os.kill(parent_of(one.monitor.pid), signal.SIGKILL)
    assert (await one.exit())["event"] == "lost"
    await death(pidfd)
    assert (await other.monitor.request("state"))["status"] == "running"
    _remove_cgroup(one.request["cgroup_path"])


def _remove_cgroup(path: str) -> None:
    for controller in os.listdir("/sys/fs/cgroup"):
        try:
            os.rmdir(f"/sys/fs/cgroup/{controller}{path}")
        except FileNotFoundError:
            pass


async def test_a_killed_zygote_is_replaced(rig: Rig) -> None:
    pidfd = os.pidfd_open(rig.zygote.pid)
    os.kill(rig.zygote.pid, signal.SIGKILL)
    await death(pidfd)
    container = await rig.launch("true")
    assert (await container.exit())["exit_code"] == 0


async def test_a_killed_midwife_is_replaced(rig: Rig) -> None:
    (midwife,) = children_of(rig.zygote.pid, "nakagin-midwife")
    zygote = os.pidfd_open(rig.zygote.pid)
    os.kill(midwife, signal.SIGKILL)
    await death(zygote)  # the zygote leaves with her
    container = await rig.launch("true")
    assert (await container.exit())["exit_code"] == 0


async def test_a_monitor_that_was_killed_while_it_waited_is_replaced(rig: Rig) -> None:
    if layout.detect().mode == "v2":
        pytest.skip("capsules are made on request")
    (monitor,) = await named_children(rig.zygote.pid, "nakagin-monitor")
    await named_children(monitor, "nakagin-capsule")  # named when it is ready
    pidfd = os.pidfd_open(monitor)
    os.kill(monitor, signal.SIGKILL)
    await death(pidfd)
    for tty in (False, True):  # from outside, and by a helper
        container = await rig.launch("true", tty=tty)
        assert (await container.exit())["exit_code"] == 0


async def test_pause_holds_and_resume_goes_on(rig: Rig) -> None:
    container = await rig.launch("sh", "-c", "while ! [ -e /go ]; do sleep 0.01; done")
    await container.monitor.request("pause")
    assert (await container.monitor.request("state"))["status"] == "paused"
    await container.monitor.request("resume")
    Path(f"/proc/{container.monitor.pid}/root/go").touch()
    assert (await container.exit())["exit_code"] == 0


def test_a_signal_of_a_child_that_was_reaped_is_harmless() -> None:
    """The last child's pidfd and its SIGCHLD may be ready at once; which is read first is the kernel's choice."""
    script = """
import os
from nakagin.monitor.monitor import Monitor

childless = Monitor.__new__(Monitor)
childless._born, childless._execs = {"pid": 1}, {}
reader, writer = os.pipe()
os.write(writer, b"x")
childless._reap_orphans(reader)
print("alive")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("alive\n", "")


async def test_a_container_without_its_own_init_tells_its_exit_code(rig: Rig) -> None:
    shared = [each for each in NAMESPACES if each != "pid"]
    container = await rig.launch("sh", "-c", "sleep 0.01 & exit 6", namespaces=shared)
    assert (await container.exit())["exit_code"] == 6
