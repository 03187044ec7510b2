"""What one build finds in the cache, what it puts there, and why: the cache as the steps of a build see it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from nakagin.build.cache import Made, key_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nakagin.build.cache import Cache
    from nakagin.build.importing import Imports

Parts = dict[str, object]
"""What the result of a step depends on, by names that people understand."""


class Used(NamedTuple):
    """A step's result in this build, and the stage that it belongs to."""

    stage: int
    made: Made


class Remembering:
    """Of one build."""

    def __init__(self, cache: Cache, imports: Imports | None = None) -> None:
        self._cache = cache
        self._imports = imports
        self.used: list[Used] = []

    async def find(self, parts: Parts, below: str) -> Made | None:
        """The result for these parts: from here, or brought in from a cache elsewhere, onto the chain `below`."""
        key = key_of(parts)
        found = self._cache.find(key)
        if found is None and self._imports is not None:
            found = await self._imports.find(key, below)
            if found is not None:
                found = self._cache.keep(msgspec.structs.replace(found, parts=tuple(digests(parts).items())))
        return found

    def keep(self, parts: Parts, made: Made) -> Made:
        """Remember a result; its key and parts are filled in."""
        return self._cache.keep(
            msgspec.structs.replace(made, key=key_of(parts), parts=tuple(digests(parts).items()))
        )

    def note(self, stage: int, made: Made) -> None:
        """The result is part of this build."""
        self.used.append(Used(stage, made))

    def why_not(self, parts: Parts, text: str) -> str:
        """Why nothing was found, in words: what differs from the step that is most like it."""
        now = digests(parts)
        known = self._cache.get(key_of(parts))
        if known is not None:
            return "what it made has been removed"
        earlier = [(made.text, dict(made.parts)) for made in reversed(self._cache.all()) if made.parts]
        like = [each for said, each in earlier if each["kind"] == now["kind"] and said == text]
        like = like or [each for _, each in earlier if each.get("command", "-") == now.get("command")]
        if not like:
            return "it was never carried out here"
        changes = sorted((_differences(each, now) for each in like), key=lambda names: len(names))
        return f"changed: {', '.join(changes[0])}"


def digests(parts: Parts) -> dict[str, str]:
    """Each part as a short digest, groups by their members: enough to say later which have changed."""
    found = {}
    for name, value in parts.items():
        if isinstance(value, dict):
            found.update({f"{name} {key}": _short(each) for key, each in value.items()})
        else:
            found[name] = _short(value)
    return found


def _short(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()[:12]


def _differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
