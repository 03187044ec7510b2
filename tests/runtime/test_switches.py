"""Switches of the command line that no other test turns, each by what it changes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nakagin.cgroups import files
from nakagin.cgroups.group import Group
from nakagin.cgroups.layout import detect
from nakagin.kernel import labels
from tests.engine_fixture import await_until
from tests.runtime.box import COMMAND

if TYPE_CHECKING:
    from tests.runtime.box import Box

pytestmark = pytest.mark.root


def start(box: Box, *words: str) -> subprocess.Popen[str]:
    """A call of the runtime that goes on."""
    argv = [str(COMMAND), "--root", str(box.root), *words]
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)


def group_of(box: Box) -> Group:
    return Group(box.linux["cgroupsPath"], detect())


def value(box: Box, controller: str, v1: str, v2: str) -> str:
    group = group_of(box)
    file = v1 if group.layout.version(controller) == 1 else v2
    return files.read(f"{group.directory(controller)}/{file}").strip()


def test_exec(box: Box) -> None:
    box.begin("sleep", "60")
    script = "id -G; grep NoNewPrivs /proc/self/status; tty"
    words = ("-g", "44", "--additional-gids", "45", "--no-new-privs", "--no-subreaper", box.id, "sh", "-c")
    seen = box.call("exec", *words, script).lines
    assert seen == ["0 44 45", "NoNewPrivs:\t1", "not a tty"]
    assert box.call("exec", "--tty", box.id, "tty").out.strip() == "/dev/pts/0"
    refused = box.call("exec", "--tty", "--detach", box.id, "true")
    assert refused.code != 0
    assert "--console-socket" in refused.err


def test_exec_in_a_group_below(box: Box) -> None:
    box.begin("sleep", "60")
    group = group_of(box)
    below = Group(f"{group.path}/below", group.layout)
    missing = box.call("exec", "--cgroup", "below", box.id, "true")
    assert missing.code != 0
    assert "below" in missing.err
    below.create()
    seen = box.call("exec", "--cgroup", "below", box.id, "cat", "/proc/self/cgroup")
    assert seen.code == 0, seen.err
    assert "/below" in seen.out
    assert "/below" not in box.exec("cat", "/proc/self/cgroup").out


def test_exec_goes_on_when_the_pause_ends(box: Box) -> None:
    box.begin("sleep", "60")
    assert box.call("pause", box.id).code == 0
    waiting = start(box, "exec", "--ignore-paused", box.id, "echo", "now")
    try:
        await_until(lambda: len(group_of(box).pids()) > 1, "it to come into the frozen group")
        assert waiting.poll() is None
    finally:
        assert box.call("resume", box.id).code == 0
        out, _ = waiting.communicate(timeout=20)
    assert (waiting.returncode, out) == (0, "now\n")


def test_exec_under_a_profile(box: Box) -> None:
    box.begin("sleep", "60")
    answer = box.call("exec", "--apparmor", "nk-no-such-profile", box.id, "true")
    assert answer.code != 0
    assert ("nk-no-such-profile" if labels.has_apparmor() else "AppArmor is asked for") in answer.err


def test_a_new_session_keyring_or_the_callers(box: Box) -> None:
    box.linux["maskedPaths"] = []
    own = f"_ses.{box.id}"
    assert own in box.sh("cat /proc/keys")
    # The kernel clears dead keyrings away when it likes; until then they are listed.
    await_until(lambda: own not in Path("/proc/keys").read_text(), "the keyring to go", 60)
    answer = box.run("cat", "/proc/keys", options=("--no-new-keyring",))
    assert answer.code == 0, answer.err
    assert own not in answer.out


def test_lists(box: Box) -> None:
    box.begin("sleep", "61")
    assert box.call("list", "--quiet").lines == [box.id]
    (entry,) = json.loads(box.call("list", "--format", "json").out)
    assert (entry["id"], entry["status"]) == (box.id, "running")
    assert json.loads(box.call("ps", "--format", "json", box.id).out) == [box.state()["pid"]]
    assert "sleep 61" in box.call("ps", box.id, "-o", "pid,args").out


def test_events_come_at_an_interval_until_the_end(box: Box) -> None:
    box.begin("sleep", "60")
    watching = start(box, "events", "--interval", "20ms", box.id)
    assert watching.stdout is not None
    lines = [json.loads(watching.stdout.readline()) for _ in range(3)]
    assert [(each["type"], each["id"]) for each in lines] == [("stats", box.id)] * 3
    assert box.call("delete", "--force", box.id).code == 0
    watching.communicate(timeout=20)
    assert watching.returncode == 0


def test_update(box: Box) -> None:
    box.linux["resources"] = {"memory": {"limit": 64 << 20}}
    box.begin("sleep", "60")
    last = str(max(os.sched_getaffinity(0)))
    changes = (
        "--cpu-period", "50000", "--cpu-quota", "25000", "--cpu-burst", "1000", "--cpu-share", "2048",
        "--cpuset-cpus", last, "--cpuset-mems", "0", "--memory-reservation", "16m", "--memory", "128MiB",
    )  # fmt: skip
    answer = box.call("update", *changes, box.id)
    assert answer.code == 0, answer.err
    assert value(box, "cpu", "cpu.cfs_quota_us", "cpu.max") in {"25000", "25000 50000"}
    assert value(box, "cpu", "cpu.cfs_burst_us", "cpu.max.burst") == "1000"
    assert value(box, "cpu", "cpu.shares", "cpu.weight") in {"2048", "79"}
    assert value(box, "cpuset", "cpuset.cpus", "cpuset.cpus") == last
    assert value(box, "cpuset", "cpuset.mems", "cpuset.mems") == "0"
    assert value(box, "memory", "memory.limit_in_bytes", "memory.max") == str(128 << 20)
    assert value(box, "memory", "memory.soft_limit_in_bytes", "memory.low") == str(16 << 20)
    for words in (("--memory", "lots"), ("--cpu-quota", "1.5"), ("--l3-cache-schema", "L3:0=f")):
        refused = box.call("update", *words, box.id)
        assert refused.code == 1
        assert words[0] in refused.err
    assert box.call("update", "--cpu-idle", "1", box.id).code == 0
    assert value(box, "cpu", "cpu.idle", "cpu.idle") == "1"


def test_features_tell_the_truth(box: Box) -> None:
    told: dict[str, Any] = json.loads(box.call("features").out)
    linux, layout = told["linux"], detect()
    assert told["ociVersionMin"] <= "1.2.0" <= told["ociVersionMax"]
    assert set(told["hooks"]) == {
        "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop",
    }  # fmt: skip
    here = {name for name in os.listdir("/proc/self/ns") if not name.endswith("for_children")}
    known = {"mnt": "mount", "net": "network"}
    assert {known.get(name, name) for name in here} == set(linux["namespaces"])
    assert linux["cgroup"]["v1"] or linux["cgroup"]["v2"]
    if layout.mode == "v2":
        assert linux["cgroup"]["v2"]
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    assert len(linux["capabilities"]) == last + 1
    assert linux["seccomp"]["enabled"]
    assert set(linux["seccomp"]["supportedFlags"]) <= set(linux["seccomp"]["knownFlags"])
    # These say what the runtime can, whatever the machine has.
    for able in ("apparmor", "selinux", "netDevices", "intelRdt"):
        assert linux[able]["enabled"] is True
    assert linux["mountExtensions"]["idmap"]["enabled"] is True
    assert not box.root.exists(), "nothing is made to answer"
