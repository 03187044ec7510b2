"""Code that is not trusted, run once: what it wrote, how it ended, and which files it made or changed.

It has no network, no rights (all capabilities dropped, no new ones by setuid), a read-only root but for its folder
and a small /tmp, and bounds on memory, processors, processes, files and time. It is removed in every case.
"""

from __future__ import annotations

import posixpath
import time
from typing import TYPE_CHECKING, NamedTuple, TypedDict

from nakagin.client.exchange import Exchange
from nakagin.client.frames import STDERR
from nakagin.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Unpack

    from nakagin.client.client import Client
    from nakagin.client.containers import Container
    from nakagin.client.hijack import Stream


class SandboxOptions(TypedDict, total=False):
    """`files` are put into /sandbox/work, where it runs; `memory` and `largest_file` in bytes, `seconds` at most."""

    files: Mapping[str, bytes]
    stdin: bytes
    environment: Mapping[str, str]
    memory: int
    cpus: float
    processes: int
    largest_file: int
    seconds: float
    user: str
    runtime: str


class Outcome(NamedTuple):
    """`changed` are the files of /sandbox/work that were not so before, by their path there; at most 64 MiB of them.

    `exit_code` is 137 where it was killed: for its time (`timed_out`) or its memory. Of `output` and `errors` the first
    8 MiB are kept.
    """

    exit_code: int
    output: bytes
    errors: bytes
    changed: dict[str, bytes]
    timed_out: bool


_MOUNT = "/sandbox"
WORK = "/sandbox/work"  # a folder of the volume's own: that itself is root's
_MOST_CHANGES = 64 << 20
_MOST_OUTPUT = 8 << 20


def run(client: Client, image: str, command: Sequence[str], **options: Unpack[SandboxOptions]) -> Outcome:
    """Run it and take it away. Raises what `containers.create` raises, Invalid for a file name that leads out."""
    files = dict(options.get("files") or {})
    container = _create(client, image, command, options)
    try:
        container.put_archive(_MOUNT, _packed(files))
        return _run(container, files, options.get("stdin", b""), options.get("seconds", 10.0))
    finally:
        container.remove(force=True, volumes=True)


def _create(client: Client, image: str, command: Sequence[str], options: SandboxOptions) -> Container:
    largest = options.get("largest_file", 16 << 20)
    memory = options.get("memory", 256 << 20)
    return client.containers.create(
        image,
        command,
        user=options.get("user", "65534:65534"),
        workdir=WORK,
        environment={"HOME": WORK, **(options.get("environment") or {})},
        network="none",
        read_only=True,
        init=True,
        interactive=True,
        memory=memory,
        cpus=options.get("cpus", 1.0),
        pids_limit=options.get("processes", 64),
        capabilities_dropped=["ALL"],
        tmpfs={"/tmp": "size=16m,mode=1777"},  # noqa: S108  a path inside
        host_config={
            "SecurityOpt": ["no-new-privileges"],
            "MemorySwap": memory,
            "Mounts": [{"Type": "volume", "Target": _MOUNT}],
            "Ulimits": [
                {"Name": "fsize", "Soft": largest, "Hard": largest},
                {"Name": "core", "Soft": 0, "Hard": 0},
            ],
            "LogConfig": {"Type": "none"},
            **({"Runtime": options["runtime"]} if "runtime" in options else {}),
        },
    )


def _run(container: Container, files: Mapping[str, bytes], stdin: bytes, seconds: float) -> Outcome:
    with container.attach(stdin=True, tty=False) as stream:
        waiting = container.waiting("next-exit")
        container.start()
        output, errors, ended = _collect(stream, stdin, seconds)
        if not ended:
            container.kill()
        code = waiting.result()
    return Outcome(code, output, errors, _changed(container, files), not ended)


def _collect(stream: Stream, stdin: bytes, seconds: float) -> tuple[bytes, bytes, bool]:
    """(stdout, stderr, whether they ended in time)."""
    output, errors = bytearray(), bytearray()

    def take(kind: int, piece: bytes) -> None:
        kept = errors if kind == STDERR else output
        kept += piece[: _MOST_OUTPUT - len(kept)]

    ended = Exchange(stream, stdin).run(take, time.monotonic() + seconds)
    return bytes(output), bytes(errors), ended


def _packed(files: Mapping[str, bytes]) -> bytes:
    """A tar of the folder with these files, writable for everybody: only the sandbox sees it."""
    import io
    import tarfile

    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        folders = {""}
        for name in files:
            clean = posixpath.normpath(name)
            if name.startswith("/") or clean.split("/")[0] in ("..", "."):
                raise Invalid(f"not a name of a file below {WORK}: {name!r}")
            parts = clean.split("/")[:-1]
            folders |= {"/".join(parts[:length]) for length in range(1, len(parts) + 1)}
        for folder in sorted(folders):
            info = tarfile.TarInfo(posixpath.join("work", folder))
            info.type, info.mode = tarfile.DIRTYPE, 0o777
            archive.addfile(info)
        for name, data in files.items():
            info = tarfile.TarInfo(posixpath.join("work", posixpath.normpath(name)))
            info.size, info.mode = len(data), 0o666
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def _changed(container: Container, files: Mapping[str, bytes]) -> dict[str, bytes]:
    from nakagin.client.copying.single import files as unpacked

    before = {posixpath.normpath(name): data for name, data in files.items()}
    found: dict[str, bytes] = {}
    size = 0
    for name, data in unpacked(container.get_archive(f"{WORK}/.")[1]):
        path = posixpath.normpath(name)
        if data is None or before.get(path) == data:
            continue
        size += len(data)
        if size > _MOST_CHANGES:
            raise Invalid(f"the sandbox made more than {_MOST_CHANGES >> 20} MiB of files")
        found[path] = data
    return found
