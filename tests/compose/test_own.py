"""The keys that are ours: when a service is ready, and jobs."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from nakagin.client import Client
from nakagin.compose.environment import gather
from nakagin.compose.loader import load
from nakagin.compose.own import Readiness, readiness
from nakagin.compose.plan import RemoveContainer
from nakagin.compose.ready import await_ready
from nakagin.compose.reconcile import Wish, plan_up
from nakagin.compose.teardown import Ending, plan_down
from nakagin.compose.wait import Unmet
from nakagin.errors import Invalid
from tests.compose.test_clients import Stack
from tests.compose.test_plan import but, container, everything, lines, project
from tests.engine_fixture import ScratchEngine, await_until

READY = """
services:
  tcp:
    image: busybox
    command: sh -c 'sleep 0.5; exec httpd -f -p 5000'
    stop_signal: SIGKILL
    x-nakagin-ready: {tcp: 5000}
  http:
    image: busybox
    command: sh -c 'mkdir /w; (sleep 0.5; echo ok > /w/health) & exec httpd -f -p 8080 -h /w'
    stop_signal: SIGKILL
    networks: [inside]
    x-nakagin-ready: {http: 8080/health, interval: 50ms}
  log:
    image: busybox
    command: sh -c 'echo starting; sleep 0.5; echo "listening on 80" >&2; exec sleep 600'
    stop_signal: SIGKILL
    network_mode: none
    x-nakagin-ready: {log: "listening on [0-9]+$$"}
  after:
    image: busybox
    command: sleep 600
    stop_signal: SIGKILL
    network_mode: none
    depends_on:
      tcp: {condition: service_healthy}
      http: {condition: service_started}
      log: {condition: service_healthy}
networks: {inside: {internal: true}}
"""
FAILING = """
x-all: &all {image: busybox, command: sleep 600, stop_signal: SIGKILL}
services:
  after: {<<: *all, network_mode: none, depends_on: [shut]}
  shut: {<<: *all, x-nakagin-ready: {tcp: 5000, timeout: 500ms}}
  silent: {<<: *all, network_mode: none, x-nakagin-ready: {log: never, timeout: 500ms}}
  wrong: {<<: *all, command: httpd -f -p 80, x-nakagin-ready: {http: 80/gone, timeout: 500ms}}
  ended: {<<: *all, command: "false", x-nakagin-ready: {tcp: 5000}}
  dumb: {<<: *all, command: "false", network_mode: none, x-nakagin-ready: {log: never}}
  alone: {<<: *all, network_mode: none, x-nakagin-ready: {tcp: 5000}}
"""


@pytest.fixture
def stack(engine: ScratchEngine, tmp_path: Path) -> Iterator[Stack]:
    home = tmp_path / f"o{secrets.token_hex(3)}"
    home.mkdir()
    made = Stack(engine, home)
    yield made
    made.ours("down", "-v", "-t", "0", "--remove-orphans")
    assert not made.left()


@pytest.mark.root
def test_services_wait_for_what_is_seen_from_outside(stack: Stack) -> None:
    (stack.home / "compose.yaml").write_text(READY)
    plan = stack.ours("up", "--plan")
    assert "until it accepts connections at port 5000, for after" in plan
    assert "until port 8080 answers GET /health, for after" in plan
    told = stack.ours("up", "-d")
    for name in ("tcp", "http", "log"):
        assert told.index(f"Service {name}  Ready") < told.index("after-1  Starting"), told
    docker = stack.engine.docker
    assert "listening" in docker("logs", f"{stack.name}-log-1").stderr
    assert docker("exec", f"{stack.name}-http-1", "cat", "/w/health").stdout == "ok\n"
    stack.ours("restart", "-t", "0", "log")
    stack.ours("up", "--wait", "log")
    assert docker("logs", f"{stack.name}-log-1").stderr.count("listening") == 2, (
        "its earlier life does not count"
    )


@pytest.mark.root
def test_what_is_never_ready_says_why(stack: Stack) -> None:
    (stack.home / "compose.yaml").write_text(FAILING)
    told = stack.ours("up", "-d", "after", code=1)
    assert f"container {stack.name}-shut-1 is not ready after 500ms: 1" in told
    assert "it is when it accepts connections at port 5000" in told
    assert stack.states() == {"shut-1": "running", "after-1": "created"}
    stack.ours("up", "-d", "silent", "wrong", "ended", "dumb", "alone")
    shown = load(gather(working=str(stack.home))).project
    with Client(stack.engine.host) as client:
        for name, said in (
            ("silent", "after 500ms: no such line"),
            ("wrong", "GET /gone is answered with 404"),
            ("ended", "exited (1)"),
            ("dumb", "exited (1)"),
            ("alone", "its port 5000 cannot be reached from here"),
        ):
            ready = readiness(shown, name)
            assert ready is not None
            with pytest.raises(Unmet) as caught:
                await_ready(client, client.containers.get(f"{stack.name}-{name}-1").id, name, ready)
            assert said in str(caught.value)
            assert f"container {name}" in str(caught.value)


JOBS = """
services:
  migrate:
    image: busybox
    command: sh -c 'echo ran >> /data/log'
    volumes: ["data:/data"]
    network_mode: none
    x-nakagin-job: once
  often:
    image: busybox
    command: sh -c 'echo tick'
    network_mode: none
    x-nakagin-job: {schedule: "@every 1s", time_zone: Europe/Vienna}
  app:
    image: busybox
    command: sleep 600
    stop_signal: SIGKILL
    volumes: ["data:/data"]
    network_mode: none
    depends_on: {migrate: {condition: service_completed_successfully}}
volumes: {data: }
"""


@pytest.mark.root
def test_jobs_run_once_or_on_their_schedule(stack: Stack) -> None:
    (stack.home / "compose.yaml").write_text(JOBS)
    docker = stack.engine.docker
    stack.ours("up", "-d", "--wait")
    await_until(lambda: "tick" in docker("logs", f"{stack.name}-often-1").stdout, "the engine starts it")

    def runs() -> int:
        return docker("exec", f"{stack.name}-app-1", "cat", "/data/log").stdout.count("ran")

    assert runs() == 1
    assert stack.ours("up", "--plan") == "Nothing to do: everything is as the files say.\n"
    stack.ours("up", "-d")
    assert runs() == 1, "it has run"
    (stack.home / "compose.yaml").write_text(
        JOBS.replace("@every 1s", "@yearly").replace("echo ran", "echo ran again")
    )
    plan = stack.ours("up", "--plan")
    assert "its schedule changed" in plan
    assert "its configuration changed" in plan
    stack.ours("up", "-d")
    assert runs() == 2, "it is another job now"
    zone = docker(
        "inspect", "-f", '{{index .Config.Labels "nakagin.schedule.zone"}}', f"{stack.name}-often-1"
    )
    assert zone.stdout == "Europe/Vienna\n"
    assert stack.ours("run", "--rm", "-q", "often") == "tick\n"


def test_what_the_engine_may_have_started_again_is_removed_by_force(tmp_path: Path) -> None:
    shop = project(
        tmp_path, "name: shop\nservices:\n  a: {image: a, x-nakagin-job: '@hourly'}\n  b: {image: b}\n"
    )
    ended = container(shop, "a", state="exited")
    ended.labels["nakagin.schedule"] = "@hourly"
    plan = plan_down(shop, everything(shop, ended, container(shop, "b")), Ending())
    removals = [each.action for each in plan.operations if isinstance(each.action, RemoveContainer)]
    assert {each.name: each.force for each in removals} == {"shop-a-1": True, "shop-b-1": False}


def test_a_job_that_failed_is_run_again(tmp_path: Path) -> None:
    shop = project(tmp_path, "name: shop\nservices:\n  a: {image: a, x-nakagin-job: once}\n")
    ended = container(shop, "a", state="exited")
    ended.summary["Status"] = "Exited (0) 3 minutes ago"
    assert not plan_up(shop, everything(shop, ended), Wish()).operations
    ended.summary["Status"] = "Exited (1) 3 minutes ago"
    assert lines(plan_up(shop, everything(shop, ended), Wish())) == [
        "[1] container shop-a-1 start it is exited"
    ]


def test_an_engine_without_a_clock_is_told_of(tmp_path: Path) -> None:
    shop = project(tmp_path, "name: shop\nservices:\n  a: {image: a, labels: {nakagin.schedule: '@daily'}}\n")
    assert not plan_up(shop, everything(shop), Wish()).warnings
    (said,) = plan_up(shop, but(everything(shop), keeps_time=False), Wish()).warnings
    assert "starts no containers on a schedule" in said


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("x-nakagin-ready: 80", "x-nakagin-ready must be a map"),
        ("x-nakagin-ready: {}", "needs one of tcp, http and log"),
        ("x-nakagin-ready: {tcp: 80, log: x}", "needs one of tcp, http and log"),
        ("x-nakagin-ready: {tpc: 80}", "did you mean tcp?"),
        ("x-nakagin-ready: {tcp: 70000}", "'70000' is no port"),
        ("x-nakagin-ready: {tcp: 80/x}", "'80/x' is no port"),
        ("x-nakagin-ready: {log: '('}", "not a regular expression"),
        ("x-nakagin-ready: {tcp: 80, timeout: soon}", "invalid duration"),
        ("x-nakagin-ready: {tcp: 80, timeout: 0s}", "no time to wait"),
        ("x-nakagin-job: twice", "not a schedule: 'twice'"),
        ("x-nakagin-job: {schedule: '@daily', zone: x}", "did you mean time_zone?"),
        ("x-nakagin-job: {schedule: '@daily', time_zone: Mars/Town}", "no such time zone: 'Mars/Town'"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, keys: str, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        project(tmp_path, f"services:\n  a:\n    image: x\n    {keys}\n")
    assert said in str(caught.value)
    assert "compose.yaml:4:5: services.a.x-nakagin-" in str(caught.value)


def test_what_is_meant_is_said() -> None:
    assert str(Readiness(log="up$")) == "its output has 'up$'"
