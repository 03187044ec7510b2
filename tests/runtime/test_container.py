"""The life of a container by the command line: verbs, states, failures."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nakagin.kernel import fds, process

if TYPE_CHECKING:
    from tests.runtime.box import Box

pytestmark = pytest.mark.root

QUIET = "exec </dev/null >/dev/null 2>&1 3</dev/null;"  # 3: what a caller left open


def create(box: Box, *args: str) -> None:
    """Create the container with its output thrown away."""
    box.write(*args)
    log = box.folder / "log"
    answer = box.call("--log", str(log), "create", "--bundle", str(box.bundle), box.id, before=QUIET)
    assert answer.code == 0, log.read_text()


def end(pid: int) -> None:
    """Wait until the process is dead."""
    try:
        pidfd = process.pidfd_open(pid)
    except ProcessLookupError:
        return
    import select

    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    assert poller.poll(5000)
    os.close(pidfd)


def test_create_start_kill_delete(box: Box) -> None:
    create(box, "sleep", "60")
    state = box.state()
    assert state["status"] == "created"
    assert state["bundle"] == str(box.bundle)
    assert box.call("start", box.id).code == 0
    assert box.state()["status"] == "running"
    assert box.call("delete", box.id).code == 1
    assert box.call("kill", box.id, "KILL").code == 0
    end(state["pid"])
    assert box.state()["status"] == "stopped"
    assert "pid" not in box.state() or box.state()["pid"] == 0
    assert box.call("kill", box.id, "TERM").code == 1
    assert box.call("delete", box.id).code == 0
    assert "does not exist" in box.call("state", box.id).err


def test_the_program_does_not_run_before_start(box: Box, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    box.add_mount("/srv", tmp_path / "out", "bind")
    create(box, "sh", "-c", "touch /srv/ran; sleep 60")
    assert not (tmp_path / "out" / "ran").exists()
    assert os.readlink(f"/proc/{box.state()['pid']}/exe") != "/bin/busybox"


def test_config_changes_after_create_have_no_effect(box: Box, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    box.add_mount("/srv", tmp_path / "out", "bind")
    create(box, "sh", "-c", "touch /srv/first; sleep 60")
    box.write("sh", "-c", "touch /srv/second; sleep 60")
    assert box.call("start", box.id).code == 0
    wait_for(tmp_path / "out" / "first")
    assert not (tmp_path / "out" / "second").exists()


def wait_for(path: Path) -> None:
    """Poll until the file is there."""
    import time

    deadline = time.monotonic() + 5
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} does not appear"
        os.sched_yield()


def test_start_twice_is_refused(box: Box) -> None:
    box.begin("sleep", "60")
    answer = box.call("start", box.id)
    assert answer.code == 1
    assert "it is running" in answer.err


def test_an_id_twice_is_refused(box: Box) -> None:
    box.begin("sleep", "60")
    answer = box.call("create", "--bundle", str(box.bundle), box.id)
    assert answer.code == 1
    assert "exists already" in answer.err
    assert box.state()["status"] == "running"


@pytest.mark.parametrize("name", ["../up", "a/b", "", "a b", "."])
def test_bad_ids_are_refused(box: Box, name: str) -> None:
    box.write("true")
    assert box.call("run", "--bundle", str(box.bundle), name).code == 1


def test_run_gives_the_programs_exit_code(box: Box) -> None:
    assert box.run("sh", "-c", "exit 7").code == 7
    assert box.run("sh", "-c", "cat", stdin="through\n").out == "through\n"
    # The first process of a pid namespace cannot be killed from inside it.
    box.linux["namespaces"] = [each for each in box.linux["namespaces"] if each["type"] != "pid"]
    assert box.run("sh", "-c", "kill -9 $$").code == 137


def test_run_keep(box: Box) -> None:
    assert box.run("true", options=("--keep",)).code == 0
    assert box.state()["status"] == "stopped"


def test_run_passes_signals_on(box: Box) -> None:
    import subprocess

    from tests.runtime.box import COMMAND

    box.write("sh", "-c", "trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep 0.05; done")
    argv = [str(COMMAND), "--root", str(box.root), "run", "--bundle", str(box.bundle), box.id]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        running.send_signal(signal.SIGTERM)
        assert running.stdout.readline() == "caught\n"
        assert running.wait(5) == 3


def test_pid_file(box: Box) -> None:
    box.write("sleep", "60")
    box.call("run", "-d", "-b", str(box.bundle), "--pid-file", str(box.folder / "pid"), box.id, before=QUIET)
    assert int((box.folder / "pid").read_text()) == box.state()["pid"]


def test_pause_and_resume(box: Box) -> None:
    box.begin("sleep", "60")
    assert box.call("resume", box.id).code == 1
    assert box.call("pause", box.id).code == 0
    assert box.state()["status"] == "paused"
    assert "paused" in box.exec("true").err
    assert box.call("resume", box.id).code == 0
    assert box.state()["status"] == "running"


def test_a_namespace_by_its_path_is_joined_by_create_and_outlives_it(box: Box) -> None:
    """Its descriptor is closed on the way, like what the caller left open: the numbers behind them must not move."""
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        for each in box.linux["namespaces"]:
            if each["type"] == "network":
                each["path"] = f"/proc/{os.getpid()}/fd/{here}"
        create(box, "sleep", "60")
        pid = box.state()["pid"]
        assert box.call("start", box.id).code == 0
        assert box.state()["status"] == "running"
        assert os.path.samefile(f"/proc/{pid}/ns/net", "/proc/self/ns/net")
        assert Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\00060\0"
    finally:
        os.close(here)


def test_paused_before_its_start(box: Box) -> None:
    create(box, "sleep", "60")
    assert box.call("pause", box.id).code == 0
    assert box.state()["status"] == "paused"
    assert "it is paused" in box.call("start", box.id).err
    assert "it is paused" in box.exec("true").err
    assert box.call("resume", box.id).code == 0
    assert box.state()["status"] == "created"
    assert box.call("start", box.id).code == 0


def test_every_error_of_exec_is_255(box: Box) -> None:
    assert box.call("exec", "-p", "/no/such/process.json", box.id).code == 255
    assert box.call("exec", box.id, "true").code == 255


def test_an_unknown_format_of_the_log_is_refused(box: Box) -> None:
    done = box.call("--log-format", "xml", "list")
    assert (done.code, "text or json" in done.err) == (1, True)


def test_a_broken_config_is_told_in_words(box: Box) -> None:
    (box.bundle / "config.json").write_text('{"ociVersion": "1.0.0", ')
    done = box.call("create", "--bundle", str(box.bundle), box.id)
    assert done.code == 1
    assert "Traceback" not in done.err
    assert "config.json: Expecting property name" in done.err


def test_delete_force_of_a_paused_container(box: Box) -> None:
    box.begin("sleep", "60")
    box.call("pause", box.id)
    assert box.call("delete", "--force", box.id).code == 0
    assert box.call("state", box.id).code == 1
    assert box.call("delete", "--force", box.id).code == 0


def test_kill_all(box: Box) -> None:
    box.linux["namespaces"] = [each for each in box.linux["namespaces"] if each["type"] != "pid"]
    box.begin("sh", "-c", "sleep 61 & sleep 62 & wait")
    pids = wait_for_processes(box, 3)
    assert box.call("kill", "--all", box.id, "KILL").code == 0
    for pid in pids:
        end(pid)


def wait_for_processes(box: Box, count: int) -> list[int]:
    """Poll until the container has that many processes."""
    import time

    deadline = time.monotonic() + 5
    while True:
        pids: list[int] = json.loads(box.call("ps", "--format", "json", box.id).out)
        if len(pids) >= count:
            return pids
        assert time.monotonic() < deadline


def test_ps_and_list(box: Box) -> None:
    box.begin("sleep", "60")
    pid = box.state()["pid"]
    assert json.loads(box.call("ps", "-f", "json", box.id).out) == [pid]
    assert str(pid) in box.call("ps", box.id).out
    assert "sleep 60" in box.call("ps", box.id, "-o", "pid,args").out
    assert box.call("list", "-q").out.split() == [box.id]
    assert json.loads(box.call("list", "-f", "json").out)[0]["status"] == "running"
    assert box.id in box.call("list").out


def test_update_changes_limits(box: Box) -> None:
    box.linux["resources"] = {"pids": {"limit": 50}}
    box.begin("sleep", "60")
    assert box.call("update", "--pids-limit", "60", "--memory", "64m", box.id).code == 0
    config = json.loads((box.root / box.id / "config.json").read_text())
    assert config["linux"]["resources"]["pids"]["limit"] == 60
    assert config["linux"]["resources"]["memory"]["limit"] == 64 << 20
    answer = box.call("update", "--resources", "-", box.id, stdin='{"pids": {"limit": 70}}')
    assert answer.code == 0, answer.err
    shown = (
        box.exec("cat", "/sys/fs/cgroup/pids/pids.max").out or box.exec("cat", "/sys/fs/cgroup/pids.max").out
    )
    assert shown.strip() == "70"


def test_events_stats(box: Box) -> None:
    box.begin("sleep", "60")
    line = json.loads(box.call("events", "--stats", box.id).out)
    assert line["type"] == "stats"
    assert line["id"] == box.id
    assert line["data"]["pids"]["current"] == 1
    assert line["data"]["memory"]["usage"]["usage"] > 0


def test_console_socket_gets_the_terminal(box: Box) -> None:
    box.process["terminal"] = True
    box.process["consoleSize"] = {"height": 31, "width": 97}
    path = box.folder / "console"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(1)
        box.write("sh", "-c", "tty; stty size; ls -l /dev/console; sleep 60")
        words = ("run", "-d", "-b", str(box.bundle), "--console-socket", str(path), box.id)
        assert box.call(*words, before=QUIET).code == 0
        connection, _ = listening.accept()
        with connection:
            _, (master,) = fds.receive_fds(connection, 4096, 1)
    seen = b""
    while b"console" not in seen:
        seen += os.read(master, 4096)
    os.close(master)
    assert b"/dev/pts/0" in seen
    assert b"31 97" in seen


def test_a_console_socket_without_a_terminal_is_refused(box: Box) -> None:
    box.write("true")
    assert box.call("create", "-b", str(box.bundle), "--console-socket", "/x", box.id).code == 1


def test_failed_create_leaves_nothing(box: Box) -> None:
    box.add_mount("/srv", "/no/such", "bind")
    before = sorted(os.listdir("/proc"), key=str)
    answer = box.run("true")
    assert answer.code == 1
    assert not any(box.root.glob(f"{box.id}*"))
    assert not list(Path("/sys/fs/cgroup").glob(f"**/nk-test-{box.id}/box"))
    assert before


def test_too_little_memory_to_start_in_is_told(box: Box) -> None:
    box.linux["resources"] = {"memory": {"limit": 256 << 10, "swap": 256 << 10}}
    answer = box.run("true")
    if answer.code == 0:
        pytest.skip("it was enough here")
    assert "limit is too small" in answer.err
    assert box.call("state", box.id).code == 1


def test_unsupported_verbs_say_so(box: Box) -> None:
    assert "CRIU" in box.call("checkpoint", box.id).err
    assert "CRIU" in box.call("restore", box.id).err
    assert "not a verb" in box.call("fly").err


def test_log_file_in_json(box: Box) -> None:
    log = box.folder / "log.json"
    box.write("nope")
    box.call("--log", str(log), "--log-format", "json", "run", "-b", str(box.bundle), box.id)
    last = json.loads(log.read_text().splitlines()[-1])
    assert last["level"] == "error"
    assert "executable file not found in $PATH" in last["msg"]


def test_features_and_spec(box: Box) -> None:
    features = json.loads(box.call("features").out)
    assert features["linux"]["mountExtensions"]["idmap"]["enabled"]
    assert {"rro", "tmpcopyup", "idmap"} <= set(features["mountOptions"])
    assert box.call("spec", "--bundle", str(box.bundle)).code == 0
    config = json.loads((box.bundle / "config.json").read_text())
    config["root"]["path"] = str(box.rootfs)
    config["process"] |= {"terminal": False, "args": ["/bin/echo", "hello"]}
    (box.bundle / "config.json").write_text(json.dumps(config))
    assert box.call("run", "-b", str(box.bundle), box.id).out == "hello\n"
    assert box.call("spec", "--bundle", str(box.bundle)).code == 1


def test_rootless_without_any_privilege(box: Box) -> None:
    import shutil
    import subprocess
    import tempfile

    from tests.runtime.box import COMMAND

    as_user = ["setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups"]
    if subprocess.run([*as_user, "test", "-x", str(COMMAND)], check=False).returncode:
        pytest.skip("the checkout is closed to other users")
    with tempfile.TemporaryDirectory(prefix="nk-rootless-") as folder:
        shutil.copytree(box.rootfs, f"{folder}/rootfs", symlinks=True)
        box.call("spec", "--rootless", "--bundle", folder)
        config = json.loads(Path(folder, "config.json").read_text())
        for kind in ("uidMappings", "gidMappings"):
            config["linux"][kind][0]["hostID"] = 12345
        script = "id -u; cat /proc/self/setgroups; touch /root/mine; mount | grep -c proc"
        config["root"]["readonly"] = False
        config["process"] |= {"terminal": False, "args": ["/bin/sh", "-c", script]}
        Path(folder, "config.json").write_text(json.dumps(config))
        subprocess.run(["chown", "-R", "12345:12345", folder], check=True)
        argv = [*as_user, str(COMMAND), "--root", f"{folder}/state", "run", "-b", folder, box.id]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split()[:2] == ["0", "deny"]
        assert Path(folder, "rootfs/root/mine").stat().st_uid == 12345


def test_rootless_template_runs(box: Box) -> None:
    assert box.call("spec", "--rootless", "--bundle", str(box.bundle)).code == 0
    config = json.loads((box.bundle / "config.json").read_text())
    config["root"]["path"] = str(box.rootfs)
    config["process"] |= {"terminal": False, "args": ["/bin/id", "-u"]}
    (box.bundle / "config.json").write_text(json.dumps(config))
    answer = box.call("run", "-b", str(box.bundle), box.id)
    assert (answer.code, answer.out) == (0, "0\n"), answer.err
