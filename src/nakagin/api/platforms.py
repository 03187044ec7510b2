"""Platforms in queries: a JSON object (API 1.46 and later) or os/arch/variant."""

from __future__ import annotations

import msgspec

from nakagin.errors import Invalid
from nakagin.spec.platform import Platform


def platform_of(text: str) -> Platform | None:
    """The platform; None for an empty text, and for an OS alone, which leaves the choice to this machine.

    Raises Invalid.
    """
    if text.lower() in {"", "linux"}:
        return None
    if not text.startswith("{"):
        return Platform.parse(text)
    try:
        found = msgspec.json.decode(text, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"invalid platform: {error}") from None
    words = [str(found.get(key, "")) for key in ("os", "architecture", "variant")]
    return Platform.make(words[0] or "linux", *words[1:])


def platforms_of(texts: list[str]) -> list[Platform]:
    """The platforms of a repeated query key. Raises Invalid."""
    return [platform for text in texts if (platform := platform_of(text))]
