"""Where Compose files from elsewhere are kept."""

from __future__ import annotations

import os


def cache_folder() -> str:
    """The user's own; it need not be there yet."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(home, "nakagin", "compose")
