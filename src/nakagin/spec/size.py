"""Sizes as people write them: "64m", "1g", "512kb", "1.5GiB"; units are powers of 1024."""

from __future__ import annotations

import re

from nakagin.errors import Invalid

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgt]?)(?:i?b)?")


def parse_size(text: str) -> int:
    """Bytes; Invalid for what is no size."""
    match = _SIZE.fullmatch(text.strip().lower())
    if not match:
        raise Invalid(f"invalid size: '{text}'", hint="as in 64m")
    return int(float(match[1]) * _UNITS[match[2]])
