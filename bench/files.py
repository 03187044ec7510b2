"""`cp` of many small files and of one large one, both ways, into and out of a running container.

Every copy makes new files, and on this machine's side they lie in memory: deleting and writing back would else be
most of what is measured.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.engine_fixture import ScratchEngine

from bench.measure import Row, in_turns

_MANY = 2000
_LARGE = 200 << 20
_CONTAINER = "bench-files"


def rows(engines: Mapping[str, ScratchEngine], rounds: int) -> list[Row]:
    """Rows for docker's command line against each engine, and for ours."""
    place = Path(tempfile.mkdtemp(prefix="nkb-", dir="/dev/shm"))
    many, large = place / "many", place / "large"
    many.mkdir()
    for number in range(_MANY):
        (many / f"{number:05}").write_bytes(b"x" * (number % 4096))
    large.write_bytes(os.urandom(1 << 20) * (_LARGE >> 20))
    for engine in engines.values():
        engine.docker("run", "-d", "--name", _CONTAINER, "busybox", "sleep", "100000")
    try:
        found = []
        for label, source in ((f"{_MANY} files", many), ("200 MB", large)):
            into: dict[str, Callable[[], object]] = {}
            out: dict[str, Callable[[], object]] = {}
            for peer, engine in engines.items():
                into[peer] = _in(engine.docker, source)
                out[peer] = _out(engine.docker, source, place / f"out-{peer}")
            if "nakagin" in engines:
                engine = engines["nakagin"]
                into["nakagin cp"] = _in(engine.nakagin, source, "own")
                out["nakagin cp"] = _out(engine.nakagin, source, place / "out-own")
            few = max(3, rounds // 4)
            found += [
                Row(f"docker cp in, {label}", "ms", in_turns(into, few), target=1),
                Row(f"docker cp out, {label}", "ms", in_turns(out, few), target=1),
            ]
        return found
    finally:
        for engine in engines.values():
            engine.docker("rm", "-f", _CONTAINER)
        shutil.rmtree(place)


def _in(cli: Callable[..., object], source: Path, mark: str = "in") -> Callable[[], None]:
    """Copies to places that are not there yet: into one that is, the folder itself would go."""
    numbers = itertools.count()

    def deed() -> None:
        cli("cp", str(source), f"{_CONTAINER}:/{mark}-{source.name}-{next(numbers)}")

    return deed


def _out(cli: Callable[..., object], source: Path, target: Path) -> Callable[[], None]:
    numbers = itertools.count()

    def deed() -> None:
        cli("cp", f"{_CONTAINER}:/in-{source.name}-0", f"{target}-{next(numbers)}")

    return deed
