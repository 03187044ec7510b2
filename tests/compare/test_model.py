"""The table of the comparison, and the two forms of the program's root file system."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from nakagin.compare import kernel, program
from nakagin.compare.model import KINDS, Comparison, Side, Told, duration, own, rows, size, told
from nakagin.compare.picture import svg, text
from nakagin.errors import Unavailable, Unsupported

HOST = Told("6.12", "boot-1", {kind: f"{kind}:[1]" for kind in KINDS}, 0.4)
INSIDE = Told("6.12", "boot-1", {kind: f"{kind}:[{1 if kind == 'user' else 2}]" for kind in KINDS}, 0.5)
GUEST = Told("6.1", "boot-2", {kind: f"{kind}:[1]" for kind in KINDS}, 5.0)
FOUND = Comparison(
    Side((0.04, 0.02, 0.5), INSIDE, 2 << 20, 4 << 20, 0.0, 4096),
    Side((12.0, 2.0, 4.0), GUEST, 16 << 20, 200 << 20, 0.008, 0),
    HOST, 4 << 30, "tcg", "emulated (TCG): there is no /dev/kvm", 128, 5.0,
)  # fmt: skip


def test_the_table() -> None:
    table = {row.name: row for row in rows(FOUND)}
    start = table["start to first answer"]
    assert (start.container, start.machine, start.ratio) == ("40 ms", "4.0 s", 100)
    assert table["size"].ratio == 8
    assert (table["density"].container, table["density"].machine) == ("1,024", "20")
    assert table["CPU of one idle"].ratio is None
    computing = table["the same computation"]
    assert (computing.container, computing.machine, computing.ratio) == ("500 ms", "5.0 s", 10)
    assert "on this host itself 400 ms" in computing.how
    assert (table["disk of one more"].container, table["disk of one more"].ratio) == ("4 KiB", None)
    assert table["kernel"].container == "shared: 6.12"
    assert table["kernel"].machine == "own: 6.1"
    assert table["own namespaces"].container == "cgroup ipc mnt net pid uts; shared: user"
    assert all(row.how for row in table.values())


def test_the_lines_for_people() -> None:
    lines = "\n".join(text(FOUND))
    assert "100 times" in lines
    assert "The virtual machine was emulated (TCG): there is no /dev/kvm.\nEmulation is slow" in lines
    accelerated = FOUND._replace(accelerator="kvm", reason="accelerated by KVM")
    assert "Emulation" not in "\n".join(text(accelerated))
    assert "translated code" not in "\n".join(text(accelerated))


def test_the_picture_is_sound() -> None:
    bars = [node for node in ET.fromstring(svg(FOUND)).iter() if node.get("rx")]
    assert len(bars) == 5
    assert float(bars[0].get("width") or 0) > float(bars[1].get("width") or 0)


def test_what_the_program_tells() -> None:
    found = told(
        "answer\r\nrelease 6.1\r\nboot b\r\nns net:[7]\r\nns pid:[8]\r\ncomputed 7.01 7.51\r\ntold\r\n"
    )
    assert found._replace(computing=0.0) == Told("6.1", "b", {"net": "net:[7]", "pid": "pid:[8]"})
    assert found.computing == pytest.approx(0.5)
    assert own(found, found._replace(namespaces={"net": "net:[7]"})) == ["pid"]
    with pytest.raises(Unavailable, match="panic"):
        told("kernel panic")


def test_figures() -> None:
    assert (duration(0.0414), duration(12.34)) == ("41 ms", "12.3 s")
    assert (size(512), size(3 << 20), size(5 << 30)) == ("512 B", "3 MiB", "5 GiB")


def test_both_forms_hold_the_same_files(tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(program.as_layer(b"\x7fELF"))) as layer:
        script = layer.extractfile("answer")
        assert script is not None
        wanted = script.read()
        assert layer.getmember("bin/busybox").mode == 0o755
    busybox = program.busybox()
    unpack = ["busybox", "cpio", "-id", "bin/busybox", "answer"]
    archive = program.as_initramfs(busybox)
    subprocess.run(unpack, input=archive, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "answer").read_bytes() == wanted
    assert (tmp_path / "bin/busybox").read_bytes() == busybox
    assert (tmp_path / "answer").stat().st_mode & 0o777 == 0o755


def test_what_is_missing_is_told_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    with pytest.raises(Unsupported, match="apt-get install qemu-system-x86"):
        kernel.emulator()
    with pytest.raises(Unsupported, match="--kernel FILE"):
        kernel.kernel()
    monkeypatch.setattr(program, "_INSTALLED", ())
    with pytest.raises(Unsupported, match="apt-get install busybox-static"):
        program.busybox()
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(Unsupported, match="x86-64 only"):
        kernel.emulator()


def test_a_kernel_that_apt_does_not_know(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("apt-get", "apt-cache"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'E: no such package' >&2\nexit 100\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(Unsupported, match=r"cannot fetch .*: E: no such package \(apt-get update"):
        kernel.kernel()
