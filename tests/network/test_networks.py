from __future__ import annotations

import asyncio
import contextlib
import os
import re
import select
import socket
import subprocess
from collections.abc import Iterable, Iterator, Sequence

import pytest
from tests.network.sandbox import Greeter, Host, ask, cable, greeting, hosts, in_namespace

from nakagin.errors import Conflict, Denied, Invalid, NotFound
from nakagin.kernel import netlink
from nakagin.network import links
from nakagin.network.endpoints import Attachment
from nakagin.network.model import PortRequest, Protocol, Settings, Wish
from nakagin.network.networks import Networks
from nakagin.spec.networking import NetworkCreate

pytestmark = pytest.mark.root


class Store:
    """Records in memory."""

    def __init__(self) -> None:
        self.data: dict[tuple[str, str], bytes] = {}

    def put(self, kind: str, key: str, data: bytes, /) -> None:
        self.data[kind, key] = data

    def delete(self, kind: str, key: str, /) -> None:
        self.data.pop((kind, key), None)

    def all(self, kind: str, /) -> Iterable[tuple[str, bytes]]:
        return [(key, data) for (each, key), data in self.data.items() if each == kind]


def started(store: Store | None = None, living: Iterable[str] = (), **settings: object) -> Networks:
    networks = Networks(store or Store(), Settings(**settings))  # type: ignore[arg-type]
    networks.start(living)
    return networks


def publish(host: int, container: int = 80, protocol: Protocol = "tcp", ip: str = "") -> PortRequest:
    return PortRequest(container, protocol, ip, host, host)


def attach(networks: Networks, host: Host, name: str, *requests: PortRequest) -> Attachment:
    """What containers/ and the monitor do; the sockets stay open as the monitor's would."""
    attachment = place(networks, "bridge", f"id-{name}", name, requests)
    for plan in attachment.plans:
        links.attach(plan, host.pid)
    return attachment


def place(
    networks: Networks, network: str, container: str, name: str, requests: Sequence[PortRequest] = ()
) -> Attachment:
    return networks.attach(container, name, [Wish(network=network)], requests)


def our_links() -> set[str]:
    with netlink.Socket() as kernel:
        return {each.name for each in kernel.links()} - {"lo"}


def tables() -> str:
    return subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout


@contextlib.contextmanager
def refused() -> Iterator[None]:
    with pytest.raises((TimeoutError, ConnectionRefusedError)):
        yield


@in_namespace
def test_the_three_networks_exist_under_lasting_ids() -> None:
    store = Store()
    networks = started(store)
    ids = {each.name: each.id for each in networks.all()}
    assert set(ids) == {"bridge", "host", "none"}
    assert all(re.fullmatch("[0-9a-f]{64}", each) for each in ids.values())
    assert {each.name: each.id for each in started(store).all()} == ids
    assert networks.get(ids["host"][:12]).driver == "host"
    assert networks.get("none").driver == "null"
    assert networks.get("default").name == "bridge"
    assert our_links() == set(), "the bridge is made when it is first needed"
    with pytest.raises(NotFound, match="network nix not found"):
        networks.get("nix")
    with pytest.raises(Denied, match="predefined bridge network"):
        networks.create(NetworkCreate(name="bridge"))
    with pytest.raises(Denied, match="bridge is a pre-defined network and cannot be removed"):
        networks.remove("bridge")
    with pytest.raises(Invalid):
        place(networks, "host", "c", "c")


@in_namespace
def test_published_ports_answer_from_everywhere() -> None:
    with hosts(3) as (web, other, outside):
        cable(outside, "10.0.0.2/24", "10.0.0.1/24")
        networks = started()
        attached = attach(
            networks, web, "web",
            publish(8080), publish(5300, 81, "udp"),
            publish(8082, 82, ip="127.0.0.1"), publish(8083, 83, ip="10.0.0.1"),
        )  # fmt: skip
        attach(networks, other, "other", publish(9000, 90))
        Greeter(web, "web", range(80, 84))
        Greeter(other, "other", range(90, 91))
        host = "172.17.0.1"
        assert attached.endpoints[0].addresses == ("172.17.0.2/16",)
        # from this machine: by loopback, by its address, and straight to the container
        assert greeting(socket.create_connection(("127.0.0.1", 8080), 5)) == f"web 80 {host}"
        assert greeting(socket.create_connection(("127.0.0.1", 8082), 5)) == f"web 82 {host}"
        assert greeting(socket.create_connection(("10.0.0.1", 8080), 5)).startswith("web 80")
        assert greeting(socket.create_connection(("172.17.0.2", 81), 5)) == f"web 81 {host}"
        assert ask(udp(), "127.0.0.1", 5300) == f"web 81 {host}"
        # from outside: the client's own address is seen
        assert greeting(outside.connect("10.0.0.1", 8080)) == "web 80 10.0.0.2"
        assert greeting(outside.connect("10.0.0.1", 8083)) == "web 83 10.0.0.2"
        assert ask(outside.open(socket.SOCK_DGRAM), "10.0.0.1", 5300) == "web 81 10.0.0.2"
        # from containers: another's port, and their own (hairpin)
        assert greeting(other.connect("10.0.0.1", 8080)).startswith("web 80")
        assert greeting(web.connect("10.0.0.1", 8080)).startswith("web 80")
        assert greeting(web.connect(host, 9000)).startswith("other 90")
        assert greeting(other.connect("172.17.0.2", 80)) == "web 80 172.17.0.3"
        # not: a port of loopback from outside
        with refused():
            outside.connect("10.0.0.1", 8082, timeout=0.3)


def udp() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(5)
    return made


@in_namespace
def test_the_way_out_is_masqueraded_and_the_way_in_is_closed() -> None:
    with hosts(2) as (web, outside):
        cable(outside, "10.0.0.2/24", "10.0.0.1/24", gateway="10.0.0.1")
        networks = started()
        attach(networks, web, "web", publish(8082, 82, ip="127.0.0.1"))
        Greeter(outside, "outside", range(99, 100))
        Greeter(web, "web", range(80, 83))
        assert greeting(web.connect("10.0.0.2", 99)) == "outside 99 10.0.0.1"
        with refused():  # the container's address, through us as a router
            outside.connect("172.17.0.2", 80, timeout=0.3)
        with refused():  # a neighbour who sends to our loopback address
            with outside.inside(), netlink.Socket() as kernel:
                index = socket.if_nametoindex("eth0")
                kernel.send([netlink.add_route(index, "eth0", "127.0.0.1/32", "10.0.0.1")])
            outside.connect("127.0.0.1", 8082, timeout=0.3)


@in_namespace
def test_containers_do_not_reach_this_machines_loopback() -> None:
    """CVE-2020-8558: route_localnet must not open 127.0.0.0/8 to the bridge."""
    with hosts(1) as (web,), socket.create_server(("127.0.0.1", 7777)):
        attach(started(), web, "web")
        with web.inside(), netlink.Socket() as kernel:
            index = socket.if_nametoindex("eth0")
            with open("/proc/sys/net/ipv4/conf/eth0/route_localnet", "w", encoding="ascii") as file:
                file.write("1")
            subprocess.run(["ip", "route", "del", "local", "127.0.0.0/8", "table", "local"], check=True)
            subprocess.run(["ip", "route", "del", "local", "127.0.0.1", "table", "local"], check=True)
            kernel.send([netlink.add_route(index, "eth0", "127.0.0.0/8", "172.17.0.1")])
        with refused():
            web.connect("127.0.0.1", 7777, timeout=0.3)


@in_namespace
def test_ipv6_on_the_default_bridge() -> None:
    with hosts(2) as (web, outside):
        cable(outside, "fd00:a::2/64", "fd00:a::1/64")
        networks = started(fixed_cidr_v6="fd00:17::/64")
        attached = attach(networks, web, "web", publish(8080))
        assert attached.endpoints[0].addresses == ("172.17.0.2/16", "fd00:17::2/64")
        Greeter(web, "web", range(80, 81), address="::")
        # The kernel lets up to a second pass before a bridge that got its first port speaks IPv6.
        assert greeting(outside.connect_soon("fd00:a::1", 8080)) == "web 80 fd00:a::2"
        assert greeting(web.connect("fd00:17::1", 8080)) == "web 80 fd00:17::1"
        with socket.create_connection(("::1", 8080), 5):
            assert select.select([attached.sockets[1]], [], [], 5)[0], "::1 is the proxy's"


@in_namespace
@pytest.mark.parametrize("filtered", ["0", "1"])
def test_containers_may_be_kept_apart(filtered: str) -> None:
    with (
        contextlib.suppress(FileNotFoundError),
        open("/proc/sys/net/bridge/bridge-nf-call-iptables", "w") as file,
    ):
        file.write(filtered)
    with hosts(2) as (web, other):
        networks = started(icc=False)
        attach(networks, web, "web", publish(8080))
        attach(networks, other, "other")
        Greeter(web, "web", range(80, 81))
        with refused():
            other.connect("172.17.0.2", 80, timeout=0.3)
        assert greeting(other.connect("172.17.0.1", 8080)).startswith("web")
        assert greeting(web.connect("172.17.0.1", 8080)).startswith("web")


@in_namespace
def test_datagram_flows_to_a_container_that_went_are_forgotten() -> None:
    async def release(networks: Networks) -> None:
        watching = asyncio.create_task(networks.watch())
        networks.release("id-web")
        async with asyncio.timeout(5):
            while True:
                with open("/proc/net/nf_conntrack", encoding="ascii") as table:
                    if "172.17.0.2" not in table.read():
                        break
                await asyncio.sleep(0)
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching

    with hosts(2) as (web, outside):
        cable(outside, "10.0.0.2/24", "10.0.0.1/24")
        networks = started()
        attach(networks, web, "web", publish(5300, 81, "udp")).close()
        Greeter(web, "web", range(81, 82))
        assert ask(outside.open(socket.SOCK_DGRAM), "10.0.0.1", 5300).startswith("web")
        asyncio.run(release(networks))


@in_namespace
def test_other_firewalls_that_drop_forwarded_packets_are_named(caplog: pytest.LogCaptureFixture) -> None:
    chain = "{ type filter hook forward priority 0; policy drop; }"
    subprocess.run(["nft", f"add table ip filter; add chain ip filter FORWARD {chain}"], check=True)
    place(started(), "bridge", "c", "c")
    assert "firewall chain ip filter FORWARD drops forwarded packets" in caplog.text


@in_namespace
def test_a_range_keeps_its_port_numbers() -> None:
    with hosts(2) as (web, outside):
        cable(outside, "10.0.0.2/24", "10.0.0.1/24")
        networks = started()
        attach(networks, web, "web", *(publish(port, port) for port in range(20000, 30000)))
        Greeter(web, "web", range(25000, 25001))
        assert greeting(outside.connect("10.0.0.1", 25000)) == "web 25000 10.0.0.2"
        assert greeting(socket.create_connection(("127.0.0.1", 25000), 5)) == "web 25000 172.17.0.1"
        with pytest.raises(Conflict, match="container web"):
            place(networks, "bridge", "id-2", "second", [publish(20001)])


@in_namespace
def test_release_gives_everything_back_and_cleanup_leaves_nothing() -> None:
    store = Store()
    with hosts(1) as (web,):
        networks = started(store)
        attach(networks, web, "web", publish(8080)).close()
        with pytest.raises(Conflict, match="already exists in network"):
            place(networks, "bridge", "id-web", "web")
        assert [each.mac for each in networks.endpoints("id-web")] == ["02:42:ac:11:00:02"]
        assert networks.settings_document("id-web", ["bridge"])["Ports"]["80/tcp"][0]["HostPort"] == "8080"
        assert len(networks.inspect("bridge")["Containers"]) == 1
        networks.release("id-web")
        networks.release("id-web")
        assert not list(store.all("endpoint"))
        with refused():
            socket.create_connection(("127.0.0.1", 8080), 0.3)
        again = place(networks, "bridge", "id-2", "two", [publish(8080)])
        assert again.endpoints[0].addresses == ("172.17.0.3/16",), "an address rests before it is used again"
        again.close()
        networks.cleanup()
        assert our_links() == set()
        assert tables() == ""
        networks.cleanup()


@in_namespace
def test_a_failed_allocation_leaves_nothing_half_made() -> None:
    store = Store()
    networks = started(store)
    with (
        socket.create_server(("127.0.0.1", 8080)),
        pytest.raises(Conflict, match="port is already allocated by process"),
    ):
        place(networks, "bridge", "id-web", "web", [publish(8079), publish(8080)])
    assert not list(store.all("endpoint"))
    attached = place(networks, "bridge", "id-web", "web", [publish(8079), publish(8080)])
    assert len(attached.sockets) == 4
    first = {"fd_index": 3, "proto": "tcp", "target": ["172.17.0.3", 80], "announce": False}
    assert attached.proxies(3)[0] == first
    attached.close()


@in_namespace
def test_after_an_engine_restart_the_living_are_known_and_the_dead_forgotten() -> None:
    store = Store()
    with hosts(2) as (web, dead):
        networks = started(store)
        kept = attach(networks, web, "web", publish(8080))
        attach(networks, dead, "dead", publish(8081)).close()
        Greeter(web, "web", range(80, 81))
        with socket.create_connection(("127.0.0.1", 8080), 5) as connection:
            second = started(store, ["id-web"])
            assert connection.makefile(encoding="utf-8").read().startswith("web"), "connections live on"
        assert second.endpoints("id-web") == (kept.endpoints[0],)
        assert second.endpoints("id-dead") == ()
        assert kept.plans[0]["host_interface"] in our_links()
        assert len([each for each in our_links() if each.startswith("veth")]) == 1, "the dead one's was swept"
        assert greeting(socket.create_connection(("127.0.0.1", 8080), 5)).startswith("web")
        with pytest.raises(Conflict, match="container web"):
            place(second, "bridge", "id-3", "three", [publish(8080)])
        fresh = place(second, "bridge", "id-4", "four", [publish(8081)])
        assert fresh.endpoints[0].addresses != kept.endpoints[0].addresses
        fresh.close()
        second.rename("id-web", "renamed")
        with pytest.raises(Conflict, match="container renamed"):
            place(second, "bridge", "id-3", "three", [publish(8080)])


@in_namespace
def test_after_a_restart_with_nobody_attached_the_next_container_gets_an_address() -> None:
    store = Store()
    started(store).cleanup()
    with hosts(1) as (web,):
        assert attach(started(store), web, "web").endpoints[0].addresses == ("172.17.0.2/16",)


@in_namespace
def test_a_deleted_bridge_and_table_come_back_with_the_containers_on_them() -> None:
    store = Store()
    with hosts(2) as (web, other):
        networks = started(store)
        attach(networks, web, "web", publish(8080))
        Greeter(web, "web", range(80, 81))
        subprocess.run(["ip", "link", "delete", "nakagin0"], check=True)
        subprocess.run(["nft", "flush", "ruleset"], check=True)
        attach(networks, other, "other")
        assert greeting(socket.create_connection(("127.0.0.1", 8080), 5)).startswith("web")
        assert greeting(other.connect("172.17.0.2", 80)).startswith("web")


@in_namespace
def test_a_flushed_firewall_is_restored_by_itself() -> None:
    async def flush_and_wait(networks: Networks) -> None:
        watch = asyncio.create_task(networks.watch())
        await asyncio.sleep(0)
        for _ in range(3):
            flush = await asyncio.create_subprocess_exec("nft", "flush", "ruleset")
            await flush.wait()
            async with asyncio.timeout(5):
                while True:
                    found = await asyncio.create_subprocess_exec(
                        "nft", "list", "map", "inet", "nakagin", "ports4", stdout=-1, stderr=-1
                    )
                    output, _ = await found.communicate()
                    if b"tcp . 8080" in output:
                        break
        watch.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watch

    with hosts(1) as (web,):
        networks = started()
        attach(networks, web, "web", publish(8080))
        asyncio.run(flush_and_wait(networks))


@in_namespace
def test_the_subnet_avoids_routes_in_use_and_follows_bip() -> None:
    with hosts(1) as (outside,):
        cable(outside, "172.17.9.2/24", "172.17.9.1/24")
        with netlink.Socket() as kernel:
            index = socket.if_nametoindex("outside")
            kernel.send([netlink.add_route(index, "outside", "128.0.0.0/1", "172.17.9.2")])
        store = Store()
        assert started(store).get("bridge").subnets[0].subnet == "172.18.0.0/16"
        given = started(store, bridge_address="10.77.0.1/24", fixed_cidr="10.77.0.128/25")
        assert place(given, "bridge", "c", "c").endpoints[0].addresses == ("10.77.0.128/24",)
        given.release("c")


@in_namespace
def test_engines_beside_each_other_do_not_share_a_subnet() -> None:
    engines = [started(instance=name) for name in ("one", "two", "three")]
    assert {each.get("bridge").subnets[0].subnet for each in engines} == {"172.17.0.0/16"}, (
        "nothing is made yet"
    )
    addresses = {place(each, "bridge", "c", "c").endpoints[0].addresses[0] for each in engines}
    assert addresses == {"172.17.0.2/16", "172.18.0.2/16", "172.19.0.2/16"}
    assert our_links() == {"nk-one0", "nk-two0", "nk-three0"}
    for each in engines:
        each.cleanup()
    assert our_links() == set()
    assert tables() == ""


@in_namespace
def test_without_a_firewall_the_sockets_still_hold_the_ports() -> None:
    networks = started(firewall=False)
    attached = place(networks, "bridge", "c", "c", [publish(8080)])
    assert tables() == ""
    with socket.create_connection(("127.0.0.1", 8080), 5):
        assert select.select([attached.sockets[0]], [], [], 5)[0], "the monitor's proxy would take it"
    attached.close()


@in_namespace
def test_switches_are_set_when_first_needed() -> None:
    def switch(path: str) -> str:
        with open(f"/proc/sys/net/{path}", encoding="ascii") as file:
            return file.read().strip()

    with open("/proc/sys/net/ipv4/ip_forward", "w", encoding="ascii") as file:
        file.write("0")  # a new namespace has the machine's own value
    networks = started()
    assert switch("ipv4/ip_forward") == "0"
    place(networks, "bridge", "c", "c")
    assert switch("ipv4/ip_forward") == "1"
    assert switch("ipv4/conf/nakagin0/route_localnet") == "1"
    assert switch("ipv6/conf/nakagin0/disable_ipv6") == "1"
    assert switch("ipv4/conf/all/route_localnet") == "0"


@in_namespace
def test_many_come_and_go_and_nothing_leaks() -> None:
    store = Store()
    networks = started(store)
    place(networks, "bridge", "first", "first")
    networks.release("first")
    descriptors = len(os.listdir("/proc/self/fd"))
    for number in range(200):
        place(networks, "bridge", f"c{number}", "c", [PortRequest(80)]).close()
        if number >= 20:
            networks.release(f"c{number - 20}")
    for number in range(180, 200):
        networks.release(f"c{number}")
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert not list(store.all("endpoint"))
    listing = subprocess.run(
        ["nft", "list", "map", "inet", "nakagin", "ports4"], capture_output=True, check=True
    )
    assert b"elements" not in listing.stdout
