"""Further commands in a running container: prepared, run through its monitor, remembered until it ends."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nakagin.containers import bundle, security
from nakagin.containers.launch import resolve_identity
from nakagin.containers.model import require
from nakagin.containers.streams import Stream, parse_detach_keys
from nakagin.errors import CommandFailed, Conflict, Invalid, NakaginError, NotFound
from nakagin.spec.docker import ExecCreate

if TYPE_CHECKING:
    from nakagin.containers.shelf import Capsule, Shelf
    from nakagin.containers.surroundings import Surroundings
    from nakagin.spec import runtime as oci

Publish = Callable[..., None]

_SIGKILL = 9
_OUTPUT_AT_MOST = 4096
_HEADER = 8
# How many ended commands of one container can still be inspected.
_ENDED_AT_MOST = 128


class Exec:
    """One command: `exit_code` is None until it has ended, `pid` the host's number while it runs."""

    __slots__ = ("capsule", "ended", "exit_code", "id", "pid", "running", "started", "wanted")

    def __init__(self, id: str, capsule: Capsule, wanted: ExecCreate) -> None:
        self.id = id
        self.capsule = capsule
        self.wanted = wanted
        self.pid = 0
        self.started = False
        self.running = False
        self.exit_code: int | None = None
        self.ended = asyncio.Event()


class Execs:
    """All commands of one engine."""

    def __init__(self, shelf: Shelf, around: Surroundings) -> None:
        self._shelf = shelf
        self._around = around
        self._execs: dict[str, Exec] = {}

    def create(self, capsule: Capsule, wanted: ExecCreate) -> str:
        """Prepare a command; returns its id. Conflict if the container does not run, Invalid without a command."""
        require(capsule.record, "exec")
        if not wanted.cmd:
            raise Invalid("no exec command specified")
        each = Exec(os.urandom(32).hex(), capsule, wanted)
        self._execs[each.id] = each
        capsule.exec_ids.add(each.id)
        self._publish(each, f"exec_create: {' '.join(wanted.cmd)}")
        return each.id

    def get(self, exec_id: str) -> Exec:
        """By full id; NotFound."""
        each = self._execs.get(exec_id)
        if each is None:
            raise NotFound(f"No such exec instance: {exec_id}")
        return each

    async def start(
        self, exec_id: str, *, detach: bool = False, console_size: tuple[int, int] | None = None
    ) -> Stream | None:
        """Run it. Raises Conflict (run before), CommandFailed after the exit code was noted."""
        each = self.get(exec_id)
        if each.started:
            raise Conflict(f"exec {exec_id} has already run")
        require(each.capsule.record, "exec")
        each.started = each.running = True
        try:
            return await self._run(each, detach, console_size)
        except NakaginError as error:
            self._end(each, error.exit_code if isinstance(error, CommandFailed) else 126)
            raise

    async def _run(self, each: Exec, detach: bool, console_size: tuple[int, int] | None) -> Stream | None:
        wanted, monitor = each.wanted, each.capsule.monitor
        if monitor is None:
            raise Conflict(f"container {each.capsule.id} is not running")
        process = await self._process(each)
        size = console_size or wanted.console_size
        fields: dict[str, Any] = {
            "exec_id": each.id, "process": process, "stdin": wanted.attach_stdin and not detach,
            "stdout": wanted.attach_stdout and not detach, "stderr": wanted.attach_stderr and not detach,
        }  # fmt: skip
        if size and size != (0, 0):
            fields |= {"rows": size[0], "cols": size[1]}
        self._publish(each, f"exec_start: {' '.join(wanted.cmd)}")
        if detach:
            each.pid = (await monitor.request("exec", **fields))["pid"]
            return None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        with theirs:
            try:
                each.pid = (await monitor.request("exec", [theirs.fileno()], **fields))["pid"]
            except BaseException:
                ours.close()
                raise
        ours.setblocking(False)
        return Stream(ours, wanted.tty, None, parse_detach_keys(wanted.detach_keys), each.ended)

    async def _process(self, each: Exec) -> oci.Process:
        record, host, wanted = each.capsule.record, self._around.host, each.wanted
        identity = await resolve_identity(self._around, record, wanted.user or None)
        options = security.parse_options(
            record.host_config.security_opt, no_new_privileges=host.no_new_privileges
        )
        process = bundle.process(record, host, identity, options)
        process["args"] = list(wanted.cmd)
        process["terminal"] = wanted.tty
        process["env"] = bundle.environment(record, host, identity, wanted.env)
        if wanted.tty and not any(text.startswith("TERM=") for text in process["env"]):
            process["env"].append("TERM=xterm")
        if wanted.working_dir:
            process["cwd"] = wanted.working_dir
        if wanted.privileged:
            process["capabilities"] = bundle.capability_sets(sorted(host.capabilities), identity.uid)
        process.pop("consoleSize", None)
        return process

    async def probe(self, capsule: Capsule, command: tuple[str, ...], patience: float) -> tuple[int, str]:
        """Run `command` for a health check: (exit code, output); -1 and a sentence when it took too long."""
        exec_id = self.create(capsule, ExecCreate(cmd=command, attach_stdout=True, attach_stderr=True))
        each = self.get(exec_id)
        try:
            stream = await self.start(exec_id)
        except NakaginError as error:
            return each.exit_code or 126, str(error)
        assert stream is not None
        try:
            async with asyncio.timeout(patience):
                output = await _collect(stream.socket)
                await each.ended.wait()
        except TimeoutError:
            await self._kill(each)
            return -1, f"Health check exceeded timeout ({patience:g}s)"
        finally:
            stream.socket.close()
            self._forget(each)
        return each.exit_code or 0, output

    async def _kill(self, each: Exec) -> None:
        if each.capsule.monitor is not None:
            try:
                await each.capsule.monitor.request("exec-signal", exec_id=each.id, number=_SIGKILL)
            except NakaginError:
                pass  # it has ended meanwhile

    async def resize(self, exec_id: str, rows: int, columns: int) -> None:
        """Set its terminal's size; Conflict if it does not run."""
        each = self.get(exec_id)
        if not each.running or each.capsule.monitor is None:
            raise Conflict(f"exec {exec_id} is not running")
        await each.capsule.monitor.request("exec-resize", exec_id=exec_id, rows=rows, cols=columns)

    def inspect(self, exec_id: str) -> dict[str, Any]:
        """The document of GET /exec/{id}/json."""
        each = self.get(exec_id)
        wanted = each.wanted
        return {
            "ID": each.id,
            "Running": each.running,
            "ExitCode": each.exit_code,
            "ProcessConfig": {
                "tty": wanted.tty, "entrypoint": wanted.cmd[0], "arguments": list(wanted.cmd[1:]),
                "privileged": wanted.privileged, "user": wanted.user,
            },
            "OpenStdin": wanted.attach_stdin,
            "OpenStderr": wanted.attach_stderr,
            "OpenStdout": wanted.attach_stdout,
            "CanRemove": False,
            "ContainerID": each.capsule.id,
            "DetachKeys": wanted.detach_keys,
            "Pid": each.pid,
        }  # fmt: skip

    def running(self, capsule: Capsule) -> list[str]:
        """The ids of its commands that run."""
        return [exec_id for exec_id in capsule.exec_ids if self._execs[exec_id].running]

    def on_exit(self, capsule: Capsule, exec_id: str, exit_code: int) -> None:
        """The monitor says that a command has ended (perhaps one that an earlier engine started)."""
        each = self._execs.get(exec_id)
        if each is not None:
            self._end(each, exit_code)
            self._trim(capsule)

    def on_container_exit(self, capsule: Capsule) -> None:
        """The container has ended, and every command in it."""
        for exec_id in tuple(capsule.exec_ids):
            each = self._execs[exec_id]
            if each.running:
                self._end(each, 128 + _SIGKILL)
            elif not each.started:
                self._forget(each)
        self._trim(capsule)

    def forget_all(self, capsule: Capsule) -> None:
        """The container is removed."""
        for exec_id in tuple(capsule.exec_ids):
            self._forget(self._execs[exec_id])

    def _end(self, each: Exec, exit_code: int) -> None:
        if each.exit_code is not None:
            return
        each.running, each.exit_code = False, exit_code
        each.ended.set()
        self._publish(each, "exec_die", exitCode=str(exit_code))

    def _trim(self, capsule: Capsule) -> None:
        ended = [exec_id for exec_id in capsule.exec_ids if self._execs[exec_id].exit_code is not None]
        if len(ended) > _ENDED_AT_MOST:
            order = list(self._execs)
            for exec_id in sorted(ended, key=order.index)[: -_ENDED_AT_MOST // 2]:
                self._forget(self._execs[exec_id])

    def _forget(self, each: Exec) -> None:
        self._execs.pop(each.id, None)
        each.capsule.exec_ids.discard(each.id)

    def _publish(self, each: Exec, action: str, **attributes: str) -> None:
        record = each.capsule.record
        own = {**record.config.labels, "execID": each.id, "image": record.config.image, "name": record.name}
        self._around.events.publish("container", action, record.id, {**own, **attributes})


async def _collect(sock: socket.socket) -> str:
    """The text of a multiplexed stream up to its end, cut to a few kilobytes."""
    loop = asyncio.get_running_loop()
    received = b""
    text = b""
    while data := await loop.sock_recv(sock, 65536):
        received += data
        while len(received) >= _HEADER:
            size = int.from_bytes(received[4:_HEADER], "big")
            if len(received) < _HEADER + size:
                break
            text = (text + received[_HEADER : _HEADER + size])[:_OUTPUT_AT_MOST]
            received = received[_HEADER + size :]
    return text.decode("utf-8", "replace")
