"""From cgroupsPath to a group's path."""

from __future__ import annotations

import pytest

from nakagin.cgroups.paths import container_path
from nakagin.errors import Invalid


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("", "/nakagin/id"),
        ("/docker/abc", "/docker/abc"),
        ("//docker//abc/", "/docker/abc"),
        ("mine/abc", "/nakagin/mine/abc"),
        ("/a/../b", "/b"),
        ("../../../a", "/a"),
    ],
)
def test_directories(given: str, path: str) -> None:
    assert container_path(given, "id") == path


@pytest.mark.parametrize("given", ["/", "/..", "..", "system.slice:docker:abc"])
def test_refused_directories(given: str) -> None:
    with pytest.raises(Invalid, match="cgroupsPath"):
        container_path(given, "id")


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("", "/system.slice/nakagin-id.scope"),
        ("system.slice:docker:abc", "/system.slice/docker-abc.scope"),
        (":docker:abc", "/system.slice/docker-abc.scope"),
        ("user.slice::abc", "/user.slice/abc.scope"),
        ("-.slice:docker:abc", "/docker-abc.scope"),
        ("a-b-c.slice:libpod:1", "/a.slice/a-b.slice/a-b-c.slice/libpod-1.scope"),
        ("kubepods.slice:x:pod.slice", "/kubepods.slice/pod.slice"),
    ],
)
def test_systemd(given: str, path: str) -> None:
    assert container_path(given, "id", systemd=True) == path


@pytest.mark.parametrize(
    "given", ["/docker/abc", "a:b", "a.slice:b:", "a-.slice:b:c", "a:b:c", "a/b.slice:c:d"]
)
def test_refused_for_systemd(given: str) -> None:
    with pytest.raises(Invalid, match="cgroupsPath"):
        container_path(given, "id", systemd=True)
