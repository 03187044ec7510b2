"""A word about contexts that are larger than anybody means them to be."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from nakagin.build import progress
from nakagin.images.progress import human

if TYPE_CHECKING:
    from nakagin.build.context import Context

LARGE = 100_000_000
_NAMED = 5


def weighed(context: Context) -> progress.Warned | None:
    """A warning with the size and the five largest, where the context has 100 MB or more."""
    size = context.size
    if size < LARGE:
        return None
    largest = ", ".join(f"{os.fsdecode(path)} {human(taken)}" for path, taken in context.largest(_NAMED))
    return progress.Warned(
        "LargeContext",
        f"the build context has {human(size)} in {context.count} files; the largest: {largest}",
        0,
        "What no instruction copies need not be sent: name it in .dockerignore",
    )
