"""Numbers as people write them on Docker's command line: sizes, CPUs, durations. Pure; ValueError on nonsense."""

from __future__ import annotations

from nakagin.errors import Invalid
from nakagin.spec.size import parse_size

TYPE_CHECKING = False

_NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}


def parse_integer(text: str, least: int | None = None, most: int | None = None) -> int:
    """A whole number as Go's flags read it (0x, 0o and 0b too)."""
    try:
        number = int(text, 0) if not text.lstrip("+-").startswith("0") or text[-1:] in "xX" else _octal(text)
    except (ValueError, IndexError):
        raise ValueError(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None
    if (
        (least is not None and number < least)
        or (most is not None and number > most)
        or abs(number) >= 1 << 63
    ):
        raise ValueError(f'strconv.ParseInt: parsing "{text}": value out of range')
    return number


def _octal(text: str) -> int:
    digits = text.lstrip("+-")
    if digits.strip("0") == "":
        return 0
    return int(text, 0) if digits[1] in "xXoObB_" else int(text, 8)


def parse_bytes(text: str) -> int:
    """A size in bytes: "64m"."""
    try:
        return parse_size(text)
    except Invalid as error:
        raise ValueError(error.message) from None


def parse_swap(text: str) -> int:
    """A size, or -1 for no limit."""
    return -1 if text == "-1" else parse_bytes(text)


def parse_cpus(text: str) -> int:
    """ "0.5" → 500000000 billionths of a CPU; more than nine decimals are refused."""
    from fractions import Fraction

    try:
        billionths = Fraction(text) * 1_000_000_000
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"failed to parse {text} as a rational number") from None
    if billionths.denominator != 1:
        raise ValueError("value is too precise")
    return billionths.numerator


def parse_duration(text: str) -> int:
    """ "1h2m3.5s" → nanoseconds (Go's time.ParseDuration)."""
    sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if rest == "0":
        return 0
    total = 0.0
    if not rest:
        raise ValueError(f'time: invalid duration "{text}"')
    while rest:
        end = len(rest) - len(rest.lstrip("0123456789."))
        number, rest = rest[:end], rest[end:]
        stop = len(rest) - len(rest.lstrip("nuµμsmh"))
        unit, rest = rest[:stop], rest[stop:]
        if not unit:
            raise ValueError(f'time: missing unit in duration "{text}"')
        if unit not in _NANOSECONDS:
            raise ValueError(f'time: unknown unit "{unit}" in duration "{text}"')
        try:
            total += float(number) * _NANOSECONDS[unit]
        except ValueError:
            raise ValueError(f'time: invalid duration "{text}"') from None
    return sign * round(total)


def human_size(size: float, digits: int = 3) -> str:
    """1234567 → "1.23MB" (powers of 1000, as docker images and docker ps show)."""
    return _scaled(size, 1000.0, ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"), digits)


def human_binary_size(size: float) -> str:
    """1048576 → "1MiB" (powers of 1024, as docker stats and docker info show)."""
    return _scaled(size, 1024.0, ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"), 4)


def _scaled(size: float, base: float, units: tuple[str, ...], digits: int) -> str:
    power = 0
    while size >= base and power < len(units) - 1:
        size /= base
        power += 1
    return (
        f"{size:.{digits}g}".replace("e+03", "000") + units[power]
        if size < 1000
        else f"{size:.0f}{units[power]}"
    )


def human_duration(seconds: float) -> str:
    """A length of time in words, as docker ps has it: "Less than a second", "About a minute", "3 weeks"."""
    whole = int(seconds)
    minutes, hours = whole // 60, round(seconds / 3600)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < 60:
        return f"{whole} seconds"
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    if hours == 1:
        return "About an hour"
    steps = (
        (48, 1, "hours"),
        (24 * 7 * 2, 24, "days"),
        (24 * 30 * 2, 24 * 7, "weeks"),
        (24 * 365 * 2, 24 * 30, "months"),
    )
    exact = int(seconds // 3600)
    for limit, length, word in steps:
        if (hours if word == "hours" else exact) < limit:
            return f"{(hours if word == 'hours' else exact) // length} {word}"
    return f"{exact // (24 * 365)} years"
