"""Sizes as people write them: "64m", "1g", "512kb", "1.5GiB"; units are powers of 1024."""

from __future__ import annotations

from nakagin.errors import Invalid

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}


def parse_size(text: str, where: str | None = None) -> int:
    """Bytes; Invalid, naming `where` (an option), for what is no size."""
    lowered = text.strip().lower()
    end = len(lowered.rstrip("bikmgtp "))
    number, unit = lowered[:end], lowered[end:].strip()
    scale = _UNITS.get(unit.removesuffix("ib") if unit.endswith("ib") else unit.removesuffix("b") or unit)
    whole, _, fraction = number.partition(".")
    if scale is None or not whole.isdecimal() or not (fraction or "0").isdecimal() or number.endswith("."):
        raise Invalid(f"invalid size: '{text}'", where=where, hint="as in 64m")
    return int(float(number) * scale)
