from __future__ import annotations

import msgspec
import pytest
from tests.network.test_networks import Store

from nakagin.errors import Invalid
from nakagin.network import egress
from nakagin.network.egress import GRACE, Egress, covers, parse
from nakagin.network.model import Network, Subnet

KEY = "a" * 64
PLAIN = Network(KEY, "n", "bridge", "", (Subnet("10.0.0.0/24", "10.0.0.1"),), bridge="b0")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def limited(*entries: str, clock: Clock | None = None, store: Store | None = None) -> Egress:
    made = Egress(store or Store(), clock or Clock())
    made.load()
    made.add(msgspec.structs.replace(PLAIN, egress=entries))
    return made


def test_destinations_are_subnets_or_names_with_or_without_a_port() -> None:
    assert str(parse("10.0.0.5:443").subnet) == "10.0.0.5/32"
    assert parse("10.0.0.0/8").port == 0
    assert parse("[fd00::1]:53").port == 53
    assert str(parse("fd00::/16").subnet) == "fd00::/16"
    assert parse("API.example.org.:443").name == "api.example.org"
    for wrong in ("", "a b", "x:0", "x:70000", "x:y", "*", "a..b", "10.0.0.0/40"):
        with pytest.raises(Invalid, match="egress"):
            parse(wrong)


def test_a_star_is_for_all_below_a_name_and_not_for_the_name() -> None:
    rule = parse("*.example.net")
    assert covers(rule, "A.b.example.net.")
    assert not covers(rule, "example.net")
    assert not covers(rule, "badexample.net")


def test_subnets_that_overlap_are_joined_as_the_kernel_wants_them() -> None:
    allowed = limited("10.0.0.0/8", "10.1.0.0/16", "10.1.2.3:80", "10.1.2.3:80", "fd00::1").allowed()[KEY]
    assert allowed.hosts4 == {("10.0.0.0/8",)}
    assert allowed.hosts6 == {("fd00::1",)}
    assert allowed.ports4 == {("10.1.2.3", "tcp", "80"), ("10.1.2.3", "udp", "80")}


def test_answers_open_and_close_again() -> None:
    clock = Clock()
    opened = limited("good.example:443", clock=clock)
    assert not opened.learn([KEY], "evil.example", [("192.0.2.9", 60)])
    assert opened.learn([KEY], "good.example", [("192.0.2.1", 60), ("2001:db8::1", 60)])
    assert not opened.learn([KEY], "good.example", [("192.0.2.1", 60)]), "nothing new"
    allowed = opened.allowed()[KEY]
    assert ("192.0.2.1", "tcp", "443") in allowed.ports4
    assert ("2001:db8::1", "udp", "443") in allowed.ports6
    clock.now = 60 + GRACE - 1
    assert not opened.expire()
    clock.now = 60 + GRACE + 1
    assert opened.expire()
    assert not opened.allowed()[KEY].ports4


def test_the_next_engine_knows_what_was_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, store = Clock(), Store()
    first = limited("good.example:443", clock=clock, store=store)
    first.learn([KEY], "good.example", [("192.0.2.1", 60)])
    before = dict(store.data)
    first.learn([KEY], "good.example", [("192.0.2.1", 61)])
    assert store.data == before, "not every answer is a write"
    first.learn([KEY], "good.example", [("192.0.2.1", 600)])
    second = limited("good.example:443", clock=clock, store=store)
    assert ("192.0.2.1", "tcp", "443") in second.allowed()[KEY].ports4
    assert not second.learn([KEY], "good.example", [("192.0.2.1", 60)])
    clock.now = 600 + GRACE + 1
    assert second.expire()
    assert not limited("good.example:443", clock=clock, store=store).allowed()[KEY].ports4
    second.learn([KEY], "good.example", [("192.0.2.1", 60)])
    monkeypatch.setattr(egress, "boot_id", lambda: "another")
    third = limited("good.example:443", clock=clock, store=store)
    assert not third.allowed()[KEY].ports4, "the clock began anew"
    assert not store.data
    second.learn([KEY], "good.example", [("192.0.2.2", 60)])
    second.drop(KEY)
    assert not store.data


def test_who_may_ask_for_what() -> None:
    made = limited("good.example")
    made.add(msgspec.structs.replace(PLAIN, id="b" * 64))
    assert made.may_resolve(["b" * 64], "anything.example")
    assert made.may_resolve([KEY], "good.example")
    assert not made.may_resolve([KEY], "evil.example")
    made.drop(KEY)
    assert made.may_resolve([KEY], "evil.example")
