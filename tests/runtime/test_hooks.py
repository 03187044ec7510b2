"""Hooks: moments, order, what they are given, and what their failure does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nakagin.errors import StepFailed
from nakagin.runtime.hooks import run_hooks

if TYPE_CHECKING:
    from tests.runtime.box import Box

pytestmark = pytest.mark.root


def note(name: str, log: Path) -> dict[str, object]:
    """A hook that writes its name and what it was given."""
    script = f'echo "{name} $(cat)" >>{log}'
    return {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"], "timeout": 10}


def test_all_moments_in_order_with_the_state(own_box: Box, tmp_path: Path) -> None:
    log = tmp_path / "log"
    inside = {
        "path": "/bin/sh",
        "args": ["sh", "-c", "echo startContainer $(cat) >>/srv/log"],
        "env": ["PATH=/bin"],
    }
    own_box.add_mount("/srv", tmp_path, "bind")
    own_box.config["annotations"] = {"key": "value"}
    kinds = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")
    own_box.config["hooks"] = {kind: [note(kind, log)] for kind in kinds} | {"startContainer": [inside]}
    assert own_box.run("sh", "-c", "echo program >>/srv/log; sleep 0.1").code == 0
    lines = log.read_text().splitlines()
    order = [line.split()[0] for line in lines]
    assert order[:4] == ["prestart", "createRuntime", "createContainer", "startContainer"]
    assert set(order[4:6]) == {"program", "poststart"}
    assert order[6:] == ["poststop"]
    states = {line.split()[0]: json.loads(line.partition(" ")[2]) for line in lines if line != "program"}
    assert states["createRuntime"]["status"] == "creating"
    assert states["createRuntime"]["pid"] > 1
    assert states["createContainer"]["pid"] == 1
    assert states["startContainer"]["status"] == "created"
    assert states["poststart"]["status"] == "running"
    assert states["poststop"]["status"] == "stopped"
    assert all(state["annotations"] == {"key": "value"} for state in states.values())


def test_hooks_of_one_moment_run_as_listed(box: Box, tmp_path: Path) -> None:
    log = tmp_path / "log"
    box.config["hooks"] = {"createRuntime": [note("one", log), note("two", log)]}
    assert box.run("true").code == 0
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["one", "two"]


@pytest.mark.parametrize(
    "kind", ["prestart", "createRuntime", "createContainer", "startContainer", "poststart"]
)
def test_a_failure_ends_the_container(box: Box, kind: str) -> None:
    path = "/bin/sh"
    box.config["hooks"] = {
        kind: [{"path": path, "args": ["sh", "-c", "echo because >&2; exit 3"], "env": ["PATH=/bin"]}]
    }
    answer = box.run("sleep", "5")
    assert answer.code == 1
    assert f"run {kind} hook {path}: exit code 3: because" in answer.err
    assert box.call("state", box.id).code == 1


def test_a_failure_after_the_end_is_a_warning(box: Box) -> None:
    box.config["hooks"] = {"poststop": [{"path": "/bin/false"}]}
    answer = box.run("true")
    assert answer.code == 0
    assert "poststop" in answer.err


def test_create_container_hooks_see_the_containers_mounts_by_the_hosts_paths(
    box: Box, tmp_path: Path
) -> None:
    script = f"readlink /proc/self/ns/mnt >{tmp_path}/ns; test -e {box.rootfs}/proc/self"
    box.config["hooks"] = {
        "createContainer": [{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]}]
    }
    inside = box.sh("readlink /proc/self/ns/mnt")
    assert (tmp_path / "ns").read_text().strip() == inside


def test_a_hook_that_takes_too_long_is_killed() -> None:
    with pytest.raises(StepFailed, match="longer than 1 seconds"):
        run_hooks("prestart", [{"path": "/bin/sleep", "args": ["sleep", "60"], "timeout": 1}], {"id": "x"})


def test_a_missing_hook_is_named() -> None:
    with pytest.raises(StepFailed, match="run prestart hook /no/hook: No such file"):
        run_hooks("prestart", [{"path": "/no/hook"}], {"id": "x"})
