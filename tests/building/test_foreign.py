"""Steps of images for another processor: with an emulator they run, without one it is told what to do."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
from tests.building.arm import QEMU, emulated, program
from tests.building.by_command import build
from tests.engine_fixture import ScratchEngine

pytestmark = pytest.mark.root


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the program is foreign on x86-64 only")
def test_a_step_for_arm64(engine: ScratchEngine, folder: Path) -> None:
    """DF.from.platform"""
    (folder / "hello").write_bytes(program("arm64 speaks\n"))
    (folder / "hello").chmod(0o755)
    text = 'FROM scratch\nCOPY hello /hello\nRUN ["/hello"]\n'
    said = build(engine, folder, text, "--platform=linux/arm64", check=1)
    assert "/hello is a program for linux/arm64, this machine is linux/amd64" in said
    assert "install qemu-user-static" in said
    assert '3 | >>> RUN ["/hello"]' in said
    shell = 'FROM busybox\nCOPY hello /sh\nSHELL ["/sh"]\nRUN anything\n'
    assert "/sh is a program for linux/arm64" in build(engine, folder, shell, check=1)
    if not QEMU.exists():
        pytest.skip("no qemu-aarch64-static: make setup-test installs it")
    with emulated(f"nakagin-{engine.instance}"):
        said = build(engine, folder, text, "--platform=linux/arm64", "-t", "emulated")
        assert "arm64 speaks" in said
    shown = engine.nakagin("image", "inspect", "-f", "{{.Architecture}}", "emulated").stdout
    assert shown == "arm64\n"
    engine.nakagin("rmi", "emulated")
