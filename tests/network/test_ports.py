from __future__ import annotations

import socket

import pytest
from tests.free_port import free_port
from tests.network.sandbox import in_namespace

from nakagin.errors import Conflict, Exhausted, Invalid
from nakagin.network.model import PortMapping, PortRequest
from nakagin.network.ports import Ports, Publication, fold


def fixed(host: int, container: int = 80, protocol: str = "tcp", ip: str = "") -> PortRequest:
    return PortRequest(container, protocol, ip, host, host)  # type: ignore[arg-type]


def close(publications: list[Publication]) -> list[PortMapping]:
    for each in publications:
        each.close()
    return [each.mapping for each in publications]


def test_neighbouring_ports_become_one_mapping() -> None:
    requests = [fixed(port, port) for port in range(8000, 18000)] + [
        fixed(7000),
        PortRequest(81),
        fixed(53, 53, "udp"),
    ]
    assert fold(requests) == [
        PortRequest(81),
        PortMapping("tcp", "", 7000, 80),
        PortMapping("tcp", "", 8000, 8000, 10000),
        PortMapping("udp", "", 53, 53),
    ]


def test_a_taken_port_is_refused_with_its_holder_and_the_next_free_one() -> None:
    ports, port = Ports(), free_port()
    held = ports.reserve("c1", "web", [fixed(port, ip="127.0.0.1")])
    with pytest.raises(
        Conflict, match=rf"Bind for 127\.0\.0\.1:{port} failed: port is already allocated"
    ) as caught:
        ports.reserve("c2", "other", [fixed(port, ip="127.0.0.1")])
    assert "by container web" in caught.value.message
    assert caught.value.hint is not None
    assert int(caught.value.hint.rpartition(" ")[2]) > port
    close(held)
    ports.release("c1")
    close(ports.reserve("c2", "other", [fixed(port, ip="127.0.0.1")]))


@pytest.mark.root
def test_a_port_of_a_process_is_refused_with_its_name_and_pid() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(Conflict) as caught:
        Ports().reserve("c1", "web", [fixed(listener.getsockname()[1], ip="127.0.0.1")])
    assert "process " in caught.value.message
    assert "(pid " in caught.value.message


def test_all_or_nothing() -> None:
    ports, port = Ports(), free_port()
    with socket.create_server(("127.0.0.2", 0)) as listener:
        taken = listener.getsockname()[1]
        with pytest.raises(Conflict):
            ports.reserve("c1", "web", [fixed(port, ip="127.0.0.2"), fixed(taken, ip="127.0.0.2")])
    close(ports.reserve("c1", "web", [fixed(port, ip="127.0.0.2")]))


@pytest.mark.root
@in_namespace
def test_without_an_address_a_port_is_published_on_both_families() -> None:
    ports = Ports()
    held = ports.reserve("c1", "web", [fixed(80), fixed(80, protocol="udp"), PortRequest(81)])
    assert [(one.protocol, one.host_ip) for one in (each.mapping for each in held)] == [
        ("tcp", "0.0.0.0"), ("tcp", "::"), ("tcp", "0.0.0.0"), ("tcp", "::"),
        ("udp", "0.0.0.0"), ("udp", "::"),
    ]  # fmt: skip
    assert held[0].mapping.host_port == held[1].mapping.host_port == 32768
    for each in held:
        (bound,) = each.sockets
        assert not bound.getblocking()
        assert bound.getsockname()[1] == each.mapping.host_port
    close(held)
    assert [one.host_ip for one in close(ports.reserve("c2", "w", [fixed(90)], "127.0.0.1"))] == ["127.0.0.1"]


@pytest.mark.root
@in_namespace
def test_a_range_of_candidates_gives_the_first_free_port() -> None:
    ports = Ports()
    wish = PortRequest(80, "tcp", "127.0.0.1", 8000, 8001)
    assert [close(ports.reserve(f"c{n}", "web", [wish]))[0].host_port for n in range(2)] == [8000, 8001]
    with pytest.raises(Exhausted, match="8000-8001"):
        ports.reserve("c3", "web", [wish])


@pytest.mark.root
@in_namespace
def test_large_ranges_are_guarded_without_sockets() -> None:
    ports = Ports()
    wishes = [fixed(port, port) for port in range(10000, 20000)]
    with socket.create_server(("127.0.0.1", 12345)), pytest.raises(Conflict, match=r"12345 failed"):
        ports.reserve("c1", "web", wishes)
    held = ports.reserve("c1", "web", wishes)
    assert [(len(each.sockets), each.mapping.count) for each in held] == [(0, 10000), (0, 10000)]
    with pytest.raises(Conflict, match="container web"):
        ports.reserve("c2", "other", [fixed(19999)])
    with pytest.raises(Conflict, match="container web"):
        ports.reserve("c2", "other", [fixed(port) for port in (9999, 19999)])
    ports.release("c1")
    close(ports.reserve("c2", "other", [fixed(19999)]))


@pytest.mark.root
@in_namespace
def test_adopted_ports_are_held_too() -> None:
    ports = Ports()
    ports.adopt("c1", "web", [PortMapping("tcp", "0.0.0.0", 8080, 80)])
    with pytest.raises(Conflict, match="container web"):
        ports.reserve("c2", "other", [fixed(8080, ip="127.0.0.1")])
    close(ports.reserve("c2", "other", [fixed(8080, protocol="udp")]))


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(Invalid, match="no interface"):
        Ports().reserve("c1", "web", [fixed(8080, ip="203.0.113.9")])
