"""Getting rid of images that nobody uses: on demand (prune), and when the disk runs full."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from nakagin.errors import NakaginError, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nakagin.images.library import Images
    from nakagin.images.retention import Retention

_log = logging.getLogger(__name__)


def prune(
    images: Images,
    *,
    dangling: bool,
    filters: Mapping[str, Sequence[str]] | None,
    retention: Retention | None,
) -> tuple[list[dict[str, str]], int]:
    """See Images.prune."""
    before = images.disk_usage()
    held = images.held()
    chosen = [image for image in images.list(filters) if image.id not in held and not image.secondary]
    if retention is not None:
        everything = images.list()
        uses = {image.id: images.last_used(image) for image in everything}
        spent = retention.spent(everything, uses, time.time())
        chosen = [image for image in chosen if image.id in spent]
    elif dangling:
        chosen = [image for image in chosen if image.dangling]
    lines = [line for image in chosen for line in _drop(images, image.id)]
    images.collect()
    return lines, before - images.disk_usage()


def make_room(images: Images, is_enough: Callable[[], bool]) -> list[str]:
    """Remove unused images, the longest unused first, until there is room enough; their names or ids. Long."""
    gone: list[str] = []
    held = images.held()
    for image in sorted(images.list(), key=images.last_used):
        if is_enough():
            break
        if image.id not in held and any("Deleted" in line for line in _drop(images, image.id)):
            gone.append(next(iter(image.repo_tags), image.id))
            images.collect()
    return gone


def _drop(images: Images, id: str) -> list[dict[str, str]]:
    """Remove an image with all its names, unless something stands in the way."""
    lines: list[dict[str, str]] = []
    image = images.find(id)
    if image is None:
        return lines  # it went with another platform
    for name in (*image.repo_tags, *image.repo_digests) or (image.id,):
        try:
            lines += images.discard(name)
        except NotFound:
            continue  # a digest goes with the last tag of its repository
        except NakaginError as error:
            _log.info("prune keeps %s: %s", name, error)
    return lines
