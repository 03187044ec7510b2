from __future__ import annotations

import socket

import pytest
from tests.network.sandbox import cable, hosts, in_namespace

from nakagin.kernel import netlink
from nakagin.network import probe


def test_a_solicitation_has_a_right_checksum() -> None:
    frame = probe.solicitation(bytes(6), socket.inet_pton(socket.AF_INET6, "fd00::1"))
    body = frame[54:]
    pseudo = frame[22:54] + (len(body)).to_bytes(4, "big") + (58).to_bytes(4, "big")
    assert probe.checksum(pseudo + body) == 0
    assert frame[:6] == bytes.fromhex("3333ff000001")


def test_other_frames_claim_nothing() -> None:
    for frame in (b"", b"x" * 20, bytes(12) + b"\x86\xdd" + bytes(60)):
        assert probe.claim(frame) == (b"", b"")


@pytest.mark.root
@in_namespace
def test_whoever_has_an_address_is_named() -> None:
    with hosts(1) as (other,):
        cable(other, "10.0.0.2/24", "10.0.0.1/24")
        with other.inside(), netlink.Socket() as kernel:
            link = kernel.link("eth0")
            assert link is not None
            with open("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "w", encoding="ascii") as switch:
                switch.write("0")
            kernel.send([netlink.add_address(link.index, "eth0", "fd00::2/64")])
        assert probe.ask("outside", ["10.0.0.2"]) == ("10.0.0.2", "02:00:00:00:00:02")
        assert probe.ask("outside", ["10.0.0.7", "fd00::2"]) == ("fd00::2", "02:00:00:00:00:02")
        assert probe.ask("outside", ["10.0.0.7", "fd00::7"]) is None
