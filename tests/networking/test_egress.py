"""Networks that may reach only what is named: default drop in both families, the host included."""

from __future__ import annotations

import socket
import threading

import pytest

from tests.network.sandbox import Host
from tests.network_fixture import CLIENT, CLIENT6, FAR, FAR6, HOST, UPSTREAM, NetworkedEngine, echo, says
from tests.networking.conftest import Make, Run

pytestmark = pytest.mark.root


def test_nothing_leads_out_but_neighbours_talk(net: NetworkedEngine, network: Make, run: Run) -> None:
    name = network("--egress", "none", "--ipv6", cli="nakagin")
    one, two = run("--network", name, "-p", "8140:80"), run("--network", name)
    other = run("--network", network("--ipv6"), "-p", "8141:80")
    its = net.place(two.name, name)
    net.greet(net.lan.host, "host", 8142)
    for address, port in (
        (CLIENT, 80), (CLIENT6, 80), (HOST, 8142), ("fd00:99::1", 8142), (HOST, 8141),
        (net.place(one.name, name)["Gateway"], 8142), (net.place(one.name, name)["IPv6Gateway"], 8142),
    ):  # fmt: skip
        assert says(one, address, port, seconds=0.3) == "", (address, port)
        assert says(one, address, port, datagram=True, seconds=0.3) == "", (address, port)
        assert not echo(one, address, 0.2), address
    assert says(one, its["IPAddress"], 80).startswith(two.name)
    assert says(one, its["GlobalIPv6Address"], 80).startswith(two.name)
    # answers get out: it can be published
    assert says(net.lan.client, HOST, 8140) == f"{one.name} 80 {CLIENT}"
    assert says(other, HOST, 8140).startswith(one.name)
    assert net.docker("network", "inspect", "-f", "{{json .Options}}", name).stdout.strip() == (
        '{"nakagin.egress":"none"}'
    )


def test_named_destinations_are_open(net: NetworkedEngine, network: Make, run: Run) -> None:
    net.greet(net.lan.far, "far", 80, 8150)
    name = network(
        "--ipv6",
        "--egress",
        f"allow={CLIENT}:80,{FAR}/32,{FAR6}",
        "--egress",
        "allow=[fd00:99::2]:81",
        cli="nakagin",
    )
    one = run("--network", name)
    assert says(one, CLIENT, 80).startswith("client 80")
    assert says(one, CLIENT, 81, seconds=0.3) == ""
    assert not echo(one, CLIENT, 0.3)
    assert echo(one, FAR), "a whole host"
    assert echo(one, FAR6)
    assert says(one, FAR, 8150).startswith("far 8150")
    assert says(one, CLIENT6, 81, datagram=True).startswith("client 81")
    assert says(one, CLIENT6, 80, seconds=0.3) == ""


@pytest.mark.docker(28)
def test_a_second_network_is_a_second_way_out(net: NetworkedEngine, network: Make, run: Run) -> None:
    name = network("--egress", "none", cli="nakagin")
    one = run("--network", name)
    assert says(one, CLIENT, 80, seconds=0.3) == ""
    net.docker("network", "connect", "--gw-priority", "1", "bridge", one.name)
    assert says(one, CLIENT, 80).startswith("client 80"), "what a container may is the sum of its networks"


def test_wrong_words_are_refused(net: NetworkedEngine) -> None:
    for text in ("all", "allow=ex ample", "allow=10.0.0.1:99999", "allow=10.0.0.0/33"):
        refused = net.docker("network", "create", "-o", f"nakagin.egress={text}", "wrong", check=1)
        assert "invalid" in refused.stderr, text
    refused = net.docker("network", "create", "-d", "macvlan", "-o", "nakagin.egress=none", "wrong", check=1)
    assert "use the bridge driver" in refused.stderr


class Authority:
    """A DNS server on UDP that has one address for every name, and remembers what it was asked."""

    def __init__(self, host: Host, address: str) -> None:
        self._address = address
        self.asked: set[str] = set()
        self._socket = host.open(socket.SOCK_DGRAM)
        self._socket.settimeout(None)
        with host.inside():
            self._socket.bind(("0.0.0.0", 53))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while query := self._socket.recvfrom(512):
            message, client = query
            if message == b"end":
                return
            end = message.index(0, 12) + 5
            labels, name = message[12:end], []
            while labels[0]:
                name.append(labels[1 : 1 + labels[0]].decode())
                labels = labels[1 + labels[0] :]
            self.asked.add(".".join(name))
            wants_address = message[end - 4 : end] == b"\0\1\0\1"
            head = message[:2] + b"\x81\x80\0\1" + (b"\0\1" if wants_address else b"\0\0") + bytes(4)
            record = b"\xc0\x0c\0\1\0\1\0\0\0\x05\0\4" + socket.inet_aton(self._address)
            self._socket.sendto(head + message[12:end] + (record if wants_address else b""), client)

    def close(self, host: Host) -> None:
        with host.open(socket.SOCK_DGRAM) as last:
            last.sendto(b"end", ("127.0.0.1", 53))
        self._thread.join(10)
        self._socket.close()


class ResolvingEngine(NetworkedEngine):
    """The engine's machine asks the LAN's upstream for names."""

    def command(self) -> list[str]:
        path = self.root / "resolv.conf"
        path.write_text(f"nameserver {UPSTREAM}\n")
        script = f'mount --bind {path} /etc/resolv.conf && exec "$@"'
        before = len(self.inside())
        argv = super().command()
        return [*argv[:before], "unshare", "-m", "sh", "-c", script, "engine", *argv[before:]]


def test_names_open_what_our_dns_says_of_them() -> None:
    engine = ResolvingEngine()
    authority = Authority(engine.lan.upstream, FAR)
    try:
        engine.start()
        engine.bootstrap_busybox()
        engine.greet(engine.lan.far, "far", 80, 81)
        engine.nakagin("network", "create", "--egress", "allow=good.example:80,*.fine.example", "limited")
        one, two = (engine.run(name, "--network", "limited") for name in ("one", "two"))
        assert says(one, FAR, 80, seconds=0.3) == "", "nobody has asked for the name yet"

        def look(name: str) -> str:
            return engine.docker("exec", "one", "nslookup", "-type=a", name, check=None).stdout

        assert "REFUSED" in look("secrets.evil.example") or "can't find" in look("secrets.evil.example")
        assert says(one, FAR, 80, seconds=0.3) == ""
        assert FAR in look("good.example")
        assert says(one, FAR, 80).startswith("far 80")
        assert says(one, FAR, 81, seconds=0.3) == "", "the port is part of the permission"
        assert FAR in look("deep.fine.example")
        assert says(one, FAR, 81).startswith("far 81")
        assert "two" in look("two"), "neighbours have their names as everywhere"
        assert authority.asked == {"good.example", "deep.fine.example"}, "DNS is no way out"
        # nor is a server of one's own choice
        asked = engine.docker(
            "exec", "one", "timeout", "1", "nslookup", "-type=a", "good.example", UPSTREAM, check=None
        )
        assert asked.returncode != 0
        assert says(two, FAR, 80).startswith("far 80"), "it is the network's permission"
        engine.kill9()
        engine.restart()
        assert says(one, FAR, 80).startswith("far 80"), (
            "without a look-up: the container remembers the address"
        )
        assert says(one, CLIENT, 80, seconds=0.3) == ""
        assert FAR in look("good.example")
        engine.part(one, two)
        engine.remove_containers()
        engine.docker("network", "rm", "limited")
    finally:
        authority.close(engine.lan.upstream)
        found = engine.close()
    assert not found, "left behind:\n" + "\n".join(found)
