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


def show_duration(nanoseconds: int) -> str:
    """As time.Duration prints itself: 1m30s, 1.5s, 0s."""
    if nanoseconds < 1_000_000_000:
        for unit, size in (("ms", 1_000_000), ("µs", 1000), ("ns", 1)):
            if nanoseconds >= size:
                return f"{nanoseconds / size:.9g}{unit}"
        return "0s"
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{seconds}{f'.{rest:09d}'.rstrip('0') if rest else ''}s"
    return f"{hours}h{minutes}m{text}" if hours else f"{minutes}m{text}" if minutes else text
