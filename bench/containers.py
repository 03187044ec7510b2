"""What is done to both engines: by docker's command line, by the raw API, and by ours."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

from tests.engine_fixture import ScratchEngine

from bench.wire import Connection


def docker_run(engine: ScratchEngine, network: str) -> None:
    """`docker run --rm IMG true`."""
    _run(engine, engine.docker_argv("run", "--rm", "--network", network, "busybox", "true"))


def docker_alone(engine: ScratchEngine, host: str) -> None:
    """`docker run --rm IMG true` with an engine that does nothing, at `host`."""
    _run(engine, engine.docker_argv("-H", host, "run", "--rm", "--network", "none", "busybox", "true"))


def docker_exec(engine: ScratchEngine, name: str) -> None:
    """`docker exec NAME true`."""
    _run(engine, engine.docker_argv("exec", name, "true"))


def docker_ps(engine: ScratchEngine) -> None:
    """`docker ps`."""
    _run(engine, engine.docker_argv("ps"))


def nakagin(engine: ScratchEngine, *arguments: str) -> None:
    """Our command line, by the script that a user calls."""
    script = os.path.join(os.path.dirname(sys.executable), "nakagin")
    argv = [script, "-H", engine.host, *arguments]
    _run(engine, argv if os.path.exists(script) else engine.nakagin_argv(*arguments))


def _run(engine: ScratchEngine, argv: list[str]) -> None:
    # no timeout: with one, subprocess polls in growing steps of up to 50 ms, and that is what would be measured
    subprocess.run(
        argv, env=engine.environment(), check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )


def create(connection: Connection, network: str, *command: str) -> str:
    """A created container; its id."""
    body = {"Image": "busybox", "Cmd": list(command), "HostConfig": {"NetworkMode": network}}
    return str(connection.request("POST", "/containers/create", body)["Id"])


def cycle(connection: Connection, network: str) -> None:
    """create + start + wait + remove over one connection."""
    identity = create(connection, network, "true")
    connection.request("POST", f"/containers/{identity}/start")
    code = connection.request("POST", f"/containers/{identity}/wait")["StatusCode"]
    if code != 0:
        raise RuntimeError(f"the program ended with {code}")
    connection.request("DELETE", f"/containers/{identity}")


def api_exec(engine: ScratchEngine, name: str) -> None:
    """exec create + start (attached, to the end) + inspect."""
    with Connection(str(engine.socket)) as connection:
        body = {"AttachStdout": True, "AttachStderr": True, "Cmd": ["true"]}
        identity = connection.request("POST", f"/containers/{name}/exec", body)["Id"]
        connection.stream(f"/exec/{identity}/start", {"Detach": False, "Tty": False})
    with Connection(str(engine.socket)) as connection:
        while (found := connection.request("GET", f"/exec/{identity}/json"))["Running"]:
            pass  # an engine that ends the stream too early pays for each further question
        if found["ExitCode"] != 0:
            raise RuntimeError(f"the exec ended with {found['ExitCode']}")


def throughput(engine: ScratchEngine, seconds: float, ways: int = 8) -> float:
    """Whole cycles per second, `ways` at once, without network."""
    done = [0] * ways
    failures: list[Exception] = []
    begun = time.perf_counter()

    def work(way: int) -> None:
        try:
            with Connection(str(engine.socket)) as connection:
                while time.perf_counter() - begun < seconds:
                    cycle(connection, "none")
                    done[way] += 1
        except (RuntimeError, OSError) as error:
            failures.append(error)

    workers = [threading.Thread(target=work, args=(way,)) for way in range(ways)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failures:
        raise failures[0]
    return sum(done) / (time.perf_counter() - begun)


def start_idle(engine: ScratchEngine, number: int, ways: int = 4) -> None:
    """`number` more containers that only sleep, without network."""
    failures: list[Exception] = []

    def work(share: int) -> None:
        try:
            with Connection(str(engine.socket)) as connection:
                for _ in range(share):
                    identity = create(connection, "none", "sleep", "100000")
                    connection.request("POST", f"/containers/{identity}/start")
        except (RuntimeError, OSError) as error:
            failures.append(error)

    shares = [number // ways + (way < number % ways) for way in range(ways)]
    workers = [threading.Thread(target=work, args=(share,)) for share in shares]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failures:
        raise failures[0]
