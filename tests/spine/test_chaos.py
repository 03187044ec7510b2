"""Random kill -9 of the engine while clients create, start, stop, remove: nothing is stuck or left."""

from __future__ import annotations

import gc
import random
import threading
import time

import docker
import pytest
import requests
from tests.engine_fixture import ScratchEngine

# docker-py leaves its broken connections to the garbage collector
pytestmark = [pytest.mark.root, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]

EXPECTED = (docker.errors.DockerException, requests.exceptions.RequestException)


def customer(engine: ScratchEngine, number: int, over: threading.Event) -> None:
    """One client that does everyday things to its own few containers, whatever the answers are."""
    dice = random.Random(number)
    client = None
    while not over.is_set():
        try:
            client = client or docker.DockerClient(base_url=engine.host, version="1.41", timeout=30)
            one_deed(client, dice, f"chaos-{number}-{dice.randrange(3)}")
        except EXPECTED:
            over.wait(0.01)  # the engine is away for a moment
    if client:
        client.close()
    gc.collect()  # now, where the warnings about docker-py's connections are expected


def one_deed(client: docker.DockerClient, dice: random.Random, name: str) -> None:
    match dice.randrange(6):
        case 0 | 1:
            command = dice.choice((["true"], ["sleep", "300"], ["sh", "-c", "exit 3"]))
            network = dice.choice(("bridge", "none"))
            client.containers.run("busybox", command, name=name, detach=True, network=network)
        case 2:
            client.containers.get(name).stop(timeout=0)
        case 3:
            client.containers.get(name).start()
        case 4:
            client.containers.get(name).exec_run(["true"])
        case 5:
            client.containers.get(name).remove(force=True, v=True)


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
