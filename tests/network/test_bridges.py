from __future__ import annotations

import socket

import pytest
from tests.network.sandbox import in_namespace

from nakagin.errors import StepFailed
from nakagin.kernel import netlink
from nakagin.network import bridges

pytestmark = pytest.mark.root


@in_namespace
def test_a_removed_bridge_is_gone_with_its_interfaces_and_a_refusal_is_told() -> None:
    with netlink.Socket() as kernel:
        for name in ("one", "two"):
            kernel.send([netlink.add_bridge(name, mac="02:42:00:00:00:01", mtu=1500)])
        kernel.send([netlink.add_pair("near", "far")])
        kernel.send([netlink.set_master(bridges.index("near"), "near", bridges.index("one"))])
    bridges.remove("two")
    assert not bridges.index("two")
    bridges.remove("one", wholly=True)
    assert {name for _, name in socket.if_nameindex()} == {"lo"}
    bridges.remove("one")
    with pytest.raises(StepFailed, match="delete lo"):
        bridges.remove("lo")
