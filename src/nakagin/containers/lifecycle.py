"""The verbs of a container's life, as the API calls them. Decisions live in the files beside this one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nakagin.containers.streams import Output, Stream, WaitResult

if TYPE_CHECKING:
    from nakagin.spec.docker import ContainerCreate, ContainerUpdate, ExecCreate

Document = dict[str, Any]
Filters = Mapping[str, Sequence[str]]


class Containers:
    """All containers of one engine.

    `reference` is a full id, a unique prefix of one, or a name with or without a leading "/"; an unknown
    one raises NotFound ("No such container: x"), a prefix of several Invalid.
    """

    async def create(
        self, name: str | None, body: ContainerCreate, *, platform: str | None = None
    ) -> tuple[str, list[str]]:
        """Make a container; returns its id and the warnings. Raises Invalid, NotFound (image), Conflict (name)."""
        raise NotImplementedError

    async def start(self, reference: str) -> None:
        """Start it; NotModified if it runs, Conflict if paused, CommandFailed (126, 127) or StepFailed."""
        raise NotImplementedError

    async def stop(self, reference: str, *, timeout: int | None = None, signal: str | None = None) -> None:
        """End it by its stop signal, after `timeout` seconds (-1: never) by SIGKILL; NotModified if it does not run."""
        raise NotImplementedError

    async def restart(self, reference: str, *, timeout: int | None = None, signal: str | None = None) -> None:
        """Stop it, if it runs, and start it."""
        raise NotImplementedError

    async def kill(self, reference: str, *, signal: str = "SIGKILL") -> None:
        """Send a signal (number or name with or without SIG); Conflict if it does not run, Invalid for a bad signal."""
        raise NotImplementedError

    async def pause(self, reference: str) -> None:
        """Freeze all its processes."""
        raise NotImplementedError

    async def unpause(self, reference: str) -> None:
        """Let its frozen processes go on."""
        raise NotImplementedError

    async def rename(self, reference: str, name: str) -> None:
        """Give it another name; Conflict if another container has it."""
        raise NotImplementedError

    async def remove(
        self, reference: str, *, force: bool = False, volumes: bool = False, link: bool = False
    ) -> None:
        """Remove it and, with `volumes`, its anonymous volumes; Conflict if it runs and not `force`."""
        raise NotImplementedError

    def wait(self, reference: str, condition: str = "not-running") -> Awaitable[WaitResult]:
        """Register at once and return what to await: conditions "not-running", "next-exit", "removed".

        NotFound and Invalid are raised by the call itself, so that a door can answer its headers between
        the call and the await (the docker CLI starts the container only after it has seen them).
        """
        raise NotImplementedError

    async def inspect(self, reference: str, *, size: bool = False) -> Document:
        """The document of GET /containers/{id}/json."""
        raise NotImplementedError

    async def list(
        self, *, all: bool = False, limit: int = -1, size: bool = False, filters: Filters | None = None
    ) -> list[Document]:
        """The documents of GET /containers/json, newest first; filters as {"status": ["running"], ...}."""
        raise NotImplementedError

    async def top(self, reference: str, ps_args: str = "-ef") -> Document:
        """{"Titles": [...], "Processes": [[...], ...]} from `ps` output filtered to its processes."""
        raise NotImplementedError

    async def update(self, reference: str, body: ContainerUpdate) -> list[str]:
        """Change limits and restart policy, on a living container too; returns warnings."""
        raise NotImplementedError

    async def resize(self, reference: str, rows: int, columns: int) -> None:
        """Set the size of its terminal, in characters."""
        raise NotImplementedError

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
        raise NotImplementedError

    async def logs(
        self,
        reference: str,
        *,
        stdout: bool = True,
        stderr: bool = True,
        since: float = 0.0,
        until: float = 0.0,
        timestamps: bool = False,
        tail: int | None = None,
        follow: bool = False,
        details: bool = False,
    ) -> Output:
        """Its log; `since`/`until` in seconds since the epoch (0: unlimited), `tail` in lines (None: all)."""
        raise NotImplementedError

    async def stats(
        self, reference: str, *, stream: bool = True, one_shot: bool = False
    ) -> AsyncIterator[Document]:
        """Documents of GET /containers/{id}/stats, one a second; without `stream` a single one."""
        raise NotImplementedError

    async def changes(self, reference: str) -> list[Document]:
        """[{"Path": "/etc/x", "Kind": 0 modified | 1 added | 2 deleted}, ...]."""
        raise NotImplementedError

    async def prune(self, filters: Filters | None = None) -> Document:
        """Remove all that are stopped; {"ContainersDeleted": [ids], "SpaceReclaimed": bytes}."""
        raise NotImplementedError

    async def exec_create(self, reference: str, body: ExecCreate) -> str:
        """Prepare a command in a running container; returns the exec id. Conflict if it does not run or is paused."""
        raise NotImplementedError

    async def exec_start(
        self,
        exec_id: str,
        *,
        detach: bool = False,
        tty: bool | None = None,
        console_size: tuple[int, int] | None = None,
    ) -> Stream | None:
        """Run it; the Stream, or None when detached. NotFound, Conflict (already run), CommandFailed."""
        raise NotImplementedError

    async def exec_inspect(self, exec_id: str) -> Document:
        """The document of GET /exec/{id}/json."""
        raise NotImplementedError

    async def exec_resize(self, exec_id: str, rows: int, columns: int) -> None:
        """Set the size of the command's terminal, in characters."""
        raise NotImplementedError
