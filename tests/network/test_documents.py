from __future__ import annotations

import msgspec
import pytest

from nakagin.errors import Invalid
from nakagin.network.documents import (
    check_filters,
    matches,
    network_document,
    ports_document,
    settings_document,
)
from nakagin.network.model import Endpoint, Network, PortMapping, Subnet

BRIDGE = Network(
    "a" * 64,
    "bridge",
    "bridge",
    "2026-01-01T00:00:00Z",
    (Subnet("172.17.0.0/16", "172.17.0.1"),),
    bridge="nakagin0",
)
NONE = Network("b" * 64, "none", "null", "2026-01-01T00:00:00Z")
WEB = Endpoint(
    "e" * 64, BRIDGE.id, "c" * 64, "web", "veth0", "eth0", "02:42:ac:11:00:02", ("172.17.0.2/16",),
    (
        PortMapping("tcp", "0.0.0.0", 8080, 80),
        PortMapping("tcp", "::", 8080, 80),
        PortMapping("udp", "0.0.0.0", 53, 53, 2),
    ),
)  # fmt: skip


def test_a_network_shows_its_pools_and_members_as_docker_does() -> None:
    document = network_document(BRIDGE, [WEB])
    assert document["IPAM"]["Config"] == [{"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.1"}]
    assert document["Containers"]["c" * 64]["IPv4Address"] == "172.17.0.2/16"
    assert document["Options"]["com.docker.network.bridge.name"] == "nakagin0"
    assert (document["EnableIPv4"], document["EnableIPv6"]) == (True, False)
    assert network_document(NONE)["IPAM"]["Config"] is None


def test_ports_are_listed_by_container_port() -> None:
    assert ports_document(WEB.ports, ["443/tcp", "80/tcp"]) == {
        "443/tcp": None,
        "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],
        "53/udp": [{"HostIp": "0.0.0.0", "HostPort": "53"}],
        "54/udp": [{"HostIp": "0.0.0.0", "HostPort": "54"}],
    }


def test_settings_of_a_running_and_of_a_stopped_container() -> None:
    running = settings_document({"bridge": (BRIDGE, WEB)}, ["443/tcp"])
    assert (running["IPAddress"], running["IPPrefixLen"], running["Gateway"]) == (
        "172.17.0.2",
        16,
        "172.17.0.1",
    )
    assert running["Networks"]["bridge"]["MacAddress"] == WEB.mac
    assert "443/tcp" in running["Ports"]
    stopped = settings_document({"bridge": (BRIDGE, None)}, ["443/tcp"])
    assert (stopped["IPAddress"], stopped["Ports"], stopped["SandboxID"]) == ("", {}, "")
    assert stopped["Networks"]["bridge"]["NetworkID"] == BRIDGE.id
    gone = settings_document({"gone": (None, None)})
    assert gone["Networks"]["gone"]["NetworkID"] == ""


def test_filters() -> None:
    labelled = msgspec.structs.replace(BRIDGE, name="mine", labels={"tier": "web"})
    assert matches(labelled, {"label": ["tier=web"], "driver": ["host", "bridge"]}, used=False)
    assert not matches(labelled, {"label": ["tier=db"]}, used=False)
    assert matches(labelled, {"dangling": ["true"]}, used=False)
    assert not matches(labelled, {"dangling": ["true"]}, used=True)
    assert matches(BRIDGE, {"type": ["builtin"]}, used=True)
    assert not matches(BRIDGE, {"name": ["none"]}, used=True)
    assert not matches(labelled, {"label": ["tier=web", "other"]}, used=False)
    for filters in ({"color": ["red"]}, {"type": ["mine"]}, {"dangling": ["perhaps"]}):
        with pytest.raises(Invalid, match="invalid filter"):
            check_filters(filters)
