"""Known attacks on runtimes, attempted. Each test names what it tries."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.runtime.box import Box

pytestmark = pytest.mark.root


# CVE-2019-5736: get hold of the host's binary through /proc/PID/exe.


@pytest.mark.parametrize("command", ["/proc/self/exe", "/evil", "/proc/1/exe"])
def test_5736_the_runtime_does_not_execute_itself(own_box: Box, command: str) -> None:
    (own_box.rootfs / "evil").symlink_to("/proc/self/exe")
    answer = own_box.run(command, "-c", "print('escaped')")
    assert answer.code == 1
    assert "magic link" in answer.err
    assert "escaped" not in answer.out


def test_5736_the_same_file_by_an_honest_path_is_no_attack(box: Box) -> None:
    """A container with the host's /usr may run the very interpreter that this runtime runs on."""
    for folder in ("/usr", "/lib", "/lib64", "/bin"):
        box.add_mount(folder, os.path.realpath(folder), "rbind", "ro")
    assert box.run("/usr/bin/python3", "-IS", "-c", "print(6 * 7)").out == "42\n"


def test_5736_nor_as_the_interpreter_of_a_script(own_box: Box) -> None:
    script = own_box.rootfs / "script"
    script.write_text("#!/proc/self/exe\nprint('escaped')\n")
    script.chmod(0o755)
    answer = own_box.run("/script")
    assert answer.code == 127
    assert "escaped" not in answer.out + answer.err


def test_5736_an_exec_never_shows_the_hosts_binary(own_box: Box) -> None:
    """A container process looks at every /proc/PID/exe that it can while execs come in."""
    (own_box.rootfs / "seen").touch()
    watch = (
        "while :; do for exe in /proc/[0-9]*/exe; do "
        '{ head -c 4 "$exe" >/dev/null && stat -L -c %s "$exe" >>/seen; true >>"$exe"; } 2>/dev/null; done; done'
    )
    own_box.begin("sh", "-c", watch)
    for _ in range(12):
        assert own_box.exec("true").code == 0
    own_box.call("kill", own_box.id, "KILL")
    busybox = os.stat(own_box.rootfs / "bin" / "busybox").st_size
    sizes = {int(line) for line in (own_box.rootfs / "seen").read_text().split()}
    assert busybox in sizes
    # The container's own program, or the launcher: a file of a few hundred bytes in sealed memory.
    assert all(size == busybox or size < 4096 for size in sizes)


def test_5736_the_waiting_first_process_is_closed_to_others(box: Box) -> None:
    box.write("sleep", "60")
    box.call("create", "-b", str(box.bundle), box.id, before="exec </dev/null >/dev/null 2>&1;")
    out = box.exec("sh", "-c", "ls -l /proc/1/exe /proc/1/fd; head -c4 /proc/1/exe; head -c1 /proc/1/mem")
    assert "Permission denied" in out.err
    assert "python" not in out.out
    assert out.code != 0


# CVE-2024-21626: a working directory behind a leaked descriptor.


@pytest.mark.parametrize("number", range(3, 24))
def test_21626_run_in_a_leaked_directory(box: Box, number: int) -> None:
    box.process["cwd"] = f"/proc/self/fd/{number}"
    answer = box.run("sh", "-c", "pwd; ls ../../../../../../etc", before="exec 7</ 8</etc 9<.;")
    assert answer.code == 1
    assert "shadow" not in answer.out


@pytest.mark.parametrize("number", range(3, 16))
def test_21626_exec_in_a_leaked_directory(box: Box, number: int) -> None:
    box.begin("sleep", "60")
    words = ("exec", "--cwd", f"/proc/self/fd/{number}", box.id, "sh", "-c", "pwd")
    answer = box.call(*words, before="exec 7</ 8</etc 9<.;")
    assert answer.code == 255
    assert answer.out == ""


def test_21626_a_link_to_a_leaked_directory(own_box: Box) -> None:
    for number in range(3, 12):
        (own_box.rootfs / f"out{number}").symlink_to(f"/proc/self/fd/{number}")
        own_box.process["cwd"] = f"/out{number}"
        assert own_box.run("pwd", before="exec 7</ 8</etc;").code == 1


# CVE-2021-30465: a mount's destination is swapped for a symlink that leads out.


def test_30465_destinations_cannot_lead_out(own_box: Box, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "outside").mkdir()
    (own_box.rootfs / "link").symlink_to("../" * 20 + str(tmp_path / "outside"))
    own_box.add_mount("/link/made", tmp_path / "data", "bind")
    points = [line.split()[4] for line in own_box.sh("cat /proc/self/mountinfo").splitlines()]
    assert f"{tmp_path}/outside/made" in points  # inside the root, where nobody is harmed
    assert not list((tmp_path / "outside").iterdir())


@pytest.mark.alone
def test_30465_swapping_while_mounting(own_box: Box, tmp_path: Path) -> None:
    """Another container of the same volume exchanges a folder and a symlink as fast as it can."""
    volume, outside = own_box.rootfs / "srv", tmp_path / "outside"
    outside.mkdir()
    (volume / "a").mkdir()
    (volume / "b").symlink_to("../" * 20 + str(outside))
    (tmp_path / "data").mkdir()
    own_box.add_mount("/srv/a/place", tmp_path / "data", "bind")
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            for one, other in (("a", "t"), ("b", "a"), ("t", "b")):
                try:
                    os.rename(volume / one, volume / other)
                except OSError:
                    pass  # a mount's folder is in use, or one was just made anew

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        for _ in range(25):
            own_box.run("true")  # may fail; it must not reach the host
            assert not list(outside.iterdir())
    finally:
        done.set()
        swapper.join()


# CVE-2025-31133: the source of masks, /dev/null, is replaced by something else.


def test_31133_an_images_null_device_masks_nothing(own_box: Box) -> None:
    own_box.config["mounts"] = [
        each for each in own_box.config["mounts"] if not each["destination"].startswith("/dev")
    ]
    (own_box.rootfs / "dev" / "null").symlink_to("/proc/sys/kernel/core_pattern")
    own_box.linux["readonlyPaths"] = []
    out = own_box.sh("stat -c '%F %t:%T' /proc/timer_list; cat /proc/timer_list; readlink /dev/null")
    assert out.splitlines() == ["character special file 1:3", "/proc/sys/kernel/core_pattern"]


# CVE-2025-52565: /dev/console leads a bind mount elsewhere.


def test_52565_a_console_link_is_refused(own_box: Box) -> None:
    own_box.config["mounts"] = [each for each in own_box.config["mounts"] if each["destination"] != "/dev"]
    (own_box.rootfs / "dev" / "pts").mkdir()
    (own_box.rootfs / "dev" / "console").symlink_to("/proc/sysrq-trigger")
    own_box.process["terminal"] = True
    answer = own_box.run("true")
    assert answer.code == 1
    assert "bind the terminal -> /dev/console: Too many levels of symbolic links" in answer.err


def test_52565_a_false_multiplexer_is_refused(own_box: Box) -> None:
    own_box.config["mounts"] = [
        each for each in own_box.config["mounts"] if not each["destination"].startswith("/dev")
    ]
    (own_box.rootfs / "dev" / "pts").mkdir()
    (own_box.rootfs / "dev" / "pts" / "ptmx").touch()
    own_box.process["terminal"] = True
    answer = own_box.run("true")
    assert answer.code == 1
    assert "not a devpts" in answer.err


# CVE-2019-16884, CVE-2019-19921: a made-up /proc.


def test_16884_nothing_but_a_procfs_at_proc(box: Box, tmp_path: Path) -> None:
    box.add_mount("/proc", tmp_path, "bind")
    assert "only a procfs may be mounted at /proc" in box.run("true").err


@pytest.mark.parametrize("target", ["/proc/self/attr", "/proc/sys", "/proc/1"])
def test_16884_no_volume_below_proc(box: Box, tmp_path: Path, target: str) -> None:
    box.add_mount(target, tmp_path, "bind")
    assert box.run("true").code == 1


@pytest.mark.parametrize("target", ["/proc", "/proc/sys"])
def test_16884_no_overlay_in_proc(box: Box, tmp_path: Path, target: str) -> None:
    """It would show files of the folder that it is put over."""
    for each in ("upper", "work"):
        (tmp_path / each).mkdir()
    options = [f"lowerdir={tmp_path}", f"upperdir={tmp_path}/upper", f"workdir={tmp_path}/work"]
    box.add_mount(target, "overlay", *options, type="overlay")
    assert "only a procfs may be mounted at /proc" in box.run("true").err


def test_19921_proc_may_not_be_a_link(own_box: Box) -> None:
    (own_box.rootfs / "proc").rmdir()
    (own_box.rootfs / "proc").symlink_to("srv")
    answer = own_box.run("true")
    assert answer.code == 1
    assert "mount proc on /proc: Too many levels of symbolic links" in answer.err


# CVE-2022-0492: release_agent of a cgroup v1 hierarchy.


def test_0492_no_way_to_a_release_agent(box: Box) -> None:
    script = (
        "for each in /sys/fs/cgroup /sys/fs/cgroup/*; do "
        "echo x 2>/dev/null >$each/release_agent && echo written; done; "
        "mkdir /tmp/cg; mount -t cgroup -o pids none /tmp/cg 2>/dev/null && echo mounted; true"
    )
    box.add_mount("/tmp", "tmpfs", type="tmpfs")
    assert box.sh(script) == ""


def test_0492_cgroups_stay_read_only_even_remounted_by_root(box: Box) -> None:
    assert box.sh("mount -o remount,rw /sys/fs/cgroup 2>/dev/null && echo remounted; true") == ""


# Sysctls and limits that would change the host.


@pytest.mark.parametrize(
    "name", ["kernel.core_pattern", "vm.overcommit_memory", "net/../kernel/core_pattern", "kernel.modprobe"]
)
def test_sysctls_of_the_host_are_refused(box: Box, name: str) -> None:
    box.linux["sysctl"] = {name: "1"}
    answer = box.run("true")
    assert answer.code == 1
    assert "linux.sysctl" in answer.err


def test_network_sysctls_without_an_own_namespace_are_refused(box: Box) -> None:
    box.linux["namespaces"] = [each for each in box.linux["namespaces"] if each["type"] != "network"]
    box.linux["sysctl"] = {"net.ipv4.ip_forward": "0"}
    assert "would change the host" in box.run("true").err


def test_kept_config_is_for_its_owner_only(box: Box) -> None:
    box.begin("sleep", "60")
    assert (box.root / box.id / "config.json").stat().st_mode & 0o077 == 0
    assert json.loads((box.root / box.id / "config.json").read_text())["process"]["env"]


# The runtime is a Python program: an image must not become part of it.


def test_an_image_cannot_slip_modules_into_the_runtime(own_box: Box) -> None:
    """Every module that the interpreter could look for lies in the image at the place where it would look."""
    places = subprocess.run(
        ["/usr/bin/python3", "-IS", "-c", "import sys; print(*sys.path, sep='\\n')"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    own = Path(__file__).parents[2] / "src"
    evil = "import os; os.close(os.open('/pwned', os.O_CREAT | os.O_WRONLY))\n"
    for place in [*places, str(own), "/"]:
        folder = own_box.rootfs / place.lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        for name in sys.stdlib_module_names:
            (folder / f"{name}.py").write_text(evil)
    shutil.copytree(own, own_box.rootfs / str(own).lstrip("/"), dirs_exist_ok=True)
    for path in (own_box.rootfs / str(own).lstrip("/") / "nakagin").rglob("*.py"):
        path.write_text(evil)
    own_box.process["scheduler"] = {"policy": "SCHED_BATCH"}
    own_box.linux["personality"] = {"domain": "LINUX"}
    own_box.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW"}
    own_box.linux["sysctl"] = {"net.ipv4.ip_forward": "1"}
    own_box.add_mount("/srv", "tmpfs", "tmpcopyup", type="tmpfs")
    assert own_box.run("true").code == 0
    assert own_box.run("nope").code == 1
    assert own_box.run("/pro\udcffgram").code == 1
    own_box.begin("sleep", "60")
    assert own_box.exec("true").code == 0
    assert own_box.exec("nope").code == 255
    assert not (own_box.rootfs / "pwned").exists()
