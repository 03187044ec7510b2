"""Sizes, durations and CPUs in, words out."""

from __future__ import annotations

import pytest

from nakagin.cli import quantities, times
from nakagin.errors import Invalid


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1", 1),
        ("1b", 1),
        ("2k", 2048),
        ("64m", 64 << 20),
        ("1.5g", 3 << 29),
        ("1GiB", 1 << 30),
        ("1 KB", 1024),
    ],
)
def test_bytes(text: str, size: int) -> None:
    assert quantities.parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "x", "-1", "1x", "m"])
def test_no_bytes(text: str) -> None:
    with pytest.raises(ValueError, match="invalid s"):
        quantities.parse_bytes(text)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("5s", 5_000_000_000),
        ("1m30s", 90_000_000_000),
        ("1.5h", 5_400_000_000_000),
        ("-2ms", -2_000_000),
    ],
)
def test_durations(text: str, nanoseconds: int) -> None:
    assert quantities.parse_duration(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "1", "s", "1x", "1s2", "h1"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="time:"):
        quantities.parse_duration(text)


def test_integers_are_gos() -> None:
    assert [quantities.parse_integer(text) for text in ("10", "-1", "0x10", "010", "0b11", "0")] == [
        10,
        -1,
        16,
        8,
        3,
        0,
    ]
    for text in ("", "x", "1.5", "9" * 20):
        with pytest.raises(ValueError, match=r"strconv\.ParseInt"):
            quantities.parse_integer(text)


def test_cpus() -> None:
    assert quantities.parse_cpus("0.5") == 500_000_000
    assert quantities.parse_cpus("2") == 2_000_000_000


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "Less than a second"), (1, "1 second"),
        (59, "59 seconds"), (60, "About a minute"), (119, "About a minute"),
        (120, "2 minutes"), (3540, "59 minutes"), (3600, "About an hour"), (7200, "2 hours"), (47 * 3600, "47 hours"),
        (3 * 86400, "3 days"), (15 * 86400, "2 weeks"), (70 * 86400, "2 months"), (800 * 86400, "2 years"),
    ],
)  # fmt: skip
def test_lengths_of_time(seconds: float, words: str) -> None:
    assert quantities.human_duration(seconds) == words


def test_sizes_in_words() -> None:
    assert [quantities.human_size(size) for size in (0, 999, 1984000, 1.5e9)] == [
        "0B",
        "999B",
        "1.98MB",
        "1.5GB",
    ]
    assert quantities.human_binary_size(64 << 20) == "64MiB"


def test_points_in_time() -> None:
    assert times.engine_time("", "since") is None
    assert times.engine_time("10m", "since", now=1000.5) == "400.500000000"
    assert times.engine_time("1700000000.25", "since") == "1700000000.25"
    assert times.engine_time("2026-01-02T03:04:05.123456789Z", "since") == "1767323045.123456789"
    assert times.engine_time("2026-01-02T04:04:05+01:00", "until") == "1767323045.000000000"
    with pytest.raises(Invalid, match='invalid value for "since"'):
        times.engine_time("yesterday", "since")
