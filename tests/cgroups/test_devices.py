"""Device rules as v1 lines and as a v2 program; the program is run by a small interpreter here."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nakagin.cgroups.devices import DEFAULT_RULES, program
from nakagin.cgroups.layout import Layout
from nakagin.cgroups.limits import plan
from nakagin.errors import Invalid

V1 = Layout("v1", {"devices": "/cg/devices"})
V2 = Layout("v2", {}, "/cg", frozenset())
TYPES = {1: "b", 2: "c"}


def run(code: bytes, kind: int, major: int, minor: int, access: int) -> int:
    """What the kernel would answer: 1 allows. Only the instructions that `program` uses are known."""
    register = [0] * 11
    context = struct.pack("=III", kind | access << 16, major, minor)
    position = 0
    for _ in range(10_000):
        operation, registers, offset, immediate = struct.unpack_from("=BBhi", code, position * 8)
        to, source = registers & 15, registers >> 4
        position += 1
        match operation:
            case 0x61:
                (register[to],) = struct.unpack_from("=I", context, offset)
            case 0xBF:
                register[to] = register[source]
            case 0x77:
                register[to] >>= immediate
            case 0x57:
                register[to] &= immediate
            case 0xB7:
                register[to] = immediate
            case 0x55:
                position += offset if register[to] != immediate else 0
            case 0x45:
                position += offset if register[to] & immediate else 0
            case 0x05:
                position += offset
            case 0x95:
                return register[0]
            case _:
                raise AssertionError(f"instruction {operation:#x}")
    raise AssertionError("no end")


def expected(
    rules: list[tuple[bool, str, int, int, int]], kind: int, major: int, minor: int, access: int
) -> int:
    """The last rule that speaks of an access decides it; what none speaks of is allowed."""
    for bit in (1, 2, 4):
        if not access & bit:
            continue
        verdict = True
        for allow, rule_kind, rule_major, rule_minor, bits in rules:
            same = rule_kind in ("a", TYPES[kind]) and rule_major in (-1, major) and rule_minor in (-1, minor)
            if same and bits & bit:
                verdict = allow
        if not verdict:
            return 0
    return 1


rules_strategy = st.lists(
    st.tuples(
        st.booleans(), st.sampled_from("abc"), st.integers(-1, 2), st.integers(-1, 2), st.integers(1, 7)
    ),
    max_size=12,
)


@given(rules_strategy, st.integers(1, 2), st.integers(0, 3), st.integers(0, 3), st.integers(1, 7))
def test_program_decides_as_the_rules(
    rules: list[tuple[bool, str, int, int, int]], kind: int, major: int, minor: int, access: int
) -> None:
    assert run(program(rules), kind, major, minor, access) == expected(rules, kind, major, minor, access)


@given(rules_strategy)
def test_every_instruction_can_be_reached(rules: list[tuple[bool, str, int, int, int]]) -> None:
    """Old verifiers refuse a program with unreachable code."""
    code = program(rules)
    operations = [struct.unpack_from("=BBhi", code, place) for place in range(0, len(code), 8)]
    seen: set[int] = set()
    open_ends = [0]
    while open_ends:
        place = open_ends.pop()
        if place in seen:
            continue
        seen.add(place)
        operation, _, offset, _ = operations[place]
        if operation == 0x95:
            continue
        if operation in (0x55, 0x45, 0x05):
            open_ends.append(place + 1 + offset)
        if operation != 0x05:
            open_ends.append(place + 1)
    assert seen == set(range(len(operations)))


def test_deny_all_then_defaults() -> None:
    result = plan({"devices": [{"allow": False, "access": "rwm"}]}, V2)
    assert result.device_program is not None
    code = result.device_program
    assert run(code, 2, 1, 3, 6) == 1  # /dev/null
    assert run(code, 2, 136, 7, 6) == 1  # /dev/pts/7
    assert run(code, 2, 1, 1, 2) == 0  # /dev/mem
    assert run(code, 1, 8, 0, 2) == 0  # a disk
    assert run(code, 1, 8, 0, 1) == 1  # its node may be made
    assert run(code, 2, 10, 229, 6) == 0  # /dev/fuse


def test_lines_for_v1() -> None:
    rules = [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"},
        {"allow": True, "type": "a", "major": 7, "access": "r"},
        {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
    ]
    lines = plan({"devices": rules}, V1).lines()  # type: ignore[typeddict-item]
    assert lines[:5] == [
        "devices.deny = a",
        "devices.allow = c 10:229 rw",
        "devices.allow = b 7:* r",
        "devices.allow = c 7:* r",
        "devices.allow = c 1:3 rwm",
    ]
    assert len(lines) == 5 + len(DEFAULT_RULES) - 1  # one of them was there already


def test_without_rules_nothing_is_filtered() -> None:
    assert plan({"devices": []}, V1).lines() == []
    assert plan({"devices": []}, V2).device_program is None


@pytest.mark.parametrize("rule", [{"allow": True, "type": "x"}, {"allow": True, "access": "rwx"}])
def test_refused_rules(rule: dict[str, object]) -> None:
    with pytest.raises(Invalid, match=r"devices\[0\]"):
        plan({"devices": [rule]}, V2)  # type: ignore[list-item]
