"""`docker build` by the classic door, and `nakagin build`: cached, cold, two branches, a change in many files."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import partial

from tests.engine_fixture import ScratchEngine

from bench import containers
from bench.measure import Row, in_turns

_FILES = 2000
_MANY = 10_000
_STEPS = """FROM busybox
ENV MODE=bench
WORKDIR /app
COPY a /app/a
RUN echo one > /one
COPY . /app
RUN find /app -type f | wc -l > /count
CMD ["cat", "/count"]
"""
_BRANCHES = """FROM busybox AS left
RUN sleep 1
RUN echo left > /left
FROM busybox AS right
RUN sleep 1
RUN echo right > /right
FROM busybox
COPY --from=left /left /
COPY --from=right /right /
"""


def rows(engines: dict[str, ScratchEngine], folder: str, rounds: int) -> list[Row]:
    """An 8-step Dockerfile with 2,000 files; the targets are those of the issue."""
    context = os.path.join(folder, "context")
    fill(context, _FILES)
    write(context, "Dockerfile", _STEPS)
    cold = {peer: partial(docker_build, engine, context, "--no-cache") for peer, engine in engines.items()}
    cached = {peer: partial(docker_build, engine, context) for peer, engine in engines.items()}
    found = [
        Row("docker build, 8 steps, cold", "ms", in_turns(cold, max(3, rounds // 4), warm=1), target=1 / 3),
        Row("docker build, 8 steps, cached", "ms", in_turns(cached, rounds, warm=1), target=1 / 4),
    ]
    ours = engines.get("nakagin")
    if ours is not None:
        own = {**cached, "nakagin": partial(containers.nakagin, ours, "build", "-q", context)}
        found.append(Row("nakagin build, 8 steps, cached", "ms", in_turns(own, rounds, warm=1), target=1 / 4))
    found += _branches(engines, folder, max(2, rounds // 6))
    if ours is not None:
        found += _changes(ours, folder, max(3, rounds // 4))
    shutil.rmtree(context)
    return found


def _branches(engines: dict[str, ScratchEngine], folder: str, rounds: int) -> list[Row]:
    """Two stages that need a second each: one after the other, or at once."""
    context = os.path.join(folder, "branches")
    os.mkdir(context)
    write(context, "Dockerfile", _BRANCHES)
    deeds = {peer: partial(docker_build, engine, context, "--no-cache") for peer, engine in engines.items()}
    samples = in_turns(deeds, rounds, warm=0)
    shutil.rmtree(context)
    return [Row("docker build, two branches of 1 s", "ms", samples, target=1 / 1.7)]


def _changes(ours: ScratchEngine, folder: str, rounds: int) -> list[Row]:
    """A byte that changes in 10,000 files, against the first build of them."""
    context = os.path.join(folder, "many")
    fill(context, _MANY)
    write(context, "Dockerfile", "FROM scratch\nCOPY a /a\n")
    first, again = [], []
    for turn in range(rounds):
        fresh = f"{context}{turn}"
        os.rename(context, fresh)
        first += in_turns({"": partial(containers.nakagin, ours, "build", "-q", fresh)}, 1, warm=0)[""]
        write(fresh, "a/b0/f0", f"changed {turn}")
        again += in_turns({"": partial(containers.nakagin, ours, "build", "-q", fresh)}, 1, warm=0)[""]
        os.rename(fresh, context)
    shutil.rmtree(context)
    return [
        Row("nakagin build, 10,000 files, first", "ms", {"nakagin": first}),
        Row("nakagin build, 10,000 files, 1 byte changed", "ms", {"nakagin": again}),
    ]


def docker_build(engine: ScratchEngine, context: str, *flags: str) -> None:
    """The classic builder's door."""
    subprocess.run(
        engine.docker_argv("build", "-q", *flags, "-t", "bench-build", context),
        env=engine.environment({"DOCKER_BUILDKIT": "0"}), check=True, capture_output=True, timeout=120,
    )  # fmt: skip


def fill(folder: str, count: int) -> None:
    """Files of 2 kB in folders of 100."""
    for number in range(count):
        below = os.path.join(folder, "ab"[number % 2], f"b{number // 100}")
        os.makedirs(below, exist_ok=True)
        with open(os.path.join(below, f"f{number}"), "w") as file:
            file.write(f"{number}\n" * (2000 // len(f"{number}\n")))


def write(folder: str, name: str, text: str) -> None:
    with open(os.path.join(folder, name), "w") as file:
        file.write(text)
