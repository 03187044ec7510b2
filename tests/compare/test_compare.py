"""The comparison for real: containers and one virtual machine, and nothing of them afterwards."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from tests.engine_fixture import ScratchEngine, await_until

from nakagin.compare import kernel
from nakagin.errors import Unsupported

pytestmark = [pytest.mark.root, pytest.mark.vm, pytest.mark.alone]


@pytest.fixture(autouse=True)
def _able() -> None:
    try:
        kernel.emulator()
        kernel.kernel()
    except Unsupported as reason:
        pytest.skip(str(reason))


def machines_of(engine: ScratchEngine) -> list[str]:
    """Command lines of the virtual machines that boot from a folder of ours."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(file.read_text(errors="replace").replace("\0", " "))
    return [line for line in found if f"-initrd {engine.root}/nakagin-compare-" in line]


def left_of(engine: ScratchEngine) -> list[str]:
    """What the command could leave: containers, images, temporary files, machines."""
    containers = engine.docker("ps", "-a", "--format", "{{.Image}} {{.Command}}").stdout.splitlines()
    containers = [each for each in containers if "/answer" in each]
    images = engine.docker("images", "-q", "nakagin-compare").stdout.split()
    return [*containers, *images, *map(str, engine.root.glob("nakagin-compare-*")), *machines_of(engine)]


@pytest.fixture
def _temporary(engine: ScratchEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(engine.root))
    monkeypatch.setattr(tempfile, "tempdir", None)


@pytest.mark.timeout(500)
@pytest.mark.usefixtures("_temporary")
def test_the_container_is_far_ahead(engine: ScratchEngine, tmp_path: Path) -> None:
    picture = tmp_path / "picture.svg"
    flags = ["--boots", "1", "--runs", "5", "--window", "2s", "--format", "json", "--plot", str(picture)]
    document = json.loads(engine.nakagin("compare", *flags, "vm", timeout=480).stdout)
    ours, theirs = document["Container"], document["VirtualMachine"]
    rows = {row["Name"]: row for row in document["Rows"]}
    assert (len(ours["Starts"]), len(theirs["Starts"])) == (5, 1)
    assert rows["start to first answer"]["Ahead"] >= 20
    assert (ours["SharesKernel"], theirs["SharesKernel"]) == (True, False)
    assert ours["Kernel"] == Path("/proc/sys/kernel/osrelease").read_text().strip()
    assert f"vmlinuz-{theirs['Kernel']}" == Path(kernel.kernel()).name
    assert "pid" not in ours["SharedNamespaces"]
    assert "user" in ours["SharedNamespaces"]
    assert 0 < ours["Memory"] < theirs["Memory"]
    assert ours["Fits"] > theirs["Fits"] > 0
    assert ET.parse(picture).getroot().tag.endswith("svg")
    assert left_of(engine) == []


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("_temporary")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_leaves_nothing(engine: ScratchEngine, number: int, code: int) -> None:
    argv = engine.nakagin_argv("compare", "--runs", "1", "--window", "100ms", "vm")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=engine.environment()) as process:
        await_until(lambda: machines_of(engine), "a virtual machine", 60)
        process.send_signal(number)
        assert process.wait(60) == code
    assert left_of(engine) == []


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("_temporary")
def test_no_machine_outlives_a_killed_command(engine: ScratchEngine) -> None:
    argv = engine.nakagin_argv("compare", "--runs", "1", "--window", "100ms", "vm")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=engine.environment()) as process:
        await_until(lambda: machines_of(engine), "a virtual machine", 60)
        process.kill()
    await_until(lambda: not machines_of(engine), "the machine's end", 60)
    for folder in engine.root.glob("nakagin-compare-*"):  # that much is left to whoever cleans /tmp
        shutil.rmtree(folder)


def test_bad_words(engine: ScratchEngine) -> None:
    for words, message in (
        (["pod"], 'cannot compare with "pod"'),
        (["--format", "xml", "vm"], "text or json"),
        (["--runs", "0", "vm"], "--runs must be at least 1"),
        (["--kernel", "/nowhere", "vm"], "/nowhere cannot be read"),
    ):
        assert message in engine.nakagin("compare", *words, check=1).stderr


@pytest.mark.usefixtures("_temporary")
def test_a_file_that_is_no_kernel(engine: ScratchEngine) -> None:
    words = ["--kernel", "/etc/passwd", "--boots", "1", "--runs", "1", "--window", "100ms"]
    said = engine.nakagin("compare", *words, "vm", check=1).stderr
    assert "QEMU ended with exit code 1" in said
    assert "--kernel names another" in said
    assert left_of(engine) == []
