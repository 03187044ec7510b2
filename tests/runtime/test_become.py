"""Ids, capabilities, limits, directories: what the program is and may do."""

from __future__ import annotations

import os
import resource
import shlex
from typing import TYPE_CHECKING

import pytest

from nakagin.kernel import labels, process
from nakagin.runtime import become
from nakagin.runtime.program import observe, program
from tests.runtime.box import CAPABILITIES

if TYPE_CHECKING:
    from pathlib import Path

    from nakagin.spec.runtime import Process
    from tests.runtime.box import Box

pytestmark = pytest.mark.root


def status(box: Box, *names: str) -> dict[str, str]:
    """Lines of /proc/self/status inside."""
    pairs = (line.partition(":") for line in box.sh("cat /proc/self/status").splitlines())
    return {name: value.strip() for name, _, value in pairs if name in names}


@pytest.mark.parametrize(
    ("wanted", "file", "text"),
    [
        ({"apparmorProfile": "strict"}, "self/attr/apparmor/exec", "exec strict"),
        ({"selinuxLabel": "system_u:system_r:svirt_t:s0"}, "self/attr/exec", "system_u:system_r:svirt_t:s0"),
    ],
)
def test_labels_go_where_the_kernel_looks_at_execve(
    wanted: Process, file: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labels, "has_apparmor", lambda: True)
    monkeypatch.setattr(labels, "has_selinux", lambda: True)
    (tmp_path / "self/attr/apparmor").mkdir(parents=True)
    for name in ("self/attr/apparmor/exec", "self/attr/exec"):
        (tmp_path / name).touch()
    process: Process = {"args": ["x"], "cwd": "/", **wanted}
    proc = os.open(tmp_path, os.O_PATH)
    try:
        become.label(program(process, {}, observe(user_namespace=False)), proc)
    finally:
        os.close(proc)
    assert (tmp_path / file).read_text() == text
    others = {"self/attr/apparmor/exec", "self/attr/exec"} - {file}
    assert all((tmp_path / other).read_text() == "" for other in others)


def test_labels_are_refused_where_nobody_enforces_them(box: Box) -> None:
    for key, name, is_there in (
        ("apparmorProfile", "AppArmor", labels.has_apparmor),
        ("selinuxLabel", "SELinux", labels.has_selinux),
    ):
        if is_there():
            continue
        box.process[key] = "strict"
        answer = box.run("true")
        assert answer.code == 1
        assert f"{name} is asked for" in answer.err
        assert "this machine does not have it" in answer.err
        del box.process[key]


def mask(*names: str) -> int:
    """The bits of capabilities."""
    from nakagin.kernel.identity import capability_mask

    return capability_mask(list(names))[0]


def test_user_and_groups(box: Box) -> None:
    box.process["user"] = {"uid": 1000, "gid": 1001, "additionalGids": [5, 6], "umask": 0o077}
    assert box.sh("id -u; id -g; id -G; umask").splitlines() == ["1000", "1001", "1001 5 6", "0077"]


def test_home_comes_from_the_containers_passwd(box: Box) -> None:
    box.process["user"] = {"uid": 1000, "gid": 1000}
    assert box.sh("echo $HOME") == "/srv"
    box.process["env"].append("HOME=/own")
    assert box.sh("echo $HOME") == "/own"


def test_capability_sets_of_root(box: Box) -> None:
    found = status(box, "CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")
    wanted = mask(*CAPABILITIES)
    assert [int(found[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")] == [wanted] * 3
    assert [int(found[name], 16) for name in ("CapInh", "CapAmb")] == [0, 0]


def test_a_user_keeps_ambient_capabilities_only(box: Box) -> None:
    box.process["user"] = {"uid": 1000, "gid": 1000}
    names = ["CAP_NET_BIND_SERVICE", "CAP_KILL"]
    box.process["capabilities"] |= {"inheritable": names, "ambient": names[:1]}
    found = status(box, "CapEff", "CapPrm", "CapInh", "CapAmb")
    assert int(found["CapAmb"], 16) == int(found["CapEff"], 16) == mask("CAP_NET_BIND_SERVICE")
    assert int(found["CapInh"], 16) == mask(*names)


def test_capabilities_not_held_here_are_left_out_with_a_warning(box: Box) -> None:
    sets = box.process["capabilities"]
    sets["bounding"] = [*CAPABILITIES, "CAP_NOT_INVENTED_YET"]
    answer = box.run("true")
    assert answer.code == 0
    assert "CAP_NOT_INVENTED_YET" in answer.err


def test_no_new_privileges(box: Box) -> None:
    assert status(box, "NoNewPrivs") == {"NoNewPrivs": "0"}
    box.process["noNewPrivileges"] = True
    assert status(box, "NoNewPrivs") == {"NoNewPrivs": "1"}


def test_limits(box: Box) -> None:
    box.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]
    assert box.sh("ulimit -Sn; ulimit -Hn").split() == ["100", "200"]


def test_limits_above_the_machines_are_cut_with_a_warning(box: Box) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    box.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": hard + 5, "hard": hard + 10}]
    answer = box.run("sh", "-c", "ulimit -Hn")
    assert answer.code == 0
    if int(answer.out) == hard:
        assert "RLIMIT_NOFILE" in answer.err


def test_a_limit_given_twice_is_refused(box: Box) -> None:
    box.process["rlimits"] = [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}] * 2
    answer = box.run("true")
    assert answer.code == 1
    assert "RLIMIT_CORE is given twice" in answer.err


def test_oom_score(box: Box) -> None:
    box.process["oomScoreAdj"] = 300
    assert box.sh("cat /proc/self/oom_score_adj") == "300"


def test_an_oom_score_that_is_not_allowed_is_a_warning(box: Box) -> None:
    box.process["oomScoreAdj"] = -1000
    answer = box.run("cat", "/proc/self/oom_score_adj")
    assert answer.code == 0
    assert answer.out.strip() == "-1000" or "oom_score_adj stays" in answer.err


def test_working_directory_is_made(own_box: Box) -> None:
    own_box.process["cwd"] = "/made/for/it"
    assert own_box.sh("pwd") == "/made/for/it"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("nope", "executable file not found in $PATH"),
        ("/nope", "no such file or directory"),
        ("/etc/passwd", "permission denied"),
        ("/etc", "is a directory"),
    ],
)
def test_a_command_that_cannot_run_is_told_and_leaves_nothing(box: Box, command: str, words: str) -> None:
    answer = box.run(command)
    assert answer.code == 1
    assert words in answer.err
    assert command in answer.err
    assert box.call("state", box.id).code == 1


def test_a_script_without_an_interpreter_is_told_at_start(own_box: Box) -> None:
    script = own_box.rootfs / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    answer = own_box.run("/script")
    assert answer.code == 1
    assert "interpreter" in answer.err


def test_what_is_no_program_is_told_at_start(own_box: Box) -> None:
    program = own_box.rootfs / "program"
    program.write_text("no program\n")
    program.chmod(0o755)
    answer = own_box.run("/program")
    assert answer.code == 1
    assert "exec format error" in answer.err


def test_personality(box: Box) -> None:
    box.linux["personality"] = {"domain": "LINUX32"}
    assert box.sh("uname -m") in {"i686", "armv8l"}


def test_io_priority_and_scheduler(box: Box) -> None:
    box.process["ioPriority"] = {"class": "IOPRIO_CLASS_IDLE", "priority": 0}
    box.process["scheduler"] = {"policy": "SCHED_BATCH", "nice": 5}
    fields = box.sh("cat /proc/self/stat").rpartition(")")[2].split()
    assert fields[38] == "3"  # SCHED_BATCH
    assert fields[16] == "5"


def test_an_unknown_scheduler_is_refused(box: Box) -> None:
    box.process["scheduler"] = {"policy": "SCHED_MAGIC"}
    assert "SCHED_MAGIC" in box.run("true").err


def test_memory_policy(box: Box) -> None:
    box.linux["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "0"}
    assert "bind:0" in box.sh("cat /proc/self/numa_maps || echo bind:0")


def test_signals_are_at_their_defaults(box: Box) -> None:
    # The shell does not touch 32, which the C library keeps for itself; so a small program does.
    block = (
        "import ctypes, os, signal, sys; signal.pthread_sigmask(0, [1, 15]); signal.signal(10, signal.SIG_IGN); "
        "libc = ctypes.CDLL(None); libc.syscall(14, 0, b'\\0\\0\\0\\x80\\1\\0\\0\\0', None, 8) "
        "if os.uname().machine == 'x86_64' else 0; os.execv(sys.argv[2], sys.argv[2:])"  # argv[1] is "exec"
    )
    out = box.run(
        "cat", "/proc/self/status", before=f"exec /usr/bin/python3 -IS -c {shlex.quote(block)} "
    ).out
    found = dict(line.split(":\t") for line in out.splitlines() if line.startswith(("SigBlk", "SigIgn")))
    assert {int(value, 16) for value in found.values()} == {0}


def test_open_descriptors(box: Box) -> None:
    # 3 is ls's own, of the folder that it reads.
    assert box.sh("ls /proc/self/fd", before="exec 5</etc 7</;").split() == ["0", "1", "2", "3"]


def test_preserved_descriptors(box: Box) -> None:
    answer = box.run(
        "sh",
        "-c",
        "echo over >&3; ls /proc/self/fd",
        options=("--preserve-fds", "2"),
        before="exec 3>&2 4>&2 5>&2;",
    )
    assert answer.out.split() == ["0", "1", "2", "3", "4", "5"]
    assert answer.err == "over\n"


def test_sockets_of_systemd(box: Box) -> None:
    before = "exec 3>&2; export LISTEN_FDS=1 LISTEN_FDNAMES=web;"
    answer = box.run("sh", "-c", "echo $LISTEN_FDS $LISTEN_PID $LISTEN_FDNAMES; echo over >&3", before=before)
    assert (answer.out, answer.err) == ("1 1 web\n", "over\n")


@pytest.mark.forked
def test_a_child_cannot_import() -> None:
    pid, pidfd = process.clone3(0)
    if pid == 0:
        code = 1
        become.forbid_imports()
        try:
            __import__("this")
        except (ImportError, ImportWarning):
            code = 0
        finally:
            os._exit(code)
    assert process.wait_pidfd(pidfd) == 0
    os.close(pidfd)


def test_seccomp_filter(box: Box) -> None:
    box.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}],
    }
    assert status(box, "Seccomp") == {"Seccomp": "2"}
    assert "not supported" in box.run("mkdir", "/tmp/x").err
    box.process["noNewPrivileges"] = True
    assert "not supported" in box.run("mkdir", "/tmp/x").err


def test_a_filter_without_execveat(box: Box) -> None:
    """Then the launcher cannot be used and the command is executed directly."""
    box.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["execveat"], "action": "SCMP_ACT_ERRNO"}],
    }
    assert box.sh("echo yes") == "yes"
    box.process["noNewPrivileges"] = True
    assert box.sh("echo yes") == "yes"
