"""What waits: `wait` with its conditions, `events` with its filters; stops and restarts with their signals."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from docker import DockerClient
from docker.errors import APIError, NotFound
from docker.utils import convert_filters
from tests.engine_fixture import ScratchEngine, await_until
from tests.spine.observe import inspect

pytestmark = pytest.mark.root

_PATIENCE = 60


@pytest.fixture
def later() -> Iterator[Callable[..., Any]]:
    """Runs something beside the test; its future."""
    with ThreadPoolExecutor(8) as pool:
        yield pool.submit


def waiting(engine: ScratchEngine, name: str, condition: str) -> int:
    """The exit code that a wait gets, over a connection of its own."""
    found = engine.client().api.wait(name, timeout=_PATIENCE, condition=condition)
    return int(found["StatusCode"])


def test_conditions(engine: ScratchEngine, name: str, later: Callable[..., Any]) -> None:
    """API.ContainerWait API.ContainerWait.condition CLI.wait CLI.container_wait"""
    api = engine.client().api
    engine.docker("create", "--name", name, "-i", "busybox", "sh", "-c", "read code; exit $code")
    assert waiting(engine, name, "not-running") == 0, "it does not run: at once"
    with pytest.raises(APIError) as refused:
        api.wait(name, condition="sometime")
    assert refused.value.status_code == 400
    with pytest.raises(NotFound):
        api.wait("nobody")
    # The head is answered when the wait is registered: so docker run starts the container only then.
    answers = [
        api.post(
            api._url("/containers/{0}/wait", name), params={"condition": each}, stream=True, timeout=_PATIENCE
        )
        for each in ("next-exit", "removed")
    ]
    assert [each.status_code for each in answers] == [200, 200]
    engine.docker("start", "-ai", name, stdin="7\n", check=7)
    assert answers[0].json()["StatusCode"] == 7
    assert waiting(engine, name, "not-running") == 7, "what it ended with last"
    engine.docker("rm", name)
    assert answers[1].json()["StatusCode"] == 7
    # Several at once, of one that ends, and of one that goes by itself.
    made = engine.docker("run", "-d", "--rm", "--init", "--name", name, "busybox", "sleep", "1000")
    identity = made.stdout.strip()
    begun = [
        api.post(
            api._url("/containers/{0}/wait", name), params={"condition": each}, stream=True, timeout=_PATIENCE
        )
        for each in ("not-running", "next-exit", "removed", "")
    ]
    engine.docker("kill", "-s", "TERM", name)
    assert [each.json()["StatusCode"] for each in begun] == [143] * 4
    with pytest.raises(NotFound):
        api.wait(name)
    # Who has its id, and asks too late, gets to know how it ended.
    assert waiting(engine, identity, "not-running") == waiting(engine, identity, "removed") == 143
    with pytest.raises(NotFound):
        api.wait(identity, condition="next-exit")
    engine.docker("run", "-d", "--init", "--name", name, "busybox", "sleep", "1000")
    told = later(lambda: engine.nakagin("wait", name).stdout)
    engine.docker("kill", "-s", "INT", name)
    assert told.result(_PATIENCE) == "130\n"


def test_a_wait_goes_on_through_restarts(engine: ScratchEngine, name: str, later: Callable[..., Any]) -> None:
    """A container that its policy starts again has not ended; after the last time it has."""
    engine.docker("create", "--name", name, "--restart", "on-failure:2", "busybox", "sh", "-c", "exit 4")
    api = engine.client().api
    wait = api.post(
        api._url("/containers/{0}/wait", name),
        params={"condition": "next-exit"},
        stream=True,
        timeout=_PATIENCE,
    )
    engine.docker("start", name)
    assert wait.json()["StatusCode"] == 4
    assert inspect(engine, name, "{{.RestartCount}} {{.State.Status}}") == "2 exited"


@pytest.mark.docker(28)
@pytest.mark.parametrize("verb", ["stop", "restart"])
def test_signals_of_stop_and_restart(engine: ScratchEngine, name: str, verb: str) -> None:
    """CLI.stop CLI.stop.signal CLI.stop.timeout CLI.stop.time CLI.restart CLI.restart.signal CLI.restart.timeout
    CLI.restart.time API.ContainerStop API.ContainerStop.signal API.ContainerStop.t API.ContainerRestart
    API.ContainerRestart.signal API.ContainerRestart.t
    """
    script = (
        "trap 'echo usr; exit 0' USR1; trap 'echo term; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    )
    engine.docker("run", "-d", "--name", name, "busybox", "sh", "-c", script)

    def lines() -> list[str]:
        return engine.docker("logs", name).stdout.split()

    await_until(lambda: lines() == ["up"], "the traps")
    engine.docker(verb, "--signal", "USR1", "--timeout", "30", name)
    if verb == "stop":
        assert lines() == ["up", "usr"]
        engine.docker("start", name)
    await_until(lambda: lines() == ["up", "usr", "up"], "the traps again")
    engine.docker(verb, "--time", "30", name)
    await_until(lambda: lines()[:4] == ["up", "usr", "up", "term"], "the usual signal")
    refused = engine.docker(verb, "--signal", "NONSENSE", name, check=1)
    assert "invalid signal" in refused.stderr.lower()


def told(engine: ScratchEngine, **filters: str | list[str]) -> list[str]:
    """ "type action" of the remembered events that pass these filters."""
    api = engine.client().api
    query = {"since": "1", "until": f"{time.time():.6f}", "filters": convert_filters(filters)}
    answer = api.get(api._url("/events"), params=query, timeout=_PATIENCE)
    assert answer.status_code == 200, answer.text
    return [f"{each['Type']} {each['Action']}" for each in map(json.loads, answer.text.splitlines())]


@pytest.mark.docker(28)
def test_event_filters(engine: ScratchEngine, name: str) -> None:
    """API.SystemEvents API.SystemEvents.since API.SystemEvents.until API.SystemEvents.filters
    API.SystemEvents.filters.container API.SystemEvents.filters.event API.SystemEvents.filters.image
    API.SystemEvents.filters.label API.SystemEvents.filters.network API.SystemEvents.filters.scope
    API.SystemEvents.filters.type API.SystemEvents.filters.volume API.SystemEvents.filters.daemon
    API.SystemEvents.filters.config API.SystemEvents.filters.node API.SystemEvents.filters.plugin
    API.SystemEvents.filters.secret API.SystemEvents.filters.service CLI.events CLI.events.filter CLI.events.since
    CLI.events.until CLI.events.format CLI.system_events CLI.system_events.filter CLI.system_events.since
    CLI.system_events.until CLI.system_events.format
    """
    engine.docker("volume", "create", f"vol-{name}")
    engine.docker("network", "create", f"net-{name}")
    engine.docker("run", "--name", name, "-l", f"of={name}", "--network", f"net-{name}", "-v", f"vol-{name}:/v",
                  "busybox", "true")  # fmt: skip
    identity = inspect(engine, name, "{{.Id}}")
    engine.docker("rm", name)
    engine.docker("volume", "rm", f"vol-{name}")
    engine.docker("network", "rm", f"net-{name}")
    life = [f"container {each}" for each in ("create", "attach", "start", "die", "destroy")]
    for reference in (name, identity, identity[:12]):
        assert told(engine, container=reference) == life
    assert told(engine, label=f"of={name}") == life
    assert told(engine, label=[f"of={name}", "of=another"]) == []
    assert told(engine, container=name, event=["start", "die"]) == ["container start", "container die"]
    assert told(engine, container=[name, "nobody"], type="container", scope="local") == life
    assert told(engine, container=name, scope="swarm") == []
    assert told(engine, container=name, type="image") == []
    assert told(engine, volume=f"vol-{name}") == [
        f"volume {each}" for each in ("create", "mount", "unmount", "destroy")
    ]
    assert told(engine, network=f"net-{name}") == [
        f"network {each}" for each in ("create", "connect", "disconnect", "destroy")
    ]
    assert set(life) <= set(
        told(engine, image="busybox", event=["create", "attach", "start", "die", "destroy"])
    )
    for noun in ("config", "node", "plugin", "secret", "service", "daemon"):
        assert told(engine, **{noun: "any"}) == []
    with pytest.raises(AssertionError, match="invalid filter"):
        told(engine, colour="red")
    words = (
        "--filter",
        f"container={name}",
        "--since",
        "1h",
        "--until",
        f"{time.time():.6f}",
        "--format",
        "json",
    )
    for run in (engine.docker, engine.nakagin):
        for verb in (("events",), ("system", "events")):
            lines = [json.loads(line) for line in run(*verb, *words).stdout.splitlines()]
            assert [f"{each['Type']} {each['Action']}" for each in lines] == life
            moments = [each["timeNano"] for each in lines]
            assert moments == sorted(set(moments))


def test_events_as_they_come(engine: ScratchEngine, name: str) -> None:
    """A listener gets what it asked for in order, and `until` ends it in time."""
    with ThreadPoolExecutor(1) as pool:
        stream = engine.client().events(
            decode=True, filters={"container": name}, until=int(time.time()) + 600
        )
        seen = pool.submit(lambda: [next(stream)["Action"] for _ in range(4)])
        engine.docker("create", "--name", name, "--rm", "busybox", "true")
        engine.docker("start", name)
        assert seen.result(_PATIENCE) == ["create", "start", "die", "destroy"]
        stream.close()
    begun = time.monotonic()
    assert list(engine.client().events(filters={"container": name}, until=int(time.time()) + 1)) == []
    assert time.monotonic() - begun < _PATIENCE


@pytest.mark.parametrize("tty", [False, True])
def test_output_comes_before_the_answer_of_wait(api: DockerClient, tty: bool) -> None:
    """Clients that attach, start and wait (dockerode) take that answer for the end of everything."""
    command = ["sh", "-c", "echo out; exit 3"]
    for _ in range(10):
        made = api.api.create_container("busybox", command, tty=tty, host_config={"AutoRemove": True})
        query = {"stream": 1, "stdout": 1, "stderr": 1}
        attached = api.api.post(
            api.api._url("/containers/{0}/attach", made["Id"]), params=query, stream=True, timeout=_PATIENCE
        )
        stream = api.api._get_raw_response_socket(attached)
        api.api.start(made["Id"])
        assert api.api.wait(made["Id"], timeout=_PATIENCE)["StatusCode"] == 3
        bare = getattr(stream, "_sock", stream)
        bare.setblocking(False)
        told = b""
        while piece := bare.recv(4096):  # neither the output nor its end has to be waited for
            told += piece
        assert told == (b"out\r\n" if tty else b"\1\0\0\0\0\0\0\4out\n")
        attached.close()
