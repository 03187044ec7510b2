"""Several networks for one container, live connect and disconnect, and which of them carries the default route."""

from __future__ import annotations

import threading

import pytest

from tests.network.sandbox import Host
from tests.network_fixture import CLIENT, CLIENT6, HOST, NetworkedEngine, echo, says
from tests.networking.conftest import Make, Run

pytestmark = pytest.mark.root

PLAIN = ("-o", "com.docker.network.bridge.enable_ip_masquerade=false")


def subnets(number: int) -> tuple[str, ...]:
    return ("--ipv6", "--subnet", f"10.77.{number}.0/24", "--subnet", f"fd77:{number}::/64")


@pytest.mark.docker(28)
def test_several_networks_at_create_time(net: NetworkedEngine, network: Make, run: Run) -> None:
    first, second, inner = network(*PLAIN, *subnets(20)), network(*PLAIN, *subnets(21)), network("--internal")
    one = run(
        "--network", f"name={first},ip=10.77.20.5,ip6=fd77:20::5,mac-address=02:00:00:00:20:05,alias=web",
        "--network", f"name={second},gw-priority=7", "--network", inner, "-p", "8120:80",
    )  # fmt: skip
    neighbours = {name: run("--network", name) for name in (first, second, inner)}
    for name, neighbour in neighbours.items():
        place = net.place(one.name, name)
        assert says(one, net.place(neighbour.name, name)["IPAddress"], 80) == (
            f"{neighbour.name} 80 {place['IPAddress']}"
        )
    assert net.place(one.name, first)["MacAddress"] == "02:00:00:00:20:05"
    assert net.place(one.name, first)["Aliases"] == ["web"]
    # the second carries the default route of both families
    assert says(one, CLIENT, 80) == f"client 80 {net.place(one.name, second)['IPAddress']}"
    assert says(one, CLIENT6, 80) == f"client 80 {net.place(one.name, second)['GlobalIPv6Address']}"
    assert says(net.lan.client, HOST, 8120) == f"{one.name} 80 {CLIENT}"


def test_equal_priorities_go_by_name_and_internal_never(
    net: NetworkedEngine, network: Make, run: Run
) -> None:
    names = sorted([network(*PLAIN, *subnets(22)), network(*PLAIN, *subnets(23))])
    inner = network("--internal")
    one = run(*(word for name in (inner, names[1], names[0]) for word in ("--network", name)))
    assert says(one, CLIENT, 80) == f"client 80 {net.place(one.name, names[0])['IPAddress']}"


@pytest.mark.docker(28)
def test_connect_and_disconnect_while_it_runs(net: NetworkedEngine, network: Make, run: Run) -> None:
    first, second = network(*PLAIN, *subnets(24)), network(*PLAIN, *subnets(25))
    one, neighbour = run("--network", first, "-p", "8124:80"), run("--network", second)
    there = net.place(neighbour.name, second)["IPAddress"]
    assert not echo(one, there, 0.3)
    net.docker(
        "network", "connect", "--ip", "10.77.25.9", "--ip6", "fd77:25::9", "--alias", "late", "--gw-priority", "3",
        "--link-local-ip", "169.254.25.9", second, one.name,
    )  # fmt: skip
    assert says(one, there, 80) == f"{neighbour.name} 80 10.77.25.9"
    assert says(neighbour, "169.254.25.9", 80, seconds=0.3) == "", "no link-local address on that side"
    assert says(one, CLIENT, 80) == "client 80 10.77.25.9", "the default route moved"
    assert says(one, CLIENT6, 80) == "client 80 fd77:25::9"
    assert says(net.lan.client, HOST, 8124) == f"{one.name} 80 {CLIENT}", "and so did the published port"
    place = net.place(one.name, second)
    assert (place["Aliases"], place["GwPriority"]) == (["late"], 3)
    refused = net.docker("network", "connect", second, one.name, check=1)
    assert f"endpoint with name {one.name} already exists in network {second}" in refused.stderr
    net.nakagin("network", "disconnect", second, one.name)
    assert says(one, CLIENT, 80) == f"client 80 {net.place(one.name, first)['IPAddress']}"
    assert says(net.lan.client, HOST, 8124) == f"{one.name} 80 {CLIENT}"
    refused = net.docker("network", "disconnect", second, one.name, check=1)
    assert f"is not connected to network {second}" in refused.stderr
    net.docker("network", "disconnect", first, one.name)
    assert net.docker("exec", one.name, "ip", "-o", "link").stdout.count(": eth") == 0
    assert says(net.lan.client, HOST, 8124, seconds=0.3) == ""
    net.nakagin("network", "connect", "--gw-priority", "-1", "bridge", one.name)
    assert says(one, CLIENT, 80) == f"client 80 {HOST}"


def test_a_stopped_container_changes_for_its_next_start(
    net: NetworkedEngine, network: Make, run: Run
) -> None:
    first, second = network(*PLAIN, *subnets(26)), network(*PLAIN, *subnets(27))
    name = f"{first}-stopped"
    net.docker(
        "create", "--name", name, "--stop-signal", "KILL", "--network", first, "busybox", "sleep", "600"
    )
    try:
        net.docker("network", "connect", "--ip", "10.77.27.9", second, name)
        net.docker("network", "disconnect", first, name)
        net.docker("start", name)
        one = net.guest(name)
        assert says(one, CLIENT, 80) == "client 80 10.77.27.9"
        net.docker("restart", name)
        net.part(one)
        one = net.guest(name)
        assert says(one, CLIENT, 80) == "client 80 10.77.27.9", "a restart keeps what was asked for"
        net.part(one)
        assert list(net.docker("network", "inspect", "-f", "{{len .Containers}}", first).stdout.split()) == [
            "0"
        ]
    finally:
        net.docker("rm", "-f", name)


@pytest.mark.docker(28)
def test_what_cannot_be_combined(net: NetworkedEngine, network: Make, run: Run) -> None:
    name = network()
    one = run("--network", name)
    for arguments, words in (
        (("network", "connect", "host", one.name), "connected to host network"),
        (("network", "connect", "none", one.name), "private (none) mode"),
        (("network", "connect", "nowhere", one.name), "network nowhere not found"),
        (("network", "connect", name, "nobody"), "No such container: nobody"),
        (
            ("network", "connect", "--ip", "10.1.2.3", name, one.name),
            "only when connecting to networks with user",
        ),
        (("run", "--rm", "--ip", "172.17.0.9", "busybox", "true"), "supported on user defined networks only"),
        (("run", "--rm", "--network", "nowhere", "busybox", "true"), "network nowhere not found"),
        (
            ("run", "--rm", "--network", name, "--mac-address", "03:00:00:00:00:01", "busybox", "true"),
            "is a group's",
        ),
    ):
        done = net.docker(*arguments, check=None)
        assert done.returncode
        assert words in done.stderr, done.stderr
    net.docker("rm", "-f", *net.docker("ps", "-aq", "--filter", "status=created").stdout.split(), check=None)


def test_connections_live_on_while_networks_come_and_go(
    net: NetworkedEngine, network: Make, run: Run
) -> None:
    """The table changes by difference: nothing that passes is touched."""
    steady = run("--network", network())
    server = Echo(net.lan.client, 7)
    try:
        with steady.connect(CLIENT, 7) as connection:
            for number in range(3):
                run("--network", network("--internal" if number == 1 else "--attachable"), "-p", "80")
                connection.sendall(b"still there?")
                assert connection.recv(64) == b"still there?"
    finally:
        server.close()


class Echo:
    """A TCP server that sends back what one client says."""

    def __init__(self, host: Host, port: int) -> None:
        import socket

        with host.inside():
            self._listener = socket.create_server(("0.0.0.0", port))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        client, _ = self._listener.accept()
        with client:
            while data := client.recv(65536):
                client.sendall(data)

    def close(self) -> None:
        self._thread.join(10)
        self._listener.close()
