"""On a real engine: the Compose v2 binary does its work there, and our own command line brings a stack to life."""

from __future__ import annotations

import json
import os
import pty
import secrets
import select
import signal
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.corpus import binary
from tests.engine_fixture import ScratchEngine, await_until

pytestmark = pytest.mark.root

STACK = """
services:
  web:
    build: {context: ., args: {GREETING: hello}}
    command: sh -c 'cat /greeting; exec httpd -f -p 80 -h /www'
    stop_signal: SIGKILL
    ports: ["127.0.0.1::80"]
    depends_on: {db: {condition: service_healthy}, seed: {condition: service_completed_successfully}}
    networks: [front, back]
  db:
    image: busybox
    command: sh -c 'touch /ready; exec sleep 600'
    stop_signal: SIGKILL
    healthcheck: {test: test -f /ready, interval: 1s}
    post_start: [{command: touch /hooked}]
    volumes: ["data:/data", /scratch]
    secrets: [password]
    configs: [{source: note, target: /etc/note, mode: 0400}]
    networks: {back: {aliases: [database]}}
  seed:
    image: busybox
    command: sh -c 'echo seeded >> /data/log'
    volumes: ["data:/data"]
    networks: [back]
    depends_on: [db]
  tool: {image: busybox, command: "true", profiles: [tools], network_mode: none}
networks: {front: , back: {internal: true}}
volumes: {data: }
secrets: {password: {file: ./password}}
configs: {note: {content: "noted "}}
"""
DOCKERFILE = """
FROM busybox
ARG GREETING
RUN mkdir /www && echo $GREETING > /greeting && echo page > /www/index.html
"""


class Stack:
    """The stack in a folder of its own."""

    def __init__(self, engine: ScratchEngine, home: Path) -> None:
        self.engine, self.home = engine, home
        self.name = home.name
        (home / "compose.yaml").write_text(STACK)
        (home / "Dockerfile").write_text(DOCKERFILE)
        (home / "password").write_text("s3cret")

    def theirs(self, *words: str, check: bool = True, extra: dict[str, str] | None = None) -> str:
        return self._run([binary(), *words], extra or {}, check)

    def ours(
        self, *words: str, check: bool = True, code: int = 0, extra: dict[str, str] | None = None
    ) -> str:
        return self._run(self.engine.nakagin_argv("compose", *words), extra or {}, check, code)

    def _run(self, argv: list[str], extra: dict[str, str], check: bool, code: int = 0) -> str:
        done = subprocess.run(
            argv, cwd=self.home, env=self.engine.environment(extra), capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip
        assert not check or done.returncode == code, (
            f"{done.returncode} {argv[-4:]}\n{done.stdout}{done.stderr}"
        )
        return done.stdout + done.stderr

    def states(self) -> dict[str, str]:
        """Service and number → state, as our `ps` has it."""
        rows = self.ours("ps", "-a", "--format", "json").splitlines()
        return {row["Name"].removeprefix(f"{self.name}-"): row["State"] for row in map(json.loads, rows)}

    def left(self) -> str:
        """Whatever there is of the project."""
        label = f"label=com.docker.compose.project={self.name}"
        docker = self.engine.docker
        return "".join(
            docker(*words, "-q", "--filter", label).stdout
            for words in (["ps", "-a"], ["network", "ls"], ["volume", "ls"])
        )


@pytest.fixture
def stack(engine: ScratchEngine, tmp_path: Path) -> Iterator[Stack]:
    home = tmp_path / f"s{secrets.token_hex(3)}"
    home.mkdir()
    made = Stack(engine, home)
    yield made
    made.theirs("down", "-v", "-t", "0", "--remove-orphans", "--rmi", "local", check=False)


def test_the_binary_builds_runs_and_ends_a_stack(stack: Stack) -> None:
    stack.theirs("build")
    stack.theirs("up", "-d", "--wait", check=False)  # 1: the job has ended, which --wait does not like
    assert stack.states() == {"web-1": "running", "db-1": "running", "seed-1": "exited"}
    await_until(lambda: "hello" in stack.theirs("logs", "web"), "the web server's word")
    assert (
        stack.theirs("exec", "-T", "db", "cat", "/etc/note", "/data/log", "/run/secrets/password")
        == "noted seeded\ns3cret"
    )
    assert "page" in stack.theirs("exec", "-T", "db", "wget", "-qO-", "http://web/")
    shown = stack.theirs("ps")
    assert "127.0.0.1:" in shown
    assert "(healthy)" in shown
    assert stack.ours("up", "--plan").splitlines()[0].endswith("it is exited"), "only the job runs again"
    stack.theirs("down", "-v", "-t", "0")
    assert not stack.left()


def test_our_stack_lives_heals_and_leaves_nothing(stack: Stack) -> None:
    stack.theirs("build")
    stack.ours("up", "-d", "--wait")
    assert stack.states() == {"web-1": "running", "db-1": "running", "seed-1": "exited"}
    logs = ("logs", "--no-color", "web")
    await_until(lambda: stack.ours(*logs) == "web-1  | hello\n", "the web server's word")
    stack.engine.docker("exec", f"{stack.name}-db-1", "test", "-f", "/hooked")
    docker = stack.engine.docker
    assert (
        docker("exec", f"{stack.name}-db-1", "cat", "/etc/note", "/data/log", "/run/secrets/password").stdout
        == "noted seeded\ns3cret"
    )
    assert docker("exec", f"{stack.name}-db-1", "wget", "-qO-", "http://web/").stdout == "page\n"
    # the client of the binary finds all as it should be
    again = stack.theirs("up", "-d")
    assert "Recreate" not in again
    assert f"Container {stack.name}-db-1  Running" in again
    # a crash, and something removed by hand
    docker("kill", f"{stack.name}-db-1")
    docker("rm", "-f", f"{stack.name}-web-1")
    stack.ours("up", "-d")
    assert stack.states() == {"web-1": "running", "db-1": "running", "seed-1": "exited"}
    # a change makes one service anew, and its anonymous volume stays
    docker("exec", f"{stack.name}-db-1", "touch", "/scratch/kept")
    text = (stack.home / "compose.yaml").read_text()
    (stack.home / "compose.yaml").write_text(text.replace("exec sleep 600", "exec sleep 601"))
    told = stack.ours("up", "-d")
    assert f"Container {stack.name}-db-1  Recreated" in told
    assert f"Container {stack.name}-web-1  Running\n" in told, "the other one stays"
    docker("exec", f"{stack.name}-db-1", "test", "-f", "/scratch/kept")
    stack.ours("up", "-d", "--scale", "db=2", "db")
    assert stack.states()["db-2"] == "running"
    assert stack.ours("ls", "-q").split().count(stack.name) == 1
    stack.ours("down", "-v", "-t", "0")
    assert not stack.left()


def test_a_dependency_that_fails_is_told_and_nothing_more_is_started(stack: Stack) -> None:
    text = STACK.replace("echo seeded >> /data/log", "echo no; exit 3").replace(
        "build: {context: ., args: {GREETING: hello}}", "image: busybox"
    )
    (stack.home / "compose.yaml").write_text(text)
    told = stack.ours("up", "-d", check=False)
    assert f"container {stack.name}-seed-1 exited (3)" in told
    assert stack.states()["web-1"] == "created"


def test_a_project_without_its_file_goes_down_by_name(stack: Stack, tmp_path: Path) -> None:
    (stack.home / "compose.yaml").write_text(
        "x-all: &all {image: busybox, command: sleep 600, stop_signal: SIGKILL}\n"
        "services: {first: {<<: *all, volumes: ['data:/data']}, then: {<<: *all, depends_on: [first]}}\n"
        "volumes: {data: }\n"
    )
    stack.ours("up", "-d")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    stack.home = elsewhere
    told = stack.ours("-p", stack.name, "down", "-v", "-t", "0")
    assert told.index("then-1  Removed") < told.index("first-1  Stopping"), "the labels tell the order"
    assert not stack.left()


def test_a_name_alone_means_that_project_in_the_folder_of_another(stack: Stack, tmp_path: Path) -> None:
    (stack.home / "compose.yaml").write_text(
        "x-all: &all {command: sleep 600, stop_signal: SIGKILL, network_mode: none}\n"
        "services:\n"
        "  a: {<<: *all, image: busybox}\n"
        '  made: {<<: *all, build: {dockerfile_inline: "FROM busybox\\nRUN true"}}\n'
        "  timed: {<<: *all, image: busybox, x-nakagin-job: '@yearly'}\n"
    )
    stack.ours("up", "-d")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "compose.yaml").write_text("services: {other: {image: busybox}}")
    stack.home = elsewhere
    for words in (["stop", "a"], ["start"], ["logs", "a"]):
        stack.ours("-p", stack.name, *words)
    assert stack.engine.docker("ps", "-q", "-f", f"name={stack.name}-timed-1").stdout == "", (
        "the engine starts that"
    )
    assert stack.engine.docker("ps", "-q", "-f", f"name={stack.name}-a-1").stdout
    assert "no such service: other" in stack.ours("-p", stack.name, "stop", "other", code=1)
    stack.ours("-p", stack.name, "down", "--rmi", "local")
    assert not stack.left()
    assert stack.engine.docker("images", "-q", f"{stack.name}-made").stdout == ""
    assert stack.engine.docker("images", "-q", "busybox").stdout


ATTACHED = """
services:
  talk: {image: busybox, command: sh -c 'echo one; echo two >&2; exit 7'}
  quiet: {image: busybox, command: sh -c 'echo hidden; exec sleep 600', attach: false, stop_signal: SIGKILL}
  late: {image: busybox, command: echo late, depends_on: {talk: {condition: service_started}}}
"""


def test_up_stays_shows_all_and_ends_with_the_exit_code(stack: Stack) -> None:
    (stack.home / "compose.yaml").write_text(ATTACHED)
    told = stack.ours("up", "--exit-code-from", "talk", code=7)
    assert {"talk-1  | one", "talk-1  | two"} <= set(told.splitlines())
    assert "hidden" not in told
    assert set(stack.states().values()) == {"exited"}, "the others were stopped"
    told = stack.ours("up", "--abort-on-container-failure", "--no-log-prefix", code=7)
    assert told.splitlines().count("one") == 1, "what it wrote in its earlier life is not shown again"


def test_up_waits_for_health_and_no_longer_than_told(stack: Stack) -> None:
    stack.ours("up", "--wait", "db")
    text = STACK.replace("test -f /ready", "test -f /never")
    (stack.home / "compose.yaml").write_text(text)
    told = stack.ours("up", "--wait", "--wait-timeout", "2", "db", code=1)
    assert "not ready after 2 seconds" in told or "is unhealthy" in told


TRAPPED = """
services:
  a:
    image: busybox
    command: sh -c 'trap "echo bye; exit 0" TERM; echo hi; while sleep 0.1; do :; done'
"""


def test_an_interrupt_asks_the_containers_to_end(stack: Stack) -> None:
    (stack.home / "compose.yaml").write_text(TRAPPED)
    said: list[str] = []
    with subprocess.Popen(
        stack.engine.nakagin_argv("compose", "up"), cwd=stack.home, env=stack.engine.environment(),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if line == "a-1  | hi\n":
                process.send_signal(signal.SIGINT)
    assert process.returncode == 130, said
    assert "a-1  | bye\n" in said
    assert "Gracefully Stopping... press Ctrl+C again to force\n" in said
    assert stack.states() == {"a-1": "exited"}


def test_a_dry_run_does_nothing_and_orphans_go_when_asked(stack: Stack) -> None:
    (stack.home / "compose.yaml").write_text(
        "services: {a: {image: busybox, command: sleep 600}, b: {image: busybox}}"
    )
    assert "container" in stack.ours("--dry-run", "up", "-d")
    assert not stack.left()
    stack.ours("create")
    (stack.home / "compose.yaml").write_text("services: {a: {image: busybox, command: 'sleep 600 $UNSET'}}")
    assert f"Found orphan containers ([{stack.name}-b-1])" in stack.ours("create")
    assert "orphan" not in stack.ours("create", extra={"COMPOSE_IGNORE_ORPHANS": "1"})
    stack.ours("create", extra={"COMPOSE_REMOVE_ORPHANS": "true", "COMPOSE_PARALLEL_LIMIT": "1"})
    assert stack.states() == {"a-1": "created"}
    for words, variable, shown in (
        (["--progress", "plain"], "", "Container NAME-a-1  Recreated"),
        (["--progress", "json"], "", '{"id":"Container NAME-a-1","text":"Recreated"}'),
        ([], "quiet", ""),
        (["--progress", "plain"], "json", "Container NAME-a-1  Recreated"),
    ):
        told = stack.ours(*words, "create", "--force-recreate", extra={"COMPOSE_PROGRESS": variable})
        assert shown.replace("NAME", stack.name) in told
        assert told or variable == "quiet"
    assert "\x1b[33mWARN" in stack.ours("config", "-q", extra={"COMPOSE_ANSI": "always"})
    assert "\x1b" not in stack.ours("--ansi", "never", "config", "-q", extra={"COMPOSE_ANSI": "always"})


ROLLING = """
services:
  web:
    image: busybox
    environment: {VERSION: "${VERSION:-2}"}
    command: sh /serve
    volumes: ["./serve:/serve:ro"]
    healthcheck: {test: wget -qO- http://127.0.0.1/, interval: 1s}
    deploy: {update_config: {order: start-first}}
  visitor:
    image: busybox
    command: sh /visit
    stop_signal: SIGKILL
    volumes: ["./visit:/visit:ro"]
    depends_on: {web: {condition: service_healthy}}
"""
SERVE = """
mkdir /w
echo $VERSION > /w/index.html
trap "exit 0" TERM
httpd -p 80 -h /w
while sleep 0.1; do :; done
"""
# A visitor tries every address that a name has, as browsers and proxies do.
VISIT = r"""
while :; do
  page=
  for address in $(nslookup web 127.0.0.11 2>/dev/null | sed -n 's/^Address[ 0-9]*: *\([0-9.]*\)$/\1/p'); do
    page=$(wget -qO- http://$address/ 2>/dev/null) && break
  done
  echo "page ${page:-lost}"
done
"""


def test_an_update_loses_no_request(stack: Stack) -> None:
    (stack.home / "visit").write_text(VISIT)
    (stack.home / "serve").write_text(SERVE)
    (stack.home / "compose.yaml").write_text(ROLLING)
    stack.ours("up", "-d", extra={"VERSION": "1"})
    await_until(lambda: "page 1" in stack.ours("logs", "--no-log-prefix", "visitor"), "the first page")
    told = stack.ours("up", "-d", extra={"VERSION": "2"})
    assert told.index("web 1  Ready") < told.index("web-1  Stopping"), (
        "the new one is ready before the old one ends"
    )
    await_until(lambda: "page 2" in stack.ours("logs", "--no-log-prefix", "visitor"), "the new page")
    pages = stack.ours("logs", "--no-log-prefix", "visitor").splitlines()
    assert set(pages) == {"page 1", "page 2"}
    assert len(pages) > 10


def test_an_update_that_fails_is_rolled_back(stack: Stack) -> None:
    text = """
services:
  web:
    image: busybox
    command: sh -c 'sleep ${SECONDS_TO_LIVE}'
    stop_signal: SIGKILL
    x-nakagin-ready: {log: never there, timeout: 2s}
    deploy: {update_config: {order: start-first, failure_action: rollback}}
"""
    (stack.home / "compose.yaml").write_text(text)
    stack.ours("up", "-d", extra={"SECONDS_TO_LIVE": "600"})
    before = stack.engine.docker("inspect", "-f", "{{.Id}}", f"{stack.name}-web-1").stdout
    told = stack.ours("up", "-d", code=1, extra={"SECONDS_TO_LIVE": "601"})
    assert "the update of web was rolled back: container" in told
    assert stack.states() == {"web-1": "running"}
    assert stack.engine.docker("inspect", "-f", "{{.Id}}", f"{stack.name}-web-1").stdout == before


FAILING = """
services:
  web:
    image: busybox
    command: sh -c '${COMMAND}'
    stop_signal: SIGKILL
    scale: 2
    network_mode: none
    x-nakagin-ready: {log: here, timeout: 2m}
    deploy: {update_config: ACTION}
"""


USER = """  user:
    image: busybox
    command: sleep 600
    stop_signal: SIGKILL
    network_mode: none
    depends_on: {web: {condition: service_started, restart: true}}
"""


def _ids(stack: Stack) -> dict[str, str]:
    told = stack.engine.docker(
        "ps",
        "--no-trunc",
        "-f",
        f"label=com.docker.compose.project={stack.name}",
        "--format",
        "{{.Names}} {{.ID}}",
    )
    return dict(line.split() for line in told.stdout.splitlines())


def test_all_replicas_go_back_where_one_does_not_become_ready(stack: Stack) -> None:
    """They were stopped first, and the first of them had been replaced already."""
    text = FAILING.replace("ACTION", "{failure_action: rollback}")
    (stack.home / "compose.yaml").write_text(text + USER)
    stack.ours("up", "-d", extra={"COMMAND": "echo here; exec sleep 600"})
    before = _ids(stack)
    assert len(before) == 3
    second_fails = "mkdir /first/taken 2>/dev/null && echo here && exec sleep 600; echo no room; exit 3"
    (stack.home / "first").mkdir()
    (stack.home / "compose.yaml").write_text(text + '    volumes: ["./first:/first"]\n' + USER)
    told = stack.ours("up", "-d", code=1, extra={"COMMAND": second_fails})
    assert (
        f"the update of web was rolled back: container {stack.name}-web-2 exited (3) (its last words: no room)"
        in told
    )
    assert _ids(stack) == before, "the old ones run, and nothing else"
    assert set(stack.states().values()) == {"running"}, "who stopped for the update is back, too"


def test_an_update_goes_on_past_failures_where_it_may(stack: Stack) -> None:
    (stack.home / "compose.yaml").write_text(FAILING.replace("ACTION", "{failure_action: continue}"))
    stack.ours("up", "-d", extra={"COMMAND": "echo here; exec sleep 600"})
    told = stack.ours("up", "-d", extra={"COMMAND": "exit 3"})
    assert told.count("exited (3)") == 2
    assert stack.states() == {"web-1": "exited", "web-2": "exited"}


def test_an_update_that_fails_while_it_is_monitored_is_one_that_failed(stack: Stack) -> None:
    (stack.home / "tell").mkdir()
    text = """
services:
  web:
    image: busybox
    command: sh -c '${COMMAND}'
    stop_signal: SIGKILL
    volumes: ["./tell:/tell"]
    deploy: {update_config: {failure_action: rollback, monitor: 2m}}
"""
    (stack.home / "compose.yaml").write_text(text)
    stack.ours("up", "-d", extra={"COMMAND": "exec sleep 600"})
    before = _ids(stack)
    fails = "touch /tell/began; until test -e /tell/end; do sleep 0.1; done; exit 4"
    process = subprocess.Popen(
        stack.engine.nakagin_argv("compose", "--progress", "plain", "up", "-d"), cwd=stack.home, text=True,
        env=stack.engine.environment({"COMMAND": fails}), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        await_until((stack.home / "tell" / "began").exists, "the new one to run")
        (stack.home / "tell" / "end").touch()
        told, _ = process.communicate(timeout=110)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 1
    assert f"the update of web was rolled back: container {stack.name}-web-1 exited (4)" in told
    assert _ids(stack) == before


def test_on_a_terminal_a_key_leaves_it_running(stack: Stack) -> None:
    (stack.home / "compose.yaml").write_text(
        "services: {a: {image: busybox, command: sh -c 'echo up; exec sleep 600', network_mode: none}}"
    )
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    said = b""

    def read_until(text: bytes) -> None:
        nonlocal said
        while text not in said:
            assert select.select([ours], [], [], 60)[0], said
            said += os.read(ours, 4096)

    process = subprocess.Popen(
        stack.engine.nakagin_argv("compose", "up"), cwd=stack.home, env=stack.engine.environment(), stdin=theirs,
        stdout=theirs, stderr=theirs,
    )  # fmt: skip
    try:
        read_until(b"a-1  | up")
        os.write(ours, b"w")
        read_until(b"configured for watch")
        os.write(ours, b"d")
        assert process.wait(60) == 0, said
        assert termios.tcgetattr(theirs) == before, "the terminal is as it was"
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)
    assert b"d: leave them running" in said
    assert b"\x1b" not in said, "TERM is dumb"
    assert stack.states() == {"a-1": "running"}
