"""exec: a further process of a running container."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.runtime.box import COMMAND

if TYPE_CHECKING:
    from pathlib import Path

    from tests.runtime.box import Box

pytestmark = pytest.mark.root

KINDS = ("pid", "net", "ipc", "uts", "mnt", "cgroup")


def test_it_joins_all_namespaces_and_the_cgroup(box: Box) -> None:
    box.begin("sleep", "60")
    pid = box.state()["pid"]
    script = "".join(f"readlink /proc/self/ns/{kind};" for kind in KINDS) + "cat /proc/self/cgroup"
    out = box.exec("sh", "-c", script).out.splitlines()
    assert out[: len(KINDS)] == [os.readlink(f"/proc/{pid}/ns/{kind}") for kind in KINDS]
    assert all(line.endswith(":/") for line in out[len(KINDS) :] if "name=" not in line)


def test_exit_code_and_streams(box: Box) -> None:
    box.begin("sleep", "60")
    answer = box.exec("sh", "-c", "echo out; echo err >&2; exit 5")
    assert (answer.code, answer.out, answer.err) == (5, "out\n", "err\n")


def test_options(box: Box) -> None:
    box.begin("sleep", "60")
    words = (
        "exec",
        "--cwd",
        "/srv",
        "-e",
        "NAME=value",
        "--user",
        "1000:1001",
        box.id,
        "sh",
        "-c",
        "pwd; echo $NAME; id -u; id -g",
    )
    assert box.call(*words).out.split() == ["/srv", "value", "1000", "1001"]


def test_process_document(box: Box) -> None:
    box.begin("sleep", "60")
    path = box.folder / "process.json"
    path.write_text(json.dumps({**box.process, "args": ["id", "-u"], "user": {"uid": 7, "gid": 7}}))
    assert box.call("exec", "--process", str(path), box.id).out == "7\n"


def test_detached_with_a_pid_file(box: Box) -> None:
    box.begin("sleep", "60")
    words = ("exec", "-d", "--pid-file", str(box.folder / "pid"), box.id, "sleep", "61")
    assert box.call(*words, before="exec </dev/null >/dev/null 2>&1;").code == 0
    pid = int((box.folder / "pid").read_text())
    assert pid in json.loads(box.call("ps", "-f", "json", box.id).out)


def test_capabilities_and_filter_are_the_containers(box: Box) -> None:
    box.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}],
    }
    box.begin("sleep", "60")
    lines = box.exec("cat", "/proc/self/status").out.splitlines()
    found = dict(line.split(":\t") for line in lines if line.startswith(("CapBnd", "Seccomp:")))
    pid = box.state()["pid"]
    with open(f"/proc/{pid}/status") as file:
        assert f"CapBnd:\t{found['CapBnd']}\n" in file.read()
    assert found["Seccomp"] == "2"


def test_extra_capabilities(box: Box) -> None:
    box.begin("sleep", "60")
    out = box.call("exec", "--cap", "CAP_NET_ADMIN", box.id, "grep", "CapEff", "/proc/self/status").out
    assert int(out.split()[1], 16) & 1 << 12


def test_user_namespace(box: Box) -> None:
    box.make_user_namespace()
    box.begin("sleep", "60")
    pid = box.state()["pid"]
    out = box.exec("sh", "-c", "id -u; readlink /proc/self/ns/user").out.split()
    assert out == ["0", os.readlink(f"/proc/{pid}/ns/user")]


def test_time_namespace(box: Box) -> None:
    box.linux["namespaces"].append({"type": "time"})
    box.linux["timeOffsets"] = {"boottime": {"secs": 86_400_000}}
    box.begin("sleep", "60")
    assert float(box.exec("cut", "-d ", "-f1", "/proc/uptime").out) > 86_400_000


@pytest.mark.parametrize(("command", "words"), [("nope", "not found in $PATH"), ("/etc", "is a directory")])
def test_a_command_that_cannot_run(box: Box, command: str, words: str) -> None:
    box.begin("sleep", "60")
    answer = box.exec(command)
    assert answer.code == 255
    assert words in answer.err


def test_a_stopped_container_refuses(box: Box) -> None:
    assert box.run("true", options=("--keep",)).code == 0
    assert "it is stopped" in box.exec("true").err


def test_cpu_affinity(box: Box) -> None:
    box.begin("sleep", "60")
    path = box.folder / "process.json"
    affinity = {"initial": "0", "final": "0"}
    args = ["grep", "Cpus_allowed_list", "/proc/self/status"]
    path.write_text(json.dumps({**box.process, "args": args, "execCPUAffinity": affinity}))
    assert box.call("exec", "--process", str(path), box.id).out.split()[1] == "0"


def test_terminal_of_the_containers_own(box: Box) -> None:
    import pty
    import subprocess

    from tests.runtime.box import COMMAND

    box.begin("sleep", "60")
    master, slave = pty.openpty()
    argv = [str(COMMAND), "--root", str(box.root), "exec", "-t", box.id, "sh", "-c", "tty; echo done"]
    with subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave) as running:
        os.close(slave)
        seen = b""
        while b"done" not in seen:
            seen += os.read(master, 4096)
        assert running.wait(5) == 0
    os.close(master)
    assert b"/dev/pts/0" in seen


def test_it_enters_the_root_of_the_container_where_the_runtime_lives_in_a_chroot(
    box: Box, tmp_path: Path
) -> None:
    """There the root is moved, not pivoted, and the mount namespace's own root is still the host's."""
    top = tmp_path / "top"
    top.mkdir()
    box.write("sleep", "60")
    runtime = f"{COMMAND} --root {box.root}"
    script = (
        f"mount --make-rprivate / && mount --rbind / {top} && exec chroot {top} sh -c '"
        f"{runtime} run -d --bundle {box.bundle} {box.id} </dev/null >/dev/null 2>&1 && {runtime} exec {box.id} ls /'"
    )
    found = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, timeout=30)
    assert found.stderr == ""
    assert found.stdout.split() == sorted(each.name for each in box.rootfs.iterdir())
