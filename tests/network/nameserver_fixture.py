"""A name server, a container's namespace, and upstream servers of every character, for tests in a namespace.

client 10.50.0.2 ── 10.50.0.1 here 10.60.0.1 ── 10.60.0.2 upstream (fd60::2)
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.network.sandbox import Host, cable, hosts
from tests.network.test_dns import query

from nakagin.kernel import netlink
from nakagin.network import control, dns

SERVE = """
import socket, sys
from nakagin.network.nameserver import NameServer
NameServer(socket.socket(fileno=int(sys.argv[1])), sys.argv[2]).run()
"""

Reply = Callable[[bytes], bytes | None]


def addressed(*addresses: str) -> Callable[[bytes], bytes]:
    """A server that knows every name."""
    records = dns.addresses_as_records(addresses)
    return lambda asked: dns.answer(asked, dns.read_question(asked), records, limit=dns.LARGEST_STREAM)


def failing(code: int) -> Callable[[bytes], bytes]:
    return lambda asked: dns.failure(asked, code)


class Upstream:
    """A DNS server in a host, UDP and TCP; `reply` may be changed. `asked` are the names of the questions."""

    def __init__(self, host: Host | None, address: str, reply: Reply, stream: Reply | None = None) -> None:
        self.reply = reply
        self.stream = stream
        self.asked: list[str] = []
        self.clients: set[str] = set()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with host.inside() if host else contextlib.nullcontext():
            self._datagrams = socket.socket(family, socket.SOCK_DGRAM)
            self._datagrams.bind((address, 53))
            self._streams = socket.create_server((address, 53), family=family)
        threading.Thread(target=self._answer, daemon=True).start()
        threading.Thread(target=self._converse, daemon=True).start()

    def _answer(self) -> None:
        while True:
            asked, client = self._datagrams.recvfrom(4096)
            self.asked.append(dns.read_question(asked).name)
            self.clients.add(client[0])
            reply = self.reply(asked)
            if reply is not None:
                self._datagrams.sendto(reply, client)

    def _converse(self) -> None:
        while True:
            client = self._streams.accept()[0]
            with client:
                asked = client.recv(4096)[2:]
                reply = (self.stream or self.reply)(asked)
                if reply is not None:
                    client.sendall(struct.pack("!H", len(reply)) + reply)


class Scene:
    """The name server with one container `c1` on network `n1` ("net1"), under the names web and svc."""

    def __init__(self, folder: Path, client: Host, upstream: Host) -> None:
        self.client, self.upstream = client, upstream
        self.resolver = folder / "resolv.conf"
        self.resolver.write_text("")
        self.path = str(folder / "names.sock")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(self.path)
        listener.listen()
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(listener.fileno()), str(self.resolver)],
            pass_fds=[listener.fileno()],
        )
        listener.close()
        self.engine = control.connect(self.path)
        self.engine.settimeout(30)
        self.tell(do="begin")
        assert self.counters() == {}, "it runs: who knocks waits for three seconds only"
        control.Knock(self.path, "c1", client.pid).opened()
        self.put("c1", ["web", "svc", "Alias"], ["10.50.0.2", "fd50::2"])
        self.look("c1")

    def tell(self, **words: object) -> None:
        control.send(self.engine, words)

    def put(self, container: str, names: list[str], addresses: list[str]) -> None:
        self.tell(do="put", network="n1", name="net1", id=container, names=names, addresses=addresses)

    def look(self, container: str, **changes: object) -> None:
        view = {"networks": ["n1"], "links": {}, "servers": [], "outside": True, "guarded": False}
        self.tell(do="look", id=container, **{**view, **changes})

    def hear(self) -> dict[str, object]:
        received = control.receive(self.engine)
        assert received is not None
        return received[0]

    def counters(self) -> dict[str, dict[str, Any]]:
        self.tell(do="counters", reply=1)
        return self.hear()["doors"]  # type: ignore[return-value]

    def servers(self, *addresses: str) -> None:
        """Write the host's resolv.conf anew, as a network manager does: another file in its place."""
        fresh = self.resolver.with_suffix(".new")
        fresh.write_text("".join(f"nameserver {each}\n" for each in addresses))
        os.replace(fresh, self.resolver)

    def ask(self, name: str, kind: int = dns.A, *, size: int = 1232, seconds: float = 20) -> bytes:
        """The answer to a question of the container."""
        asked = query(name, kind, size=size)
        with self.client.open(socket.SOCK_DGRAM) as sock:
            sock.settimeout(seconds)
            sock.connect(("127.0.0.11", 53))
            sock.send(asked)
            reply = sock.recv(65536)
        assert reply[:2] == asked[:2]
        return reply

    def ask_by_stream(self, *names: str) -> list[bytes]:
        """Several questions in one connection, sent at once."""
        replies = []
        with self.client.connect("127.0.0.11", 53) as sock:
            sock.settimeout(20)
            for each in names:
                asked = query(each)
                sock.sendall(struct.pack("!H", len(asked)) + asked)
            with sock.makefile("rb") as incoming:
                for _ in names:
                    (length,) = struct.unpack("!H", incoming.read(2))
                    replies.append(incoming.read(length))
        return replies

    def find(self, name: str, kind: int = dns.A) -> list[str]:
        """The addresses of a name."""
        return [address for address, _ in dns.addresses_in(self.ask(name, kind))]

    def close(self) -> None:
        self.tell(do="leave")
        assert self.process.wait(30) == 0
        self.engine.close()


@contextlib.contextmanager
def scene() -> Iterator[Scene]:
    with hosts(2) as (client, upstream), tempfile.TemporaryDirectory() as folder:
        cable(client, "10.50.0.2/24", "10.50.0.1/24", name="inner", gateway="10.50.0.1")
        cable(upstream, "10.60.0.2/24", "10.60.0.1/24", name="outer", gateway="10.60.0.1")
        with upstream.inside(), netlink.Socket() as kernel:
            index = socket.if_nametoindex("eth0")
            kernel.send(
                [netlink.add_address(index, "eth0", f"10.60.0.{number}/24") for number in range(3, 7)]
            )
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        made = Scene(Path(folder), client, upstream)
        try:
            yield made
        finally:
            made.close()


def readable(sock: socket.socket, seconds: float) -> bool:
    return bool(select.select([sock], [], [], seconds)[0])
