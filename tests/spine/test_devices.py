"""Devices that vendors describe (CDI), by docker's command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.building.by_command import build, output
from tests.conftest import close_clean
from tests.engine_fixture import ScratchEngine

pytestmark = pytest.mark.root

SPECIFICATION = {
    "cdiVersion": "0.6.0",
    "kind": "vendor.com/gpu",
    "containerEdits": {"env": ["VENDOR=yes"]},
    "devices": [
        {"name": "0", "containerEdits": {"deviceNodes": [{"path": "/dev/gpu0", "hostPath": "/dev/zero"}]},
         "annotations": {"org.mobyproject.buildkit.device.class": "fast"}},
        {"name": "all", "containerEdits": {"deviceNodes": [{"path": "/dev/gpu0", "hostPath": "/dev/zero"}],
                                           "mounts": [{"hostPath": "/usr/share", "containerPath": "/vendor"}]}},
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def equipped() -> Iterator[ScratchEngine]:
    engine = ScratchEngine()
    folder = engine.root / "cdi"
    folder.mkdir()
    (folder / "vendor.json").write_text(json.dumps(SPECIFICATION))
    (folder / "broken.json").write_text("{")
    engine.arguments = ("--cdi-spec-dir", str(folder))
    try:
        engine.start()
        engine.bootstrap_busybox()
        yield engine
        shutil.rmtree(folder)
    finally:
        close_clean(engine)


@pytest.mark.docker(25)
def test_cdi_devices(equipped: ScratchEngine) -> None:
    read = "head -c 4 /dev/gpu0 | od -An -tx1; echo $VENDOR; test -d /vendor && echo mounted"
    one = equipped.docker(
        "run", "--rm", "--device", "vendor.com/gpu=0", "busybox", "sh", "-c", read, check=None
    )
    assert one.stdout.split() == ["00", "00", "00", "00", "yes"]
    every = equipped.docker("run", "--rm", "--gpus", "all", "busybox", "sh", "-c", read)
    assert every.stdout.split()[-2:] == ["yes", "mounted"]
    missing = equipped.docker("run", "--rm", "--device", "vendor.com/gpu=7", "busybox", "true", check=125)
    assert "unresolvable CDI devices vendor.com/gpu=7" in missing.stderr
    assert not equipped.docker("ps", "-aq").stdout
    info = equipped.client().info()
    assert {each["ID"] for each in info["DiscoveredDevices"]} == {"vendor.com/gpu=0", "vendor.com/gpu=all"}
    assert any("broken.json" in each for each in info["Warnings"])


def test_cdi_devices_of_build_steps(equipped: ScratchEngine, tmp_path: Path) -> None:
    """DF.run.device DF.build.opts.allow"""
    folder = tmp_path / "context"
    folder.mkdir()
    look = "echo $(head -c 2 /dev/gpu0 | od -An -tx1) $VENDOR $(test -d /vendor && echo mounted) >> /r"
    steps = "".join(
        f"RUN --device={wanted} {look}\n"
        for wanted in (
            "vendor.com/gpu=0,required",
            "vendor.com/gpu",
            "vendor.com/gpu=*",
            "vendor.com/gpu=fast",
        )
    )
    text = f'FROM busybox\n{steps}RUN --device=vendor.com/none=1 test ! -e /dev/gpu0 -a -z "$VENDOR"\n'
    shown = output(equipped, folder, text, "--allow", "device")
    assert shown == "00 00 yes\n00 00 yes\n00 00 yes mounted\n00 00 yes\n"
    said = build(equipped, folder, text, "--no-cache", "--allow", "device")
    assert "the device vendor.com/none=1 is not here; the step goes without" in said
    missing = "FROM busybox\nRUN --device=name=vendor.com/gpu=7,required=true true\n"
    said = build(equipped, folder, missing, "--allow", "device", check=1)
    assert "required device 'vendor.com/gpu=7' is not registered" in said
    only = "FROM busybox\nRUN --device=vendor.com/gpu=0 true\nRUN --device=vendor.com/gpu=all true\n"
    said = build(equipped, folder, only, "--allow", "device=vendor.com/gpu=0", check=1)
    assert "build with --allow device" in said
    assert "3 | >>> RUN --device=vendor.com/gpu=all" in said
    build(equipped, folder, only, "--allow", "device=vendor.com/gpu")
    for wrong, words in (
        ("gpu=0", "invalid device"),
        ("a.com/b=c,requird", "unexpected key"),
        ("required", "a name"),
    ):
        assert words in build(equipped, folder, f"FROM busybox\nRUN --device={wrong} true\n", check=1)
