"""Several sockets of one engine: one for everything, one to look, one for the containers made through it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import pytest
from tests.conftest import close_clean
from tests.engine_fixture import ScratchEngine, await_until

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def house() -> Iterator[ScratchEngine]:
    engine = ScratchEngine()
    engine.arguments = (
        "-H", f"unix://{engine.root}/look.sock?allow=read",
        "-H", f"unix://{engine.root}/own.sock?allow=run,prune&own",
    )  # fmt: skip
    try:
        engine.start()
        engine.bootstrap_busybox()
        yield engine
    finally:
        close_clean(engine)


def by(house: ScratchEngine, door: str, *words: str, check: int = 0) -> subprocess.CompletedProcess[str]:
    """docker's command line at one of the scoped sockets."""
    done = subprocess.run(
        house.docker_argv("-H", f"unix://{house.root}/{door}.sock", *words), capture_output=True, text=True,
        timeout=150, env=house.environment({"DOCKER_HOST": ""}), check=False,
    )  # fmt: skip
    assert done.returncode == check, done.stdout + done.stderr
    return done


def test_a_socket_to_look(house: ScratchEngine) -> None:
    house.docker("run", "-d", "--name", "looked-at", "busybox", "sh", "-c", "echo said; sleep 300")
    assert "looked-at" in by(house, "look", "ps").stdout
    await_until(lambda: by(house, "look", "logs", "looked-at").stdout == "said\n", "what it says")
    assert by(house, "look", "inspect", "-f", "{{.State.Status}}", "looked-at").stdout == "running\n"
    for words in (
        ("stop", "looked-at"), ("rm", "-f", "looked-at"), ("exec", "looked-at", "true"), ("run", "busybox"),
        ("export", "looked-at"), ("rmi", "busybox"), ("volume", "create"), ("network", "create", "x"),
        ("kill", "looked-at"), ("update", "--restart", "always", "looked-at"),
    ):  # fmt: skip
        done = by(house, "look", *words, check=125 if words[0] == "run" else 1)
        assert "this socket does not allow" in done.stderr, words
    assert "looked-at" in house.docker("ps").stdout


def test_a_socket_for_what_is_made_through_it(house: ScratchEngine) -> None:
    house.docker("run", "-d", "--name", "foreign", "busybox", "sleep", "300")
    by(house, "own", "run", "-d", "--name", "mine", "busybox", "sleep", "300")
    assert by(house, "own", "ps", "--format", "{{.Names}}").stdout == "mine\n"
    assert {"foreign", "mine"} <= set(house.docker("ps", "--format", "{{.Names}}").stdout.split())
    assert by(house, "own", "exec", "mine", "echo", "hi").stdout == "hi\n"
    for verb in ("inspect", "logs", "start"):
        assert "no such" in by(house, "own", verb, "foreign", check=1).stderr.lower()
    for words in (("exec", "foreign", "true"), ("kill", "foreign"), ("rm", "-f", "foreign")):
        done = by(house, "own", *words, check=0 if words[0] == "rm" else 1)  # docker's rm -f forgives
        assert "No such container" in done.stderr
    until = str(time.time())  # docker's own "0s" is a whole second, and may be too early
    asked = ("events", "--since", "1", "--until", until, "--format", "{{.Actor.Attributes.name}}")
    shown = by(house, "own", *asked).stdout
    assert set(shown.split()) == {"mine"}
    for flags in (
        ("--privileged",),
        ("-v", "/:/host"),
        ("--pid", "host"),
        ("--network", "container:foreign"),
    ):
        assert "this socket does not allow" in by(house, "own", "run", *flags, "busybox", check=125).stderr
    by(house, "own", "stop", "-t", "0", "mine")
    house.docker("stop", "-t", "0", "foreign")
    by(house, "own", "container", "prune", "-f")
    left = house.docker("ps", "-a", "--format", "{{.Names}}").stdout.split()
    assert "mine" not in left
    assert "foreign" in left
