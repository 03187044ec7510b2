"""A container for one step of a build: born from a stack of layers, gone with the step, its changes handed over.

It is a container like any other (isolation, limits, logs, recovery); lists do not show it, and one that a crash
left is removed at the next start of the engine.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

from nakagin.containers import cdi, connecting, request
from nakagin.containers.model import BUILD, Container, Facts, MountSpec, now
from nakagin.containers.parents import Parents
from nakagin.containers.remove import remove
from nakagin.containers.shelf import NOTHING_HANDED, Handed
from nakagin.containers.streams import Frames
from nakagin.spec.docker import ContainerConfig, HostConfig
from nakagin.tasks import drop, to_the_end

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable, Sequence

    from nakagin.containers.lifecycle import Containers
    from nakagin.containers.shelf import Capsule, Shelf
    from nakagin.containers.streams import Stream
    from nakagin.containers.surroundings import Surroundings

_PIECE = 1 << 16


class StepSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a step runs in. `chain` is the topmost layer's ID ("" for none)."""

    chain: str
    config: ContainerConfig
    host: HostConfig
    mounts: tuple[MountSpec, ...] = ()
    handed: Handed = NOTHING_HANDED
    """Secrets: in no record, and in no log."""


class Step:
    """A step's container between its making and its end."""

    def __init__(self, containers: Containers, shelf: Shelf, around: Surroundings, capsule: Capsule) -> None:
        self._shelf = shelf
        self._containers = containers
        self._around = around
        self._capsule = capsule

    @property
    def id(self) -> str:
        return self._capsule.id

    @property
    def upper(self) -> str:
        """The folder of what the step changed; whole once `run` has ended."""
        return self._around.snapshots.upper(self.id)

    async def run(self, on_output: Callable[[int, bytes], None]) -> int:
        """Run it to its end; `on_output` gets the stream (1 or 2) and bytes as they come. Returns the exit code.

        Raises CommandFailed or StepFailed where it can not start; a cancelled one is killed.
        """
        stream = await self._containers.attach(self.id, stdout=True, stderr=True)
        ended = asyncio.ensure_future(self._containers.wait(self.id, "next-exit"))
        reading = asyncio.create_task(_read_frames(stream.socket, on_output))
        try:
            await self._begun()
            await reading
            return (await ended).exit_code
        finally:
            try:
                await drop(reading, ended)
            finally:
                stream.socket.close()

    async def _begun(self) -> None:
        """Start it. A birth is not cut short: its monitor would go on without anybody who knows of it."""
        await to_the_end(self._containers.start(self.id))

    async def shell(self, argv: tuple[str, ...]) -> Stream:
        """Run another program on a terminal, in what the step has left and with its mounts; its streams."""
        record = self._capsule.record
        config = msgspec.structs.replace(
            record.config, cmd=argv, entrypoint=(), tty=True, open_stdin=True, stdin_once=True
        )
        self._shelf.save(self._capsule, msgspec.structs.replace(record, config=config))
        stream = await self._containers.attach(self.id, stdin=True, stdout=True, stderr=True)
        try:
            await self._begun()
        except BaseException:
            stream.socket.close()
            raise
        return stream


async def _read_frames(sock: socket.socket, on_output: Callable[[int, bytes], None]) -> None:
    loop = asyncio.get_running_loop()
    frames = Frames()
    while piece := await loop.sock_recv(sock, _PIECE):
        for stream, data in frames.feed(piece):
            on_output(stream, data)


class Steps:
    """The containers of build steps."""

    def __init__(self, containers: Containers, shelf: Shelf, around: Surroundings) -> None:
        self._containers = containers
        self._shelf = shelf
        self._around = around
        self._parents = Parents(around.cgroups)

    def devices(self, wanted: str) -> Sequence[str]:
        """The full names of this machine's devices that a CDI name of a build means; none where there are none."""
        return cdi.matching(wanted, cdi.read(self._around.cdi_folders)[0])

    def places_of(self, devices: Sequence[str]) -> Sequence[str]:
        """Where in a step's container these devices put something."""
        return cdi.places(devices, cdi.read(self._around.cdi_folders)[0]) if devices else ()

    @asynccontextmanager
    async def one(self, spec: StepSpec) -> AsyncIterator[Step]:
        """The container of a step, there for the length of the context. Raises Invalid, Exhausted."""
        id, around = os.urandom(32).hex(), self._around
        host = request.settle_host_config(spec.host, around)
        record = Container(
            id=id, name=f"build-{id[:12]}", created=now(), image_id="", chain_id=spec.chain, config=spec.config,
            host_config=host, endpoints=connecting.settle(around, spec.config, host, {}), mounts=spec.mounts,
            purpose=BUILD, facts=Facts(intent="creating"),
        )  # fmt: skip
        with self._parents.used("" if around.host.cgroup_prefix else host.cgroup_parent):
            async with self._born(record, spec) as step:
                yield step

    @asynccontextmanager
    async def _born(self, record: Container, spec: StepSpec) -> AsyncIterator[Step]:
        id, around = record.id, self._around
        capsule = self._shelf.add(record)
        capsule.handed = spec.handed
        try:
            os.makedirs(around.data_dir(id), mode=0o710)
            # A step that a crash of the machine cut short is run anew: nothing of it needs the disk.
            around.snapshots.prepare(id, spec.chain or None, volatile=True)
            self._shelf.save(capsule, capsule.record.with_facts(intent="kept"))
            yield Step(self._containers, self._shelf, around, capsule)
        finally:
            await to_the_end(self._ended(capsule))

    async def _ended(self, capsule: Capsule) -> None:
        if capsule.record.running:
            await self._containers.remove(capsule.id, force=True)
            return
        async with capsule.lock:
            await remove(self._shelf, self._around, capsule, volumes=False)
