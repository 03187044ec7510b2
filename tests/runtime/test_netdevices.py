"""A device of the host moves into the container."""

from __future__ import annotations

import subprocess
import uuid
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.runtime.box import Box

pytestmark = pytest.mark.root


def ip(*words: str) -> str:
    """What ip(8) prints."""
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


def test_moves_renames_and_keeps_addresses(box: Box) -> None:
    name = f"nk{uuid.uuid4().hex[:8]}"
    ip("link", "add", name, "type", "veth", "peer", "name", f"{name}p")
    try:
        ip("addr", "add", "10.234.5.6/24", "dev", name)
        box.linux["netDevices"] = {name: {"name": "inner0"}}
        out = box.sh("ip addr show inner0")
        assert "UP" in out
        assert "10.234.5.6/24" in out
        assert f" {name}@" not in ip("link")
    finally:
        subprocess.run(["ip", "link", "del", f"{name}p"], check=False, capture_output=True)


def test_a_missing_device_is_named(box: Box) -> None:
    box.linux["netDevices"] = {"nk-missing": {}}
    answer = box.run("true")
    assert answer.code == 1
    assert "move network device nk-missing" in answer.err
