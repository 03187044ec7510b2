from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nakagin.network import dns


def query(name: str, kind: int = dns.A, number: int = 0x1234, size: int = 0) -> bytes:
    """A question as a stub resolver writes it; with EDNS where `size` is given."""
    head = struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, int(bool(size)))
    tail = b"\0" + struct.pack("!HHIH", dns.OPT, size, 0, 0) if size else b""
    return head + dns.encode_name(name) + struct.pack("!HH", kind, dns.IN) + tail


def answer(question: bytes, code: int = 0, payload: bytes = b"") -> bytes:
    return question[:2] + b"\x81" + bytes([0x80 | code]) + question[4:6] + bytes(6) + question[12:] + payload


def test_a_question_is_read() -> None:
    found = dns.read_question(query("wWw.Example", dns.AAAA))
    assert (found.name, found.kind, found.klass, found.opcode) == ("www.example", dns.AAAA, dns.IN, 0)
    assert (found.edns, found.size) == (False, 512)
    assert dns.read_question(query("www.example", size=1232)).size == 1232
    assert dns.read_question(query("x", size=100)).size == 512
    assert dns.read_question(query("x", size=65000)).size == dns.LARGEST_DATAGRAM


@pytest.mark.parametrize("end", range(len(query("www.example"))))
def test_cut_messages_are_no_questions(end: int) -> None:
    with pytest.raises(dns.Malformed):
        dns.read_question(query("www.example")[:end])


@pytest.mark.parametrize(
    "message",
    [
        answer(query("a")),
        query("a")[:4] + b"\0\2" + query("a")[6:],
        query("a")[:12] + b"\xc0\x0c\0\1\0\1",  # a pointer to itself
        query("a")[:12] + (b"\x3f" + b"x" * 63) * 4 + b"\0\0\1\0\1",
    ],
)
def test_what_is_no_question(message: bytes) -> None:
    with pytest.raises(dns.Malformed):
        dns.read_question(message)


@given(st.binary(max_size=300))
def test_no_message_is_more_than_malformed(noise: bytes) -> None:
    for message in (noise, query("a")[:12] + noise):
        try:
            dns.read_question(message)
        except dns.Malformed:
            pass
        dns.is_answer(query("a"), message)
        if len(message) >= 12:
            dns.addresses_in(message)


def test_damaged_answers_are_survived() -> None:
    good = dns.answer(query("a"), dns.read_question(query("a")), dns.addresses_as_records(["10.0.0.1"] * 9))
    dice = random.Random(7)
    for _ in range(5000):
        damaged = bytearray(good)
        for _ in range(dice.randint(1, 6)):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        dns.addresses_in(bytes(damaged))
        dns.is_answer(query("a"), bytes(damaged))


def test_answers_hold_their_records() -> None:
    asked = query("web", size=4096)
    made = dns.answer(asked, dns.read_question(asked), dns.addresses_as_records(["10.0.0.1", "fd00::1"]))
    assert dns.addresses_in(made) == [("10.0.0.1", dns.TTL), ("fd00::1", dns.TTL)]
    assert dns.is_answer(asked, made)
    assert made[:4] == b"\x12\x34\x81\x80"
    assert made.endswith(b"\0" + struct.pack("!HHIH", dns.OPT, dns.LARGEST_DATAGRAM, 0, 0))


@pytest.mark.parametrize(("size", "fitting"), [(0, 30), (1232, 75), (4096, 100)])
def test_long_answers_are_cut_with_a_mark(size: int, fitting: int) -> None:
    asked = query("svc", size=size)
    records = dns.addresses_as_records([f"10.0.0.{number}" for number in range(100)])
    made = dns.answer(asked, dns.read_question(asked), records)
    assert len(made) <= (size or 512)
    assert len(dns.addresses_in(made)) == fitting
    assert bool(made[2] & 2) == (fitting < 100)
    whole = dns.answer(asked, dns.read_question(asked), records, limit=dns.LARGEST_STREAM)
    assert len(dns.addresses_in(whole)) == 100


def test_failures_repeat_the_question() -> None:
    asked = query("web")
    assert dns.is_answer(asked, dns.failure(asked, dns.SERVFAIL))
    assert dns.failure(asked, dns.REFUSED, recursion=False)[2:4] == b"\x81\x05"
    assert dns.failure(asked[:14], dns.FORMERR) == b"\x12\x34\x81\x81" + bytes(8)


def test_only_answers_to_the_question_count() -> None:
    asked = query("wWw.example")
    assert dns.is_answer(asked, answer(query("www.example")))
    assert not dns.is_answer(asked, asked)
    assert not dns.is_answer(asked, b"\0\0" + answer(asked)[2:])
    assert not dns.is_answer(asked, answer(query("ftp.example")))
    assert not dns.is_answer(asked, answer(query("www.example", dns.AAAA)))
    assert not dns.is_answer(asked, asked[:2] + b"\x81\x80" + bytes(8))  # "fine", but about nothing
    assert dns.is_answer(asked, asked[:2] + b"\x81\x82" + bytes(8))  # a failure


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("2.0.18.172.in-addr.arpa", "172.18.0.2"),
        ("2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", "fd00::2"),
        ("18.172.in-addr.arpa", ""),
        ("300.0.18.172.in-addr.arpa", ""),
        ("x.0.18.172.in-addr.arpa", ""),
        ("2.0.18.172.in-addr.arpa.example", ""),
        ("web", ""),
    ],
)
def test_reversed_addresses(name: str, address: str) -> None:
    assert dns.reversed_address(name) == address


def test_names_too_long_for_dns() -> None:
    assert dns.encode_name("web.net") == b"\3web\3net\0"
    for wrong in ("x" * 64, ".".join(["x" * 60] * 5)):
        with pytest.raises(dns.Malformed):
            dns.encode_name(wrong)
