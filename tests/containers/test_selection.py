"""Moments as filters name them."""

from __future__ import annotations

import time

import pytest

from nakagin.containers.selection import parse_moment
from nakagin.errors import Invalid


def test_moments() -> None:
    assert parse_moment("1700000000") == 1_700_000_000_000_000_000
    assert parse_moment("2023-11-14T22:13:20Z") == 1_700_000_000_000_000_000
    assert abs(parse_moment("1h30m") - (time.time_ns() - 5400 * 10**9)) < 10**9
    with pytest.raises(Invalid, match="invalid time"):
        parse_moment("yesterday")
