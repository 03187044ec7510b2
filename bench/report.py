"""The result: a table for people, JSON for machines, a plot for the eye."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Sequence

from tests.engine_fixture import docker_cli

from bench.measure import Row

PEERS = ("nakagin", "dockerd", "podman", "runc", "crun", "docker-registry", "floor")
_COLOURS = ("#c2410c", "#2563eb", "#be185d", "#0d9488", "#7c3aed", "#0369a1", "#6b7280")
COLOURS = dict(zip(PEERS, _COLOURS, strict=True))


def table(rows: Sequence[Row]) -> str:
    """Medians side by side, the ratio to the reference, and whether the target is reached."""
    peers = [peer for peer in PEERS if any(row.samples.get(peer) for row in rows)]
    lines = [["", *peers, "ratio", "target"]]
    for row in rows:
        cells = [_figure(row.median(peer), row.unit) for peer in peers]
        lines.append([row.name, *cells, _ratio(row), _target(row)])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = ["  ".join(cell.rjust(width) if column else cell.ljust(width)
                      for column, (cell, width) in enumerate(zip(line, widths, strict=True))).rstrip()
            for line in lines]  # fmt: skip
    text.insert(1, "-" * len(text[0]))
    text += [f"  {row.name}: {note}" for row in rows for note in row.notes]
    return "\n".join(text)


def _figure(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.1f} {unit}" if value >= 10 else f"{value:.2f} {unit}"


def _ratio(row: Row) -> str:
    if row.ratio is None:
        return ""
    if row.higher_is_better:
        return f"{row.ratio:.1f} x"
    return f"1/{1 / row.ratio:.1f}" if row.ratio < 1 else f"{row.ratio:.2f}"


def _target(row: Row) -> str:
    if row.target is None:
        return ""
    sign = ">=" if row.higher_is_better else "<="
    if row.absolute:
        bound = f"{row.target:g} {row.unit}"
    else:
        bound = f"1/{1 / row.target:g}" if row.target < 1 else f"{row.target:g}"
    verdict = {True: "reached", False: "MISSED", None: "not measured"}[row.reached]
    return f"{sign} {bound} {verdict}"


def surroundings() -> dict[str, object]:
    """What the figures depend on."""

    def first_line(*argv: str) -> str:
        try:
            return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.split("\n")[0]
        except OSError:
            return ""

    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "docker": first_line(docker_cli(), "--version"),
        "dockerd": first_line("dockerd", "--version"),
        "runc": first_line("runc", "--version"),
        "crun": first_line("crun", "--version"),
    }


def write(rows: Sequence[Row], folder: str = "bench/results") -> list[str]:
    """JSON, and a plot as SVG and PNG where matplotlib is there; the paths."""
    os.makedirs(folder, exist_ok=True)
    stem = os.path.join(folder, time.strftime("%Y%m%d-%H%M%S"))
    with open(f"{stem}.json", "w") as file:
        json.dump({"surroundings": surroundings(), "rows": [row.document() for row in rows]}, file, indent=1)
    return [f"{stem}.json", *_plot(rows, stem)]


def _plot(rows: Sequence[Row], stem: str) -> list[str]:
    try:
        import matplotlib as mpl
    except ImportError:
        return []
    mpl.use("Agg")
    from matplotlib import patches
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(10, 0.62 * len(rows) + 1.2))
    for place, row in enumerate(reversed(rows)):
        peers = [peer for peer in reversed(PEERS) if row.median(peer) is not None]
        for number, peer in enumerate(peers):
            value = row.median(peer) or 0.0
            height = 0.8 / len(peers)
            position = place + (number - (len(peers) - 1) / 2) * height
            axes.barh(position, value, height * 0.92, color=COLOURS[peer])
            axes.text(value, position, f" {_figure(value, row.unit)}", va="center", fontsize=7)
    axes.set_yticks(range(len(rows)), [row.name for row in reversed(rows)], fontsize=8)
    axes.set_xscale("log")
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    shown = [peer for peer in PEERS if any(row.samples.get(peer) for row in rows)]
    axes.legend([patches.Patch(color=COLOURS[peer]) for peer in shown], shown, frameon=False)
    axes.set_title("medians of one run, in turns; logarithmic", fontsize=9)
    figure.tight_layout()
    paths = [f"{stem}.svg", f"{stem}.png"]
    for path in paths:
        figure.savefig(path, dpi=130)
    return paths
