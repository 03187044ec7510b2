"""The verbs of a container's life, as the API calls them. What they do in detail lives in the files beside this one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from nakagin.containers import (
    connecting,
    links,
    netfiles,
    output,
    policy,
    resources,
    waiting,
)
from nakagin.containers.commit import CommitRequest, changes, commit_held, export_tar, in_threads
from nakagin.containers.create import create
from nakagin.containers.defaults import STOP_SIGNAL
from nakagin.containers.devices import block_numbers
from nakagin.containers.exec import Execs
from nakagin.containers.explain import Explanations
from nakagin.containers.files import Files
from nakagin.containers.inspect import KnownImages, inspection, summary
from nakagin.containers.model import require
from nakagin.containers.names import check_name
from nakagin.containers.publishing import Publishing
from nakagin.containers.recreate import Recreation
from nakagin.containers.remove import remove
from nakagin.containers.selection import Selection, prunable
from nakagin.containers.shelf import Capsule, PendingAttach, Shelf
from nakagin.containers.sources import VolumeNames
from nakagin.containers.steps import Steps
from nakagin.containers.stopping import KILL_PATIENCE, SIGKILL, Stopping
from nakagin.containers.streams import Output, Stream, WaitResult, parse_detach_keys
from nakagin.containers.timetable import Timetable
from nakagin.containers.watch import Watch
from nakagin.errors import Conflict, Invalid, NakaginError, NotFound, NotModified, Unsupported
from nakagin.monitor import logfile

if TYPE_CHECKING:
    from nakagin.containers.surroundings import Surroundings
    from nakagin.spec.docker import ContainerCreate, EndpointSettings, ExecCreate, UpdateRequest
    from nakagin.spec.platform import Platform

Document = dict[str, Any]
Documents = list[Document]
Filters = Mapping[str, Sequence[str]]


class Containers:
    """All containers of one engine.

    `reference` is a full id, a unique prefix of one, or a name with or without a leading "/"; an unknown
    one raises NotFound ("No such container: x"), a prefix of several Invalid.
    """

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._shelf = Shelf(around.records)
        self.publishing = Publishing(self._shelf, around)
        self.residents = partial(netfiles.residents, self._shelf, around)
        self.execs = Execs(self._shelf, around)
        self._watch = Watch(self._shelf, around, self.execs)
        self._stopping = Stopping(self._shelf, around, self._watch)
        self._watch.heal = self._stopping.heal
        self.timetable = Timetable(self._shelf, self._watch)
        self.steps = Steps(self, self._shelf, around)
        self.files = Files(self._shelf, around, self._watch)
        self.recreation = Recreation(self, self._shelf, around, self._watch)
        self.explanations = Explanations(self._shelf, around)
        self.volume_names = VolumeNames(self._shelf, around)

    # -- with the engine -----------------------------------------------------------------------

    def load(self) -> Sequence[str]:
        """Read the records; the ids of those that were running, or being started, when the engine ended."""
        self._shelf.load()
        started = set(os.listdir(os.path.join(self._around.exec_root, "containers")))
        return [capsule.id for capsule in self._shelf if capsule.record.running or capsule.id in started]

    def ids(self) -> Sequence[str]:
        """The ids of all."""
        return [capsule.id for capsule in self._shelf]

    def holder_runs(self, holder: str) -> bool:
        """Whether the holder "container:ID" of an image is a running container."""
        capsule = self._shelf.get(holder.partition(":")[2])
        return capsule is not None and capsule.record.running

    async def recover(self) -> None:
        """Find living containers again, and finish or undo what was interrupted."""
        self.recreation.look_back()
        await self._watch.recover()
        await self.recreation.recover()

    async def resume_policies(self) -> None:
        """Start what restart policies want to run."""
        await self.recreation.resume()
        await self._watch.resume_policies()

    async def close(self) -> None:
        """Let go of all containers; they run on."""
        await self._watch.close()

    async def stop_all(self, patience: float) -> None:
        """Stop every running container, as an engine that is shut down for good; `patience` in seconds for all."""
        running = [capsule for capsule in self._shelf if capsule.record.running]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await asyncio.gather(
                    *(self._shut_down(capsule) for capsule in running), return_exceptions=True
                )

    async def _shut_down(self, capsule: Capsule) -> None:
        with contextlib.suppress(NakaginError):
            await self._stopping.stop(capsule, None, None, by_user=False)

    def counts(self) -> dict[str, int]:
        """How many there are in each status."""
        found: dict[str, int] = {}
        for capsule in self._shelf:
            found[capsule.record.status] = found.get(capsule.record.status, 0) + 1
        return found

    # -- life ------------------------------------------------------------------------------------

    async def create(
        self, name: str | None, body: ContainerCreate, *, platform: Platform | None = None
    ) -> tuple[str, list[str]]:
        """Make a container; returns its id and the warnings. Raises Invalid, NotFound (image), Conflict (name)."""
        if platform and platform.os != "linux":
            raise Unsupported(f"containers of platform {platform} cannot run here", hint="linux only")
        capsule, warnings = await create(self._shelf, self._around, name, body, platform)
        self._watch.publish(capsule, "create")
        self.timetable.enter(capsule)
        return capsule.id, warnings

    async def start(self, reference: str) -> None:
        """Start it; NotModified if it runs, Conflict if paused, CommandFailed (126, 127) or StepFailed."""
        capsule = self._shelf.find(reference)
        async with capsule.lock:
            self._still_there(capsule, reference)
            self._watch.cancel_restart(capsule)
            await self._watch.start(capsule)

    def _still_there(self, capsule: Capsule, reference: str) -> None:
        """Another verb held the lock before: it may have removed the container."""
        if self._shelf.get(capsule.id) is not capsule:
            raise NotFound(f"No such container: {reference}")

    async def stop(self, reference: str, *, timeout: int | None = None, signal: str | None = None) -> None:  # noqa: ASYNC109
        """End it by its stop signal, after `timeout` seconds (-1: never) by SIGKILL; NotModified if it does not run."""
        capsule = self._shelf.find(reference)
        await self._stopping.stop(capsule, timeout, signal, by_user=True)
        self._watch.publish(capsule, "stop")

    async def restart(self, reference: str, *, timeout: int | None = None, signal: str | None = None) -> None:  # noqa: ASYNC109
        """Stop it, if it runs, and start it."""
        capsule = self._shelf.find(reference)
        with contextlib.suppress(NotModified):
            await self._stop_to_restart(capsule, timeout, signal)
        async with capsule.lock:
            self._still_there(capsule, reference)
            with contextlib.suppress(NotModified):
                await self._watch.start(capsule)
        self._watch.publish(capsule, "restart")

    async def _stop_to_restart(self, capsule: Capsule, patience: int | None, signal: str | None) -> None:
        # What is to be restarted by hand must neither remove itself nor be restarted by its policy meanwhile.
        capsule.held_for_restart = True
        try:
            await self._stopping.stop(capsule, patience, signal, by_user=True)
            self._watch.publish(capsule, "stop")
        finally:
            capsule.held_for_restart = False

    async def kill(self, reference: str, *, signal: str = "SIGKILL") -> None:
        """Send a signal (number or name with or without SIG); Conflict if it does not run, Invalid for a bad signal."""
        number = policy.signal_number(signal or "SIGKILL")
        capsule = self._shelf.find(reference)
        async with capsule.lock:
            require(capsule.record, "kill")
            own = policy.signal_number(capsule.record.config.stop_signal or STOP_SIGNAL)
            if number in {SIGKILL, own}:
                self._watch.cancel_restart(capsule)
                if capsule.record.running:
                    self._shelf.save(capsule, capsule.record.with_facts(stopped_by_user=True))
            if number == SIGKILL:
                await self._stopping.thaw(capsule)
            await self._stopping.signal(capsule, number)
        if number == SIGKILL:
            await self._stopping.has_ended(capsule, KILL_PATIENCE)

    async def pause(self, reference: str) -> None:
        """Freeze all its processes."""
        await self._freeze(reference, paused=True)

    async def unpause(self, reference: str) -> None:
        """Let its frozen processes go on."""
        await self._freeze(reference, paused=False)

    async def _freeze(self, reference: str, *, paused: bool) -> None:
        capsule = self._shelf.find(reference)
        async with capsule.lock:
            require(capsule.record, "pause" if paused else "unpause")
            await self._monitor(capsule, "pause" if paused else "resume")
            self._shelf.save(capsule, capsule.record.with_facts(paused=paused))
            self._watch.publish(capsule, "pause" if paused else "unpause")

    async def _monitor(self, capsule: Capsule, kind: str, **fields: Any) -> Document:
        if capsule.monitor is None:
            raise Conflict(f"container {capsule.id} is not running")
        return await capsule.monitor.request(kind, **fields)

    async def rename(self, reference: str, name: str) -> None:
        """Give it another name; Conflict if another container has it."""
        if not name.removeprefix("/"):
            raise Invalid("Neither old nor new names may be empty")
        capsule = self._shelf.find(reference)
        wanted = check_name(name)
        async with capsule.lock:
            old = capsule.record.name
            if wanted == old:
                raise Invalid("Renaming a container with the same name as its current name")
            self._shelf.save(
                capsule,
                msgspec.structs.replace(capsule.record, name=wanted),
                lambda: self._around.networks.rename(capsule.id, wanted),
            )
            self._watch.publish(capsule, "rename", oldName=f"/{old}")

    async def remove(
        self, reference: str, *, force: bool = False, volumes: bool = False, link: bool = False
    ) -> None:
        """Remove it and, with `volumes`, its anonymous volumes; Conflict if it runs and not `force`."""
        if link:
            links.remove(self._shelf, reference)
            return
        await self._remove(self._shelf.find(reference), force=force, volumes=volumes)

    async def _remove(self, capsule: Capsule, *, force: bool, volumes: bool) -> None:
        while True:
            async with capsule.lock:
                if self._shelf.get(capsule.id) is None:
                    return  # it removed itself when it ended
                if force:
                    self._watch.cancel_restart(capsule)
                record = capsule.record
                if not (force and record.running):
                    if record.facts.intent == "kept":
                        require(record, "remove")
                    await remove(self._shelf, self._around, capsule, volumes=volumes)
                    self._watch.publish(capsule, "destroy")
                    self.execs.forget_all(capsule)
                    return
                self._shelf.save(capsule, record.with_facts(stopped_by_user=True))
            # Whoever held the lock before may have started it: so look again when it has ended.
            await self._stopping.end(capsule)

    def wait(self, reference: str, condition: str = "not-running") -> Awaitable[WaitResult]:
        """See `waiting.wait`."""
        return waiting.wait(self._shelf, reference, condition)

    # -- looking ---------------------------------------------------------------------------------

    async def inspect(self, reference: str, *, size: bool = False) -> Document:
        """The document of GET /containers/{id}/json."""
        capsule = self._shelf.find(reference)
        shown = inspection(self._shelf, self._around, capsule.record, self.execs.running(capsule))
        return shown | await self._sizes(capsule) if size else shown

    async def _sizes(self, capsule: Capsule) -> Document:
        written = await asyncio.to_thread(output.writable_size, self._around, capsule.record)
        below = 0
        with contextlib.suppress(NakaginError):  # the image may be gone, and a container on a folder has none
            below = self._around.images.resolve(capsule.record.image_id).size
        return {"SizeRw": written, "SizeRootFs": written + below}

    async def list(
        self, *, all: bool = False, limit: int = -1, size: bool = False, filters: Filters | None = None
    ) -> Documents:
        """The documents of GET /containers/json, newest first; filters as {"status": ["running"], ...}."""
        selection = Selection(self._shelf, self._around, filters)
        everything = all or limit > 0 or selection.wants_stopped
        chosen = [
            capsule
            for capsule in self._shelf
            if (everything or capsule.record.running or capsule.record.facts.restarting)
            and capsule.record.facts.intent != "creating"
            and not capsule.record.purpose
            and selection.keep(capsule.record)
        ]
        chosen.sort(key=lambda capsule: capsule.record.created, reverse=True)
        if limit > 0:
            chosen = chosen[:limit]
        found = []
        aliases, images = links.aliases(self._shelf), KnownImages()
        for capsule in chosen:
            shown = summary(self._around, capsule.record, aliases.get(capsule.id, ()), images)
            found.append(shown | await self._sizes(capsule) if size else shown)
        return found

    async def top(self, reference: str, ps_args: str = "-ef") -> Document:
        """{"Titles": [...], "Processes": [[...], ...]} from `ps` output filtered to its processes."""
        capsule = self._shelf.find(reference)
        require(capsule.record, "top")
        shown = await asyncio.to_thread(output.top, self._around, capsule.record, ps_args or "-ef")
        self._watch.publish(capsule, "top")
        return shown

    async def logs(
        self,
        reference: str,
        *,
        stdout: bool = True,
        stderr: bool = True,
        since_ns: int = 0,
        until_ns: int = 0,
        timestamps: bool = False,
        tail: int | None = None,
        follow: bool = False,
        details: bool = False,
    ) -> Output:
        """Its log; `since_ns`/`until_ns` in nanoseconds since the epoch (0: unlimited), `tail` in lines (None: all)."""
        capsule = self._shelf.find(reference)
        view = output.LogView(
            capsule.record, stdout=stdout, stderr=stderr, since_ns=since_ns, until_ns=until_ns,
            timestamps=timestamps, tail=tail, details=details,
        )  # fmt: skip
        path = self._around.log_path(capsule.id)
        chunks = output.follow_log(path, view, capsule.ended) if follow else output.read_log(path, view)
        return Output(capsule.record.config.tty, chunks)

    async def clear_logs(self, reference: str) -> None:
        """Forget its log, also while it is written and followed. Unsupported where there is none to read."""
        capsule = self._shelf.find(reference)
        async with capsule.lock:
            output.require_log(capsule.record)
            if capsule.monitor is not None:
                await self._monitor(capsule, "clear-log")
            else:
                await asyncio.to_thread(logfile.empty, self._around.log_path(capsule.id))

    async def stats(
        self, reference: str, *, stream: bool = True, one_shot: bool = False
    ) -> AsyncIterator[Document]:
        """Documents of GET /containers/{id}/stats, one a second; without `stream` a single one."""
        return output.stats(self._around, self._shelf.find(reference), stream=stream, one_shot=one_shot)

    async def changes(self, reference: str) -> Documents:
        """[{"Path": "/etc/x", "Kind": 0 modified | 1 added | 2 deleted}, ...]."""
        return await asyncio.to_thread(changes, self._around, self._shelf.find(reference).record)

    async def export(self, reference: str) -> AsyncIterator[bytes]:
        """All its files as a tar, in pieces; what is mounted into it is left out."""
        return in_threads(export_tar(self._around, self._shelf.find(reference), self._watch))

    async def commit(self, reference: str, request: CommitRequest) -> str:
        """An image of its changes; returns the id."""
        capsule = self._shelf.find(reference)
        async with capsule.lock:
            self._still_there(capsule, reference)
            return await commit_held(self._around, capsule, request, self._watch)

    # -- changing --------------------------------------------------------------------------------

    async def update(self, reference: str, body: UpdateRequest) -> Sequence[str]:
        """Change limits and restart policy, on a living container too; returns warnings."""
        capsule = self._shelf.find(reference)
        async with capsule.lock:
            record = capsule.record
            host = resources.updated(record.host_config, body)
            warnings = resources.check(host, self._around.limits)
            policy.check(host.restart_policy, auto_remove=host.auto_remove)
            if record.running:
                numbers = block_numbers(resources.block_devices(body))
                await self._monitor(capsule, "update", resources=resources.limits(body, numbers))
            self._shelf.save(capsule, msgspec.structs.replace(record, host_config=host))
            self._watch.publish(capsule, "update")
        return warnings

    async def resize(self, reference: str, rows: int, columns: int) -> None:
        """Set the size of its terminal, in characters."""
        capsule = self._shelf.find(reference)
        require(capsule.record, "resize")
        await self._monitor(capsule, "resize", rows=rows, cols=columns)
        self._watch.publish(capsule, "resize", height=str(rows), width=str(columns))

    async def prune(self, filters: Filters | None = None) -> Document:
        """Remove all that are stopped; {"ContainersDeleted": [ids], "SpaceReclaimed": bytes}."""
        deleted, freed = [], 0
        for capsule in prunable(self._shelf, filters or {}):
            size = await asyncio.to_thread(output.writable_size, self._around, capsule.record)
            with contextlib.suppress(Conflict):  # it was started meanwhile
                await self._remove(capsule, force=False, volumes=False)
                deleted.append(capsule.id)
                freed += size
        self._around.events.publish("container", "prune", "", {"reclaimed": str(freed)})
        return {"ContainersDeleted": deleted or None, "SpaceReclaimed": freed}

    # -- streams ---------------------------------------------------------------------------------

    async def attach(
        self,
        reference: str,
        *,
        stdin: bool = False,
        stdout: bool = False,
        stderr: bool = False,
        stream: bool = True,
        logs: bool = False,
        detach_keys: str | None = None,
    ) -> Stream:
        """Connect to its standard streams; also before it is started, then output begins with the start."""
        capsule = self._shelf.find(reference)
        keys = parse_detach_keys(detach_keys)
        async with capsule.lock:
            record = capsule.record
            require(record, "attach")
            backlog = (await self.logs(capsule.id, stdout=stdout, stderr=stderr)).chunks if logs else None
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            ours.setblocking(False)
            wanted = {"stdin": stdin and record.config.open_stdin, "stdout": stdout, "stderr": stderr}
            if not stream:
                theirs.close()
            elif capsule.monitor is None:
                capsule.pending = [pending for pending in capsule.pending if pending.alive]
                capsule.pending.append(PendingAttach(theirs, **wanted))
            else:
                with theirs:
                    await capsule.monitor.request("attach", [theirs.fileno()], **wanted)
            self._watch.publish(capsule, "attach")
        detached = self._watch.teller(capsule, "detach")
        listen = partial(self._shelf.audience.join, record.id)
        return Stream(ours, record.config.tty, backlog, keys, None, detached, listen)

    async def exec_create(self, reference: str, body: ExecCreate) -> str:
        """Prepare a command in a running container; returns the exec id. Conflict if it does not run or is paused."""
        parse_detach_keys(body.detach_keys)
        return self.execs.create(self._shelf.find(reference), body)

    async def exec_start(
        self,
        exec_id: str,
        *,
        detach: bool = False,
        console_size: tuple[int, int] | None = None,
    ) -> Stream | None:
        """Run it; the Stream, or None when detached. NotFound, Conflict (already run), CommandFailed."""
        return await self.execs.start(exec_id, detach=detach, console_size=console_size)

    async def exec_open(self, exec_id: str, *, console_size: tuple[int, int] | None = None) -> Stream:
        """Run it with its streams, which are there at once and tell what goes wrong. NotFound, Conflict."""
        return self.execs.open(exec_id, console_size=console_size)

    async def exec_inspect(self, exec_id: str) -> Document:
        """The document of GET /exec/{id}/json."""
        return self.execs.inspect(exec_id)

    async def exec_resize(self, exec_id: str, rows: int, columns: int) -> None:
        """Set the size of the command's terminal, in characters."""
        await self.execs.resize(exec_id, rows, columns)

    async def connect(self, network: str, reference: str, endpoint: EndpointSettings | None) -> None:
        """Put it on one more network, at once where it runs (see `connecting`)."""
        await connecting.connect(self._shelf, self._around, self._shelf.find(reference), network, endpoint)

    async def disconnect(self, network: str, reference: str, *, force: bool = False) -> None:
        """Take it from a network, at once where it runs; `force` changes nothing here."""
        await connecting.disconnect(self._shelf, self._around, self._shelf.find(reference), network)
