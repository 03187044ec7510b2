"""Further commands in a running container: prepared, run through its monitor, remembered until it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from nakagin.containers import bundle, links, policy, secrets, security
from nakagin.containers.launch import resolve_identity
from nakagin.containers.model import require
from nakagin.containers.streams import Frames, Stream, message_frame, parse_detach_keys
from nakagin.errors import CommandFailed, Conflict, Invalid, NakaginError, NotFound
from nakagin.spec.docker import ExecCreate

if TYPE_CHECKING:
    from nakagin.containers.shelf import Capsule, Shelf
    from nakagin.containers.surroundings import Surroundings
    from nakagin.spec import runtime as oci

Publish = Callable[..., None]

_SIGKILL = 9
_OUTPUT_AT_MOST = 4096
# How many ended commands of one container can still be inspected.
_ENDED_AT_MOST = 128


class Exec:
    """One command: `exit_code` is None until it has ended, `pid` the host's number while it runs."""

    __slots__ = ("capsule", "ended", "exit_code", "id", "pid", "running", "started", "starting", "wanted")

    def __init__(self, id: str, capsule: Capsule, wanted: ExecCreate) -> None:
        self.id = id
        self.capsule = capsule
        self.wanted = wanted
        self.pid = 0
        self.started = False
        self.starting: asyncio.Task[str] | None = None
        self.running = False
        self.exit_code: int | None = None
        self.ended = asyncio.Event()


class Execs:
    """All commands of one engine."""

    def __init__(self, shelf: Shelf, around: Surroundings) -> None:
        self._shelf = shelf
        self._around = around
        self.checks: Counter[str] = Counter()
        """Health checks that have "passed" and "failed"."""
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

    def adopt(self, capsule: Capsule, known: Iterable[Mapping[str, Any]]) -> None:
        """Commands that an earlier engine started, as their monitor knows them; ended ones with their exit code."""
        for facts in known:
            each = Exec(facts["exec_id"], capsule, msgspec.json.decode(facts["wanted"], type=ExecCreate))
            each.pid, each.exit_code, each.started = facts["pid"], facts["exit_code"], True
            each.running = each.exit_code is None
            if not each.running:
                each.ended.set()
            self._execs[each.id] = each
            capsule.exec_ids.add(each.id)

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
        each = self._begin(exec_id)
        if detach:
            await self._run(each, console_size)
            return None
        ours, theirs = _pair()
        try:
            await self._run(each, console_size, theirs)
        except BaseException:
            ours.close()
            raise
        return self._stream(each, ours)

    def open(self, exec_id: str, *, console_size: tuple[int, int] | None = None) -> Stream:
        """Its streams, at once: it is started while the client is told. What goes wrong then is told in the stream.

        Raises Conflict (run before, or the container does not run).
        """
        each = self._begin(exec_id)
        ours, theirs = _pair()
        each.starting = asyncio.get_running_loop().create_task(self._try(each, console_size, theirs))
        return self._stream(each, ours, _refusal(each.starting, tty=each.wanted.tty))

    def _begin(self, exec_id: str) -> Exec:
        each = self.get(exec_id)
        if each.started:
            raise Conflict(f"exec {exec_id} has already run")
        require(each.capsule.record, "exec")
        each.started = each.running = True
        return each

    def _stream(self, each: Exec, ours: socket.socket, words: AsyncIterator[bytes] | None = None) -> Stream:
        keys = parse_detach_keys(each.wanted.detach_keys)
        return Stream(
            ours, each.wanted.tty, words, keys, each.ended, lambda: self._publish(each, "exec_detach")
        )

    async def _try(self, each: Exec, console_size: tuple[int, int] | None, theirs: socket.socket) -> str:
        """Run it; why it does not, or ""."""
        try:
            await self._run(each, console_size, theirs)
        except NakaginError as error:
            return str(error)
        return ""

    async def _run(
        self, each: Exec, console_size: tuple[int, int] | None, theirs: socket.socket | None = None
    ) -> None:
        """`theirs` is the monitor's end of its streams (None: detached)."""
        try:
            with theirs or contextlib.nullcontext():
                fields = await self._request(each, console_size, detach=theirs is None)
                self._publish(each, f"exec_start: {' '.join(each.wanted.cmd)}")
                monitor = each.capsule.monitor
                if monitor is None:
                    raise Conflict(f"container {each.capsule.id} is not running")
                fds = [theirs.fileno()] if theirs else []
                each.pid = (await monitor.request("exec", fds, **fields))["pid"]
        except NakaginError as error:
            self._end(each, error.exit_code if isinstance(error, CommandFailed) else 126)
            raise

    async def _request(
        self, each: Exec, console_size: tuple[int, int] | None, *, detach: bool
    ) -> dict[str, Any]:
        wanted = each.wanted
        size = console_size or wanted.console_size
        fields = {
            "exec_id": each.id, "wanted": _note(wanted), "process": await self._process(each),
            "stdin": wanted.attach_stdin and not detach, "stdout": wanted.attach_stdout and not detach,
            "stderr": wanted.attach_stderr and not detach,
        }  # fmt: skip
        return fields | {"rows": size[0], "cols": size[1]} if size and size != (0, 0) else fields

    async def _process(self, each: Exec) -> oci.Process:
        record, host, wanted = each.capsule.record, self._around.host, each.wanted
        identity = await resolve_identity(self._around, record, wanted.user or None)
        options = security.parse_options(
            record.host_config.security_opt, no_new_privileges=host.no_new_privileges
        )
        process = bundle.process(record, host, identity, options)
        process["args"] = list(wanted.cmd)
        process["terminal"] = wanted.tty
        process["env"] = bundle.environment(
            record, host, identity, wanted.env,
            (*links.environment(self._shelf, self._around, record), *secrets.environment(self._around, record)),
        )  # fmt: skip
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
        code, output = await self._probed(capsule, command, patience)
        self.checks["failed" if code else "passed"] += 1
        return code, output

    async def _probed(self, capsule: Capsule, command: tuple[str, ...], patience: float) -> tuple[int, str]:
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
            await self._signal(each, _SIGKILL)
            return -1, f"Health check exceeded timeout ({patience:g}s)"
        finally:
            stream.socket.close()
            self._forget(each)
        return each.exit_code or 0, output

    async def kill(self, exec_id: str, signal: str) -> None:
        """Send a signal to the command itself; nothing happens when it has ended. NotFound, Invalid."""
        number = policy.signal_number(signal or "SIGKILL")
        each = self.get(exec_id)
        if each.running:
            await self._signal(each, number)

    async def _signal(self, each: Exec, number: int) -> None:
        if each.starting is not None:
            await asyncio.wait([each.starting])
        if each.capsule.monitor is not None:
            try:
                await each.capsule.monitor.request("exec-signal", exec_id=each.id, number=number)
            except NakaginError:
                pass  # it has ended meanwhile

    async def resize(self, exec_id: str, rows: int, columns: int) -> None:
        """Set its terminal's size; Conflict if it does not run."""
        each = self.get(exec_id)
        if each.starting is not None:
            await asyncio.wait([each.starting])  # docker's command line sends the size right behind the start
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
        if len(capsule.exec_ids) <= _ENDED_AT_MOST:
            return
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


def _note(wanted: ExecCreate) -> str:
    """What the monitor keeps for an engine that is restarted: all that inspect shows, no environment."""
    return msgspec.json.encode(msgspec.structs.replace(wanted, env=())).decode()


def _pair() -> tuple[socket.socket, socket.socket]:
    """Ours, which does not block, and the monitor's end of a command's streams."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    ours.setblocking(False)
    return ours, theirs


async def _refusal(starting: asyncio.Task[str], *, tty: bool) -> AsyncIterator[bytes]:
    """Wait until it runs; why it does not as a part of its output."""
    if words := await asyncio.shield(starting):
        yield message_frame(f"{words}\r\n", tty=tty)


async def _collect(sock: socket.socket) -> str:
    """The text of a multiplexed stream up to its end, cut to a few kilobytes."""
    loop = asyncio.get_running_loop()
    frames, text = Frames(), b""
    while data := await loop.sock_recv(sock, 65536):
        text = b"".join((text, *(piece for _, piece in frames.feed(data))))[:_OUTPUT_AT_MOST]
    return text.decode("utf-8", "replace")
