"""`nakagin debug`: tools beside a container that has none, and on an image."""

from __future__ import annotations

import io
import tarfile

import pytest
from tests.engine_fixture import ScratchEngine

pytestmark = pytest.mark.root


def test_beside_a_container_without_a_shell(engine: ScratchEngine, name: str) -> None:
    # Only its one program is in it.
    engine.docker("create", "--name", f"b-{name}", "busybox")
    with tarfile.open(engine.root / "one.tar", "w") as made:
        program = engine.docker("cp", f"b-{name}:/bin/busybox", str(engine.root / "busybox"))
        assert program.returncode == 0
        made.add(engine.root / "busybox", "sleep")
        note = tarfile.TarInfo("note")
        note.size = 4
        made.addfile(note, io.BytesIO(b"here"))
    engine.docker("rm", f"b-{name}")
    engine.docker("import", str(engine.root / "one.tar"), f"bare-{name}")
    try:
        engine.docker("run", "-d", "--name", name, "-v", f"{name}:/data", f"bare-{name}", "/sleep", "1000")
        script = "cat $ROOT/note; echo; cat /proc/1/cmdline | tr '\\0' ' '; hostname; touch /data/seen"
        done = engine.nakagin("debug", name, "sh", "-c", script)
        short = engine.docker("ps", "-q", "-f", f"name={name}").stdout.strip()
        assert done.stdout.splitlines()[:2] == ["here", f"/sleep 1000 {short}"]
        assert engine.nakagin("debug", name, "ls", "/data").stdout == "seen\n"
        shown = engine.nakagin("debug", f"bare-{name}", "ls", "/target").stdout
        assert shown.split() == ["note", "sleep"]
        engine.docker("kill", name)
        assert "is not running" in engine.nakagin("debug", name, check=1).stderr
        assert "no such" in engine.nakagin("debug", f"nothing-{name}", check=1).stderr.lower()
    finally:
        engine.docker("rm", "-f", name)
        engine.docker("volume", "rm", name)
        engine.docker("rmi", f"bare-{name}")
