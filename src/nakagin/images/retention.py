"""Which images a clean-up may take: by last use, and by how many newer ones their repository has. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nakagin.errors import Invalid
from nakagin.spec.duration import parse_duration
from nakagin.spec.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nakagin.images.model import Image

_DAY = 86400.0


class Retention(msgspec.Struct, frozen=True):
    """An image may go when it is unused for `unused_for` seconds, and not among the `keep` newest of a repository."""

    unused_for: float = 0.0
    keep: int = 0

    def spent(self, images: Sequence[Image], uses: Mapping[str, float], now: float) -> set[str]:
        """The ids of the images that may go; `uses` says when each was used last (seconds since the epoch)."""
        kept = {id for ids in _newest(images).values() for id in ids[: self.keep]}
        return {
            image.id for image in images if image.id not in kept and now - uses[image.id] >= self.unused_for
        }


def _newest(images: Sequence[Image]) -> dict[str, list[str]]:
    """For each repository the ids of its images, the newest first."""
    repositories: dict[str, list[str]] = {}
    for image in sorted(images, key=lambda image: (image.created_at, image.record.added), reverse=True):
        for name in {Reference.parse(text).name for text in (*image.repo_tags, *image.repo_digests)}:
            repositories.setdefault(name, []).append(image.id)
    return repositories


def retention_of(unused_for: Sequence[str], keep: Sequence[str]) -> Retention | None:
    """What the filters `unused-for` (7d, 36h, 1h30m) and `keep` (a number) say; None without any. Raises Invalid."""
    if not unused_for and not keep:
        return None
    return Retention(
        max((_seconds(text) for text in unused_for), default=0.0),
        max((_number(text) for text in keep), default=0),
    )


def _seconds(text: str) -> float:
    if text.endswith("d") and text[:-1].replace(".", "", 1).isdigit():
        return float(text[:-1]) * _DAY
    try:
        return parse_duration(text) / 1e9
    except Invalid:
        raise Invalid(f"invalid filter 'unused-for={text}'", hint="write 7d, 36h or 90m") from None


def _number(text: str) -> int:
    if not text.isdigit():
        raise Invalid(f"invalid filter 'keep={text}'", hint="it is how many images of a repository stay")
    return int(text)
