"""`nakagin sandbox` as a user has it: the command sees this machine, and this machine sees nothing of the command."""

from __future__ import annotations

import json
import os
import secrets
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engine_fixture import ScratchEngine

pytestmark = pytest.mark.root


class Ground:
    """A folder of the root file system to call from, and the call."""

    def __init__(self, engine: ScratchEngine, folder: Path) -> None:
        self.engine = engine
        self.folder = folder

    def __call__(self, *words: str, code: int = 0, feed: str = "") -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "nakagin.cli", "sandbox", *words],
            cwd=self.folder, input=feed, capture_output=True, text=True, check=False, timeout=120,
            env={**os.environ, "NAKAGIN_HOST": self.engine.host, "PYTHONPATH": os.path.abspath("src"), "API_KEY": "x"},
        )  # fmt: skip
        assert done.returncode == code, done.stderr + done.stdout
        return done

    def shell(self, script: str, *flags: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        return self(*flags, "--", "bash", "-c", script, code=code)


@pytest.fixture
def ground(engine: ScratchEngine) -> Iterator[Ground]:
    with tempfile.TemporaryDirectory(prefix="nk-ground-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "kept.txt").write_text("first\nsecond\n")
        (folder / "old").mkdir()
        (folder / "old" / "gone").write_text("x")
        yield Ground(engine, folder)
        assert engine.docker("ps", "-aq", "--filter", "label=org.nakagin.sandbox").stdout == ""


def test_it_sees_this_machine_and_leaves_it_alone(ground: Ground) -> None:
    done = ground.shell("cat kept.txt; hostname; echo more >> kept.txt; rm -r old; touch new /etc/nk-evil")
    assert done.stdout == "first\nsecond\nsandbox\n"
    told = done.stderr.splitlines()
    assert told[0] == "sandbox: 4 changes on the copy, none on this machine"
    assert sorted(line.split() for line in told[1:]) == sorted(
        [
            ["changed", f"{ground.folder}/kept.txt"], ["deleted", f"{ground.folder}/old"],
            ["added", f"{ground.folder}/new"], ["added", "/etc/nk-evil"],
        ]
    )  # fmt: skip
    assert sorted(each.name for each in ground.folder.iterdir()) == ["kept.txt", "old"]
    assert (ground.folder / "kept.txt").read_text() == "first\nsecond\n"
    assert not Path("/etc/nk-evil").exists()


def test_deleting_everything(ground: Ground) -> None:
    ground.shell('cd /; rm -rf "$OLDPWD"; ls "$OLDPWD" && exit 1; exit 0')
    assert (ground.folder / "old" / "gone").read_text() == "x"


def test_a_fork_bomb_ends(ground: Ground) -> None:
    """It meets the limit on processes, and ends when its first process does."""
    # No command but bash's own: at the limit nothing else can be started. Its one fork comes before the limit.
    bomb = "f() { { f | f; } & }; f; while ((SECONDS < 2)); do set -- /proc/[0-9]*; (($# > most)) && most=$#; done"
    done = ground.shell(f"most=0; {bomb} 2>/dev/null; echo $most; exit 0", "--pids-limit", "40")
    assert "Resource temporarily unavailable" in done.stderr
    # A look at /proc is not one moment: some of those that it names are gone, and others have their place.
    assert int(done.stdout) <= 80


def test_secrets_are_out_of_sight(ground: Ground) -> None:
    done = ground.shell(
        "wc -c < /etc/shadow; ls /etc/ssh | wc -l; echo ${API_KEY:-none}; ls /sys/class/net | wc -l; "
        "grep NoNewPrivs /proc/self/status; mknod x c 1 3 2>/dev/null || echo no devices"
    )
    lines = done.stdout.split()
    assert lines[:3] == ["0", "0", "none"]
    assert lines[3] == "1"  # lo
    assert done.stdout.endswith("NoNewPrivs:\t1\nno devices\n")
    shown = ground.shell("wc -c < /etc/shadow", "--show", "/etc/shadow")
    assert int(shown.stdout) == os.stat("/etc/shadow").st_size


def test_other_peoples_homes_are_empty(ground: Ground) -> None:
    """Also of somebody whom /etc/passwd does not know, and what other processes have in their environment."""
    with tempfile.TemporaryDirectory(prefix="nk-other-", dir="/home") as home:
        os.chown(home, 54321, 54321)
        (Path(home) / "secret").write_text("x")
        done = ground.shell(
            f"ls -A {home} | wc -l; cat /proc/{os.getpid()}/environ; ls /proc | grep -c '^[0-9]'"
        )
        assert (Path(home) / "secret").exists()
    lines = done.stdout.split()
    assert lines[0] == "0"
    assert int(lines[1]) < 10, "it sees processes that are not its own"
    assert "No such file" in done.stderr


def test_an_installer_installs_on_the_copy_only(ground: Ground) -> None:
    """dpkg, pip and make install, each for the whole machine: all of it is there inside, and nothing outside."""
    name = f"nk-{secrets.token_hex(4)}"
    package = ground.folder / "deb"
    (package / "DEBIAN").mkdir(parents=True)
    (package / "DEBIAN" / "control").write_text(
        f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: nothing\n"
    )
    (package / "DEBIAN" / "postinst").write_text(f"#!/bin/sh\necho of-dpkg > /etc/{name}\n")
    (package / "DEBIAN" / "postinst").chmod(0o755)
    module = name.replace("-", "_")
    with zipfile.ZipFile(ground.folder / f"{module}-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{module}.py", "WORD = 'of-pip'\n")
        about = f"{module}-1.dist-info"
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
    (ground.folder / "Makefile").write_text(
        f"install:\n\tinstall -d /opt/{name}\n\techo of-make > /opt/{name}/word\n"
    )
    done = ground.shell(
        f"""set -e
        dpkg-deb -b deb {name}.deb >/dev/null; dpkg -i {name}.deb >/dev/null 2>&1; cat /etc/{name}
        {sys.executable} -m venv --without-pip /opt/venv-{name}
        {sys.executable} -m pip --python /opt/venv-{name}/bin/python install -q --no-index *.whl
        /opt/venv-{name}/bin/python -c 'import {module}; print({module}.WORD)'
        make -s install; cat /opt/{name}/word"""
    )
    assert done.stdout.split() == ["of-dpkg", "of-pip", "of-make"]
    assert f"  added    /etc/{name}\n" in done.stderr
    for path in (f"/etc/{name}", f"/opt/{name}", f"/opt/venv-{name}", f"/var/lib/dpkg/info/{name}.list"):
        assert not os.path.lexists(path)
    assert f"Package: {name}".encode() not in Path("/var/lib/dpkg/status").read_bytes()


def test_a_folder_below_tmp_is_seen_and_told(ground: Ground) -> None:
    """Inside, /tmp is empty, but for who calls from there."""
    assert ground.shell("ls -A /tmp").stdout == ""
    with tempfile.TemporaryDirectory(prefix="nk-ground-", dir="/tmp") as name:
        ground.folder = Path(name)
        (ground.folder / "kept").write_text("x")
        done = ground.shell("ls; rm kept; echo > made")
        assert done.stdout == "kept\n"
        assert sorted(line.split() for line in done.stderr.splitlines()[1:]) == [
            ["added", f"{name}/made"], ["deleted", f"{name}/kept"],
        ]  # fmt: skip
        assert os.listdir(name) == ["kept"]


def test_the_exit_code_and_standard_input(ground: Ground) -> None:
    done = ground("--", "sh", "-c", "cat; exit 3", code=3, feed="fed")
    assert done.stdout == "fed"
    assert ground("--", "no-such-command", code=127).stderr.count("no-such-command")
    assert "sandbox: nothing was changed" in ground("--", "true").stderr
    assert ground("-q", "--", "true").stderr == ""


def test_the_diff_and_its_application(ground: Ground) -> None:
    script = """
        sed -i s/second/2nd/ kept.txt; chmod 600 kept.txt; rm old/gone; ln -s /etc/passwd link
        mkdir -p a/b; echo deep > a/b/c; ln kept.txt twin; printf '\\0' > zero; echo out > /etc/nk-evil
        rm -r old; mkdir old; echo anew > old/file
    """
    done = ground.shell(script, "--diff", "--apply")
    assert f"--- {ground.folder}/kept.txt\n" in done.stdout
    assert "-second\n+2nd\n" in done.stdout
    assert "+deep\n" in done.stdout
    assert f"Binary file {ground.folder}/zero added\n" in done.stdout
    assert "nk-evil" not in done.stdout
    kept = ground.folder / "kept.txt"
    assert kept.read_text() == "first\n2nd\n"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert kept.stat().st_ino == (ground.folder / "twin").stat().st_ino
    assert os.readlink(ground.folder / "link") == "/etc/passwd"
    assert (ground.folder / "a/b/c").read_text() == "deep\n"
    assert sorted(os.listdir(ground.folder / "old")) == ["file"]
    assert not Path("/etc/nk-evil").exists()


def test_programs_read_it_as_json(ground: Ground) -> None:
    """The last line of standard error, whatever the command wrote there."""
    done = ground.shell("echo noise >&2; echo x > new; rm kept.txt; exit 4", "--format", "json", code=4)
    told = json.loads(done.stderr.splitlines()[-1])
    assert told == {
        "ExitCode": 4, "Applied": 0, "NotApplied": [],
        "Changes": [
            {"Path": f"{ground.folder}/kept.txt", "Kind": "deleted"}, {"Path": f"{ground.folder}/new", "Kind": "added"},
        ],
    }  # fmt: skip
    done = ground.shell("echo x > new", "--format", "json", "--apply")
    assert json.loads(done.stderr)["Applied"] == 1
    assert (ground.folder / "new").exists()
    assert json.loads(ground("--format", "json", "--", "true").stderr)["Changes"] == []
    assert "text or json" in ground("--format", "xml", "--", "true", code=1).stderr


def test_the_folder_read_only_or_written_into(ground: Ground) -> None:
    ground.folder = ground.folder / "a: b"
    ground.folder.mkdir()
    ground.shell("echo x > y", "--folder", "read-only", code=1)
    ground.shell("echo x > y", "--folder", "write")
    assert (ground.folder / "y").read_text() == "x\n"


def test_a_folder_that_is_gone(ground: Ground) -> None:
    """The shell is still in it, as after a build that makes its folder anew."""
    gone = ground.folder / "passing"
    gone.mkdir()
    script = f'cd {gone} && rmdir {gone} && exec {sys.executable} -m nakagin.cli "$@"'
    for words in (["sandbox", "--", "true"], ["init"], ["compose", "config"]):
        done = subprocess.run(
            ["sh", "-c", script, "sh", *words], capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": os.path.abspath("src"), "NAKAGIN_HOST": ground.engine.host},
        )  # fmt: skip
        assert done.returncode == 1
        assert "the current folder does not exist any more (cd to another one)" in done.stderr
        gone.mkdir()


def test_bad_input(ground: Ground) -> None:
    assert "one of: overlay, read-only, write" in ground("--folder", "x", "--", "true", code=1).stderr
    assert "exclude each other" in ground("--apply", "--drop", "--", "true", code=1).stderr
    assert "requires at least 1 argument" in ground(code=1).stderr
    ground.folder = Path("/proc")
    assert "/proc is the kernel's own (proc)" in ground("--", "true", code=1).stderr


@pytest.fixture
def apart(ground: Ground) -> Iterator[Path]:
    """The ground on a file system of its own, whose name is no easy one: the folder that it is mounted on."""
    point = ground.folder / "a disk, 50\\% full"
    point.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1770,uid=7,gid=8", "nk-apart", point], check=True)
    try:
        (point / "work").mkdir()
        for name in ("kept.txt", "gone"):
            (point / "work" / name).write_text("first\nsecond\n")
        (point / "beside").write_text("x")
        ground.folder = point / "work"
        yield point
    finally:
        subprocess.run(["umount", point], check=True)


def test_a_folder_on_a_file_system_of_its_own(ground: Ground, apart: Path) -> None:
    """It is a copy as the rest is: seen with its owner, listed, shown, dropped and applied."""
    script = """
        stat -c '%a %u %g' ..; cat kept.txt ../beside
        sed -i s/second/2nd/ kept.txt; ln kept.txt twin; rm gone ../beside; mkdir deep; echo x > deep/new
    """
    done = ground.shell(script, "--diff")
    assert done.stdout.startswith("1770 7 8\nfirst\nsecond\nx")
    assert "-second\n+2nd\n" in done.stdout
    told = done.stderr.splitlines()
    assert told[0] == "sandbox: 6 changes on the copy, none on this machine"
    assert sorted(told[1:]) == sorted(
        [
            f"  changed  {ground.folder}/kept.txt", f"  added    {ground.folder}/twin",
            f"  deleted  {ground.folder}/gone", f"  deleted  {apart}/beside",
            f"  added    {ground.folder}/deep", f"  added    {ground.folder}/deep/new",
        ]
    )  # fmt: skip
    assert sorted(os.listdir(ground.folder)) == ["gone", "kept.txt"]
    assert (ground.folder / "kept.txt").read_text() == "first\nsecond\n"

    ground.shell(script, "--apply")
    assert sorted(os.listdir(ground.folder)) == ["deep", "kept.txt", "twin"]
    assert (ground.folder / "kept.txt").read_text() == "first\n2nd\n"
    assert (ground.folder / "kept.txt").samefile(ground.folder / "twin")
    assert (ground.folder / "deep" / "new").read_text() == "x\n"
    assert (apart / "beside").exists()
    ground("-q", "--everywhere", "--apply", "--", "rm", "../beside")
    assert not (apart / "beside").exists()


def test_a_folder_on_a_file_system_of_its_own_as_it_is(ground: Ground, apart: Path) -> None:
    ground.shell("echo x > new", "--folder", "read-only", code=1)
    ground.shell("echo x > new", "--folder", "write")
    assert (apart / "work" / "new").read_text() == "x\n"


def test_a_file_system_that_has_no_copies(ground: Ground, apart: Path) -> None:
    """An overlay on an overlay is as deep as the kernel goes; but it can be seen."""
    mounted = []
    try:
        for lower in ("work", "second"):
            upper = "second" if lower == "work" else "third"
            for each in (upper, f"{upper}-upper", f"{upper}-work"):
                (apart / each).mkdir()
            options = f"lowerdir={lower},upperdir={upper}-upper,workdir={upper}-work"
            subprocess.run(["mount", "-t", "overlay", "-o", options, "nk-deep", upper], cwd=apart, check=True)
            mounted.append(apart / upper)
        ground.folder = apart / "third"
        said = ground("--", "true", code=125).stderr
        assert f"mount overlay on {apart}/third" in said
        assert "--folder read-only" in said
        assert "kept.txt" in ground("--folder", "read-only", "--", "ls").stdout
    finally:
        for point in reversed(mounted):
            subprocess.run(["umount", point], check=True)


def test_shared_memory_as_the_folder(ground: Ground) -> None:
    """It has a place of its own in every container, where nothing that is changed would be told."""
    with tempfile.TemporaryDirectory(prefix="nk-ground-", dir="/dev/shm") as name:
        ground.folder = Path(name)
        (ground.folder / "kept").write_text("x")
        done = ground.shell("ls; rm kept; echo x > made")
        assert done.stdout == "kept\n"
        assert sorted(line.split() for line in done.stderr.splitlines()[1:]) == [
            ["added", f"{name}/made"], ["deleted", f"{name}/kept"],
        ]  # fmt: skip
        assert os.listdir(name) == ["kept"]
