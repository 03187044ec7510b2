from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nakagin.errors import Conflict, Exhausted, Invalid
from nakagin.network.addresses import Allocator, Use, choose_subnet, first_host, mac_of, overlaps
from nakagin.network.documents import status
from nakagin.network.model import Subnet

SMALL = Subnet("10.0.0.0/29", "10.0.0.1")  # 10.0.0.2 to .6 are free


def test_the_first_pool_is_dockers() -> None:
    assert choose_subnet((), []) == "172.17.0.0/16"


def test_subnets_in_use_are_avoided() -> None:
    used = [Use(each, "x") for each in ("172.17.3.0/24", "172.18.0.0/15", "fd00::/64")]
    assert choose_subnet((), used) == "172.20.0.0/16"
    assert choose_subnet((("10.0.0.0/23", 24),), [Use("10.0.0.77/32", "x")]) == "10.0.1.0/24"
    assert choose_subnet((("fd00::/48", 64),), used, ipv6=True) == "fd00:0:0:1::/64"


def test_exhausted_pools_say_what_is_in_use() -> None:
    with pytest.raises(Exhausted, match=r"10\.0\.0\.0/8 has the route by eth0.*network prune"):
        choose_subnet((("10.0.0.0/23", 24),), [Use("10.0.0.0/8", "the route by eth0")])


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(8, 32)), max_size=8))
def test_a_chosen_subnet_overlaps_nothing(routes: list[tuple[int, int]]) -> None:
    used = [str(ipaddress.ip_network((address, length), strict=False)) for address, length in routes]
    try:
        chosen = choose_subnet((), [Use(each, "x") for each in used])
    except Exhausted:
        return
    assert not overlaps(chosen, used)


def test_addresses_go_round_before_one_is_used_again() -> None:
    allocator = Allocator(SMALL, "net")
    first = allocator.take()
    assert first == "10.0.0.2/29"
    allocator.release(first)
    assert [allocator.take() for _ in range(5)] == [f"10.0.0.{last}/29" for last in (3, 4, 5, 6, 2)]
    with pytest.raises(Exhausted, match="network net has no free address"):
        allocator.take()


def test_wanted_addresses_are_checked() -> None:
    allocator = Allocator(SMALL, "net")
    assert allocator.take("10.0.0.5") == "10.0.0.5/29"
    with pytest.raises(Conflict, match="already in use"):
        allocator.take("10.0.0.5/29")
    with pytest.raises(Conflict):
        allocator.take("10.0.0.1")
    with pytest.raises(Invalid, match="not in subnet"):
        allocator.take("10.0.1.1")


def test_a_range_and_auxiliary_addresses_bound_what_is_given() -> None:
    pool = Subnet("10.0.0.0/24", "10.0.0.1", ip_range="10.0.0.128/30", auxiliary={"printer": "10.0.0.129"})
    allocator = Allocator(pool, "net")
    assert [allocator.take() for _ in range(3)] == ["10.0.0.128/24", "10.0.0.130/24", "10.0.0.131/24"]


@given(st.lists(st.booleans(), max_size=60))
def test_no_address_is_given_twice(steps: list[bool]) -> None:
    allocator = Allocator(SMALL, "net")
    held: list[str] = []
    for take in steps:
        if take and len(held) < 5:
            held.append(allocator.take())
            assert len(set(held)) == len(held)
        elif held:
            allocator.release(held.pop(0))


def test_ipv6_subnets_work_alike() -> None:
    allocator = Allocator(Subnet("fd00:5::/64", "fd00:5::1"), "net")
    assert allocator.take() == "fd00:5::2/64"
    assert first_host("fd00:5::/64") == "fd00:5::1"


def test_the_mac_address_is_made_of_the_address() -> None:
    assert mac_of("172.17.0.2/16") == "02:42:ac:11:00:02"


@pytest.mark.parametrize(
    ("pool", "counts"),
    [
        (Subnet("10.0.0.0/24", "10.0.0.1"), (4, 252)),
        (
            Subnet("10.0.0.0/24", "10.0.0.1", ip_range="10.0.0.128/25", auxiliary={"a": "10.0.0.200"}),
            (5, 125),
        ),
        (Subnet("10.0.0.4/31"), (1, 1)),
        (Subnet("fd00::/48", "fd00::1"), (4, (1 << 80) - 4)),
    ],
)
def test_how_full_a_subnet_is(pool: Subnet, counts: tuple[int, int]) -> None:
    allocator = Allocator(pool, "web")
    allocator.take()
    assert allocator.counts() == counts


def test_status_saturates() -> None:
    full = (1 << 64) - 1
    (found,) = status({"fd00::/48": (4, (1 << 80) - 4)})["IPAM"]["Subnets"].values()
    assert found == {"IPsInUse": 4, "DynamicIPsAvailable": full}
