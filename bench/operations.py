"""Many lines, many containers: logs written and read back, removal by force, a thousand idle ones."""

from __future__ import annotations

import subprocess
import time
from functools import partial

from tests.engine_fixture import ScratchEngine

from bench import containers
from bench.measure import Row, in_turns
from bench.memory import megabytes
from bench.wire import Connection

Engines = dict[str, ScratchEngine]

LINES = 1_000_000
RUNNING = 50
CROWD = 1000


def logs(engines: Engines, rounds: int) -> list[Row]:
    """A million lines from a container into its log, and out again by `docker logs`; none may be lost."""
    written: dict[str, list[float]] = {peer: [] for peer in engines}
    read: dict[str, list[float]] = {peer: [] for peer in engines}
    lost: dict[str, list[float]] = {peer: [] for peer in engines}
    for _ in range(max(1, rounds // 6)):
        for peer, engine in engines.items():
            with Connection(str(engine.socket)) as connection:
                # Ours are bounded unless told otherwise; dockerd's are not.
                options = {"max-size": "-1"} if peer == "nakagin" else {}
                host = {"NetworkMode": "none", "LogConfig": {"Type": "json-file", "Config": options}}
                body = {"Image": "busybox", "Cmd": ["seq", str(LINES)], "HostConfig": host}
                connection.request("POST", "/containers/create?name=talker", body)
                begun = time.perf_counter()
                connection.request("POST", "/containers/talker/start")
                connection.request("POST", "/containers/talker/wait")
                written[peer].append(time.perf_counter() - begun)
            begun = time.perf_counter()
            lines = _lines(engine, "talker")
            read[peer].append(time.perf_counter() - begun)
            lost[peer].append(LINES - lines)
            engine.docker("rm", "talker")
    return [
        Row(f"{LINES:,} log lines written", "s", written, target=1.0),
        Row(f"{LINES:,} log lines read", "s", read, target=1.0),
        Row("log lines lost", "", lost, target=0, absolute=True),
    ]


def _lines(engine: ScratchEngine, name: str) -> int:
    """How many lines `docker logs` has."""
    process = subprocess.Popen(
        engine.docker_argv("logs", name), env=engine.environment(), stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    count = 0
    with process.stdout as stream:
        while data := stream.read(1 << 20):
            count += data.count(b"\n")
    if process.wait():
        raise RuntimeError(f"docker logs ended with {process.returncode}")
    return count


def removal(engines: Engines, rounds: int) -> list[Row]:
    """`docker rm -f` of 50 running containers at once."""
    samples: dict[str, list[float]] = {peer: [] for peer in engines}
    for _ in range(max(1, rounds // 6)):
        for peer, engine in engines.items():
            containers.start_idle(engine, RUNNING)
            names = engine.docker("ps", "-q").stdout.split()
            begun = time.perf_counter()
            subprocess.run(
                engine.docker_argv("rm", "-f", *names),
                env=engine.environment(),
                check=True,
                stdout=subprocess.DEVNULL,
            )
            samples[peer].append(time.perf_counter() - begun)
    return [Row(f"docker rm -f of {RUNNING} running", "s", samples, target=1 / 5)]


def crowd(engines: Engines, rounds: int) -> list[Row]:
    """A thousand idle containers on our engine: how long they take, what they weigh, and `ps` among them."""
    if "nakagin" not in engines:
        return []
    engine = engines["nakagin"]
    empty = megabytes(engine)
    begun = time.perf_counter()
    containers.start_idle(engine, CROWD)
    started = time.perf_counter() - begun
    weight = megabytes(engine) - empty
    with Connection(str(engine.socket)) as connection:
        ask = partial(connection.request, "GET", "/containers/json?all=1")
        if len(ask()) != CROWD:
            raise RuntimeError("not all of them are listed")
        listed = in_turns({"nakagin": ask}, rounds)
    command = in_turns({"nakagin": partial(containers.docker_ps, engine)}, max(2, rounds // 4))
    begun = time.perf_counter()
    engine.remove_containers()
    removed = time.perf_counter() - begun
    return [
        Row(f"{CROWD} idle containers started", "s", {"nakagin": [started]}, absolute=True),
        Row(f"{CROWD} idle containers, all", "MB", {"nakagin": [weight]}, absolute=True),
        Row(f"API list of {CROWD}", "ms", listed, target=100, absolute=True),
        Row(f"docker ps of {CROWD}", "ms", command, absolute=True),
        Row(f"{CROWD} containers removed", "s", {"nakagin": [removed]}, absolute=True),
    ]
