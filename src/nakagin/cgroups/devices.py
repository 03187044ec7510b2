"""Which device nodes a group may make, read and write: v1 lines, or a BPF program for v2. Pure.

Rules are read in order and the last one that speaks of an access decides it; what no rule speaks of stays
as it was (allowed, in a new group). The devices that every container has are appended, as runc does.
"""

from __future__ import annotations

import struct

from nakagin.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from nakagin.spec.runtime import DeviceRule

    from .layout import Layout
    from .limits import Plan

# What the specification's default devices and terminals need, and making (not opening) any node.
DEFAULT_RULES: tuple[DeviceRule, ...] = (
    {"allow": True, "type": "c", "access": "m"},
    {"allow": True, "type": "b", "access": "m"},
    {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"},  # null
    {"allow": True, "type": "c", "major": 1, "minor": 5, "access": "rwm"},  # zero
    {"allow": True, "type": "c", "major": 1, "minor": 7, "access": "rwm"},  # full
    {"allow": True, "type": "c", "major": 1, "minor": 8, "access": "rwm"},  # random
    {"allow": True, "type": "c", "major": 1, "minor": 9, "access": "rwm"},  # urandom
    {"allow": True, "type": "c", "major": 5, "minor": 0, "access": "rwm"},  # tty
    {"allow": True, "type": "c", "major": 5, "minor": 2, "access": "rwm"},  # ptmx
    {"allow": True, "type": "c", "major": 136, "access": "rwm"},  # pts/*
)

_MKNOD, _READ, _WRITE = 1, 2, 4  # BPF_DEVCG_ACC_* of linux/bpf.h
_BITS = {"m": _MKNOD, "r": _READ, "w": _WRITE}
_ALL = _MKNOD | _READ | _WRITE
_TYPES = {"b": 1, "c": 2}  # BPF_DEVCG_DEV_*

# One rule, checked: (allow, type "a" "b" or "c", major or -1, minor or -1, access bits).
_Rule = tuple[bool, str, int, int, int]


def on_v1(plan: Plan, wanted: Sequence[DeviceRule], layout: Layout) -> None:
    """devices.deny and devices.allow, one line per rule."""
    for allow, kind, major, minor, bits in _complete(wanted):
        file = "devices.allow" if allow else "devices.deny"
        if (kind, major, minor, bits) == ("a", -1, -1, _ALL):
            plan.write("devices", file, "a")
            continue
        access = "".join(letter for letter, bit in (("r", _READ), ("w", _WRITE), ("m", _MKNOD)) if bits & bit)
        # To the kernel "a" means everything, whatever follows it: a narrower rule is written for both types.
        for each in ("b", "c") if kind == "a" else (kind,):
            plan.write("devices", file, f"{each} {_number(major)}:{_number(minor)} {access}")


def on_v2(plan: Plan, wanted: Sequence[DeviceRule], layout: Layout) -> None:
    """One program for the group."""
    plan.device_program = program(_complete(wanted))


def _number(number: int) -> str:
    return "*" if number == -1 else str(number)


def _complete(wanted: Sequence[DeviceRule]) -> list[_Rule]:
    """The rules, checked, and those of DEFAULT_RULES that are not among them."""
    rules = [_checked(rule, index) for index, rule in enumerate(wanted)]
    return rules + [rule for rule in _DEFAULT if rule not in rules]


def _checked(rule: DeviceRule, index: int) -> _Rule:
    kind = rule.get("type") or "a"
    major, minor = rule.get("major"), rule.get("minor")
    bits = 0
    for letter in rule.get("access") or "rwm":
        bits |= _BITS.get(letter, 8)
    if kind == "u":
        kind = "c"  # mknod(1) calls an unbuffered character device so
    if bits > _ALL or kind not in ("a", "b", "c"):
        raise Invalid(f"{rule} is not a device rule", where=f"linux.resources.devices[{index}]")
    return bool(rule.get("allow")), kind, -1 if major is None else major, -1 if minor is None else minor, bits


_DEFAULT = [_checked(rule, index) for index, rule in enumerate(DEFAULT_RULES)]


def program(rules: Sequence[_Rule]) -> bytes:
    """BPF code of type BPF_PROG_TYPE_CGROUP_DEVICE that decides as the rules do.

    It walks the rules from the last to the first with the requested accesses in a register. A rule that
    matches the device strikes out what it allows, or ends with "no" where it denies something still
    standing; when nothing stands any more the answer is "yes".

        r1 context {u32 type | access << 16, u32 major, u32 minor}, r2 type, r3 accesses, r4 major, r5 minor
    """
    code = [
        _instruction(0x61, dst=2, src=1),  # r2 = context.access_type
        _instruction(0xBF, dst=3, src=2),  # r3 = r2
        _instruction(0x77, dst=3, imm=16),  # r3 >>= 16
        _instruction(0x57, dst=2, imm=0xFFFF),  # r2 &= 0xffff
        _instruction(0x61, dst=4, src=1, off=4),  # r4 = context.major
        _instruction(0x61, dst=5, src=1, off=8),  # r5 = context.minor
    ]
    for allow, kind, major, minor, bits in reversed(rules):
        action = _decide(allow, bits)
        tests = [(2, _TYPES[kind])] if kind != "a" else []
        tests += [(register, number) for register, number in ((4, major), (5, minor)) if number != -1]
        for position, (register, number) in enumerate(tests):
            past = len(tests) - position - 1 + len(action)
            code.append(_instruction(0x55, dst=register, off=past, imm=number))  # if r != number: next rule
        code += action
        if not tests and bits == _ALL:
            return b"".join(code)  # nothing before it can be reached, and the verifier refuses such code
    return b"".join([*code, *_answer(allowed=True)])


def _decide(allow: bool, bits: int) -> list[bytes]:
    """What a matching rule does."""
    if bits == _ALL:
        return _answer(allowed=allow)
    if allow:
        # r3 &= ~bits; if r3 != 0: next rule
        return [
            _instruction(0x57, dst=3, imm=_ALL & ~bits),
            _instruction(0x55, dst=3, off=2),
            *_answer(allowed=True),
        ]
    # if r3 & bits: "no"; else the next rule
    return [
        _instruction(0x45, dst=3, off=1, imm=bits),
        _instruction(0x05, off=2),
        *_answer(allowed=False),
    ]


def _answer(*, allowed: bool) -> list[bytes]:
    return [_instruction(0xB7, imm=int(allowed)), _instruction(0x95)]  # r0 = allowed; exit


def _instruction(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    return struct.pack("=BBhi", code, dst | src << 4, off, imm)
