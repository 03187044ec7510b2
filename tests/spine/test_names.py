"""Names on user networks: an engine on a machine of its own, its containers, and DNS servers beside it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.engine_fixture import ScratchEngine, await_until
from tests.network.nameserver_fixture import Upstream, addressed
from tests.network.test_dns import query
from tests.network_fixture import NetworkedEngine
from tests.spine.observe import inspect

from nakagin.kernel.namespaces import in_network_namespace
from nakagin.network import dns

pytestmark = pytest.mark.root

SLEEP = ("busybox", "sleep", "600")


class NamedEngine(NetworkedEngine):
    """Its machine has a resolv.conf of its own."""

    def __init__(self, *arguments: str) -> None:
        super().__init__(*arguments)
        self.resolver = self.root / "resolv.conf"
        self.resolver.write_text("nameserver 10.99.0.3\nsearch lan.example\n")

    def command(self) -> list[str]:
        shell = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
        private = ["unshare", "--mount", "--propagation", "private", "sh", "-c", shell, str(self.resolver)]
        inside = self.inside()
        return [*inside, *private, *super().command()[len(inside) :]]


@pytest.fixture(scope="module")
def named(request: pytest.FixtureRequest) -> Iterator[NamedEngine]:
    if request.config.getoption("--against") == "dockerd":
        pytest.skip("the engine's machine is a namespace of ours")
    engine = NamedEngine()
    try:
        engine.start()
        engine.bootstrap_busybox()
        yield engine
    finally:
        found = engine.close()
        assert not found, "\n".join(found)


@pytest.fixture(scope="module")
def upstream(named: NamedEngine) -> Upstream:
    return Upstream(named.lan.upstream, "10.99.0.3", addressed("9.9.9.9"))


@pytest.fixture
def net(named: NamedEngine) -> Iterator[str]:
    """A user network of the test's own."""
    name = f"net{secrets.token_hex(3)}"
    named.docker("network", "create", name)
    yield name
    named.remove_containers()
    named.docker("network", "rm", name)


@contextlib.contextmanager
def inside(engine: ScratchEngine, container: str) -> Iterator[None]:
    """Sockets made in this block are the container's."""
    pid = inspect(engine, container, "{{.State.Pid}}")
    namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        with in_network_namespace(namespace):
            yield
    finally:
        os.close(namespace)


def asking(engine: ScratchEngine, container: str) -> socket.socket:
    with inside(engine, container):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(6)
    sock.connect(("127.0.0.11", 53))
    return sock


def ask(engine: ScratchEngine, container: str, name: str, kind: int = dns.A) -> bytes:
    with asking(engine, container) as sock:
        sock.send(query(name, kind))
        return sock.recv(4096)


def find(engine: ScratchEngine, container: str, name: str, kind: int = dns.A) -> list[str]:
    return [address for address, _ in dns.addresses_in(ask(engine, container, name, kind))]


def address(engine: ScratchEngine, container: str, network: str) -> str:
    return inspect(engine, container, f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}')


Command = Callable[..., object]


@pytest.fixture(params=["docker", "nakagin"])
def tool(request: pytest.FixtureRequest, named: NamedEngine) -> Command:
    chosen: Command = getattr(named, request.param)
    return chosen


def test_what_a_container_is_called(named: NamedEngine, net: str, tool: Command) -> None:
    tool("run", "-d", "--name", "web", "-h", "inner", "--network", net, "--network-alias", "svc", *SLEEP)
    tool(
        "run",
        "-d",
        "--name",
        "db",
        "--network",
        net,
        "--network-alias",
        "svc",
        "--link",
        "web:linked",
        *SLEEP,
    )
    web, db = address(named, "web", net), address(named, "db", net)
    short = inspect(named, "web", "{{.Id}}")[:12]
    for name in ("web", "WEB", "inner", short, f"web.{net}"):
        assert find(named, "db", name) == [web], name
    assert sorted(find(named, "db", "svc")) == sorted([web, db])
    assert len({find(named, "db", "svc")[0] for _ in range(4)}) == 2
    assert find(named, "db", "linked") == [web]
    reply = ask(named, "db", "web", dns.AAAA)
    assert (dns.code_of(reply), reply[6:8]) == (dns.NOERROR, b"\0\0")
    reverse = ".".join(reversed(web.split("."))) + ".in-addr.arpa"
    assert dns.encode_name(f"web.{net}") in ask(named, "db", reverse, dns.PTR)
    pinged = named.docker("exec", "db", "ping", "-c", "1", "-W", "5", "inner").stdout  # its own resolver
    assert f"({web})" in pinged


@pytest.mark.docker(25)
def test_the_resolver_file(named: NamedEngine, net: str, tool: Command) -> None:
    flags = [
        "--dns",
        "10.99.0.4",
        "--dns-search",
        "a.example",
        "--dns-search",
        "b.example",
        "--dns-opt",
        "timeout:3",
    ]
    flags += [
        "--domainname",
        "dom.example",
        "-h",
        "box",
        "--add-host",
        "up:host-gateway",
        "--add-host",
        "six=[::5]",
    ]
    tool("run", "-d", "--name", "plain", "--network", net, *SLEEP)
    tool("run", "-d", "--name", "full", "--network", net, *flags, *SLEEP)
    shown = named.docker("exec", "plain", "cat", "/etc/resolv.conf").stdout
    assert shown == "nameserver 127.0.0.11\nsearch lan.example\noptions ndots:0\n"
    shown = named.docker("exec", "full", "cat", "/etc/resolv.conf").stdout
    assert shown == "nameserver 127.0.0.11\nsearch a.example b.example\noptions timeout:3 ndots:0\n"
    hosts = named.docker("exec", "full", "cat", "/etc/hosts").stdout
    gateway = inspect(named, "full", f'{{{{(index .NetworkSettings.Networks "{net}").Gateway}}}}')
    assert f"{gateway}\tup\n" in hosts
    assert "::5\tsix\n" in hosts
    assert f"{address(named, 'full', net)}\tbox.dom.example box\n" in hosts
    assert named.docker("exec", "full", "hostname", "-f").stdout == "box.dom.example\n"


def test_outside_names(named: NamedEngine, net: str, upstream: Upstream) -> None:
    named.docker("run", "-d", "--name", "web", "--network", net, *SLEEP)
    assert find(named, "web", "outside.example") == ["9.9.9.9"]
    assert upstream.clients == {"10.99.0.1"}  # from the container, masqueraded by its host
    far = Upstream(named.lan.far, "10.99.0.4", addressed("8.8.8.8"))
    named.resolver.write_text("nameserver 10.99.0.99\nnameserver 10.99.0.4\n")  # one of them dead
    try:
        assert find(named, "web", "outside.example") == ["8.8.8.8"]
        own = Upstream(named.lan.host, "127.0.0.53", addressed("7.7.7.7"))
        named.resolver.write_text("nameserver 127.0.0.53\n")
        assert find(named, "web", "outside.example") == ["7.7.7.7"]
        named.docker("run", "-d", "--name", "own", "--network", net, "--dns", "10.99.0.4", *SLEEP)
        assert find(named, "own", "outside.example") == ["8.8.8.8"]
        assert (len(own.asked), len(far.asked)) == (1, 2)
        plain = named.docker(
            "run", "--rm", "busybox", "nslookup", "outside.example"
        ).stdout  # the default bridge
        assert "7.7.7.7" in plain
    finally:
        named.resolver.write_text("nameserver 10.99.0.3\nsearch lan.example\n")
    assert find(named, "web", "outside.example") == ["9.9.9.9"]


def test_without_any_server(named: NamedEngine, net: str) -> None:
    named.docker("run", "-d", "--name", "web", "--network", net, *SLEEP)
    named.resolver.write_text("# nothing\n")
    try:
        assert find(named, "web", "web") == [address(named, "web", net)]
        assert dns.code_of(ask(named, "web", "outside.example")) == dns.SERVFAIL
    finally:
        named.resolver.write_text("nameserver 10.99.0.3\nsearch lan.example\n")


def test_internal_networks_know_only_their_own(named: NamedEngine, upstream: Upstream) -> None:
    named.docker("network", "create", "--internal", "inner")
    named.docker("run", "-d", "--name", "web", "--network", "inner", *SLEEP)
    before = len(upstream.asked)
    assert find(named, "web", "web")
    assert dns.code_of(ask(named, "web", "secret.example")) == dns.REFUSED
    assert len(upstream.asked) == before
    named.remove_containers()
    named.docker("network", "rm", "inner")


def test_names_move_with_their_containers(named: NamedEngine, net: str) -> None:
    named.docker("run", "-d", "--name", "looker", "--network", net, *SLEEP)
    with asking(named, "looker") as sock:

        def now(name: str) -> list[str]:
            sock.send(query(name))
            return [each for each, _ in dns.addresses_in(sock.recv(4096))]

        for number in range(10):  # known when start returns
            named.docker("run", "-d", "--name", f"c{number}", "--network", net, *SLEEP)
            assert now(f"c{number}") == [address(named, f"c{number}", net)]
        first = now("c1")
        named.docker("rename", "c1", "renamed")
        assert now("renamed") == first
        assert first not in (now("c1"), [])
        named.docker("rm", "-f", "renamed")
        assert first != now("renamed")


def test_a_living_container_joins_a_network(named: NamedEngine, net: str) -> None:
    named.docker("run", "-d", "--name", "web", "--network", net, *SLEEP)
    named.docker("run", "-d", "--name", "late", *SLEEP)
    assert "nameserver 10.99.0.3\n" in named.docker("exec", "late", "cat", "/etc/resolv.conf").stdout
    named.docker("network", "connect", "--alias", "joined", net, "late")
    assert find(named, "late", "web") == [address(named, "web", net)]
    assert find(named, "web", "joined") == [address(named, "late", net)]
    assert "nameserver 127.0.0.11\n" in named.docker("exec", "late", "cat", "/etc/resolv.conf").stdout
    assert address(named, "late", net) in named.docker("exec", "late", "cat", "/etc/hosts").stdout
    gone = address(named, "late", net)
    named.docker("network", "disconnect", net, "late")
    assert find(named, "web", "joined") != [gone]
    assert "nameserver 10.99.0.3\n" in named.docker("exec", "late", "cat", "/etc/resolv.conf").stdout
    assert gone not in named.docker("exec", "late", "cat", "/etc/hosts").stdout


def test_ipv6_names(named: NamedEngine) -> None:
    named.docker("network", "create", "--ipv6", "--subnet", "fd00:77::/64", "six")
    named.docker("run", "-d", "--name", "web", "--network", "six", *SLEEP)
    found = find(named, "web", "web", dns.AAAA)
    assert found == [inspect(named, "web", "{{.NetworkSettings.Networks.six.GlobalIPv6Address}}")]
    nibbles = socket.inet_pton(socket.AF_INET6, found[0]).hex()
    reply = ask(named, "web", ".".join(reversed(nibbles)) + ".ip6.arpa", dns.PTR)
    assert dns.encode_name("web.six") in reply
    named.remove_containers()
    named.docker("network", "rm", "six")


def name_server(engine: ScratchEngine) -> int:
    return int(json.loads(engine.nakagin("network", "names", "--format", "json").stdout)["Pid"])


def test_the_engine_dies_and_comes_back(named: NamedEngine, net: str) -> None:
    named.docker("run", "-d", "--name", "web", "--network", net, *SLEEP)
    named.docker("run", "-d", "--name", "db", "--network", net, *SLEEP)
    expected = [address(named, "web", net)]
    before = name_server(named)
    with asking(named, "db") as sock:

        def now(name: str = "web") -> list[str]:
            sock.send(query(name))
            return [each for each, _ in dns.addresses_in(sock.recv(4096))]

        assert now() == expected
        named.kill9()
        for _ in range(100):
            assert now() == expected  # no question is lost while there is no engine
        named.restart()
        assert now() == expected
        assert name_server(named) == before
        named.docker("run", "-d", "--name", "new", "--network", net, *SLEEP)
        assert now("new") == [address(named, "new", net)]


def test_the_name_server_dies(named: NamedEngine, net: str) -> None:
    named.docker("run", "-d", "--name", "web", "--network", net, *SLEEP)
    expected = [address(named, "web", net)]
    assert find(named, "web", "web") == expected
    killed = name_server(named)
    os.kill(killed, signal.SIGKILL)
    began = time.monotonic()

    def answered() -> bool:
        with asking(named, "web") as sock:
            sock.settimeout(0.05)
            try:
                sock.send(query("web"))
                return [each for each, _ in dns.addresses_in(sock.recv(4096))] == expected
            except OSError:
                return False

    await_until(answered, "another name server to answer")
    assert time.monotonic() - began < 15
    assert name_server(named) != killed


def test_both_die(named: NamedEngine, net: str) -> None:
    named.docker("run", "-d", "--name", "web", "--network", net, *SLEEP)
    killed = name_server(named)
    named.kill9()
    os.kill(killed, signal.SIGKILL)
    named.restart()

    def answered() -> bool:
        try:
            return bool(find(named, "web", "web"))
        except OSError:  # nobody there yet
            return False

    await_until(answered, "names after both died", 30)
    named.docker("rm", "-f", "web")


def test_questions_by_tcp(named: NamedEngine, net: str) -> None:
    named.docker("run", "-d", "--name", "web", "--network", net, *SLEEP)
    with inside(named, "web"):
        stream = socket.create_connection(("127.0.0.11", 53), 5)
    with stream:
        asked = query("web")
        stream.sendall(struct.pack("!H", len(asked)) + asked)
        reply = stream.recv(4096)[2:]
    assert [each for each, _ in dns.addresses_in(reply)] == [address(named, "web", net)]


def test_counters(named: NamedEngine, net: str, upstream: Upstream) -> None:
    named.docker("run", "-d", "--name", "web", "--network", net, *SLEEP)
    find(named, "web", "web")
    find(named, "web", "outside.example")
    shown = named.nakagin("network", "names", net).stdout
    line = next(line for line in shown.splitlines() if line.startswith("web"))
    assert line.split()[1:4] == ["2", "1", "1"]
    assert "10.99.0.3" in shown
    assert named.nakagin("network", "names", "bridge").stdout.count("web") == 0


def test_nothing_of_a_container_stays_behind(named: NamedEngine, net: str) -> None:
    for number in range(4):
        named.docker("run", "-d", "--rm", "--name", f"c{number}", "--network", net, "busybox", "true")
    await_until(lambda: not named.docker("ps", "-aq").stdout, "the containers to end")
    document = json.loads(named.nakagin("network", "names", "--format", "json").stdout)
    assert [each for each in document["Containers"] if not each.startswith("bridge ")] == []
    fds = Path(f"/proc/{document['Pid']}/fd")
    assert len(list(fds.iterdir())) < 20


def test_docker_py(named: NamedEngine, net: str) -> None:
    client = named.client()
    network = client.networks.get(net)
    config = client.api.create_networking_config(
        {net: client.api.create_endpoint_config(aliases=["py-alias"])}
    )
    made = client.api.create_container("busybox", ["sleep", "600"], name="py", networking_config=config)
    client.api.start(made["Id"])
    assert find(named, "py", "py-alias") == [address(named, "py", net)]
    network.reload()
    assert [each.name for each in network.containers] == ["py"]


def test_what_the_engine_is_told(request: pytest.FixtureRequest) -> None:
    """--dns, --dns-search, --dns-opt, --host-gateway-ip, --ip and --userland-proxy of the engine."""
    if request.config.getoption("--against") == "dockerd":
        pytest.skip("the engine's machine is a namespace of ours")
    flags = ["--dns", "10.99.0.4", "--dns-search", "d.example", "--dns-opt", "timeout:1"]
    flags += ["--host-gateway-ip", "10.99.0.1", "--ip", "127.0.0.1", "--userland-proxy=false"]
    engine = NamedEngine(*flags)
    try:
        engine.start()
        engine.bootstrap_busybox()
        Upstream(engine.lan.far, "10.99.0.4", addressed("8.8.8.8"))
        engine.docker("network", "create", "net1")
        engine.docker(
            "run", "-d", "--name", "plain", "-p", "8080:80", "--add-host", "up:host-gateway", *SLEEP
        )
        shown = engine.docker("exec", "plain", "cat", "/etc/resolv.conf", "/etc/hosts").stdout
        assert shown.startswith("nameserver 10.99.0.4\nsearch d.example\noptions timeout:1\n")
        assert "10.99.0.1\tup\n" in shown
        assert engine.docker("port", "plain").stdout == "80/tcp -> 127.0.0.1:8080\n"
        engine.docker("run", "-d", "--name", "web", "--network", "net1", "-p", "[::1]:8081:80", *SLEEP)
        shown = engine.docker("exec", "web", "cat", "/etc/resolv.conf").stdout
        assert shown == "nameserver 127.0.0.11\nsearch d.example\noptions timeout:1 ndots:0\n"
        assert find(engine, "web", "outside.example") == ["8.8.8.8"]
        # Held, but nobody carries it: the reset comes in during the connect or after it.
        with pytest.raises(ConnectionResetError), engine.lan.host.connect("::1", 8081) as client:
            client.recv(1)
    finally:
        found = engine.close()
        assert not found, "\n".join(found)
