"""CDI: vendors' files, names, GPUs, and what becomes of config.json."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from nakagin.containers import cdi
from nakagin.errors import Invalid
from nakagin.spec.docker import DeviceRequest

VENDOR = {
    "cdiVersion": "0.6.0",
    "kind": "vendor.com/gpu",
    "containerEdits": {"env": ["COMMON=1", "PATH=/vendor"], "additionalGIDs": [44]},
    "devices": [
        {"name": "0", "containerEdits": {"deviceNodes": [{"path": "/dev/gpu0", "hostPath": "/dev/null"}]}},
        {"name": "1", "containerEdits": {"deviceNodes": [
            {"path": "/dev/gpu1", "type": "c", "major": 1, "minor": 5, "permissions": "r", "fileMode": 384, "uid": 7},
        ]}},
        {"name": "all", "containerEdits": {
            "env": ["ALL=1"],
            "mounts": [{"hostPath": "/usr/lib", "containerPath": "/vendor"}],
            "hooks": [{"hookName": "createContainer", "path": "/bin/hook", "timeout": 5}]}},
    ],
}  # fmt: skip


@pytest.fixture
def known(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "vendor.json").write_text(json.dumps(VENDOR))
    (tmp_path / "broken.json").write_text("{")
    found, complaints = cdi.read([str(tmp_path / "missing"), str(tmp_path)])
    assert len(complaints) == 1
    assert "broken.json" in complaints[0]
    return found


def gpus(count: int = 0, *ids: str, driver: str = "") -> list[DeviceRequest]:
    return [DeviceRequest(driver=driver, count=count, device_ids=ids, capabilities=(("gpu",),))]


def test_names(known: dict[str, Any]) -> None:
    assert sorted(known) == ["vendor.com/gpu=0", "vendor.com/gpu=1", "vendor.com/gpu=all"]
    request = [DeviceRequest(driver="cdi", device_ids=("vendor.com/gpu=1",))]
    assert cdi.names(request, known) == ["vendor.com/gpu=1"]
    assert cdi.names(gpus(1), known) == ["vendor.com/gpu=0"]
    assert cdi.names(gpus(-1), known) == ["vendor.com/gpu=all"]
    assert cdi.names(gpus(0, "1", driver="vendor"), known) == ["vendor.com/gpu=1"]


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (DeviceRequest(driver="cdi", device_ids=("vendor.com/gpu=9",)), "unresolvable CDI devices vendor.com/gpu=9"),
        (gpus(3)[0], "3 GPUs were asked for, and there are 2"),
        (gpus(1, driver="other")[0], 'could not select device driver "other"'),
        (DeviceRequest(count=1, capabilities=(("tpu", "x"),)), r"capabilities: \[\[tpu x\]\]"),
    ],
)  # fmt: skip
def test_what_is_not_there(known: dict[str, Any], request_: DeviceRequest, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        cdi.names([request_], known)


def test_edits(known: dict[str, Any]) -> None:
    config: Any = {
        "process": {"env": ["PATH=/bin", "A=b"], "user": {"uid": 0, "gid": 0, "additionalGids": [0]}},
        "linux": {}, "mounts": [],
    }  # fmt: skip
    cdi.apply(config, cdi.edits(["vendor.com/gpu=0", "vendor.com/gpu=1", "vendor.com/gpu=all"], known))
    assert config["process"]["env"] == ["A=b", "COMMON=1", "PATH=/vendor", "ALL=1"]
    assert config["process"]["user"]["additionalGids"] == [0, 44]
    null = os.stat("/dev/null")
    first, second = config["linux"]["devices"]
    assert (first["path"], first["major"], first["minor"]) == (
        "/dev/gpu0",
        os.major(null.st_rdev),
        os.minor(null.st_rdev),
    )
    assert second == {"type": "c", "path": "/dev/gpu1", "major": 1, "minor": 5, "fileMode": 384, "uid": 7}
    assert [rule["access"] for rule in config["linux"]["resources"]["devices"]] == ["rwm", "r"]
    assert config["mounts"] == [
        {"destination": "/vendor", "source": "/usr/lib", "type": "bind", "options": ["rbind", "ro"]}
    ]
    hook = {"path": "/bin/hook", "args": ["/bin/hook"], "env": [], "timeout": 5}
    assert config["hooks"] == {"createContainer": [hook]}
