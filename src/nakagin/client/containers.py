"""Containers: making them, finding them, and the verbs of one."""

from __future__ import annotations

import os

from nakagin.client.requests import container_body
from nakagin.client.session import SESSION_TIMEOUT, document, filter_query, quote, version_key
from nakagin.errors import CommandFailed, NakaginError, NotModified

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from os import PathLike
    from typing import Any, BinaryIO, Unpack

    from nakagin.client.execution import Execution
    from nakagin.client.hijack import Stream
    from nakagin.client.pathstat import PathStat
    from nakagin.client.requests import ContainerOptions
    from nakagin.client.session import Body, Document, Documents, Filters, Response, Session, Texts


# Engines of an older API do not tell in the Content-Type whether a stream has frames.
FRAMES_ARE_TOLD = (1, 42)


class ContainerExited(CommandFailed):
    """`run` in the foreground: the command's exit code was not 0; `output` is what it wrote."""

    def __init__(self, container: str, code: int, output: bytes) -> None:
        super().__init__(
            f"container {container}",
            f"exited with code {code}",
            hint=output[-200:].decode("utf-8", "replace") or None,
        )
        self.code = code
        self.output = output


class Container:
    """One container by `reference` (id, prefix or name). `attributes` is the last inspection; see `reload`."""

    def __init__(self, session: Session, reference: str, attributes: Document | None = None) -> None:
        self._session = session
        self.reference = reference
        self._attributes = attributes

    @property
    def attributes(self) -> Document:
        """The inspection document; asked for once, see `reload`."""
        if self._attributes is None:
            self.reload()
        assert self._attributes is not None
        return self._attributes

    @property
    def id(self) -> str:
        """The full id."""
        return str(self.attributes["Id"])

    @property
    def name(self) -> str:
        """The name without Docker's leading slash."""
        return str(self.attributes["Name"]).lstrip("/")

    @property
    def status(self) -> str:
        """ "created", "running", "paused", "restarting", "exited", "dead" as of the last inspection."""
        return str(self.attributes["State"]["Status"])

    @property
    def exit_code(self) -> int:
        """The last exit code as of the last inspection."""
        return int(self.attributes["State"]["ExitCode"])

    @property
    def labels(self) -> dict[str, str]:
        """The labels."""
        return dict(self.attributes["Config"].get("Labels") or {})

    @property
    def ports(self) -> dict[str, list[dict[str, str]]]:
        """{"80/tcp": [{"HostIp": ..., "HostPort": ...}]} of what is published."""
        published = self.attributes.get("NetworkSettings", {}).get("Ports") or {}
        return {port: bindings or [] for port, bindings in published.items()}

    def _path(self, verb: str = "") -> str:
        return f"/containers/{quote(self.reference)}{verb}"

    def _post(self, verb: str, timeout: float | None = SESSION_TIMEOUT, **query: object) -> None:
        try:
            self._session.request("POST", self._path(verb), query, timeout=timeout).read()
        except NotModified:
            return

    def reload(self) -> None:
        """Ask the engine again; NotFound when the container is gone."""
        self._attributes = self.inspect()

    def inspect(self, *, size: bool = False) -> Document:
        """The whole inspection document."""
        return document(self._session.request("GET", self._path("/json"), {"size": size or None}))

    def start(self, *, detach_keys: str | None = None) -> None:
        """Start; no error when it runs already."""
        self._post("/start", detachKeys=detach_keys)

    def restore(self, checkpoint: str, folder: str | None = None) -> None:
        """Start from a checkpoint."""
        query = {"checkpoint": checkpoint, "checkpoint-dir": folder}
        self._session.request("POST", self._path("/start"), query, timeout=None).read()

    def stop(self, *, seconds: int | None = None, signal: str | None = None) -> None:
        """Ask it to end, kill it after `seconds` (default: its own setting); no error when it is stopped."""
        self._post("/stop", timeout=None, t=seconds, signal=signal)

    def restart(self, *, seconds: int | None = None, signal: str | None = None) -> None:
        """Stop and start."""
        self._post("/restart", timeout=None, t=seconds, signal=signal)

    def kill(self, signal: str | None = None) -> None:
        """Send a signal (SIGKILL by default)."""
        self._post("/kill", signal=signal)

    def pause(self) -> None:
        """Freeze all processes."""
        self._post("/pause")

    def unpause(self) -> None:
        """Let them go on."""
        self._post("/unpause")

    def rename(self, name: str) -> None:
        """Give another name."""
        self._post("/rename", name=name)

    def resize(self, rows: int, columns: int) -> None:
        """Tell the container's terminal its size."""
        self._post("/resize", h=rows, w=columns)

    def update(self, changes: Document) -> list[str]:
        """Change limits or the restart policy (body of POST /containers/{id}/update); returns warnings."""
        answer = document(self._session.request("POST", self._path("/update"), body=changes))
        return list(answer.get("Warnings") or [])

    def recreate(self, body: Document) -> tuple[Container, Texts]:
        """Put what `body` (of create) asks for in its place, with its name, addresses, volumes and log, or change
        nothing (Nakagin only). The new container and the engine's warnings.
        """
        path = f"/nakagin{self._path('/recreate')}"
        answer = document(
            self._session.request("POST", path, body=self._session.labelled(body), timeout=None)
        )
        return Container(self._session, str(answer["Id"])), list(answer.get("Warnings") or [])

    def republish(self, add: Document, remove: Document) -> Document:
        """Publish ports and take others back while it runs, both as PortBindings: its Ports afterwards."""
        body = {"Add": add, "Remove": remove}
        path = f"/nakagin{self._path('/ports')}"
        return document(self._session.request("POST", path, body=body))["Ports"] or {}

    def exposure(self) -> list[Document]:
        """From where each published port is reached."""
        return list(self._session.request("GET", f"/nakagin{self._path('/ports')}").json() or [])

    def remove(self, *, force: bool = False, volumes: bool = False, link: bool = False) -> None:
        """Remove it; `force` kills it first, `volumes` takes its anonymous volumes along."""
        query = {"force": force or None, "v": volumes or None, "link": link or None}
        self._session.request("DELETE", self._path(), query, timeout=None).read()

    def wait(self, condition: str | None = None) -> int:
        """Block until it is "not-running" (default), "next-exit" or "removed"; its exit code."""
        return self.waiting(condition).result()

    def waiting(self, condition: str | None = None) -> Waiting:
        """Register for the end at once and collect the result later: for what ends quickly after a start."""
        return Waiting(self._session, self._path("/wait"), condition)

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
    ) -> Iterator[tuple[int, bytes]]:
        """(stream, bytes) pieces of what it wrote; streams are frames.STDOUT and frames.STDERR."""
        query = {
            "follow": follow or None,
            "stdout": stdout or None,
            "stderr": stderr or None,
            "since": since,
            "until": until,
            "tail": tail,
            "timestamps": timestamps or None,
            "details": details or None,
        }
        from nakagin.client.frames import STDOUT, Demultiplexer

        answer = self._session.request("GET", self._path("/logs"), query, timeout=None)
        kind = answer.headers.get("content-type", "")
        # Engines before API 1.42 do not say which form they send; then only the container knows.
        raw = "raw-stream" in kind if "docker" in kind else bool(self.inspect()["Config"].get("Tty"))
        frames = Demultiplexer()
        for piece in answer.iterate():
            yield from [(STDOUT, piece)] if raw else frames.feed(piece)

    def clear_logs(self) -> None:
        """Forget what was logged so far."""
        self._session.request("DELETE", f"/nakagin{self._path('/logs')}").read()

    def attach(
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
        if tty is None and version_key(self._session.version) < FRAMES_ARE_TOLD:
            tty = bool(self.inspect()["Config"].get("Tty"))
        query = {
            "detachKeys": detach_keys or None,
            "logs": logs or None,
            "stderr": stderr or None,
            "stdin": stdin or None,
            "stdout": stdout or None,
            "stream": stream or None,
        }
        return self._session.hijack(self._path("/attach"), query, tty=tty)

    def exec(
        self, command: Sequence[str], *, tty: bool = False, stdin: bool = False, **options: Any
    ) -> Execution:
        """Run a command inside; the result is like subprocess.Popen. Options: see `Execution.start`."""
        from nakagin.client.execution import Execution

        return Execution.start(self._session, self.reference, command, tty=tty, stdin=stdin, **options)

    def top(self, ps_arguments: str | None = None) -> Document:
        """{"Titles": [...], "Processes": [[...]]} of its processes."""
        return document(self._session.request("GET", self._path("/top"), {"ps_args": ps_arguments}))

    def explain(self) -> Document:
        """It as the kernel has it: processes, namespaces, cgroup files, mounts, privileges (Nakagin only)."""
        return document(
            self._session.request("GET", f"/nakagin{self._path('/explain')}", timeout=None, versioned=False)
        )

    def overhead(self) -> Document:
        """Beside its use: {"Monitor": bytes, "Files": n, "Inotify": n, "OOMKills": n} (Nakagin only)."""
        path = f"/nakagin{self._path('/overhead')}"
        return document(self._session.request("GET", path, versioned=False))

    def stats(self, *, stream: bool = False, one_shot: bool = False) -> Iterator[Document]:
        """Resource usage: one document, or one per second while `stream`."""
        yield from self.stats_stream(stream=stream, one_shot=one_shot).documents()

    def stats_stream(self, *, stream: bool = True, one_shot: bool = False) -> Response:
        """The same as an answer whose `fileno` can be polled and whose `documents` can be read one by one."""
        query = {"stream": stream, "one-shot": one_shot or None}
        return self._session.request("GET", self._path("/stats"), query, timeout=None)

    def changes(self) -> Documents:
        """[{"Kind": 0|1|2, "Path": ...}]: modified, added, deleted files."""
        return list(self._session.request("GET", self._path("/changes")).json() or [])

    def layer(self) -> Iterator[bytes]:
        """What it changed as a layer's tar stream, deletions as OCI whiteouts (Nakagin only)."""
        path = f"/nakagin{self._path('/layer')}"
        yield from self._session.request("GET", path, timeout=None, versioned=False).iterate()

    def export(self) -> Iterator[bytes]:
        """The file system as a tar stream."""
        yield from self._session.request("GET", self._path("/export"), timeout=None).iterate()

    def get_archive(self, path: str) -> tuple[PathStat, Iterator[bytes]]:
        """A file or folder as (what it is, tar stream)."""
        from nakagin.client.pathstat import HEADER, PathStat

        answer = self._session.request("GET", self._path("/archive"), {"path": path}, timeout=None)
        return PathStat.decode(answer.headers.get(HEADER, "")), answer.iterate()

    def put_archive(
        self, path: str, tar: Body, *, copy_uid_gid: bool = False, no_overwrite: bool = True
    ) -> None:
        """Unpack a tar stream into the folder `path`."""
        query = {"path": path, "noOverwriteDirNonDir": no_overwrite, "copyUIDGID": copy_uid_gid or None}
        headers = {"Content-Type": "application/x-tar"}
        self._session.request(
            "PUT", self._path("/archive"), query, data=tar, headers=headers, timeout=None
        ).read()

    def archive_stat(self, path: str) -> PathStat:
        """What is at a path, a link not followed; NotFound where nothing is."""
        from nakagin.client.pathstat import HEADER, PathStat

        with self._session.request("HEAD", self._path("/archive"), {"path": path}) as answer:
            answer.read()
            return PathStat.decode(answer.headers.get(HEADER, ""))

    def put(
        self, source: str | PathLike[str], target: str, *, follow: bool = False, archive: bool = False
    ) -> int:
        """Copy a file or folder of this machine in, as `docker cp` does; the number of bytes."""
        from nakagin.client.copying import deeds

        return deeds.to_container(self, os.fspath(source), target, follow=follow, archive=archive)

    def get(
        self, source: str, target: str | PathLike[str], *, follow: bool = False, archive: bool = False
    ) -> int:
        """Copy a file or folder out to this machine, as `docker cp` does; the number of bytes."""
        from nakagin.client.copying import deeds

        return deeds.from_container(self, source, os.fspath(target), follow=follow, archive=archive)

    def put_bytes(self, data: bytes, path: str, *, mode: int = 0o644, uid: int = 0, gid: int = 0) -> None:
        """Make, or replace, the file `path` inside; its folder must be there."""
        from nakagin.client.copying.single import packed

        folder, _, name = path.rpartition("/")
        self.put_archive(folder or "/", packed(name, data, mode, uid, gid))

    def get_bytes(self, path: str) -> bytes:
        """The content of a file inside, a link followed; Invalid for anything else."""
        from nakagin.client.copying.single import content

        found = self.archive_stat(path)
        if found.is_link:
            path = found.link_target
        return content(self.get_archive(path)[1], path)

    def __repr__(self) -> str:
        return f"Container({self.reference!r})"


class Waiting:
    """A registered wait: the engine has heard of it; `result` blocks for the exit code."""

    def __init__(self, session: Session, path: str, condition: str | None) -> None:
        self._answer = session.request("POST", path, {"condition": condition}, timeout=None)

    def result(self) -> int:
        """The exit code; NakaginError with the engine's words when waiting failed."""
        outcome = document(self._answer)
        if error := (outcome.get("Error") or {}).get("Message"):
            raise NakaginError(f"error waiting for container: {error}")
        return int(outcome.get("StatusCode", 0))

    def close(self) -> None:
        """Do not wait any longer."""
        self._answer.close()


class Containers:
    """The collection of an engine's containers."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, reference: str) -> Container:
        """The container of that id, id prefix or name; NotFound."""
        container = Container(self._session, reference)
        container.reload()
        return container

    def refer(self, reference: str) -> Container:
        """The same without asking the engine whether it exists."""
        return Container(self._session, reference)

    def list(
        self,
        *,
        all: bool = False,
        limit: int | None = None,
        size: bool = False,
        filters: Filters | None = None,
    ) -> Documents:
        """Summaries as the engine lists them (GET /containers/json), newest first."""
        query = {"all": all or None, "limit": limit, "size": size or None, "filters": filter_query(filters)}
        return list(self._session.request("GET", "/containers/json", query).json() or [])

    def create(
        self, image: str, command: Sequence[str] | None = None, **options: Unpack[ContainerOptions]
    ) -> Container:
        """Make a container; see ContainerOptions."""
        name, platform = options.pop("name", None), options.pop("platform", None)
        created, _ = self.create_from(container_body(image, command, options), name=name, platform=platform)
        return created

    def create_from(
        self, body: Document, *, name: str | None = None, platform: str | None = None
    ) -> tuple[Container, Texts]:
        """Make a container from a whole request body; the container and the engine's warnings."""
        query = {"name": name or None, "platform": platform or None}
        answer = document(
            self._session.request(
                "POST", "/containers/create", query, body=self._session.labelled(body), timeout=None
            )
        )
        return Container(self._session, str(answer["Id"])), list(answer.get("Warnings") or [])

    def rehearse(self, body: Document, *, name: str | None = None) -> Document:
        """What create and start would do, in order, without doing it: Steps, Warnings (Nakagin only)."""
        path, query = "/nakagin/containers/rehearse", {"name": name or None}
        return document(self._session.request("POST", path, query, body=body, versioned=False))

    def run(
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
        options["interactive"] = options.get("interactive", False) or stdin is not None
        if remove:
            options["auto_remove"] = True
        container = self.create(image, command, **options)
        if detach:
            container.start()
            return container
        return _foreground(container, stdin, remove)

    def prune(self, filters: Filters | None = None) -> Document:
        """Remove all stopped containers: {"ContainersDeleted": [...], "SpaceReclaimed": bytes}."""
        query = {"filters": filter_query(filters)}
        return document(self._session.request("POST", "/containers/prune", query, timeout=None))


def _foreground(container: Container, stdin: BinaryIO | bytes | None, remove: bool) -> bytes:
    from nakagin.client.execution import communicate

    with container.attach(stdin=stdin is not None) as stream:
        waiting = container.waiting("removed" if remove else "next-exit")
        container.start()
        output, errors = communicate(stream, stdin)
        code = waiting.result()
    if code:
        raise ContainerExited(repr(container), code, errors or output)
    return output
