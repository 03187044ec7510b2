"""Go's durations as text: 1h30m, 500ms. Clients and Dockerfiles write them so."""

from __future__ import annotations

import re

from nakagin.errors import Invalid

_PART = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9}
_UNITS |= {"m": 60 * 10**9, "h": 3600 * 10**9}


def parse_duration(text: str) -> int:
    """Nanoseconds; negative with a leading minus. "0" needs no unit. Raises Invalid."""
    unsigned = text[1:] if text[:1] in ("-", "+") else text
    parts = _PART.findall(unsigned)
    if unsigned != "0" and (not parts or "".join(number + unit for number, unit in parts) != unsigned):
        raise Invalid(f"invalid duration {text!r}", hint="write 30s, 1m30s or 500ms")
    total = round(sum(float(number) * _UNITS[unit] for number, unit in parts))
    return -total if text.startswith("-") else total
