"""The SDK against a real engine (dockerd too, with --against dockerd)."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from nakagin.client import Client, EngineError
from nakagin.client.containers import Container, ContainerExited
from nakagin.client.frames import STDERR, STDOUT
from nakagin.errors import Conflict, NotFound, Unavailable
from tests.engine_fixture import ScratchEngine

pytestmark = pytest.mark.root


@pytest.fixture
def client(engine: ScratchEngine) -> Iterator[Client]:
    """A client of the worker's engine."""
    with Client(engine.host) as client:
        yield client


@pytest.fixture
def sleeper(client: Client) -> Iterator[Container]:
    """A container that runs until it is told not to."""
    made = client.containers.run("busybox", ["sleep", "1000"], detach=True, network="none", init=True)
    assert isinstance(made, Container)
    yield made
    made.remove(force=True, volumes=True)


def test_the_engine_answers(client: Client) -> None:
    assert client.ping()
    assert client.version()["ApiVersion"]
    assert client.info()["OSType"] == "linux"
    assert {"Images", "Containers", "Volumes"} <= set(client.disk_usage())


def test_run_in_the_foreground(client: Client) -> None:
    options: Any = {"network": "none", "remove": True}
    assert client.containers.run("busybox", ["echo", "hi"], **options) == b"hi\n"
    assert client.containers.run("busybox", ["cat"], stdin=b"x" * 500_000, **options) == b"x" * 500_000
    with pytest.raises(ContainerExited) as caught:
        client.containers.run("busybox", ["sh", "-c", "echo bad >&2; exit 3"], **options)
    assert (caught.value.code, caught.value.output) == (3, b"bad\n")


def test_life(client: Client, sleeper: Container) -> None:
    assert sleeper.status == "running"
    assert sleeper.id in [each["Id"] for each in client.containers.list()]
    sleeper.start()  # no error: it runs already
    sleeper.pause()
    sleeper.reload()
    assert sleeper.status == "paused"
    sleeper.unpause()
    name = "x" + secrets.token_hex(4)
    sleeper.rename(name)
    assert client.containers.get(name).id == sleeper.id
    waiting = sleeper.waiting("next-exit")
    sleeper.kill("SIGTERM")
    assert waiting.result() == 143
    sleeper.reload()
    assert (sleeper.status, sleeper.exit_code) == ("exited", 143)


def test_exec_is_like_popen(sleeper: Container) -> None:
    output, errors = sleeper.exec(["sh", "-c", "echo out; echo err >&2"]).communicate()
    assert (output, errors) == (b"out\n", b"err\n")
    command = sleeper.exec(["sh", "-c", "cat; exit 5"], stdin=True, environment={"A": "b"})
    assert command.communicate(b"data" * 100_000)[0] == b"data" * 100_000
    assert command.returncode == 5
    assert sleeper.exec(["false"]).wait() == 1


def test_logs_and_frames(client: Client) -> None:
    made = client.containers.create("busybox", ["sh", "-c", "echo out; echo err >&2"], network="none")
    try:
        made.start()
        assert made.wait() == 0
        pieces = list(made.logs())
        assert b"".join(data for kind, data in pieces if kind == STDOUT) == b"out\n"
        assert b"".join(data for kind, data in pieces if kind == STDERR) == b"err\n"
        assert [data for _, data in made.logs(tail=0)] == []
    finally:
        made.remove(force=True)


def test_errors_have_classes_and_the_engines_words(client: Client, sleeper: Container) -> None:
    with pytest.raises(NotFound, match="nope-nope") as missing:
        client.containers.get("nope-nope")
    assert isinstance(missing.value, EngineError)
    assert missing.value.status == 404
    with pytest.raises(Conflict):
        sleeper.remove()
    with pytest.raises(NotFound):
        client.images.get("no-such-image")


def test_a_timeout_is_an_error_and_not_an_end(engine: ScratchEngine, sleeper: Container) -> None:
    with Client(engine.host) as impatient:
        stream = impatient.containers.refer(sleeper.id).attach()
        stream.settimeout(0.05)
        with stream, pytest.raises(Unavailable, match="within"):
            list(stream)


def test_events_and_keep_alive(engine: ScratchEngine, client: Client) -> None:
    seen: list[str] = []
    listening = threading.Event()

    def listen() -> None:
        with Client(engine.host) as listener:
            listener.ping()
            listening.set()
            for event in listener.events(since=0, filters={"type": "volume", "volume": name}):
                seen.append(event["Action"])
                if event["Action"] == "destroy":
                    return

    name = "v" + secrets.token_hex(4)
    thread = threading.Thread(target=listen)
    thread.start()
    listening.wait(10)
    client.volumes.create(name, labels={"a": "b"})
    assert client.volumes.get(name)["Labels"] == {"a": "b"}
    client.volumes.remove(name)
    thread.join(20)
    assert seen == ["create", "destroy"]
    assert len(client.session._idle) == 1, "one connection served all requests"


def test_images(client: Client) -> None:
    name = "t" + secrets.token_hex(4)
    client.images.tag("busybox", f"{name}:x")
    assert f"{name}:x" in client.images.get(name + ":x")["RepoTags"]
    archive = b"".join(client.images.save([f"{name}:x"]))
    assert client.images.remove(f"{name}:x")[0] == {"Untagged": f"{name}:x"}
    assert list(client.images.load(archive))
    client.images.remove(f"{name}:x")
    assert client.images.history("busybox")


def test_files(client: Client, sleeper: Container) -> None:
    sleeper.exec(["sh", "-c", "echo new > /new; rm -r /var"]).wait()
    assert {(each["Kind"], each["Path"]) for each in sleeper.changes()} >= {(1, "/new"), (2, "/var")}
    assert sleeper.top()["Processes"]
    assert next(sleeper.stats())["memory_stats"] is not None
