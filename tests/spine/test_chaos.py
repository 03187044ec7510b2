"""Random kill -9 of the engine while clients create, start, stop, remove: nothing is stuck or left."""

from __future__ import annotations

import contextlib
import random
import threading
import time

import pytest
from bench.wire import Connection, Refused
from tests.engine_fixture import ScratchEngine

pytestmark = pytest.mark.root


def customer(engine: ScratchEngine, number: int, over: threading.Event) -> None:
    """One client that does everyday things to its own few containers, whatever the answers are."""
    dice = random.Random(number)
    while not over.is_set():
        try:
            with Connection(str(engine.socket)) as connection:
                while not over.is_set():
                    with contextlib.suppress(Refused):
                        one_deed(connection, dice, f"chaos-{number}-{dice.randrange(3)}")
        except (OSError, RuntimeError):
            over.wait(0.01)  # the engine is away for a moment


def one_deed(connection: Connection, dice: random.Random, name: str) -> None:
    match dice.randrange(6):
        case 0 | 1:
            command = dice.choice((["true"], ["sleep", "300"], ["sh", "-c", "exit 3"]))
            host_config = {"NetworkMode": dice.choice(("bridge", "none"))}
            body = {"Image": "busybox", "Cmd": command, "HostConfig": host_config}
            connection.request("POST", f"/containers/create?name={name}", body)
            connection.request("POST", f"/containers/{name}/start")
        case 2:
            connection.request("POST", f"/containers/{name}/stop?t=0")
        case 3:
            connection.request("POST", f"/containers/{name}/start")
        case 4:
            made = connection.request("POST", f"/containers/{name}/exec", {"Cmd": ["true"]})
            connection.request("POST", f"/exec/{made['Id']}/start", {"Detach": True})
        case 5:
            connection.request("DELETE", f"/containers/{name}?force=1&v=1")


@pytest.mark.timeout(3600)
def test_nothing_is_stuck_and_nothing_is_left(own_engine: ScratchEngine, pytestconfig: pytest.Config) -> None:
    engine = own_engine
    rounds: int = pytestconfig.getoption("--chaos-rounds")
    dice = random.Random(rounds)
    engine.docker("run", "-d", "--name", "witness", "busybox", "sleep", "100000")
    witness = engine.docker("inspect", "-f", "{{.State.Pid}}", "witness").stdout
    files_before = engine.stored_files()
    over = threading.Event()
    customers = [threading.Thread(target=customer, args=(engine, number, over)) for number in range(3)]
    for each in customers:
        each.start()
    try:
        for _ in range(rounds):
            time.sleep(dice.uniform(0.02, 0.5))  # a random moment is the point here
            engine.kill9()
            engine.restart()
    finally:
        over.set()
        for each in customers:
            each.join(60)
            assert not each.is_alive(), "a client is stuck"
    assert engine.docker("inspect", "-f", "{{.State.Pid}}", "witness").stdout == witness, (
        "the witness did not live on"
    )
    names = engine.docker("ps", "-a", "--format", "{{.Names}}").stdout.split()
    for name in names:
        if name != "witness":
            engine.docker("rm", "-f", "-v", name, timeout=30)
    assert engine.docker("ps", "-a", "--format", "{{.Names}}").stdout.split() == ["witness"]
    assert engine.stored_files() - files_before == set()
    # `own_engine` removes the witness and then looks for everything else that may be left
