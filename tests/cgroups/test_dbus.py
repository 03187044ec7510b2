"""Values as bytes, checked against the specification's own example and by going both ways."""

from __future__ import annotations

from typing import Any

import pytest

from nakagin.cgroups import dbus
from nakagin.errors import Unavailable


def test_strings_are_aligned() -> None:
    # The example of "Marshaling containers": an array of one 64-bit integer, 5.
    assert dbus.encode("ax", [5]).hex() == "08000000" + "00000000" + "0500000000000000"
    assert dbus.encode("ss", "foo", "+").hex() == "03000000666f6f00" + "010000002b00"
    # Padding before the first element is there even for none.
    assert dbus.encode("a(ss)", []).hex() == "0000000000000000"


@pytest.mark.parametrize(
    ("signature", "values"),
    [
        ("ybnqiuxt", [7, True, -2, 3, -4, 5, -6, (1 << 64) - 1]),
        ("sog", ["grüß", "/a/b", "a(sv)"]),
        ("a(sv)u", [[("PIDs", ("au", [1, 2])), ("Delegate", ("b", True)), ("Slice", ("s", "x"))], 9]),
        ("a(sa(sv))", [[("unit", [("A", ("ay", [1, 2, 3]))])]]),
        ("v", [("a(ss)", [("/dev/null", "rwm")])]),
        ("", []),
    ],
)
def test_both_ways(signature: str, values: list[Any]) -> None:
    assert dbus.decode(signature, dbus.encode(signature, *values)) == values


def test_a_message_cut_short_is_refused() -> None:
    with pytest.raises(ValueError, match="ends too early"):
        dbus.decode("s", dbus.encode("s", "hello")[:6])


def test_signatures_are_split_into_whole_types() -> None:
    assert dbus.split("ssa(sv)a(sa(sv))aay") == ["s", "s", "a(sv)", "a(sa(sv))", "aay"]


def test_nobody_there() -> None:
    with pytest.raises(Unavailable, match="the system bus /nonexistent does not answer"):
        dbus.Bus("/nonexistent")
