"""`nakagin recreate`: another mount, variable or image under the same name, or everything as it was."""

from __future__ import annotations

import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import running_engine
from tests.engine_fixture import ScratchEngine, await_until
from tests.spine.observe import inspect

pytestmark = pytest.mark.root

_ADDRESS = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"


@pytest.fixture(scope="module")
def crashing(pytestconfig: pytest.Config) -> Iterator[ScratchEngine]:
    """An engine to be killed."""
    with running_engine(pytestconfig) as engine:
        yield engine


@pytest.fixture
def running(engine: ScratchEngine, name: str) -> Iterator[str]:
    script = "echo begun as $WORD; exec sleep 1000"
    engine.docker("network", "create", f"net-{name}")
    engine.docker(
        "run", "-d", "--init", "--name", name, "--network", f"net-{name}", "-e", "WORD=one", "-v", "/kept",
        "-p", "127.0.0.1::80", "busybox", "sh", "-c", script,
    )  # fmt: skip
    engine.docker("exec", name, "sh", "-c", "until test -e /kept/x; do touch /kept/x; done")
    yield name
    engine.docker("rm", "-fv", name)
    engine.docker("network", "rm", f"net-{name}")
    unused = engine.docker("volume", "ls", "-q", "--filter", "dangling=true").stdout.split()
    if unused:
        engine.docker("volume", "rm", *unused)


def test_it_keeps_what_it_had(engine: ScratchEngine, running: str, tmp_path: Path) -> None:
    before, address = inspect(engine, running, "{{.Id}}"), inspect(engine, running, _ADDRESS)
    (tmp_path / "f").write_text("mounted")
    made = engine.nakagin(
        "recreate", "-e", "WORD=two", "-v", f"{tmp_path}:/new", "-l", "a=b", running
    ).stdout.strip()
    assert made not in ("", before)
    assert inspect(engine, running, "{{.Id}} {{.State.Status}} {{.Config.Labels.a}}") == f"{made} running b"
    assert inspect(engine, running, _ADDRESS) == address
    assert engine.docker("exec", running, "cat", "/new/f").stdout == "mounted"
    assert engine.docker("exec", running, "ls", "/kept").stdout == "x\n"
    logs = engine.docker("logs", running).stdout.splitlines()
    assert logs == ["begun as one", "begun as two"]
    engine.nakagin("recreate", "--volume-rm", "/new", "--env-rm", "WORD", running)
    assert engine.docker("exec", running, "ls", "-d", "/new", check=1).stderr
    assert engine.docker("ps", "-aq", "--filter", f"name={running}").stdout.count("\n") == 1


@pytest.mark.parametrize(
    "change", [("--image", "no-such-image"), ("-v", "/etc:/etc/../"), ("--image", "broken-{name}")]
)
def test_what_fails_changes_nothing(engine: ScratchEngine, running: str, change: tuple[str, str]) -> None:
    before, address = inspect(engine, running, "{{.Id}}"), inspect(engine, running, _ADDRESS)
    word = change[1].format(name=running)
    if "broken" in word:  # can be made, and cannot be started: there is no sh in it
        engine.docker("create", "--name", f"b-{running}", "busybox")
        tar = engine.root / "empty.tar"
        engine.docker("cp", f"b-{running}:/etc/passwd", str(engine.root / "passwd"))
        with tarfile.open(tar, "w") as archive:
            archive.add(engine.root / "passwd", "etc/passwd")
        engine.docker("import", str(tar), word)
        engine.docker("rm", f"b-{running}")
    assert engine.nakagin("recreate", change[0], word, running, check=None).returncode != 0
    if "broken" in word:
        engine.docker("rmi", word)
    assert inspect(engine, running, "{{.Id}} {{.State.Status}}") == f"{before} running"
    assert inspect(engine, running, _ADDRESS) == address
    assert engine.docker("exec", running, "ls", "/kept").stdout == "x\n"
    assert engine.docker("ps", "-aq", "--filter", f"name={running}").stdout.count("\n") == 1


@pytest.mark.parametrize("moment", ["create", "rename", "start"])
def test_a_crash_half_way_is_ended_by_the_next_engine(
    crashing: ScratchEngine, name: str, moment: str
) -> None:
    """Whatever has happened, there is one container of that name, it runs, and nothing is left of another."""
    engine = crashing
    engine.docker("network", "create", f"net-{name}")
    engine.docker(
        "run", "-d", "--rm", "--init", "--name", name, "--network", f"net-{name}", "-e", "WORD=one", "-v", "/kept",
        "busybox", "sh", "-c", "echo begun as $WORD; touch /kept/x; exec sleep 1000",
    )  # fmt: skip
    await_until(lambda: "begun" in engine.docker("logs", name).stdout, "the program")
    before, address = inspect(engine, name, "{{.Id}}"), inspect(engine, name, _ADDRESS)
    with subprocess.Popen(
        engine.docker_argv("events", "--filter", "type=container", "--format", "{{.Action}}"),
        stdout=subprocess.PIPE, text=True, env=engine.environment(),
    ) as events:  # fmt: skip
        assert events.stdout is not None
        # Something of our own shows that it listens.
        await_until(lambda: info(engine)["NEventsListener"] == 1, "the listener")
        recreating = subprocess.Popen(
            engine.nakagin_argv("recreate", "-e", "WORD=two", name),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=engine.environment(),
        )  # fmt: skip
        for line in events.stdout:
            if line.strip() == moment:
                break
        engine.kill9()
        recreating.wait(30)
    engine.restart()
    await_until(lambda: inspect(engine, name, "{{.State.Status}}") == "running", "the container")
    word = "one" if inspect(engine, name, "{{.Id}}") == before else "two"
    assert inspect(engine, name, _ADDRESS) == address
    assert f"WORD={word}" in inspect(engine, name, "{{.Config.Env}}")
    await_until(
        lambda: engine.docker("logs", name).stdout.splitlines()[-1] == f"begun as {word}", "its first words"
    )
    assert engine.docker("exec", name, "ls", "/kept").stdout == "x\n"
    assert engine.docker("ps", "-a", "--filter", f"name={name}", "--format", "{{.Names}}").stdout.split() == [
        name
    ]
    # Nothing of it is remembered: it can be done again.
    engine.nakagin("recreate", "-e", "WORD=three", name)
    assert engine.docker("ps", "-aq", "--filter", f"name={name}").stdout.count("\n") == 1
    engine.docker("rm", "-fv", name)
    engine.docker("network", "rm", f"net-{name}")


def info(engine: ScratchEngine) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(engine.docker("info", "--format", "{{json .}}").stdout)
    return found


def test_twice_at_once_is_refused(engine: ScratchEngine, running: str) -> None:
    """The second one does not disturb the first."""
    argv = engine.nakagin_argv("recreate", "-e", "WORD=two", running)
    both = [
        subprocess.Popen(argv, env=engine.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    told = [each.communicate(timeout=60)[1].decode() for each in both]
    assert 0 in [each.returncode for each in both], told
    assert all("already" in each for each, process in zip(told, both, strict=True) if process.returncode)
    assert inspect(engine, running, "{{.State.Status}}") == "running"
    assert engine.docker("ps", "-aq", "--filter", f"name={running}").stdout.count("\n") == 1
