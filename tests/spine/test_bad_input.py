"""Bad input and bad surroundings: a clear error with cause and next step, and nothing half-made is left."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import close_clean
from tests.engine_fixture import ScratchEngine
from tests.spine.conftest import Cli

pytestmark = pytest.mark.root

BAD_FLAGS = [
    pytest.param(["-m", "1k"], "memory limit", id="memory too small"),
    pytest.param(["-m", "-5"], "", id="negative memory"),
    pytest.param(["--cpus", "1000"], "CPUs", id="more CPUs than there are"),
    pytest.param(["--cpuset-cpus", "500"], "500", id="a CPU that is not there"),
    pytest.param(["-p", "70000:80"], "70000", id="port out of range"),
    pytest.param(["-p", "80:http"], "http", id="port that is no number"),
    pytest.param(["-v", "/a:relative"], "relative", id="relative target"),
    pytest.param(["--restart", "sometimes"], "restart", id="unknown policy"),
    pytest.param(["--network", "nothing-like-this"], "nothing-like-this", id="unknown network"),
    pytest.param(["--cap-add", "FLY"], "FLY", id="unknown capability"),
    pytest.param(["--ulimit", "nothing=3"], "nothing", id="unknown ulimit"),
    pytest.param(["--security-opt", "seccomp=/no/such/profile"], "/no/such/profile", id="missing profile"),
    pytest.param(["--tmpfs", "relative"], "relative", id="relative tmpfs"),
    pytest.param(["--device", "/dev/no-such-device"], "/dev/no-such-device", id="missing device"),
    pytest.param(["--pid", "container:no-such-container"], "no-such-container", id="unknown container"),
    pytest.param(["--name", "bad name"], "bad name", id="bad name"),
    pytest.param(["-e", "=x"], "=x", id="nameless variable"),
    pytest.param(["--log-driver", "carrier-pigeon"], "carrier-pigeon", id="unknown log driver"),
    pytest.param(["--sysctl", "kernel.core_pattern=x"], "kernel.core_pattern", id="sysctl of the host"),
]


@pytest.mark.parametrize(("flags", "words"), BAD_FLAGS)
def test_bad_flag_values(cli: Cli, engine: ScratchEngine, flags: list[str], words: str) -> None:
    before = engine.docker("ps", "-aq").stdout.split()
    done = cli("run", "--rm", "-l", "bad=input", *flags, "busybox", "true", check=None)
    # docker's command line turns every "no such file or directory" into 127
    assert done.returncode == 125 or (done.returncode == 127 and "no such file" in done.stderr.lower()), done
    assert words.lower() in done.stderr.lower()
    assert "Traceback" not in done.stderr
    assert set(engine.docker("ps", "-aq", "--filter", "label=bad=input").stdout.split()) <= set(before)


def test_unknown_image(cli: Cli) -> None:
    done = cli("run", "--rm", "--pull", "never", "no-such-image:v7", "true", check=125)
    assert "no such image" in done.stderr.lower()
    assert "no-such-image:v7" in done.stderr


def test_bad_image_name(cli: Cli) -> None:
    assert "invalid reference format" in cli("run", "--rm", "UPPER/case", "true", check=125).stderr


def test_name_in_use_names_the_holder(cli: Cli, name: str) -> None:
    identity = cli("create", "--name", name, "busybox").stdout.strip()
    refused = cli("create", "--name", name, "busybox", check=1).stderr
    assert f'"/{name}" is already in use by container "{identity}"' in refused


@pytest.mark.parametrize("verb", ["start", "stop", "kill", "rm", "logs", "inspect", "attach", "pause", "top"])
def test_unknown_container(cli: Cli, verb: str) -> None:
    done = cli(verb, "nobody", check=1)
    assert "no such" in done.stderr.lower()
    assert "nobody" in done.stderr


def test_wrong_state(cli: Cli, name: str) -> None:
    cli("create", "--name", name, "busybox")
    assert "not running" in cli("kill", name, check=1).stderr
    assert "not running" in cli("exec", name, "true", check=1).stderr
    assert "not running" in cli("pause", name, check=1).stderr


def test_corrupt_archives(cli: Cli, engine: ScratchEngine, tmp_path: Path) -> None:
    before = engine.docker("images", "-aq").stdout
    files = engine.stored_files()
    (tmp_path / "garbage").write_bytes(os.urandom(4096))
    archive = tmp_path / "archive"
    engine.docker("save", "-o", str(archive), "busybox")
    whole = archive.read_bytes()
    (tmp_path / "short").write_bytes(whole[: len(whole) // 2])
    with tarfile.open(tmp_path / "escape", "w") as made:
        entry = tarfile.TarInfo("../../../../tmp/escaped")
        entry.size = 1
        made.addfile(entry, io.BytesIO(b"x"))
    for name in ("garbage", "short", "escape"):
        done = cli("load", "-i", str(tmp_path / name), check=1)
        assert done.stderr.strip(), name
        assert "Traceback" not in done.stderr
    cli("import", str(tmp_path / "garbage"), "bad:v1", check=1)
    assert not os.path.exists("/tmp/escaped")
    assert engine.docker("images", "-aq").stdout == before
    if engine.name == "nakagin":
        assert engine.stored_files() == files


# surroundings


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 100 MB."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "none", str(tmp_path)], check=True)
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_full_disk(small_disk: Path) -> None:
    engine = ScratchEngine(parent=str(small_disk))
    try:
        engine.start()
        engine.bootstrap_busybox()
        engine.docker("run", "-d", "--name", "sleeper", "busybox", "sleep", "1000")
        fill = ("dd", "if=/dev/zero", "of=/file", "bs=4k")
        engine.docker("run", "--name", "full", "busybox", *fill, check=1)
        engine.docker("run", "--name", "fuller", "busybox", *fill, check=None)  # whatever it finds
        big = subprocess.run(["tar", "-c", "/usr/lib/python3"], capture_output=True, check=True).stdout
        refused = subprocess.run(
            engine.docker_argv("import", "-", "big"), input=big, env=engine.environment(),
            capture_output=True, check=False,
        )  # fmt: skip
        assert refused.returncode == 1
        assert b"no space left" in refused.stderr.lower()
        engine.docker("stop", "-t", "0", "sleeper")
        engine.docker("rm", "full")  # removing works on a full disk, and makes room
        assert engine.docker("run", "--rm", "busybox", "echo", "room").stdout == "room\n"
    finally:
        close_clean(engine)


def start_fails(engine: ScratchEngine, *prefix: str) -> str:
    """Run an engine that cannot start: its words, after checking that it ends by itself."""
    try:
        done = subprocess.run(
            [*prefix, *engine.command()], capture_output=True, text=True, timeout=30, check=False, cwd="/",
            env={**os.environ, "PYTHONPATH": os.path.abspath("src"), "NAKAGIN_SCRATCH": engine.instance},
        )  # fmt: skip
        assert done.returncode != 0
        assert "Traceback" not in done.stderr
        assert engine.processes() == []
        return done.stdout + done.stderr
    finally:
        subprocess.run(["rm", "-rf", str(engine.root)], check=False)


def test_read_only_data_root(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", str(tmp_path)], check=True)
    engine = ScratchEngine()
    try:
        engine.data_root = tmp_path / "data"
        words = start_fails(engine).lower()
        assert str(tmp_path) in words
        assert "read-only" in words
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_data_root_has_one_engine(engine: ScratchEngine) -> None:
    second = ScratchEngine()
    second.data_root = engine.data_root
    assert str(engine.data_root) in start_fails(second)
    assert engine.answers()


def test_too_little_privilege() -> None:
    engine = ScratchEngine()
    engine.root.chmod(0o777)
    words = start_fails(engine, "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    assert "root" in words


@pytest.mark.parametrize(("words", "command"), [((), "sudo make demo"), (("clean",), "sudo make demo-clean")])
def test_the_demo_without_root(words: tuple[str, ...], command: str) -> None:
    """Says what is missing before it does anything."""
    tools = Path(__file__).parents[2] / "tools"
    text = (tools / "demo").read_text()  # the user may not be able to read our folder
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "bash", "-s", "--", *words]
    done = subprocess.run(nobody, input=text, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == f"Next step: {command}"


def test_checkpoints_are_refused(engine: ScratchEngine, name: str) -> None:
    engine.docker("create", "--name", name, "busybox", "true")
    api = engine.client().api
    answer = api.post(f"{api.base_url}/containers/{name}/start", params={"checkpoint": "one"})
    assert answer.status_code == 501
    assert "checkpoint" in answer.json()["message"]
    assert engine.docker("inspect", "-f", "{{.State.Status}}", name).stdout == "created\n"


def test_a_mistyped_name_is_told_with_the_nearest(engine: ScratchEngine, name: str) -> None:
    engine.docker("create", "--name", name, "busybox")
    assert f"(did you mean {name}?)" in engine.docker("start", name + "x", check=1).stderr
    assert "(did you mean busybox:latest?)" in engine.docker("history", "busibox", check=1).stderr
    assert "(did you mean bridge?)" in engine.nakagin("network", "inspect", "brigde", check=1).stderr
    here = f"127.0.0.1:1/{name}"  # a registry that nobody has
    engine.docker("tag", "busybox", here)
    assert f"locally (did you mean {here}:latest?)" in engine.nakagin("run", f"{here}x", check=None).stderr
    engine.docker("rmi", here)
