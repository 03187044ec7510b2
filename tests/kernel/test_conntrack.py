from __future__ import annotations

import socket

import pytest
from tests.network.sandbox import in_namespace

from nakagin.kernel import conntrack, nftables

pytestmark = pytest.mark.root


def tracked() -> set[str]:
    with open("/proc/net/nf_conntrack", encoding="ascii") as table:
        return {f"{line.split()[0]} {line.split('dport=')[1].split()[0]}" for line in table}


@in_namespace
def test_flows_to_a_port_are_forgotten() -> None:
    try:
        nftables.run(
            "table inet t {\nchain c {\ntype filter hook output priority 0;\nct state new accept\n}\n}\n"
        )
        tracked()
    except OSError as error:
        pytest.skip(f"no connection tracking here: {error}")
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as four,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as six,
    ):
        four.sendto(b"x", ("127.0.0.1", 53))
        four.sendto(b"x", ("127.0.0.1", 54))
        six.sendto(b"x", ("::1", 53))
    assert tracked() == {"ipv4 53", "ipv4 54", "ipv6 53"}
    conntrack.forget_port("udp", 53, ipv6=False)
    assert tracked() == {"ipv4 54", "ipv6 53"}
    conntrack.forget_port("tcp", 54, ipv6=False)
    conntrack.forget_port("udp", 53, ipv6=True)
    assert tracked() == {"ipv4 54"}
    conntrack.forget("127.0.0.1")
    assert tracked() == set()
