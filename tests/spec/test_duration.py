from __future__ import annotations

import pytest

from nakagin.errors import Invalid
from nakagin.spec.duration import parse_duration


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [("1s", 10**9), ("1m30s", 90 * 10**9), ("1.5h", 5400 * 10**9), ("500ms", 5 * 10**8), ("2us", 2000),
     ("0", 0),     ("-1s", -(10**9)), (".5s", 5 * 10**8)],
)  # fmt: skip
def test_durations(text: str, nanoseconds: int) -> None:
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "1", "s", "1s2", "1d", "1 s", "-", "1m-30s"])
def test_bad_durations(text: str) -> None:
    with pytest.raises(Invalid, match="invalid duration"):
        parse_duration(text)
