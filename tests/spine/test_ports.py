"""Published ports as an outside client, the host, and other containers meet them. Every packet is real."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest
from tests.engine_fixture import ScratchEngine, await_until
from tests.network.sandbox import Greeter, Host, ask, greeting
from tests.network_fixture import CLIENT, CLIENT6, HOST, HOST6, NetworkedEngine
from tests.spine.observe import inspect

pytestmark = pytest.mark.root

SLEEP = ("busybox", "sleep", "600")


class Inside(Host):
    """A container's network namespace, for sockets of the test."""

    def __init__(self, engine: ScratchEngine, container: str) -> None:
        self.pid = int(inspect(engine, container, "{{.State.Pid}}"))
        self.namespace = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY)

    def close(self) -> None:
        os.close(self.namespace)


@pytest.fixture(scope="module")
def lan(request: pytest.FixtureRequest) -> Iterator[NetworkedEngine]:
    if request.config.getoption("--against") == "dockerd":
        pytest.skip("the engine's machine is a namespace of ours")
    engine = NetworkedEngine()
    try:
        engine.start()
        engine.bootstrap_busybox()
        yield engine
    finally:
        found = engine.close()
        assert not found, "\n".join(found)


@pytest.fixture(autouse=True)
def _clean(lan: NetworkedEngine) -> Iterator[None]:
    yield
    lan.remove_containers()


def serve(engine: NetworkedEngine, name: str, *ports: int, address: str = "::") -> Inside:
    """TCP and UDP servers in a running container."""
    inside = Inside(engine, name)
    for port in ports:
        Greeter(inside, name, range(port, port + 1), address)
    return inside


def run(engine: NetworkedEngine, name: str, *flags: str, ports: tuple[int, ...] = (80,)) -> Inside:
    engine.docker("run", "-d", "--name", name, *flags, *SLEEP)
    return serve(engine, name, *ports)


def tcp(host: Host, address: str, port: int) -> str:
    return greeting(host.connect(address, port)).removeprefix("::ffff:")


def udp(host: Host, address: str, port: int) -> str:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ask(host.open(socket.SOCK_DGRAM, family), address, port)


def is_closed(host: Host, address: str, port: int) -> bool:
    try:
        host.connect(address, port, timeout=0.3).close()
    except OSError:
        return True
    return False


def test_a_port_on_every_address(lan: NetworkedEngine) -> None:
    run(lan, "web", "-p", "8080:80", "-p", "8080:80/udp")
    outside, host = lan.lan.client, lan.lan.host
    assert tcp(outside, HOST, 8080).endswith(f"::ffff:{CLIENT}")  # the client's own address
    assert udp(outside, HOST, 8080).endswith(f"::ffff:{CLIENT}")
    for address in ("127.0.0.1", HOST, "::1", HOST6):
        assert tcp(host, address, 8080).startswith("web 80 "), address
        assert udp(host, address, 8080).startswith("web 80 "), address
    # To an IPv4 container an IPv6 client is carried by the proxy, under the host's address.
    assert tcp(outside, HOST6, 8080).startswith("web 80 ")
    assert udp(outside, HOST6, 8080).startswith("web 80 ")
    lan.docker("run", "-d", "--name", "other", *SLEEP)
    other = Inside(lan, "other")
    assert tcp(other, HOST, 8080).startswith("web 80 ")
    assert udp(other, HOST, 8080).startswith("web 80 ")
    itself = Inside(lan, "web")
    assert tcp(itself, HOST, 8080).startswith("web 80 ")


def test_both_families_keep_the_clients_address(lan: NetworkedEngine) -> None:
    lan.docker("network", "create", "--ipv6", "--subnet", "fd00:88::/64", "dual")
    run(lan, "web", "--network", "dual", "-p", "8081:80", "-p", "8081:80/udp")
    outside = lan.lan.client
    assert tcp(outside, HOST, 8081).endswith(CLIENT)
    assert tcp(outside, HOST6, 8081).endswith(CLIENT6)
    assert udp(outside, HOST6, 8081).endswith(CLIENT6)
    assert tcp(lan.lan.host, "::1", 8081).startswith("web 80 ")
    lan.remove_containers()
    lan.docker("network", "rm", "dual")


@pytest.mark.parametrize("tool", ["docker", "nakagin"])
def test_ports_on_chosen_addresses(lan: NetworkedEngine, tool: str) -> None:
    flags = [
        "-p",
        f"{HOST}:8000:80",
        "-p",
        "127.0.0.1:8001:80",
        "-p",
        "[::1]:8002:80",
        "-p",
        f"[{HOST6}]:8003:80",
    ]
    getattr(lan, tool)("run", "-d", "--name", "web", *flags, *SLEEP)
    serve(lan, "web", 80)
    outside, host = lan.lan.client, lan.lan.host
    published = {(HOST, 8000), ("127.0.0.1", 8001), ("::1", 8002), (HOST6, 8003)}
    for address in (HOST, HOST6, "127.0.0.1", "::1"):
        for port in range(8000, 8004):
            if (address, port) in published:
                assert tcp(host, address, port).startswith("web"), (address, port)
            else:
                assert is_closed(host, address, port), (address, port)
    assert tcp(outside, HOST, 8000).endswith(CLIENT)
    assert tcp(outside, HOST6, 8003).startswith("web")
    assert is_closed(outside, HOST, 8001)
    assert is_closed(outside, HOST6, 8002)


def test_ranges_and_random_ports(lan: NetworkedEngine) -> None:
    flags = ["-p", "8100-8102:80-82", "-p", "8110-8119:80", "-P", "--expose", "90-91", "--expose", "92/udp"]
    lan.docker("run", "-d", "--name", "web", *flags, *SLEEP)
    serve(lan, "web", 80, 81, 82, 90, 91, 92)
    host = lan.lan.host
    for port in range(3):
        assert tcp(host, HOST, 8100 + port).startswith(f"web {80 + port} ")
    lan.docker("run", "-d", "--name", "two", "-p", "8110-8119:80", *SLEEP)
    assert {"0.0.0.0:8110", "[::]:8110"} < set(lan.nakagin("port", "web", "80").stdout.split())
    assert lan.nakagin("port", "two", "80").stdout.splitlines() == ["0.0.0.0:8111", "[::]:8111"]
    for inner in (90, 91):
        published = lan.nakagin("port", "web", str(inner)).stdout.splitlines()
        ports = {line.rpartition(":")[2] for line in published}
        assert len(published) == 2
        assert len(ports) == 1  # the same number for both families
        assert tcp(lan.lan.client, HOST, int(ports.pop())).startswith(f"web {inner} ")
    port = int(lan.nakagin("port", "web", "92/udp").stdout.splitlines()[0].rpartition(":")[2])
    assert udp(lan.lan.client, HOST, port).startswith("web 92 ")


def memory(engine: ScratchEngine) -> int:
    """Private memory of the engine and all its helpers, in KiB."""
    total = 0
    for pid in engine.processes():
        with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            total += sum(int(line.split()[1]) for line in file if line.startswith("Private_"))
    return total


def test_ten_thousand_ports(lan: NetworkedEngine) -> None:
    lan.docker("run", "-d", "--name", "small", *SLEEP)
    before = memory(lan)
    lan.docker("run", "-d", "--name", "large", "-p", "20000-29999:20000-29999", *SLEEP)
    assert memory(lan) - before < 20 << 10
    serve(lan, "large", 20000, 25000, 29999)
    for port in (20000, 25000, 29999):
        assert tcp(lan.lan.client, HOST, port).startswith(f"large {port} ")
    refused = lan.docker("run", "--rm", "-p", "25000:80", *SLEEP, check=125).stderr
    assert "container large" in refused
    assert "the next free port is 30000" in refused
    lan.docker("rm", "-f", "large")
    with lan.lan.host.inside():
        holder = socket.create_server(("127.0.0.1", 25123))
    with holder:
        refused = lan.docker("run", "--rm", "-p", "20000-29999:20000-29999", *SLEEP, check=125).stderr
    assert "25123" in refused
    assert f"pid {os.getpid()}" in refused


def sctp_checksum(data: bytes) -> int:
    """CRC-32C (RFC 9260, appendix A)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def sctp_init(source: int, target: int) -> bytes:
    """An INIT chunk as the first packet of an association."""
    chunk = struct.pack("!BBHIIHHI", 1, 0, 20, 7, 65535, 1, 1, 1)
    head = struct.pack("!HHI", source, target, 0)
    return head + struct.pack("<I", sctp_checksum(head + bytes(4) + chunk)) + chunk


def test_sctp_is_led_to_the_container(lan: NetworkedEngine) -> None:
    lan.docker("run", "-d", "--name", "web", "-p", "9899:38412/sctp", *SLEEP)
    assert lan.docker("port", "web").stdout.splitlines()[0] == "38412/sctp -> 0.0.0.0:9899"
    inside = Inside(lan, "web")
    with inside.inside():
        heard = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_SCTP)
    heard.settimeout(10)
    with lan.lan.client.inside():
        sending = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_SCTP)
    with heard, sending:
        sending.sendto(sctp_init(5555, 9899), (HOST, 0))
        packet, client = heard.recvfrom(2048)
    assert client[0] == CLIENT
    assert struct.unpack_from("!HH", packet, 20) == (5555, 38412)


def test_datagrams_follow_a_port_to_its_next_container(lan: NetworkedEngine) -> None:
    """A client that never stops sending, from one port: connection tracking remembers it."""
    with lan.lan.client.open(socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.2)
        sock.connect((HOST, 7777))

        def answered_by() -> str:
            with contextlib.suppress(OSError):
                sock.send(b"?")
                return sock.recv(2048).decode().split()[0]
            return ""

        answered_by()  # before anybody listens
        run(lan, "one", "-p", "7777:80/udp")
        await_until(lambda: answered_by() == "one", "the first container to answer")
        lan.docker("rm", "-f", "one")
        run(lan, "two", "-p", "7777:80/udp")
        await_until(lambda: answered_by() == "two", "the second container to answer")
        lan.nakagin("update", "--publish-rm", "80/udp", "two")
        await_until(lambda: not answered_by(), "nobody to answer")
        lan.nakagin("update", "--publish-add", "7777:80/udp", "two")
        await_until(lambda: answered_by() == "two", "it to answer again")


def test_the_engine_dies_under_traffic(lan: NetworkedEngine) -> None:
    inside = run(lan, "web", "-p", "8200:80", ports=())
    with inside.inside():
        server = socket.create_server(("0.0.0.0", 80))
    talks = []
    for address, host in ((HOST, lan.lan.client), ("127.0.0.1", lan.lan.host), ("::1", lan.lan.host)):
        asking = host.connect(address, 8200)
        answering, _ = server.accept()
        talks.append((asking, answering))

    def all_talk() -> bool:
        for asking, answering in talks:
            asking.sendall(b"ping")
            answering.settimeout(5)
            assert answering.recv(16) == b"ping"
            answering.sendall(b"pong")
            assert asking.recv(16) == b"pong"
        return True

    assert all_talk()
    lan.kill9()
    for _ in range(20):
        assert all_talk()
    fresh = lan.lan.client.connect(HOST, 8200)  # new ones without any engine
    server.accept()[0].close()
    fresh.close()
    lan.restart()
    assert all_talk()
    refused = lan.docker("run", "--rm", "-p", "8200:80", *SLEEP, check=125).stderr
    assert "container web" in refused
    lan.nakagin("update", "--publish-rm", "80", "web")
    assert is_closed(lan.lan.client, HOST, 8200)
    assert all_talk()  # what was accepted lives on
    for asking, answering in talks:
        asking.close()
        answering.close()
    server.close()


def test_the_hosts_firewall_is_respected_and_shown(lan: NetworkedEngine) -> None:
    lan.docker("network", "create", "--ipv6", "both")
    ports = ("-p", "8300:80", "-p", "8301:81", "-p", "127.0.0.1:8302:80")
    run(lan, "web", "--network", "both", *ports, ports=(80, 81))
    for address in (HOST, HOST6):
        assert tcp(lan.lan.client, address, 8300).startswith("web")
    lan.on_host(
        "nft",
        "table inet custom { chain f { type filter hook forward priority 10; policy accept; "
        'iifname "eth0" meta l4proto tcp ct original proto-dst 8300 drop; }; '
        "chain i { type filter hook input priority 0; policy accept; tcp dport 8301 drop; }; }",
    )
    try:
        for address in (HOST, HOST6):
            assert is_closed(lan.lan.client, address, 8300)
            assert tcp(lan.lan.client, address, 8301).startswith("web")
        shown = lan.nakagin("port", "--exposure", "web")
        lines = {line.split()[1]: line for line in shown.stdout.splitlines()[1:]}
        for binding in ("0.0.0.0:8300", "[::]:8300"):
            assert "dropped by inet custom f" in lines[binding]
        assert "local network" in lines["0.0.0.0:8301"]
        assert "lets it pass" in lines["0.0.0.0:8301"]
        assert "this host" in lines["127.0.0.1:8302"]
        for binding in ("0.0.0.0:8301", "[::]:8301"):
            assert f"{binding}: inet custom i would drop it" in shown.stderr
    finally:
        lan.on_host("nft", "delete table inet custom")
        lan.remove_containers()
        lan.docker("network", "rm", "both")


def test_ports_are_there_when_start_returns(lan: NetworkedEngine) -> None:
    for number in range(5):
        lan.docker("run", "-d", "--name", f"c{number}", "-p", f"84{number}0:80", *SLEEP)
        began = time.monotonic()
        shown = inspect(lan, f"c{number}", '{{(index .NetworkSettings.Ports "80/tcp")}}')
        assert f"84{number}0" in shown
        # Nobody listens inside: the container itself says no, at once.
        assert is_closed(lan.lan.client, HOST, 8400 + 10 * number)
        assert time.monotonic() - began < 20


def test_a_network_has_an_address_for_its_ports(lan: NetworkedEngine) -> None:
    lan.nakagin("network", "create", "--publish-default-address", "127.0.0.1", "local")
    run(lan, "web", "--network", "local", "-p", "8500:80", "-p", f"{HOST}:8501:80")
    assert set(lan.nakagin("port", "web", "80").stdout.split()) == {"127.0.0.1:8500", f"{HOST}:8501"}
    assert is_closed(lan.lan.client, HOST, 8500)
    assert tcp(lan.lan.host, "127.0.0.1", 8500).startswith("web")
    assert tcp(lan.lan.client, HOST, 8501).startswith("web")
    lan.nakagin("network", "create", "--ipv6", "--publish-default-address", HOST6, "local6")
    run(lan, "six", "--network", "local6", "-p", "8502:80")
    assert lan.nakagin("port", "six", "80").stdout.split() == [f"[{HOST6}]:8502"]
    assert tcp(lan.lan.client, HOST6, 8502) == f"six 80 {CLIENT6}"
    assert is_closed(lan.lan.host, "::1", 8502)
    assert is_closed(lan.lan.client, HOST, 8502)
    lan.remove_containers()
    lan.docker("network", "rm", "local", "local6")


class Announced:
    """A server in a container that reads the PROXY header of each connection, and says it back: CLIENT, then PORT."""

    def __init__(self, inside: Host, port: int) -> None:
        with inside.inside():
            self._listener = socket.create_server(("0.0.0.0", port))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, client.makefile("rb") as heard:
                head = heard.read(16)
                ends = heard.read(int.from_bytes(head[14:16], "big"))
                family, size = (socket.AF_INET6, 16) if head[13] >> 4 == 2 else (socket.AF_INET, 4)
                port = int.from_bytes(ends[-2:], "big")
                client.sendall(f"{socket.inet_ntop(family, ends[:size])} {port}".encode())

    def close(self) -> None:
        self._listener.close()


@pytest.mark.parametrize("tool", ["docker", "nakagin"])
def test_a_server_is_told_who_its_clients_are(lan: NetworkedEngine, tool: str) -> None:
    label = ("--label", "nakagin.proxy-protocol=80,443/tcp")
    getattr(lan, tool)("run", "-d", "--name", "web", *label, "-p", "8600:80", "-p", "8601:81", *SLEEP)
    lan.docker("run", "-d", "--name", "other", *SLEEP)
    inside, other, outside, host = Inside(lan, "web"), Inside(lan, "other"), lan.lan.client, lan.lan.host
    Greeter(inside, "plain", range(81, 82))
    server = Announced(inside, 80)
    its = inspect(lan, "other", "{{.NetworkSettings.Networks.bridge.IPAddress}}")
    for source, address, client in (
        (outside, HOST, CLIENT), (outside, HOST6, CLIENT6), (host, "127.0.0.1", "127.0.0.1"), (host, "::1", "::1"),
        (other, HOST, its),
    ):  # fmt: skip
        assert greeting(source.connect(address, 8600)) == f"{client} 8600", address
    assert tcp(outside, HOST, 8601) == f"plain 81 {CLIENT}", "a port that is not named is as ever"
    shown = lan.nakagin("port", "--exposure", "web").stdout.splitlines()
    assert all(("told by PROXY protocol" in line) == ("8600" in line) for line in shown)
    assert "[::]:8600/tcp" in (drawn := lan.nakagin("explain", "bridge").stdout)
    assert "by the proxy" in drawn
    # while it runs, and after the engine died
    lan.nakagin("update", "--publish-add", "8602:80", "web")
    lan.kill9()
    lan.restart()
    assert greeting(outside.connect(HOST6, 8602)) == f"{CLIENT6} 8602"
    # on another network it has another address
    lan.docker("network", "create", "moved")
    lan.nakagin("network", "connect", "--gw-priority", "9", "moved", "web")
    lan.docker("network", "disconnect", "bridge", "web")
    assert greeting(outside.connect(HOST, 8600)) == f"{CLIENT} 8600"
    assert greeting(outside.connect(HOST6, 8601)).startswith("plain 81 "), "and so for what is only carried"
    server.close()
    lan.remove_containers()
    lan.docker("network", "rm", "moved")
    refused = lan.docker("create", "--label", "nakagin.proxy-protocol=53/udp", "busybox", check=1).stderr
    assert "only TCP has it" in refused
