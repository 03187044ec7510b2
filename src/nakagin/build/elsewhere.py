"""The world outside, as builds need it: images and caches at registries, files at URLs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from nakagin.images.arrival import Arrivals
    from nakagin.images.pull import Pulls
    from nakagin.images.push import Pushes
    from nakagin.registry.registries import Registries


class Elsewhere(NamedTuple):
    """What the engine has for it."""

    pulls: Pulls
    pushes: Pushes
    arrivals: Arrivals
    registries: Registries
