"""The everyday verbs on containers that are there, on a real engine."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.test_clients import Stack
from tests.engine_fixture import ScratchEngine, await_until

pytestmark = pytest.mark.root

FILE = """
services:
  base: {image: busybox, command: sleep 600, stop_signal: SIGKILL, ports: ["127.0.0.1::80"]}
  app:
    image: busybox
    command: sleep 600
    stop_signal: SIGKILL
    scale: 2
    depends_on: [base]
"""


@pytest.fixture(scope="module")
def stack(engine: ScratchEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home: Path = tmp_path_factory.mktemp("life")
    made = Stack(engine, home)
    (home / "compose.yaml").write_text(FILE)
    made.ours("up", "-d")
    yield made
    made.ours("down", "-v", "-t", "0")
    assert not made.left()


def states(stack: Stack) -> list[str]:
    shown = stack.engine.docker(
        "ps",
        "-a",
        "--filter",
        f"label=com.docker.compose.project={stack.name}",
        "--format",
        "{{.Names}} {{.State}}",
    )
    return sorted(line.removeprefix(f"{stack.name}-") for line in shown.stdout.splitlines())


def test_stop_start_restart(stack: Stack) -> None:
    told = stack.ours("stop", "-t", "1")
    assert told.rindex("app-") < told.index("base-1"), "dependents stop first"
    assert states(stack) == ["app-1 exited", "app-2 exited", "base-1 exited"]
    told = stack.ours("start", "app")
    assert told.index("base-1  Started") < told.index("app-"), "what it depends on comes first"
    assert states(stack) == ["app-1 running", "app-2 running", "base-1 running"]
    before = stack.engine.docker("inspect", "-f", "{{.State.StartedAt}}", f"{stack.name}-base-1").stdout
    stack.ours("restart", "-t", "0", "base")
    assert (
        stack.engine.docker("inspect", "-f", "{{.State.StartedAt}}", f"{stack.name}-base-1").stdout != before
    )


def started(stack: Stack, name: str) -> str:
    return stack.engine.docker("inspect", "-f", "{{.State.StartedAt}}", f"{stack.name}-{name}").stdout


def test_restart_takes_those_along_who_asked_for_it(stack: Stack) -> None:
    text = FILE.replace(
        "depends_on: [base]", "depends_on: {base: {condition: service_started, restart: true}}"
    )
    (stack.home / "restart.yaml").write_text(text)
    before = started(stack, "app-1"), started(stack, "base-1")
    stack.ours("-f", "restart.yaml", "restart", "--no-deps", "-t", "0", "base")
    alone = started(stack, "app-1"), started(stack, "base-1")
    assert alone[0] == before[0]
    assert alone[1] != before[1]
    told = stack.ours("-f", "restart.yaml", "restart", "-t", "0", "base")
    assert told.index("base-1  Started") < told.index("app-1  Restarting")
    assert started(stack, "app-1") != alone[0]


def test_without_the_file_the_labels_tell_the_order(stack: Stack) -> None:
    elsewhere = stack.home / "elsewhere"
    elsewhere.mkdir()
    home, stack.home = stack.home, elsewhere
    try:
        told = stack.ours("-p", stack.name, "stop", "-t", "0")
        assert told.rindex("app-") < told.index("base-1")
        told = stack.ours("-p", stack.name, "start")
        assert told.index("base-1  Started") < told.index("app-")
    finally:
        stack.home = home


def test_events_of_the_project(stack: Stack) -> None:
    since = stack.engine.docker("info", "--format", "{{.SystemTime}}").stdout.strip()
    stack.ours("pause", "app")
    stack.ours("unpause", "app")
    until = stack.engine.docker("info", "--format", "{{.SystemTime}}").stdout.strip()
    span = ("--since", since, "--until", until)
    lines = stack.ours("events", *span).splitlines()
    assert [line.split()[2:4] for line in lines].count(["container", "pause"]) == 2
    assert all("com.docker.compose" not in line and f"name={stack.name}-app-" in line for line in lines)
    assert stack.ours("events", *span, "base") == ""
    events = [json.loads(line) for line in stack.ours("events", "--json", *span, "app").splitlines()]
    told = stack.theirs("events", "--json", *span, "app", check=False)  # which ends with an error, "EOF"
    theirs = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    assert sorted(event["action"] for event in events) == ["pause", "pause", "unpause", "unpause"]
    assert events == theirs


def test_logs_follow_what_is_started_later(stack: Stack) -> None:
    (stack.home / "talk.yaml").write_text(
        f"name: {stack.name}\nservices:\n"
        "  early: {image: busybox, command: sh -c 'echo one; sleep 600', stop_signal: SIGKILL, network_mode: none}\n"
        "  late: {image: busybox, command: sh -c 'echo two; sleep 600', stop_signal: SIGKILL, network_mode: none}\n"
    )
    said = stack.home / "said"
    stack.ours("-f", "talk.yaml", "up", "-d", "early")
    with said.open("w") as output:
        process = subprocess.Popen(
            stack.engine.nakagin_argv("compose", "-f", "talk.yaml", "logs", "-f", "early", "late"), cwd=stack.home,
            env=stack.engine.environment(), stdout=output, stderr=output,
        )  # fmt: skip
    try:
        await_until(lambda: "early-1  | one\n" in said.read_text(), "the first line")
        stack.ours("-f", "talk.yaml", "up", "-d", "late")
        await_until(lambda: "late-1   | two\n" in said.read_text(), "what began later")
        stack.ours("-f", "talk.yaml", "restart", "-t", "0", "early")
        await_until(lambda: said.read_text().count("early-1  | one\n") == 2, "its second life")
        stack.ours("-f", "talk.yaml", "stop", "-t", "0", "early")
        stack.ours("-f", "talk.yaml", "start", "early")
        await_until(lambda: said.read_text().count("early-1  | one\n") == 3, "its third life")
        stack.ours("-f", "talk.yaml", "up", "-d", "--force-recreate", "-t", "0", "late")
        await_until(
            lambda: said.read_text().count("late-1   | two\n") == 2, "the new container, under its name"
        )
        stack.ours("-f", "talk.yaml", "kill", "early", "late")
        assert process.wait(30) == 0, "nothing is left to follow"
    finally:
        process.kill()
        process.wait()
        stack.ours("-f", "talk.yaml", "rm", "-fs")


def test_pause_and_unpause(stack: Stack) -> None:
    stack.ours("pause", "app")
    assert states(stack) == ["app-1 paused", "app-2 paused", "base-1 running"]
    stack.ours("unpause")
    assert states(stack) == ["app-1 running", "app-2 running", "base-1 running"]


def test_exec_top_port_and_images(stack: Stack) -> None:
    shown = stack.ours(
        "exec", "-T", "-e", "A=b", "-w", "/tmp", "--index", "2", "app", "sh", "-c", "echo $A $PWD"
    )
    assert shown == "b /tmp\n"
    assert stack.ours("exec", "-T", "app", "sh", "-c", "exit 7", code=7) == ""
    assert stack.ours("top", "base").count("sleep 600") == 1
    published = stack.ours("port", "base", "80")
    assert published == stack.engine.docker("port", f"{stack.name}-base-1", "80").stdout
    assert "no port 81/tcp" in stack.ours("port", "base", "81", code=1)
    assert "no such service: nobody" in stack.ours("stop", "nobody", code=1)
    assert "busybox" in stack.ours("images")
    stack.engine.docker("tag", "busybox", f"aa-{stack.name}")
    found = json.loads(stack.ours("images", "--format", "json", "app"))
    stack.engine.docker("rmi", f"aa-{stack.name}")
    assert [(each["Repository"], each["Tag"]) for each in found] == [("busybox", "latest")] * 2
    assert len(stack.ours("images", "-q").split()) == 1


def test_start_waits_until_all_is_well(stack: Stack) -> None:
    check = "healthcheck: {test: test -f /ready, interval: 500ms, retries: 100}"
    text = FILE.replace(
        "command: sleep 600,", f"command: sh -c 'sleep 1; touch /ready; exec sleep 600', {check},"
    )
    assert check in text
    (stack.home / "health.yaml").write_text(text)
    stack.ours("-f", "health.yaml", "create")
    stack.ours("-f", "health.yaml", "start", "--wait")
    state = stack.engine.docker("inspect", "-f", "{{.State.Health.Status}}", f"{stack.name}-base-1")
    assert state.stdout == "healthy\n"
    stack.ours("up", "-d", "-t", "0")


def test_orphans_are_killed_when_asked(stack: Stack) -> None:
    (stack.home / "less.yaml").write_text(f"name: {stack.name}\nservices:\n  base: {{image: busybox}}\n")
    assert "app" not in stack.ours("--dry-run", "-f", "less.yaml", "kill")
    assert "app-2" in stack.ours("--dry-run", "-f", "less.yaml", "kill", "--remove-orphans")


def test_kill_and_rm(stack: Stack) -> None:
    assert "kill" in stack.ours("--dry-run", "kill", "app")
    stack.ours("kill", "app")
    stack.ours("rm", "-f", "app")
    assert states(stack) == ["base-1 running"]
    stack.ours("rm", "-fsv", "base")
    assert states(stack) == []
    assert "No stopped containers" in stack.ours("rm", "-f")


def test_build_scale_and_pull(stack: Stack) -> None:
    (stack.home / "Dockerfile").write_text("FROM busybox\nARG WORD\nRUN echo $WORD > /word\n")
    (stack.home / "built.yaml").write_text(
        f"name: {stack.name}\nservices:\n  made: {{build: ., command: sleep 600, stop_signal: SIGKILL}}\n"
    )
    stack.ours("-f", "built.yaml", "build", "--build-arg", "WORD=said", "-q")
    stack.ours("-f", "built.yaml", "up", "-d")
    stack.ours("-f", "built.yaml", "scale", "made=2")
    assert states(stack) == ["made-1 running", "made-2 running"]
    assert stack.ours("-f", "built.yaml", "exec", "-T", "made", "cat", "/word") == "said\n"
    stack.ours("-f", "built.yaml", "scale", "made=1")
    assert states(stack) == ["made-1 running"]
    assert "SERVICE=NUMBER" in stack.ours("-f", "built.yaml", "scale", "made", code=1)
    assert stack.ours("pull", "--policy", "missing") == ""
    assert stack.ours("-f", "built.yaml", "pull") == ""
    stack.ours("-f", "built.yaml", "down", "-t", "0", "--rmi", "all")


SHARED = """
services:
  a: {image: busybox, command: sleep 600, stop_signal: SIGKILL, volumes: ["first:/d"], networks: [one]}
  b: {image: busybox, command: sleep 600, stop_signal: SIGKILL, volumes: ["second:/d"], networks: [two]}
  c: {image: busybox, command: sleep 600, stop_signal: SIGKILL, volumes: ["second:/d"], networks: [two]}
volumes: {first: , second: }
networks: {one: , two: }
"""


def test_down_of_a_service_takes_what_nobody_else_needs(stack: Stack) -> None:
    def kinds(words: str) -> list[str]:
        named = sorted(
            set(re.findall(r"(Network|Volume) \S+_(\w+?)  (Removed|Resource is still in use)", words))
        )
        return [" ".join(each) for each in named]

    apart = f"{stack.name}-apart"
    for run in (stack.theirs, stack.ours):
        (stack.home / "shared.yaml").write_text(f"name: {apart}\n{SHARED}")
        stack.ours("-f", "shared.yaml", "up", "-d")
        assert kinds(run("-f", "shared.yaml", "down", "-v", "a")) == [
            "Network one Removed",
            "Volume first Removed",
        ]
        assert kinds(run("-f", "shared.yaml", "down", "-v", "b")) == [
            "Network two Resource is still in use",
            "Volume second Resource is still in use",
        ]
        assert kinds(run("-f", "shared.yaml", "down", "-v")) == [
            "Network two Removed",
            "Volume second Removed",
        ]


MEET = """FROM busybox
ARG ME OTHER
RUN --mount=type=cache,id=NAME,target=/m touch /m/$ME; for n in $(seq 600); do \\
    test -e /m/$OTHER && exit; sleep 0.1; done; exit 1
"""


def test_services_are_built_at_the_same_time(stack: Stack) -> None:
    """Each waits for the other."""
    (stack.home / "Meet").write_text(MEET.replace("NAME", stack.name))
    build = "build: {context: ., dockerfile: Meet, args: {ME: %s, OTHER: %s}}"
    (stack.home / "meet.yaml").write_text(
        f"name: {stack.name}\nservices:\n  one: {{{build % ('a', 'b')}}}\n  two: {{{build % ('b', 'a')}}}\n"
    )
    try:
        told = stack.ours("-f", "meet.yaml", "build")
        assert "[one 3/3] RUN" in told
        assert "[two 3/3] RUN" in told
        assert told.count("Successfully tagged") == 2
    finally:
        stack.engine.docker("rmi", "-f", f"{stack.name}-one", f"{stack.name}-two", check=None)


def test_a_build_that_fails_shows_its_last_words(stack: Stack) -> None:
    (stack.home / "fail.yaml").write_text(
        f"name: {stack.name}\nservices:\n  web:\n    build:\n"
        '      dockerfile_inline: "FROM busybox\\nRUN echo so it goes; exit 3"\n'
    )
    for words in (["build"], ["up", "-d"], ["up", "-d", "--quiet-build"]):
        told = stack.ours("-f", "fail.yaml", *words, code=1)
        assert "   so it goes\n------" in told
        assert ">>> RUN echo so it goes; exit 3" in told
    assert stack.ours("-f", "fail.yaml", "build", "--dry-run") == "DRY-RUN MODE - build web\n"


BUILT = """
services:
  top:
    build:
      context: .
      args: {WORD: "1"}
      target: last
      secrets: [s]
      tags: ["x:y"]
      labels: {a: b}
      cache_from: [foo]
      additional_contexts: {below: "service:under"}
      extra_hosts: ["h:1.2.3.4"]
      ulimits: {nofile: {soft: 10, hard: 20}}
      no_cache: true
  under: {build: {context: ., dockerfile_inline: "FROM busybox\\nRUN echo $${X} > /under"}}
secrets: {s: {environment: SECRET}}
"""


def test_build_prints_checks_and_builds_what_others_are_built_from_first(stack: Stack) -> None:
    (stack.home / "Dockerfile").write_text("FROM below AS last\nARG WORD\nRUN cat /under\n")
    text = f"name: {stack.name}\n{BUILT}"
    (stack.home / "bake.yaml").write_text(text)
    theirs = stack.theirs("-f", "bake.yaml", "build", "--print").splitlines()
    shown = "\n".join(line for line in theirs if not line.startswith("time="))
    ours = json.loads(stack.ours("-f", "bake.yaml", "build", "--print"))
    assert ours["target"] == json.loads(shown)["target"]
    assert ours["group"]["default"]["targets"] == ["top", "under"]
    assert "no warnings found" in stack.ours("-f", "bake.yaml", "build", "--check", "under")
    try:
        stack.ours("-f", "bake.yaml", "build", "--builder", "default", "-q", "top", extra={"SECRET": "x"})
        assert stack.engine.docker("image", "inspect", "x:y", f"{stack.name}-under", check=0)
        told = stack.ours("-f", "bake.yaml", "up", "--plan", "--build", "top", extra={"SECRET": "x"})
        assert "[2] -> 1  image" in told, "the one that is built from the other waits for it"
        stack.ours("-f", "bake.yaml", "build", "-q", "--sbom", "true", "under")
        api = stack.engine.client().api
        said = api.get(f"{api.base_url}/v1.53/images/{stack.name}-under/attestations").json()
        assert "https://spdx.dev/Document" in {each["PredicateType"] for each in said}
    finally:
        stack.engine.docker("rmi", "-f", "x:y", f"{stack.name}-top", f"{stack.name}-under", check=None)
