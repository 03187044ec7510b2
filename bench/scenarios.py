"""The scenarios of `make bench`, in the order of the table."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial

from tests.engine_fixture import ScratchEngine

from bench import archives, builds, containers, dns, files, operations, registry, runtimes, stacks, transfer
from bench import network as packets
from bench.instant import Instant
from bench.measure import Row, in_turns, say
from bench.memory import megabytes
from bench.wire import Connection

Engines = dict[str, ScratchEngine]

#: Seconds without a request after which an engine is idle: what earlier scenarios left to be done is done.
_REST = 3.0


def run_by_cli(engines: Engines, rounds: int) -> list[Row]:
    """`docker run --rm` against each engine, and `nakagin run --rm` against ours."""
    rows = []
    for network in ("bridge", "none"):
        deeds = {peer: partial(containers.docker_run, engine, network) for peer, engine in engines.items()}
        rows.append(Row(f"docker run --rm ({network})", "ms", in_turns(deeds, rounds), target=1 / 10))
    for network in ("bridge", "none"):
        deeds = {peer: partial(containers.docker_run, engine, network) for peer, engine in engines.items()}
        if "nakagin" in engines:
            ours = engines["nakagin"]
            deeds["nakagin"] = partial(
                containers.nakagin, ours, "run", "--rm", "--network", network, "busybox", "true"
            )  # the same words by our own command line
        rows.append(Row(f"nakagin run --rm ({network})", "ms", in_turns(deeds, rounds), target=1 / 4))
    with Instant() as instant:
        alone = partial(containers.docker_alone, next(iter(engines.values())), instant.host)
        client = in_turns({"floor": alone}, rounds)
    return [*rows, Row("docker run --rm, an engine that does nothing", "ms", client)]


def api_cycle(engines: Engines, rounds: int) -> list[Row]:
    """create + start + wait + remove over one kept-alive connection."""
    rows = []
    for network in ("bridge", "none"):
        connections = {peer: Connection(str(engine.socket)) for peer, engine in engines.items()}
        deeds = {peer: partial(containers.cycle, each, network) for peer, each in connections.items()}
        rows.append(
            Row(f"API create start wait rm ({network})", "ms", in_turns(deeds, rounds), target=1 / 15)
        )
        for each in connections.values():
            each.close()
    return rows


def execs(engines: Engines, rounds: int) -> list[Row]:
    """exec in a running container, by the API and by docker's command line."""
    for engine in engines.values():
        engine.docker("run", "-d", "--name", "execs", "--network", "none", "busybox", "sleep", "100000")
    api = {peer: partial(containers.api_exec, engine, "execs") for peer, engine in engines.items()}
    cli = {peer: partial(containers.docker_exec, engine, "execs") for peer, engine in engines.items()}
    rows = [
        Row("API exec", "ms", in_turns(api, rounds), target=1 / 8),
        Row("docker exec", "ms", in_turns(cli, rounds)),
    ]
    for engine in engines.values():
        engine.docker("rm", "-f", "execs")
    return rows


def parallel(engines: Engines, rounds: int) -> list[Row]:
    """Containers per second, eight at once, without network."""
    samples: dict[str, list[float]] = {peer: [] for peer in engines}
    for _ in range(max(1, rounds // 10)):
        for peer, engine in engines.items():
            samples[peer].append(containers.throughput(engine, 5.0))
    return [Row("8-way, no network", "/s", samples, target=100, absolute=True, higher_is_better=True)]


def idle(engines: Engines, rounds: int) -> list[Row]:
    """Memory of the engine's side with 0, 50 and 200 idle containers; `ps` while they are there."""
    most = 200 if rounds >= 10 else 60
    time.sleep(_REST)
    empty = {peer: megabytes(engine) for peer, engine in engines.items()}
    rows = [
        Row("engine, idle", "MB", {peer: [size] for peer, size in empty.items()}, target=60, absolute=True)
    ]
    there = 0
    for number in (50, most):
        for engine in engines.values():
            containers.start_idle(engine, number - there)
        there = number
        each = {peer: [(megabytes(engine) - empty[peer]) / number] for peer, engine in engines.items()}
        rows.append(Row(f"per idle container ({number})", "MB", each, target=1.5, absolute=True))
    docker = {peer: partial(containers.docker_ps, engine) for peer, engine in engines.items()}
    rows.append(Row(f"docker ps, {most} containers", "ms", in_turns(docker, rounds)))
    if "nakagin" in engines:
        ours = {"nakagin": partial(containers.nakagin, engines["nakagin"], "ps")}
        rows.append(
            Row(f"nakagin ps, {most} containers", "ms", in_turns(ours, rounds), target=100, absolute=True)
        )
    for engine in engines.values():
        engine.remove_containers()
    return rows


def names(engines: Engines, rounds: int) -> list[Row]:
    """Look-ups of containers' names from inside a container on a user network, and what a door costs a start."""
    for engine in engines.values():
        engine.docker("network", "create", "bench-names")
        for name in ("asker", "target", "one", "two", "three"):
            alias = ("--network-alias", "service") if name in {"one", "two", "three"} else ()
            engine.docker(
                "run", "-d", "--name", name, "--network", "bench-names", *alias, "busybox", "sleep", "100000"
            )
    figures: dict[str, list[dict[str, float]]] = {peer: [] for peer in engines}
    for _ in range(max(2, rounds // 4)):
        for peer, engine in engines.items():
            pid = int(engine.docker("inspect", "-f", "{{.State.Pid}}", "asker").stdout)
            figures[peer].append(dns.from_inside(pid))
    starts = {
        f"{peer}": partial(containers.docker_run, engine, "bench-names") for peer, engine in engines.items()
    }
    samples = in_turns(starts, rounds)
    for engine in engines.values():
        engine.remove_containers()
        engine.docker("network", "rm", "bench-names")

    def of(key: str) -> dict[str, list[float]]:
        return {peer: [each[key] for each in found] for peer, found in figures.items()}

    return [
        Row("DNS look-ups", "/s", of("per_second"), target=10_000, absolute=True, higher_is_better=True),
        Row("DNS look-up, p50", "ms", of("p50")),
        Row("DNS look-up, p99", "ms", of("p99"), target=5, absolute=True),
        Row("DNS look-ups lost", "", of("lost"), target=0, absolute=True),
        Row("docker run --rm (user network)", "ms", samples),
    ]


def build(engines: Engines, rounds: int) -> list[Row]:
    """Images from Dockerfiles."""
    with tempfile.TemporaryDirectory(prefix="nkb-", dir="/var/tmp") as folder:
        return builds.rows(engines, folder, rounds)


def compose(engines: Engines, rounds: int) -> list[Row]:
    """Projects of many services."""
    with tempfile.TemporaryDirectory(prefix="nkb-", dir="/var/tmp") as folder:
        return stacks.rows(engines, folder, max(2, rounds // 4))


def runtime(folder: str, rounds: int) -> list[Row]:
    """`nakagin-runtime run` against runc and crun, and the floor."""
    deeds, notes = runtimes.deeds(folder)
    samples = in_turns(deeds, rounds * 2)
    return [Row("runtime run", "ms", samples, reference="runc", target=1.0, notes=notes)]


SCENARIOS: dict[str, Callable[[Engines, int], list[Row]]] = {
    "run": run_by_cli, "api": api_cycle, "exec": execs, "parallel": parallel, "idle": idle, "names": names,
    "files": files.rows,
    "build": build,
    "logs": operations.logs, "removal": operations.removal, "crowd": operations.crowd,
    "compose": compose,
}  # fmt: skip

# These need no engine.
ALONE: dict[str, Callable[[str, int], list[Row]]] = {
    "archives": lambda _, rounds: archives.rows(rounds),
    "network": packets.measure,
    "registry": registry.throughput,
    "runtime": runtime,
    "transfer": lambda _, rounds: transfer.rows(rounds),
}


def measure(name: str, engines: Engines, folder: str, rounds: int) -> list[Row]:
    """The rows of one scenario."""
    say(f"measuring {name} …")
    if name in ALONE:
        return ALONE[name](folder, rounds)
    return SCENARIOS[name](engines, rounds)
