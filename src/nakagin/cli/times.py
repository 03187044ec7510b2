"""Points in time as --since and --until take them → seconds as the API takes them."""

from __future__ import annotations

import time

from nakagin.cli.quantities import parse_duration
from nakagin.errors import Invalid


def engine_time(text: str, flag: str, *, now: float | None = None) -> str | None:
    """ "10m" (ago), "1700000000.5" or "2026-01-02[T03:04[:05[.9]][Z|+01:00]]" → "seconds[.nanoseconds]".

    None for an empty text; Invalid names the flag. A time without a zone is local.
    """
    if not text:
        return None
    try:
        nanoseconds = parse_duration(text)
    except ValueError:
        pass
    else:
        moment = int((time.time() if now is None else now) * 1e9) - nanoseconds
        return f"{moment // 1_000_000_000}.{moment % 1_000_000_000:09d}"
    if text.replace(".", "", 1).isdigit():
        return text
    from datetime import datetime

    normal, fraction = _split_fraction(text)
    try:
        seconds = int(datetime.fromisoformat(normal).timestamp())
    except ValueError:
        words = f'invalid value for "{flag}": failed to parse value as time or duration: "{text}"'
        raise Invalid(words, hint="for example 10m, 2026-01-02T13:23:37Z or 1700000000") from None
    return f"{seconds}.{fraction:0<9}"[: len(str(seconds)) + 10]


def _split_fraction(text: str) -> tuple[str, str]:
    """The time without its fraction of a second (datetime knows six digits, the API nine), and the fraction."""
    head, dot, rest = text.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    return head + rest[len(digits) :] if dot else text, digits
