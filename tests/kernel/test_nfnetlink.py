"""Rules sent by ourselves, as nft reads them; what they do to packets is in tests/network/test_nameserver.py."""

from __future__ import annotations

import errno
import socket
import subprocess

import pytest
from tests.network.sandbox import in_namespace

from nakagin.kernel import nfnetlink as nf

pytestmark = pytest.mark.root


def table(*rules: nf.Rule, name: str = "mine") -> str:
    nf.replace_table(name, "output", nf.OUTPUT, nf.RAW, rules)
    done = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True)
    return done.stdout


@in_namespace
def test_nft_shows_what_was_meant() -> None:
    rule = [
        *nf.packet_has(nf.NETWORK_HEADER, 16, socket.inet_aton("127.0.0.11")),
        *nf.protocol_is(socket.IPPROTO_UDP),
        *nf.packet_has(nf.TRANSPORT_HEADER, 2, b"\0\x35"),
        *nf.untracked(),
        *nf.set_transport(2, b"\xee\x7d", 6),
    ]
    shown = table(rule)
    assert "type filter hook output priority raw; policy accept;" in shown
    assert "ip daddr 127.0.0.11 udp dport 53 notrack udp dport set 61053\n" in shown


@in_namespace
def test_a_table_is_replaced_as_a_whole() -> None:
    table(nf.untracked(), nf.untracked(), name="other")
    assert table(nf.untracked(), nf.untracked()).count("notrack") == 4
    shown = table(nf.protocol_is(6))
    assert shown.count("notrack") == 2
    assert "meta l4proto tcp" in shown


@in_namespace
def test_the_kernel_s_refusal_is_an_error_and_leaves_nothing() -> None:
    with pytest.raises(OSError, match="nf_tables: ") as caught:
        table(nf.untracked(), nf.packet_has(nf.NETWORK_HEADER, 1 << 20, b"\0"))
    assert caught.value.errno in {errno.EINVAL, errno.ERANGE}
    assert not subprocess.run(["nft", "list", "ruleset"], capture_output=True, check=True).stdout
