"""Proxies of published ports: streams, datagrams and who they come from, and letting go of a port."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from nakagin.kernel.loop import Loop
from nakagin.monitor.proxy import PEERS, Proxies, header


class Rig:
    def __init__(self) -> None:
        self.loop = Loop()
        self.proxies = Proxies(self.loop)
        self.open: list[socket.socket] = []
        self.published: list[tuple[str, str, int]] = []

    def make(self, kind: int, address: str = "127.0.0.1") -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
        sock.settimeout(0.01)
        self.open.append(sock)
        return sock

    def bound(self, kind: int, address: str = "127.0.0.1") -> socket.socket:
        sock = self.make(kind, address)
        sock.bind((address, 0))
        if kind == socket.SOCK_STREAM:
            sock.listen()
        return sock

    def publish(
        self, protocol: str, address: str, server: socket.socket | None, *, announce: bool = False
    ) -> int:
        sock = self.bound(socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM, address)
        port: int = sock.getsockname()[1]
        target = server.getsockname()[:2] if server else ()
        self.proxies.add(sock.detach(), protocol, target, announce=announce)
        self.published.append((protocol, address, port))
        return port

    def receive(self, sock: socket.socket) -> bytes:
        """What comes, while the loop turns."""
        for _ in range(200):
            self.loop.turn(0)
            try:
                return sock.recv(65536)
            except TimeoutError:
                continue
        raise AssertionError("nothing came")

    def accept(self, server: socket.socket) -> socket.socket:
        for _ in range(200):
            self.loop.turn(0)
            try:
                client, _ = server.accept()
            except TimeoutError:
                continue
            client.settimeout(0.01)
            self.open.append(client)
            return client
        raise AssertionError("nobody came")


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    for sock in made.open:
        sock.close()
    for each in made.published:
        made.proxies.remove(*each)
    for _ in range(5):
        made.loop.turn(0)  # connections see that their clients have gone
    made.loop.close()


def test_a_stream_ends_each_way_by_itself(rig: Rig) -> None:
    server = rig.bound(socket.SOCK_STREAM)
    port = rig.publish("tcp", "::1", server)
    client = rig.make(socket.SOCK_STREAM, "::1")
    client.connect(("::1", port))
    client.sendall(b"question")
    client.shutdown(socket.SHUT_WR)
    answering = rig.accept(server)
    assert rig.receive(answering) == b"question"
    assert rig.receive(answering) == b""
    answering.sendall(b"answer")
    answering.close()
    assert rig.receive(client) == b"answer"
    assert rig.receive(client) == b""


def test_a_port_goes_and_its_connections_stay(rig: Rig) -> None:
    server = rig.bound(socket.SOCK_STREAM)
    port = rig.publish("tcp", "127.0.0.1", server)
    client = rig.make(socket.SOCK_STREAM)
    client.connect(("127.0.0.1", port))
    answering = rig.accept(server)
    rig.proxies.remove("tcp", "127.0.0.1", port)
    rig.proxies.remove("tcp", "127.0.0.1", port)
    with pytest.raises(ConnectionRefusedError):
        rig.make(socket.SOCK_STREAM).connect(("127.0.0.1", port))
    client.sendall(b"still")
    assert rig.receive(answering) == b"still"


@pytest.mark.parametrize(
    ("wildcard", "addresses"), [("0.0.0.0", ("127.0.0.1", "127.0.0.9")), ("::", ("::1",))]
)
def test_answers_come_from_the_address_that_was_asked(
    rig: Rig, wildcard: str, addresses: tuple[str, ...]
) -> None:
    server = rig.bound(socket.SOCK_DGRAM)
    port = rig.publish("udp", wildcard, server)
    for address in addresses:
        client = rig.make(socket.SOCK_DGRAM, address)
        client.connect((address, port))  # the kernel drops answers from another address
        client.send(b"?")
        rig.loop.turn(1)
        data, proxy = server.recvfrom(100)
        server.sendto(data + b"!", proxy)
        assert rig.receive(client) == b"?!"


def test_no_more_datagram_clients_than_fit(rig: Rig) -> None:
    server = rig.bound(socket.SOCK_DGRAM)
    port = rig.publish("udp", "127.0.0.1", server)
    for _ in range(PEERS + 20):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"?", ("127.0.0.1", port))
        rig.loop.turn(1)
        assert server.recv(10) == b"?"
    rig.proxies.remove("udp", "127.0.0.1", port)
    assert rig.bound(socket.SOCK_DGRAM)


def test_a_socket_without_a_target_is_held(rig: Rig) -> None:
    port = rig.publish("tcp", "127.0.0.1", None)
    with pytest.raises(OSError, match="in use"):
        socket.create_server(("127.0.0.1", port))  # as servers do, with SO_REUSEADDR
    client = rig.make(socket.SOCK_STREAM)
    client.connect(("127.0.0.1", port))
    with pytest.raises(ConnectionResetError):
        rig.receive(client)
    rig.proxies.remove("tcp", "127.0.0.1", port)
    rig.make(socket.SOCK_STREAM).bind(("127.0.0.1", port))


def test_a_header_says_who_the_client_is() -> None:
    # the examples of the specification (haproxy.org, doc/proxy-protocol.txt, 2.2) in its binary form
    assert header(("192.0.2.7", 56324), ("192.0.2.1", 443)) == (
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + bytes([192, 0, 2, 7, 192, 0, 2, 1]) + b"\xdc\x04\x01\xbb"
    )
    six = header(("fe80::1%eth0", 1, 0, 2), ("fd00::2", 2, 0, 0))
    assert six[12:16] == b"\x21\x21\x00\x24"
    assert socket.inet_ntop(socket.AF_INET6, six[16:32]) == "fe80::1"
    assert len(six) == 16 + 36


def test_it_goes_before_all_that_the_client_says(rig: Rig) -> None:
    server = rig.bound(socket.SOCK_STREAM)
    port = rig.publish("tcp", "::1", server, announce=True)
    client = rig.make(socket.SOCK_STREAM, "::1")
    client.connect(("::1", port))
    client.sendall(b"hello")
    accepted = rig.accept(server)
    heard = b""
    while not heard.endswith(b"hello"):
        heard += rig.receive(accepted)
    assert heard == header(client.getsockname(), ("::1", port)) + b"hello"
    accepted.sendall(b"back")
    assert rig.receive(client) == b"back"


def test_the_target_moves(rig: Rig) -> None:
    before, after = rig.bound(socket.SOCK_DGRAM), rig.make(socket.SOCK_DGRAM, "127.0.0.2")
    after.bind(("127.0.0.2", before.getsockname()[1]))
    port = rig.publish("udp", "127.0.0.1", before)
    client = rig.make(socket.SOCK_DGRAM)
    client.sendto(b"one", ("127.0.0.1", port))
    assert rig.receive(before) == b"one"
    rig.proxies.aim("127.0.0.2")
    client.sendto(b"two", ("127.0.0.1", port))
    assert rig.receive(after) == b"two"
