"""The user's process: from words to numbers, cut down to what may be held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nakagin.errors import Invalid
from nakagin.kernel.identity import capability_mask
from nakagin.runtime.program import Holdings, Program, cpu_list, program

if TYPE_CHECKING:
    from nakagin.spec.runtime import Process

FEW = Holdings(capability_mask(["CAP_KILL", "CAP_CHOWN"])[0], [100] * 16, False)


def made(holdings: Holdings = FEW, **changes: Any) -> Program:
    """The program for a small process with these keys."""
    process: Process = {"args": ["true"], "cwd": "/", **changes}  # type: ignore[typeddict-item]
    return program(process, {}, holdings)


def test_capabilities_are_cut_down_with_one_warning() -> None:
    wanted = {
        "bounding": ["CAP_KILL", "CAP_SYS_ADMIN"],
        "permitted": ["CAP_KILL"],
        "effective": ["CAP_KILL", "CAP_CHOWN"],
    }
    got = made(capabilities=wanted)
    assert got.bounding == got.permitted == got.effective == capability_mask(["CAP_KILL"])[0]
    assert len(got.warnings) == 1
    assert "CAP_SYS_ADMIN" in got.warnings[0]


def test_ambient_needs_permitted_and_inheritable() -> None:
    names = ["CAP_KILL"]
    assert made(capabilities={"ambient": names, "permitted": names, "bounding": names}).ambient == 0
    everything = dict.fromkeys(("ambient", "permitted", "inheritable", "bounding"), names)
    assert made(capabilities=everything).ambient == capability_mask(names)[0]


def test_limits_are_cut_to_the_hard_one() -> None:
    limit = [{"type": "RLIMIT_NOFILE", "soft": 150, "hard": 200}]
    assert made(rlimits=limit).rlimits == [(7, 100, 100)]
    rich = Holdings(0, [100] * 16, True)
    assert made(rich, rlimits=limit).rlimits == [(7, 150, 200)]


def test_later_variables_win() -> None:
    assert made(env=["A=1", "B=x=y", "A=2"]).env == {"A": "2", "B": "x=y"}


def test_io_priority() -> None:
    assert made(ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 4}).io_priority == 2 << 13 | 4
    with pytest.raises(Invalid):
        made(ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 8})


def test_console_size_only_with_a_terminal() -> None:
    size = {"height": 24, "width": 80}
    assert made(consoleSize=size).console_size is None
    assert made(consoleSize=size, terminal=True).console_size == (24, 80)


@pytest.mark.parametrize(("text", "cpus"), [("", set()), ("0", {0}), ("0-2, 7", {0, 1, 2, 7})])
def test_cpu_lists(text: str, cpus: set[int]) -> None:
    assert cpu_list(text, "here") == cpus


def test_a_bad_cpu_list() -> None:
    with pytest.raises(Invalid, match="here: '1-x'"):
        cpu_list("1-x", "here")
