"""exec without a fork gives the same process as exec with one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from nakagin.kernel import abi

if TYPE_CHECKING:
    from tests.runtime.box import Box

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(abi.MACHINE != "x86_64", reason="no machine code for this machine"),
]

# A process that lives long, as a monitor: it loads the container and runs one process in it.
VISIT = """
import json, os, signal, sys
from nakagin.kernel import automaton, process
from nakagin.runtime import become, container, quick
from nakagin.errors import StepFailed
root, id, sealed, wanted = json.loads(sys.argv[1])
become.SEALED = sealed
bear, born = quick.bear, []
def noted(*arguments):
    born.append(bear(*arguments))
    return born[-1]
quick.bear = noted
warnings = []
loaded = container.load(root, id, warnings.append)
null = os.open(os.devnull, os.O_RDONLY)
reader, writer = os.pipe()
secret = os.open("/etc/shadow", os.O_RDONLY)
try:
    started = loaded.exec(wanted, stdio=(null, writer, writer), maker=automaton.Maker() if sealed else None)
except StepFailed as error:
    print(json.dumps({"error": str(error), "quick": any(born)}))
    sys.exit()
os.close(writer)
with open(reader) as file:
    text = file.read()
print(json.dumps({
    "out": text, "code": process.wait_pidfd(started.pidfd), "quick": any(born), "warnings": warnings,
    "mask": list(signal.pthread_sigmask(0, ())), "namespace": os.readlink("/proc/self/ns/pid_for_children"),
}))
"""
LOOK = """
grep -E '^(Umask|Uid|Gid|Groups|Threads|Sig[BIC]|ShdPnd|Cap|NoNew|Seccomp|Spec|Cpus_allowed)' /proc/self/status
cat /proc/self/limits /proc/self/cgroup /proc/self/oom_score_adj
for each in pid net ipc uts mnt cgroup; do readlink /proc/$$/ns/$each; done
env | sed s/^_=.*//; pwd; umask
for fd in /proc/$$/fd/*; do echo ${fd##*/}; done
test "$$" = "$(cut -d' ' -f6 /proc/$$/stat)" && echo leads a session
test "$(cut -d' ' -f1 /proc/$$/stat)" = $$ && echo by the pids of the container
"""


def visit(box: Box, process: dict[str, Any], *, sealed: bool) -> dict[str, Any]:
    words = json.dumps([str(box.root), box.id, sealed, process])
    done = subprocess.run(
        [sys.executable, "-c", VISIT, words], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def both(box: Box, process: dict[str, Any]) -> dict[str, Any]:
    """What it gives without a fork; the same as with one."""
    forked, quick = (visit(box, process, sealed=sealed) for sealed in (False, True))
    assert not forked.pop("quick")
    assert quick.pop("quick")
    assert quick == forked
    return quick


def document(box: Box, *args: str, **changes: Any) -> dict[str, Any]:
    return {**box.process, "args": list(args), "env": ["PATH=/sbin:/bin", "HOME=/root"], **changes}


def test_an_ordinary_process_is_the_same(box: Box) -> None:
    box.begin("sleep", "60")
    seen = both(box, document(box, "sh", "-c", LOOK))
    assert seen["code"] == 0
    assert "by the pids of the container" in seen["out"]
    assert "leads a session" in seen["out"]
    assert seen["out"].count("pid:[") == 1
    assert os.readlink("/proc/self/ns/pid") not in seen["out"]
    assert seen["namespace"] == os.readlink("/proc/self/ns/pid")
    assert seen["mask"] == []


def test_a_user_with_limits_and_few_rights_is_the_same(box: Box) -> None:
    box.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}],
    }
    box.begin("sleep", "60")
    capabilities = {
        name: ["CAP_CHOWN", "CAP_KILL"]
        for name in ("bounding", "effective", "permitted", "inheritable", "ambient")
    }
    rlimits = [
        {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
    ]
    seen = both(
        box,
        document(
            box, "sh", "-c", LOOK + "mkdir /tmp/a", cwd="/srv", capabilities=capabilities,
            user={"uid": 1000, "gid": 1000, "additionalGids": [7, 8], "umask": 63},
            noNewPrivileges=True, rlimits=rlimits,
        ),
    )  # fmt: skip
    assert "NoNewPrivs:\t1" in seen["out"]
    assert "Operation not supported" in seen["out"]


def test_streams_that_are_not_the_users_become_so(box: Box) -> None:
    box.begin("sleep", "60")
    user = {"uid": 1000, "gid": 1000}
    assert both(box, document(box, "sh", "-c", "echo again >/proc/self/fd/1", user=user))["out"] == "again\n"


@pytest.mark.parametrize("command", ["nope", "/etc", "/etc/passwd", "/proc/self/exe"])
def test_a_command_that_cannot_run_is_told_in_the_same_words(box: Box, command: str) -> None:
    box.begin("sleep", "60")
    forked, quick = (visit(box, document(box, command), sealed=sealed) for sealed in (False, True))
    assert quick == forked
    assert "error" in quick


def test_a_directory_that_is_not_there_is_told_in_the_same_words(box: Box) -> None:
    box.begin("sleep", "60")
    forked, quick = (visit(box, document(box, "pwd", cwd="/nope"), sealed=sealed) for sealed in (False, True))
    assert quick == forked
    assert "/nope" in quick["error"]


def test_links_of_the_container_do_not_lead_out(own_box: Box) -> None:
    """A command and a working directory by absolute links mean the container's files, not the host's."""
    (own_box.rootfs / "srv" / "pwd").symlink_to("/bin/busybox")
    (own_box.rootfs / "there").symlink_to("/../../srv")
    own_box.begin("sleep", "60")
    seen = both(own_box, document(own_box, "/srv/pwd", cwd="/there"))
    assert seen["out"] == "/srv\n"


@pytest.mark.parametrize(
    "changes",
    [
        {"env": ["PATH=/bin"]},
        {"oomScoreAdj": 500},
        {"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 5}},
        {"capabilities": {"bounding": ["CAP_SYS_PTRACE"], "permitted": ["CAP_SYS_PTRACE"]}},
    ],
)
def test_others_are_born_by_a_fork(box: Box, changes: dict[str, Any]) -> None:
    box.begin("sleep", "60")
    seen = visit(box, document(box, "true", **changes), sealed=True)
    assert seen["code"] == 0
    assert not seen["quick"]
