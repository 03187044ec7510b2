"""`nakagin compare vm`: what a container costs and what a virtual machine costs, measured here."""

from __future__ import annotations

import json
import sys

from nakagin.cli import terminal
from nakagin.cli.command import Call, Command, say
from nakagin.cli.flags import Flag
from nakagin.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.client.session import Document
    from nakagin.compare.model import Comparison, Side

_NS = 10**9
_TERMINATED = 128 + 15


def compare(call: Call) -> int:
    """Measure, show, draw."""
    import signal

    from nakagin.compare.measure import compare as measured

    options = call.options
    if call.arguments[0] != "vm":
        raise Invalid(f'cannot compare with "{call.arguments[0]}"', hint="nakagin compare vm")
    if options.text("format") not in {"text", "json"}:
        raise Invalid(f'invalid format "{options.text("format")}"', hint="text or json")
    for name in ("runs", "boots"):
        if not options.number(name):
            raise Invalid(f"--{name} must be at least 1")
    # Ended from outside, it still takes away what it started.
    signal.signal(signal.SIGTERM, _ended)
    found = measured(
        call.client,
        runs=int(options.number("runs")),
        boots=int(options.number("boots")),
        window=options.number("window") / _NS,
        memory=max(int(options.number("memory")) >> 20, 1),
        kernel=options.text("kernel"),
        tell=_tell,
    )
    _tell("")
    if path := options.text("plot"):
        from nakagin.compare.picture import svg
        from nakagin.drawing import write

        write(path, "A container and a virtual machine", svg(found))
    if options.text("format") == "json":
        say(json.dumps(_document(found), indent=4))
        return 0
    from nakagin.compare.picture import text

    for line in text(found):
        say(line)
    return 0


def _ended(_number: int, _frame: object) -> None:
    raise SystemExit(_TERMINATED)


def _tell(words: str) -> None:
    """What it does now, on one line of a terminal."""
    if terminal.is_terminal(2):
        sys.stderr.write(f"\r\x1b[K{words and f'measuring: {words}'}")
        sys.stderr.flush()


def _document(found: Comparison) -> Document:
    from nakagin.compare.model import own, rows, shares_kernel

    def side(each: Side) -> Document:
        alike = shares_kernel(each.told, found.host)
        return {
            "Starts": list(each.starts),
            "Size": each.size,
            "Memory": each.memory,
            "IdleCPU": each.cpu,
            "Computing": each.told.computing,
            "Disk": each.disk,
            "Fits": found.free // max(each.memory, 1),
            "Kernel": each.told.release,
            "SharesKernel": alike,
            "SharedNamespaces": [
                kind for kind in each.told.namespaces if alike and kind not in own(each.told, found.host)
            ],
        }

    return {
        "HostComputing": found.host.computing,
        "Container": side(found.container),
        "VirtualMachine": side(found.machine) | {"Accelerator": found.accelerator},
        "Rows": [
            {
                "Name": row.name,
                "Container": row.container,
                "VirtualMachine": row.machine,
                "Ahead": row.ratio,
                "How": row.how,
            }
            for row in rows(found)
        ],
    }


COMPARE = Command(
    compare,
    "[OPTIONS] vm",
    (
        Flag("boots", "", "uint", "How many virtual machines to boot", 3),
        Flag("format", "", "string", "Output as text or json", "text"),
        Flag("kernel", "", "string", "The kernel to boot (Debian's cloud kernel by default, fetched once)"),
        Flag("memory", "m", "bytes", "Memory of the virtual machine", 128 << 20),
        Flag("plot", "", "string", "Write a picture (SVG) to this file"),
        Flag("runs", "", "uint", "How many containers to start", 5),
        Flag("window", "", "duration", "How long to watch one of each idle", 5 * _NS),
    ),
    least=1,
    most=1,
)
