"""Which images a list or prune is about: Docker's filters as a pure function over images."""

from __future__ import annotations

import fnmatch
import re
import time
from typing import TYPE_CHECKING

import msgspec

from nakagin.errors import Invalid
from nakagin.images.model import moment
from nakagin.spec.duration import parse_duration
from nakagin.spec.labels import has_labels
from nakagin.spec.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from nakagin.images.model import Image

KNOWN = frozenset({"before", "dangling", "label", "label!", "reference", "since", "until"})


def selected(
    images: Sequence[Image], filters: Mapping[str, Sequence[str]], resolve: Callable[[str], Image]
) -> list[Image]:
    """The images that pass every filter (of several values of one filter, one is enough; of labels, all).

    With `reference`, an image keeps only the matching names. Raises Invalid, and NotFound from `resolve`.
    """
    for name in filters:
        if name not in KNOWN:
            raise Invalid(f"invalid filter '{name}'", hint=f"known are {', '.join(sorted(KNOWN))}")
    found = list(images)
    if values := filters.get("dangling"):
        wanted = _boolean("dangling", values)
        found = [image for image in found if (not image.repo_tags) == wanted]
    if values := filters.get("label"):
        found = [image for image in found if has_labels(image.labels, values)]
    if values := filters.get("label!"):
        found = [image for image in found if not any(has_labels(image.labels, [value]) for value in values)]
    for name, keep in (("before", _is_before), ("since", _is_since)):
        for value in filters.get(name, ()):
            limit = resolve(value).created_at
            found = [image for image in found if keep(image, limit)]
    for value in filters.get("until", ()):
        limit_seconds = until(value)
        found = [image for image in found if image.created_at.timestamp() <= limit_seconds]
    if values := filters.get("reference"):
        found = [narrowed for image in found if (narrowed := _matching(image, values))]
    return found


def _is_before(image: Image, limit: datetime) -> bool:
    return image.created_at < limit


def _is_since(image: Image, limit: datetime) -> bool:
    return image.created_at > limit


def _boolean(name: str, values: Sequence[str]) -> bool:
    words = {value.lower() for value in values}
    if words <= {"true", "1"}:
        return True
    if words <= {"false", "0"}:
        return False
    raise Invalid(f"invalid filter '{name}={','.join(values)}'", hint="it is true or false")


def _matching(image: Image, patterns: Sequence[str]) -> Image | None:
    """The image with only the names that match a pattern; None where none does."""
    tags = tuple(tag for tag in image.repo_tags if any(_matches(tag, pattern) for pattern in patterns))
    digests = tuple(
        name for name in image.repo_digests if any(_matches(name, pattern) for pattern in patterns)
    )
    if not tags and not digests:
        return None
    return msgspec.structs.replace(image, repo_tags=tags, repo_digests=digests)


def _matches(name: str, pattern: str) -> bool:
    """Go's path.Match, where a star stops at slashes, against the familiar name with and without its tag."""
    reference = Reference.parse(name)
    candidates = (name, reference.familiar_name, str(reference), reference.name)
    return any(_glob(candidate, pattern) for candidate in candidates)


def _glob(name: str, pattern: str) -> bool:
    parts, wanted = name.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(
        fnmatch.fnmatchcase(part, want) for part, want in zip(parts, wanted, strict=True)
    )


def until(value: str) -> float:
    """A moment as unix seconds, an RFC 3339 time, or a Go duration back from now."""
    if re.fullmatch(r"\d+(\.\d+)?", value):
        return float(value)
    try:
        return time.time() - parse_duration(value) / 1e9
    except Invalid:
        pass
    found = moment(value)
    if found.year == 1:
        raise Invalid(
            f"invalid filter 'until={value}'", hint="write 24h, 2026-01-31T00:00:00 or unix seconds"
        )
    return found.timestamp()
