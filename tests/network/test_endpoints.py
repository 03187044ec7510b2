from __future__ import annotations

import msgspec
import pytest

from nakagin.errors import Invalid
from nakagin.network.endpoints import (
    attachment_plan,
    elect,
    gateways,
    interface_name,
    interface_sysctls,
    make_endpoint,
    published,
)
from nakagin.network.model import Endpoint, Network, PortMapping, Subnet, Wish
from nakagin.network.parents import vlan

V4, V6 = Subnet("10.0.0.0/24", "10.0.0.1"), Subnet("fd00::/64", "fd00::1")


def network(name: str, *pools: Subnet, **more: object) -> Network:
    return Network(name * 64, name, "bridge", "", pools, bridge=f"br-{name}", **more)  # type: ignore[arg-type]


def place(on: Network, *addresses: str, **wish: object) -> Endpoint:
    return make_endpoint(on, "c", "web", Wish(network=on.name, **wish), addresses, "eth0")  # type: ignore[arg-type]


def test_the_default_route_goes_by_priority_then_both_families_then_name() -> None:
    a, b, both, inner = (
        network("a", V4),
        network("b", V4),
        network("z", V4, V6),
        network("i", V4, internal=True),
    )
    networks = {each.id: each for each in (a, b, both, inner)}
    one, two = place(a, "10.0.0.2/24"), place(b, "10.0.0.2/24")
    dual, hidden = place(both, "10.0.0.2/24", "fd00::2/64"), place(inner, "10.0.0.2/24", gw_priority=9)
    assert elect([two, one, hidden], networks) == {"4": one.id}
    assert elect([one, dual], networks) == {"4": dual.id, "6": dual.id}
    first = msgspec.structs.replace(two, gw_priority=1)
    assert elect([one, first, dual], networks) == {"4": first.id, "6": dual.id}
    assert elect([hidden], networks) == {}


def test_ports_lead_to_the_address_by_which_answers_leave() -> None:
    a, b = network("a", V4), network("b", Subnet("10.9.0.0/24", "10.9.0.1"), V6)
    mapping = (PortMapping("tcp", "0.0.0.0", 80, 80), PortMapping("tcp", "::", 80, 80))
    one = msgspec.structs.replace(place(a, "10.0.0.2/24"), gateway=("4",), ports=mapping)
    two = msgspec.structs.replace(place(b, "10.9.0.2/24", "fd00::2/64"), gateway=("6",))
    found = published([one, two], {a.id: a, b.id: b})
    assert [(each.mapping.host_ip, each.address) for each in found] == [
        ("0.0.0.0", "10.0.0.2"),
        ("::", "fd00::2"),
    ]
    assert [each.address for each in published([one], {a.id: a})] == ["10.0.0.2"]


def test_gateways_of_each_kind_of_network() -> None:
    plain = network("a", V4, V6)
    endpoint = msgspec.structs.replace(place(plain, "10.0.0.2/24", "fd00::2/64"), gateway=("4", "6"))
    assert gateways(plain, endpoint) == ("10.0.0.1", "fd00::1")
    routed = msgspec.structs.replace(plain, driver="ipvlan", mode="l3", bridge="", parent="eth0")
    assert gateways(routed, endpoint) == ("0.0.0.0/0", "::/0")
    plan = attachment_plan(routed, endpoint, filtered=False)
    assert (plan["driver"], plan["mode"], plan["bridge"], plan["probe"]) == ("ipvlan", "l3", "eth0", False)


def test_interfaces_are_numbered_by_prefix_or_named_as_asked() -> None:
    plain = network("a", V4)
    assert interface_name(plain, Wish(network="a"), {"eth0", "eth2"}) == "eth1"
    named = Wish(network="a", driver_opts={"com.docker.network.endpoint.ifname": "uplink"})
    assert interface_name(plain, named, set()) == "uplink"
    with pytest.raises(Invalid, match="invalid interface name"):
        interface_name(plain, named, {"uplink"})


def test_sysctls_are_of_the_interface_only() -> None:
    def sysctls(text: str) -> list[list[str]]:
        key = "com.docker.network.endpoint.sysctls"
        return interface_sysctls(place(network("a", V4), "10.0.0.2/24", driver_opts={key: text}))

    assert sysctls("net.ipv4.conf.IFNAME.log_martians=1") == [["net/ipv4/conf/eth0/log_martians", "1"]]
    for wrong in (
        "net.ipv4.conf.all.forwarding=1",
        "kernel.x.y.IFNAME.z=1",
        "net.ipv4.conf.IFNAME=1",
        "net./x.y.IFNAME.z=1",
    ):
        with pytest.raises(Invalid, match="invalid sysctl"):
            sysctls(wrong)


def test_vlans_are_told_from_names() -> None:
    assert vlan("eth0.50") == ("eth0", 50)
    assert vlan("bond0") is None
    with pytest.raises(Invalid, match="VLAN"):
        vlan("eth0.4095")
