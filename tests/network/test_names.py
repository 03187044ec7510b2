from __future__ import annotations

from pathlib import Path

import pytest

from nakagin.errors import Invalid
from nakagin.network import names


def test_hosts_has_the_container_itself_last() -> None:
    text = names.hosts_file(
        "web", ["172.17.0.2/16"], domain="example.org", extra=["db:10.0.0.5", "v6=[fd00::5]"]
    )
    assert text.startswith("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
    assert text.endswith("10.0.0.5\tdb\nfd00::5\tv6\n172.17.0.2\tweb.example.org web\n")


def test_extra_hosts_may_name_the_host() -> None:
    assert "172.17.0.1\thost.local\n" in names.hosts_file(
        "web", extra=["host.local:host-gateway"], host_gateway="172.17.0.1"
    )
    for wrong in ("host.local:host-gateway", "nothing", "a:b", ":10.0.0.1", "a:10.0.0.1\n10.0.0.2\tb"):
        with pytest.raises(Invalid):
            names.hosts_file("web", extra=[wrong])


@pytest.mark.parametrize(
    ("host", "forwarder", "expected"),
    [
        (
            "nameserver 10.0.0.53\nsearch a b\noptions ndots:2\n",
            "",
            "nameserver 10.0.0.53\nsearch a b\noptions ndots:2\n",
        ),
        ("nameserver 127.0.0.1\nnameserver 9.9.9.9\n", "172.17.0.1", "nameserver 9.9.9.9\n"),
        ("nameserver 127.0.0.53\nnameserver ::1\n", "172.17.0.1", "nameserver 172.17.0.1\n"),
        ("nameserver 9.9.9.9\nnameserver fe80::1%eth0\nnameserver fd00::1\n", "", "nameserver 9.9.9.9\n"),
        ("# nothing\nsearch x\ndomain y\n", "", "search y\n"),
    ],
)
def test_resolv_takes_what_the_container_can_reach(host: str, forwarder: str, expected: str) -> None:
    assert names.resolv_file(host, forwarder=forwarder) == expected


def test_resolv_prefers_what_was_asked_for() -> None:
    host = "nameserver 9.9.9.9\nsearch corp\noptions ndots:2\n"
    assert names.resolv_file(host, servers=["127.0.0.1"], search=["."], options=["rotate"]) == (
        "nameserver 127.0.0.1\noptions rotate\n"
    )
    assert names.resolv_file("nameserver 127.0.0.53\n", host_network=True) == "nameserver 127.0.0.53\n"


def test_systemds_stub_is_looked_behind(tmp_path: Path) -> None:
    stub, real = tmp_path / "stub", tmp_path / "real"
    stub.write_text("nameserver 127.0.0.53\n")
    assert names.read_host_resolver(str(stub), str(real)) == "nameserver 127.0.0.53\n"
    real.write_text("nameserver 10.1.1.1\n")
    assert names.read_host_resolver(str(stub), str(real)) == "nameserver 10.1.1.1\n"
    assert names.read_host_resolver(str(tmp_path / "missing")) == ""
