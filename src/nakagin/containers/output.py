"""What a container says and uses: its log in Docker's wire form, statistics, processes."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from nakagin.cgroups import stats as usage
from nakagin.cgroups.group import Group
from nakagin.containers import bundle, logdrivers
from nakagin.containers.model import NEVER, now
from nakagin.errors import Invalid, Unsupported
from nakagin.monitor.logfile import timestamp
from nakagin.monitor.logreader import Entry, Reader, follow

if TYPE_CHECKING:
    from nakagin.containers.model import Container
    from nakagin.containers.shelf import Capsule
    from nakagin.containers.surroundings import Surroundings

Document = dict[str, Any]

_STREAMS = {"stdout": b"\x01\0\0\0", "stderr": b"\x02\0\0\0"}
_CHUNK = 256 * 1024
_ENTRIES_AT_ONCE = 2048


class LogView:
    """Which part of a log is wanted, and how it is to look. Times in nanoseconds since the epoch, 0 is no bound."""

    def __init__(
        self,
        record: Container,
        *,
        stdout: bool,
        stderr: bool,
        since_ns: int,
        until_ns: int,
        timestamps: bool,
        tail: int | None,
        details: bool,
    ) -> None:
        if not stdout and not stderr:
            raise Invalid("Bad parameters: you must choose at least one stream")
        require_log(record)
        self._wanted = {name for name, on in (("stdout", stdout), ("stderr", stderr)) if on}
        self._tty = record.config.tty
        self._timestamps = timestamps
        self._details = details
        self.bounds: dict[str, Any] = {
            "since": timestamp(since_ns) if since_ns else "",
            "until": timestamp(until_ns) if until_ns else "",
            "tail": tail,
        }

    def frame(self, entry: Entry) -> bytes:
        """One entry in wire form; b"" where its stream is not wanted."""
        if entry.stream not in self._wanted:
            return b""
        data = entry.data
        if self._details:
            data = f"{logdrivers.shown(entry.attributes or {})} ".encode() + data
        if self._timestamps:
            data = entry.time.encode() + b" " + data
        return data if self._tty else _STREAMS[entry.stream] + len(data).to_bytes(4, "big") + data


def require_log(record: Container) -> None:
    """Raise Unsupported where nothing is kept that could be read."""
    if not logdrivers.is_readable(record.host_config.log_config):
        raise Unsupported(
            "configured logging driver does not support reading",
            hint=f"it was made with --log-driver {record.host_config.log_config.type}",
        )


async def read_log(path: str, view: LogView) -> AsyncIterator[bytes]:
    """The log as it is now, in chunks; reading and parsing happen in a worker thread."""
    reader = await asyncio.to_thread(Reader, path, **view.bounds)
    try:
        entries = iter(reader)
        while chunk := await asyncio.to_thread(_next_chunk, entries, view):
            for data in chunk:
                yield data
    finally:
        reader.close()


def _next_chunk(entries: Iterator[Entry], view: LogView) -> list[bytes]:
    """The next entries joined to few pieces; [] at the end of the log."""
    batch = list(itertools.islice(entries, _ENTRIES_AT_ONCE))
    if not batch:
        return []
    data = b"".join(map(view.frame, batch))
    return [data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK)] or [b""]


async def follow_log(path: str, view: LogView, ended: asyncio.Event) -> AsyncIterator[bytes]:
    """The log and what is added to it, until the container has ended."""
    async for entry in follow(path, ended, **view.bounds):
        if data := view.frame(entry):
            yield data


async def stats(
    around: Surroundings, capsule: Capsule, *, stream: bool, one_shot: bool
) -> AsyncIterator[Document]:
    """Documents of GET /containers/{id}/stats, one a second; a single one without `stream`."""
    before: Document | None = None
    if not stream and not one_shot:
        before = _sample(around, capsule.record)
        await asyncio.sleep(1)
    while True:
        sample = _sample(around, capsule.record)
        yield _with_previous(sample, before)
        if not stream:
            return
        before = sample
        await asyncio.sleep(1)


def _sample(around: Surroundings, record: Container) -> Document:
    head: Document = {"name": f"/{record.name}", "id": record.id, "num_procs": 0, "storage_stats": {}}
    if not record.running:
        return head | {
            "read": NEVER, "pids_stats": {}, "blkio_stats": usage.no_block_io(), "memory_stats": {},
            "cpu_stats": _no_cpu(),
        }  # fmt: skip
    sample: Document = (
        head
        | {"read": now()}
        | dict(usage.read(Group(bundle.cgroup_path(record, around.host), around.cgroups)))
    )
    if record.network_mode != "host" and (networks := _interfaces(record.facts.pid)):
        sample["networks"] = networks
    return sample


def _with_previous(sample: Document, before: Document | None) -> Document:
    return sample | {
        "preread": before["read"] if before else NEVER,
        "precpu_stats": before["cpu_stats"] if before else _no_cpu(),
    }


def _no_cpu() -> Document:
    return {
        "cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
        "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
    }  # fmt: skip


_COUNTERS = (
    "rx_bytes",
    "rx_packets",
    "rx_errors",
    "rx_dropped",
    "tx_bytes",
    "tx_packets",
    "tx_errors",
    "tx_dropped",
)
_COLUMNS = (0, 1, 2, 3, 8, 9, 10, 11)


def _interfaces(pid: int) -> dict[str, dict[str, int]]:
    """The counters of each interface that the process sees, from its net/dev (proc_pid_net(5))."""
    try:
        with open(f"/proc/{pid}/net/dev", encoding="ascii") as file:
            lines = file.read().splitlines()[2:]
    except OSError:
        return {}
    found = {}
    for line in lines:
        name, _, numbers = line.partition(":")
        columns = numbers.split()
        if name.strip() != "lo":
            found[name.strip()] = {
                counter: int(columns[column]) for counter, column in zip(_COUNTERS, _COLUMNS, strict=True)
            }
    return found


def top(around: Surroundings, record: Container, ps_args: str) -> Document:
    """{"Titles", "Processes"}: the host's `ps` cut down to the container's processes. Blocking."""
    pids = {str(pid) for pid in Group(bundle.cgroup_path(record, around.host), around.cgroups).pids()}
    words = ps_args.split() or ["-ef"]
    try:
        done = subprocess.run(["ps", *words], capture_output=True, text=True, check=False, timeout=30)
    except FileNotFoundError:
        raise Unsupported("there is no `ps` on this machine", hint="install the package procps") from None
    if done.returncode != 0:
        raise Invalid(f"ps {ps_args}: {done.stderr.strip() or 'failed'}")
    lines = done.stdout.splitlines()
    titles = lines[0].split() if lines else []
    if "PID" not in titles:
        raise Invalid("Couldn't find PID field in ps output", hint="choose columns with pid among them")
    column = titles.index("PID")
    rows = (line.split(None, len(titles) - 1) for line in lines[1:])
    return {"Titles": titles, "Processes": [row for row in rows if len(row) > column and row[column] in pids]}


def writable_size(around: Surroundings, record: Container) -> int:
    """Bytes that the container has written. Walks its writable layer."""
    return 0 if record.extension.rootfs else around.snapshots.usage(record.id)
