"""Namespaces of one's own, of the host, of another container; and what does not go together."""

from __future__ import annotations

from typing import Any

import pytest

from nakagin.containers import namespaces
from nakagin.errors import Invalid
from nakagin.spec.docker import ContainerConfig, HostConfig


def plan(**modes: Any) -> str:
    """The plan on one line: kinds, joined ones with their path."""
    found = namespaces.plan(HostConfig(**modes), "private", {"pid": 7, "ipc": 8, "network": 9})
    return " ".join(each["type"] + (f"={each['path']}" if "path" in each else "") for each in found)


def test_plans() -> None:
    assert plan() == "mount network uts pid ipc cgroup"
    assert (
        plan(network_mode="host", pid_mode="host", uts_mode="host", ipc_mode="host", cgroupns_mode="host")
        == "mount"
    )
    assert (
        plan(network_mode="container:x", pid_mode="container:x", ipc_mode="container:x")
        == "mount network=/proc/9/ns/net uts pid=/proc/7/ns/pid ipc=/proc/8/ns/ipc cgroup"
    )


@pytest.mark.parametrize(
    ("config", "host", "words"),
    [
        ({}, {"pid_mode": "odd"}, "invalid PID mode: odd"),
        ({}, {"ipc_mode": "container:"}, "invalid IPC mode"),
        ({}, {"uts_mode": "private2"}, "invalid UTS mode"),
        ({}, {"cgroupns_mode": "x"}, "invalid cgroup namespace mode: x"),
        ({}, {"userns_mode": "x"}, "invalid userns mode: x"),
        ({}, {"isolation": "hyperv"}, "invalid isolation 'hyperv' on linux"),
        ({"hostname": "h"}, {"uts_mode": "host"}, "hostname and the UTS mode"),
        ({"hostname": "h"}, {"network_mode": "container:x"}, "hostname and the network mode"),
        ({}, {"network_mode": "container:x", "dns": ("1.1.1.1",)}, "dns and the network mode"),
        (
            {},
            {"network_mode": "container:x", "publish_all_ports": True},
            "port publishing and the container type",
        ),
    ],
)
def test_refused(config: dict[str, str], host: dict[str, object], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        namespaces.check(ContainerConfig(**config), HostConfig(**host))  # type: ignore[arg-type]
