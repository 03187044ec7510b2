"""`nakagin stats`: what containers use, live or once."""

from __future__ import annotations

import selectors
import sys
import time

from nakagin.cli.command import Call, Command, complain
from nakagin.cli.door import explain
from nakagin.cli.flags import Flag
from nakagin.cli.listing import columns, row_renderer, short_id, show
from nakagin.cli.quantities import human_binary_size, human_size
from nakagin.errors import NakaginError, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from nakagin.client.session import Filters

    Document = dict[str, Any]

FLAGS = (
    Flag("all", "a", "bool", "Show all containers (default shows just running)"),
    Flag("format", "", "string", "Format output: 'table', 'table TEMPLATE', 'json' or a Go template"),
    Flag("no-stream", "", "bool", "Disable streaming stats and only pull the first result"),
    Flag("no-trunc", "", "bool", "Do not truncate output"),
)
COLUMNS = ("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs")
HEADERS = {
    "Container": "CONTAINER",
    "ID": "CONTAINER ID",
    "Name": "NAME",
    "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %",
    "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O",
    "PIDs": "PIDS",
}
_HOME_AND_CLEAR = "\033[H\033[J"
_INTERVAL = 0.5


def stats(call: Call) -> int:
    """Show the use of resources: a table that renews itself, or with --no-stream one."""
    return show_stats(call)


def show_stats(call: Call, wanted: Filters | None = None) -> int:
    """The same, of the containers that `wanted` chooses where no argument names any."""
    if call.options.on("no-stream"):
        return _once(call, wanted)
    return _live(call, wanted)


def _names(call: Call, wanted: Filters | None) -> list[str]:
    if call.arguments:
        return call.arguments
    found = call.client.containers.list(all=call.options.on("all"), filters=wanted)
    return [str(each["Id"]) for each in found]


def _once(call: Call, wanted: Filters | None) -> int:
    code = 0
    rows: list[Document] = []
    whole = call.options.on("no-trunc")
    for name in _names(call, wanted):
        try:
            samples = call.client.containers.refer(name).stats(stream=False)
            rows += [row(sample, _called(call, name), whole=whole) for sample in samples]
        except NakaginError as error:
            if call.arguments or not isinstance(error, NotFound):
                complain(explain(error))
                code = 1
    if not code:
        show(rows, call.options.text("format"), COLUMNS, HEADERS)
    return code


def _live(call: Call, wanted: Filters | None) -> int:
    """One connection for each container, all read as they have something; a table every half second."""
    watch = _Watch(call, wanted)
    drawn = 0.0
    while True:
        watch.follow()
        watch.collect(_INTERVAL)
        if time.monotonic() - drawn >= _INTERVAL and (watch.latest or not call.arguments):
            drawn = time.monotonic()
            _draw(call, watch.rows(whole=call.options.on("no-trunc")))
        if call.arguments and not watch.open:
            return 0


def _draw(call: Call, rows: list[Document]) -> None:
    template = call.options.text("format")
    if template in ("", "table"):
        text = columns(
            [[HEADERS[name] for name in COLUMNS], *([str(each[name]) for name in COLUMNS] for each in rows)]
        )
    else:
        template = "{{json .}}" if template == "json" else template
        render = row_renderer(template.removeprefix("table "), HEADERS)
        text = "".join(render(each) + "\n" for each in rows)
    # A terminal is overwritten in place; a file or pipe gets one table after the other.
    sys.stdout.write((_HOME_AND_CLEAR if sys.stdout.isatty() else "") + text)
    sys.stdout.flush()


class _Watch:
    """The open stats streams and the last sample of each."""

    def __init__(self, call: Call, wanted: Filters | None) -> None:
        self._call = call
        self._wanted = wanted
        self._selector = selectors.DefaultSelector()
        self.open: dict[str, Iterator[Document]] = {}
        self.latest: dict[str, Document] = {}
        self._listed = 0.0

    def follow(self) -> None:
        """Open streams for containers that are new; a list of names is followed once."""
        if self._call.arguments and self._listed:
            return
        if time.monotonic() - self._listed < 1.0:
            return
        self._listed = time.monotonic()
        names = _names(self._call, self._wanted)
        for gone in set(self.latest) - set(names):
            del self.latest[gone]
        for name in names:
            if name not in self.open:
                self._open(name)

    def _open(self, name: str) -> None:
        try:
            answer = self._call.client.containers.refer(name).stats_stream()
        except NakaginError as error:
            if self._call.arguments:
                raise
            complain(explain(error))
            return
        self.open[name] = answer.documents()
        self._selector.register(answer, selectors.EVENT_READ, name)

    def collect(self, seconds: float) -> None:
        """Take the samples that arrive within `seconds`."""
        if not self.open:
            time.sleep(seconds)
            return
        for key, _ in self._selector.select(seconds):
            sample = next(self.open[key.data], None)
            if sample is None:
                self._selector.unregister(key.fileobj)
                del self.open[key.data]
                self.latest.pop(key.data, None)
            else:
                self.latest[key.data] = sample

    def rows(self, *, whole: bool) -> list[Document]:
        """One row for each container."""
        return [row(sample, _called(self._call, name), whole=whole) for name, sample in self.latest.items()]


def _called(call: Call, name: str) -> str:
    """What {{.Container}} shows: what the user wrote, else the short id."""
    return name if call.arguments else short_id(name)


def row(sample: Document, called: str, *, whole: bool) -> Document:
    """A sample's fields as --format knows them."""
    memory = sample.get("memory_stats") or {}
    used, limit = used_memory(memory), memory.get("limit") or 0
    received, sent = _network(sample.get("networks") or {})
    read, written = _blocks((sample.get("blkio_stats") or {}).get("io_service_bytes_recursive") or [])
    identity = str(sample.get("id") or sample.get("ID") or "")
    return {
        "Container": called,
        "ID": identity if whole else short_id(identity),
        "Name": str(sample.get("name") or sample.get("Name") or "--").removeprefix("/"),
        "CPUPerc": f"{cpu_percent(sample):.2f}%",
        "MemUsage": f"{human_binary_size(used)} / {human_binary_size(limit)}",
        "MemPerc": f"{100 * used / limit if limit else 0:.2f}%",
        "NetIO": f"{human_size(received)} / {human_size(sent)}",
        "BlockIO": f"{human_size(read)} / {human_size(written)}",
        "PIDs": str((sample.get("pids_stats") or {}).get("current") or 0),
    }


def cpu_percent(sample: Document) -> float:
    """Use of CPUs between the sample and the one before; 100 is one CPU."""
    now, before = sample.get("cpu_stats") or {}, sample.get("precpu_stats") or {}

    def grown(*path: str) -> int:
        values = []
        for source in (now, before):
            value: Any = source
            for key in path:
                value = (value or {}).get(key) or 0
            values.append(int(value))
        return values[0] - values[1]

    used, passed = grown("cpu_usage", "total_usage"), grown("system_cpu_usage")
    cpus = now.get("online_cpus") or len((now.get("cpu_usage") or {}).get("percpu_usage") or []) or 1
    return used / passed * cpus * 100 if used > 0 and passed > 0 else 0.0


def used_memory(memory: Document) -> int:
    """Memory without file pages that the kernel would give back (cgroup v1 and v2 name them differently)."""
    usage, details = int(memory.get("usage") or 0), memory.get("stats") or {}
    for key in ("total_inactive_file", "inactive_file"):
        cached = int(details.get(key) or 0)
        if key in details and cached < usage:
            return usage - cached
    return usage


def _network(networks: Document) -> tuple[int, int]:
    received = sum(each.get("rx_bytes") or 0 for each in networks.values())
    return received, sum(each.get("tx_bytes") or 0 for each in networks.values())


def _blocks(entries: list[Document]) -> tuple[int, int]:
    def total(letter: str) -> int:
        return sum(
            each.get("value") or 0 for each in entries if str(each.get("op", "")).lower().startswith(letter)
        )

    return total("r"), total("w")


STATS = Command(stats, "[OPTIONS] [CONTAINER...]", FLAGS, most=None)
