"""Sizes as people write them."""

from __future__ import annotations

import pytest

from nakagin.errors import Invalid
from nakagin.spec.size import parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("65536", 65536), ("64m", 64 << 20), ("1GB", 1 << 30), ("2k", 2048), ("1.5GiB", 3 << 29), ("7b", 7)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "m", "1x", "-1", "1.m"])
def test_bad_sizes(text: str) -> None:
    with pytest.raises(Invalid, match="invalid size"):
        parse_size(text)
