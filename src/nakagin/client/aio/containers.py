"""Made by tools/async-client from client/containers.py; do not edit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nakagin.client import containers as sync
from nakagin.client.aio.running import Facade

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from os import PathLike
    from typing import Any, BinaryIO, Unpack

    from nakagin.client.aio.execution import Execution
    from nakagin.client.aio.hijack import Stream
    from nakagin.client.pathstat import PathStat
    from nakagin.client.requests import ContainerOptions
    from nakagin.client.session import (
        Body,
        Document,
        Documents,
        Filters,
        Response,
        Texts,
    )


class Container(Facade[sync.Container]):
    """One container by `reference` (id, prefix or name). `attributes` is the last inspection; see `reload`."""

    @property
    def reference(self) -> str:

        found: str = self._faced(self._sync.reference)
        return found

    @property
    def attributes(self) -> Document:
        """The inspection document; asked for once, see `reload`."""
        found: Document = self._faced(self._sync.attributes)
        return found

    @property
    def id(self) -> str:
        """The full id."""
        found: str = self._faced(self._sync.id)
        return found

    @property
    def name(self) -> str:
        """The name without Docker's leading slash."""
        found: str = self._faced(self._sync.name)
        return found

    @property
    def status(self) -> str:
        """ "created", "running", "paused", "restarting", "exited", "dead" as of the last inspection."""
        found: str = self._faced(self._sync.status)
        return found

    @property
    def exit_code(self) -> int:
        """The last exit code as of the last inspection."""
        found: int = self._faced(self._sync.exit_code)
        return found

    @property
    def labels(self) -> dict[str, str]:
        """The labels."""
        found: dict[str, str] = self._faced(self._sync.labels)
        return found

    @property
    def ports(self) -> dict[str, list[dict[str, str]]]:
        """{"80/tcp": [{"HostIp": ..., "HostPort": ...}]} of what is published."""
        found: dict[str, list[dict[str, str]]] = self._faced(self._sync.ports)
        return found

    async def reload(self) -> None:
        """Ask the engine again; NotFound when the container is gone."""
        await self._call(self._sync.reload)

    async def inspect(self, *, size: bool = False) -> Document:
        """The whole inspection document."""
        found: Document = await self._call(self._sync.inspect, size=size)
        return found

    async def start(self, *, detach_keys: str | None = None) -> None:
        """Start; no error when it runs already."""
        await self._call(self._sync.start, detach_keys=detach_keys)

    async def restore(self, checkpoint: str, folder: str | None = None) -> None:
        """Start from a checkpoint."""
        await self._call(self._sync.restore, checkpoint, folder)

    async def stop(self, *, seconds: int | None = None, signal: str | None = None) -> None:
        """Ask it to end, kill it after `seconds` (default: its own setting); no error when it is stopped."""
        await self._call(self._sync.stop, seconds=seconds, signal=signal)

    async def restart(self, *, seconds: int | None = None, signal: str | None = None) -> None:
        """Stop and start."""
        await self._call(self._sync.restart, seconds=seconds, signal=signal)

    async def kill(self, signal: str | None = None) -> None:
        """Send a signal (SIGKILL by default)."""
        await self._call(self._sync.kill, signal)

    async def pause(self) -> None:
        """Freeze all processes."""
        await self._call(self._sync.pause)

    async def unpause(self) -> None:
        """Let them go on."""
        await self._call(self._sync.unpause)

    async def rename(self, name: str) -> None:
        """Give another name."""
        await self._call(self._sync.rename, name)

    async def resize(self, rows: int, columns: int) -> None:
        """Tell the container's terminal its size."""
        await self._call(self._sync.resize, rows, columns)

    async def update(self, changes: Document) -> list[str]:
        """Change limits or the restart policy (body of POST /containers/{id}/update); returns warnings."""
        found: list[str] = await self._call(self._sync.update, changes)
        return found

    async def recreate(self, body: Document) -> tuple[Container, Texts]:
        """Put what `body` (of create) asks for in its place, with its name, addresses, volumes and log, or change
        nothing (Nakagin only). The new container and the engine's warnings.
        """
        found: tuple[Container, Texts] = await self._call(self._sync.recreate, body)
        return found

    async def republish(self, add: Document, remove: Document) -> Document:
        """Publish ports and take others back while it runs, both as PortBindings: its Ports afterwards."""
        found: Document = await self._call(self._sync.republish, add, remove)
        return found

    async def exposure(self) -> list[Document]:
        """From where each published port is reached."""
        found: list[Document] = await self._call(self._sync.exposure)
        return found

    async def remove(self, *, force: bool = False, volumes: bool = False, link: bool = False) -> None:
        """Remove it; `force` kills it first, `volumes` takes its anonymous volumes along."""
        await self._call(self._sync.remove, force=force, volumes=volumes, link=link)

    async def wait(self, condition: str | None = None) -> int:
        """Block until it is "not-running" (default), "next-exit" or "removed"; its exit code."""
        found: int = await self._call(self._sync.wait, condition)
        return found

    async def waiting(self, condition: str | None = None) -> Waiting:
        """Register for the end at once and collect the result later: for what ends quickly after a start."""
        found: Waiting = await self._call(self._sync.waiting, condition)
        return found

    def logs(
        self,
        *,
        follow: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        since: str | None = None,
        until: str | None = None,
        tail: int | str | None = None,
        timestamps: bool = False,
        details: bool = False,
    ) -> AsyncIterator[tuple[int, bytes]]:
        """(stream, bytes) pieces of what it wrote; streams are frames.STDOUT and frames.STDERR."""
        return self._iterate(
            self._sync.logs,
            follow=follow,
            stdout=stdout,
            stderr=stderr,
            since=since,
            until=until,
            tail=tail,
            timestamps=timestamps,
            details=details,
        )

    async def clear_logs(self) -> None:
        """Forget what was logged so far."""
        await self._call(self._sync.clear_logs)

    async def attach(
        self,
        *,
        stdin: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        stream: bool = True,
        logs: bool = False,
        detach_keys: str | None = None,
        tty: bool | None = None,
    ) -> Stream:
        """The two-way stream of its standard input and output; `tty` (has it a terminal) is asked for if None."""
        found: Stream = await self._call(
            self._sync.attach,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            stream=stream,
            logs=logs,
            detach_keys=detach_keys,
            tty=tty,
        )
        return found

    async def exec(
        self, command: Sequence[str], *, tty: bool = False, stdin: bool = False, **options: Any
    ) -> Execution:
        """Run a command inside; the result is like subprocess.Popen. Options: see `Execution.start`."""
        found: Execution = await self._call(self._sync.exec, command, tty=tty, stdin=stdin, **options)
        return found

    async def top(self, ps_arguments: str | None = None) -> Document:
        """{"Titles": [...], "Processes": [[...]]} of its processes."""
        found: Document = await self._call(self._sync.top, ps_arguments)
        return found

    async def explain(self) -> Document:
        """It as the kernel has it: processes, namespaces, cgroup files, mounts, privileges (Nakagin only)."""
        found: Document = await self._call(self._sync.explain)
        return found

    async def overhead(self) -> Document:
        """Beside its use: {"Monitor": bytes, "Files": n, "Inotify": n, "OOMKills": n} (Nakagin only)."""
        found: Document = await self._call(self._sync.overhead)
        return found

    def stats(self, *, stream: bool = False, one_shot: bool = False) -> AsyncIterator[Document]:
        """Resource usage: one document, or one per second while `stream`."""
        return self._iterate(self._sync.stats, stream=stream, one_shot=one_shot)

    async def stats_stream(self, *, stream: bool = True, one_shot: bool = False) -> Response:
        """The same as an answer whose `fileno` can be polled and whose `documents` can be read one by one."""
        found: Response = await self._call(self._sync.stats_stream, stream=stream, one_shot=one_shot)
        return found

    async def changes(self) -> Documents:
        """[{"Kind": 0|1|2, "Path": ...}]: modified, added, deleted files."""
        found: Documents = await self._call(self._sync.changes)
        return found

    def layer(self) -> AsyncIterator[bytes]:
        """What it changed as a layer's tar stream, deletions as OCI whiteouts (Nakagin only)."""
        return self._iterate(self._sync.layer)

    def export(self) -> AsyncIterator[bytes]:
        """The file system as a tar stream."""
        return self._iterate(self._sync.export)

    async def get_archive(self, path: str) -> tuple[PathStat, AsyncIterator[bytes]]:
        """A file or folder as (what it is, tar stream)."""
        found: tuple[PathStat, AsyncIterator[bytes]] = await self._call(self._sync.get_archive, path)
        return found

    async def put_archive(
        self, path: str, tar: Body, *, copy_uid_gid: bool = False, no_overwrite: bool = True
    ) -> None:
        """Unpack a tar stream into the folder `path`."""
        await self._call(
            self._sync.put_archive, path, tar, copy_uid_gid=copy_uid_gid, no_overwrite=no_overwrite
        )

    async def archive_stat(self, path: str) -> PathStat:
        """What is at a path, a link not followed; NotFound where nothing is."""
        found: PathStat = await self._call(self._sync.archive_stat, path)
        return found

    async def put(
        self, source: str | PathLike[str], target: str, *, follow: bool = False, archive: bool = False
    ) -> int:
        """Copy a file or folder of this machine in, as `docker cp` does; the number of bytes."""
        found: int = await self._call(self._sync.put, source, target, follow=follow, archive=archive)
        return found

    async def get(
        self, source: str, target: str | PathLike[str], *, follow: bool = False, archive: bool = False
    ) -> int:
        """Copy a file or folder out to this machine, as `docker cp` does; the number of bytes."""
        found: int = await self._call(self._sync.get, source, target, follow=follow, archive=archive)
        return found

    async def put_bytes(self, data: bytes, path: str, *, mode: int = 420, uid: int = 0, gid: int = 0) -> None:
        """Make, or replace, the file `path` inside; its folder must be there."""
        await self._call(self._sync.put_bytes, data, path, mode=mode, uid=uid, gid=gid)

    async def get_bytes(self, path: str) -> bytes:
        """The content of a file inside, a link followed; Invalid for anything else."""
        found: bytes = await self._call(self._sync.get_bytes, path)
        return found


class Waiting(Facade[sync.Waiting]):
    """A registered wait: the engine has heard of it; `result` blocks for the exit code."""

    async def result(self) -> int:
        """The exit code; NakaginError with the engine's words when waiting failed."""
        found: int = await self._call(self._sync.result)
        return found

    async def close(self) -> None:
        """Do not wait any longer."""
        await self._call(self._sync.close)


class Containers(Facade[sync.Containers]):
    """The collection of an engine's containers."""

    async def get(self, reference: str) -> Container:
        """The container of that id, id prefix or name; NotFound."""
        found: Container = await self._call(self._sync.get, reference)
        return found

    def refer(self, reference: str) -> Container:
        """The same without asking the engine whether it exists."""
        found: Container = self._faced(self._sync.refer(reference))
        return found

    async def list(
        self,
        *,
        all: bool = False,
        limit: int | None = None,
        size: bool = False,
        filters: Filters | None = None,
    ) -> Documents:
        """Summaries as the engine lists them (GET /containers/json), newest first."""
        found: Documents = await self._call(self._sync.list, all=all, limit=limit, size=size, filters=filters)
        return found

    async def create(
        self, image: str, command: Sequence[str] | None = None, **options: Unpack[ContainerOptions]
    ) -> Container:
        """Make a container; see ContainerOptions."""
        found: Container = await self._call(self._sync.create, image, command, **options)
        return found

    async def create_from(
        self, body: Document, *, name: str | None = None, platform: str | None = None
    ) -> tuple[Container, Texts]:
        """Make a container from a whole request body; the container and the engine's warnings."""
        found: tuple[Container, Texts] = await self._call(
            self._sync.create_from, body, name=name, platform=platform
        )
        return found

    async def rehearse(self, body: Document, *, name: str | None = None) -> Document:
        """What create and start would do, in order, without doing it: Steps, Warnings (Nakagin only)."""
        found: Document = await self._call(self._sync.rehearse, body, name=name)
        return found

    async def run(
        self,
        image: str,
        command: Sequence[str] | None = None,
        *,
        detach: bool = False,
        remove: bool = False,
        stdin: BinaryIO | bytes | None = None,
        **options: Unpack[ContainerOptions],
    ) -> Container | bytes:
        """Create and start. Detached: the Container; else its stdout at the end (ContainerExited unless code 0)."""
        found: Container | bytes = await self._call(
            self._sync.run, image, command, detach=detach, remove=remove, stdin=stdin, **options
        )
        return found

    async def prune(self, filters: Filters | None = None) -> Document:
        """Remove all stopped containers: {"ContainersDeleted": [...], "SpaceReclaimed": bytes}."""
        found: Document = await self._call(self._sync.prune, filters)
        return found
