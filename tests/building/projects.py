"""The base image of the real projects: Debian with what they need, made from packages once and kept outside the tree.

`python -m tests.building.projects` makes it (some minutes).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.engine_fixture import ScratchEngine

ARCHIVE = Path("/var/tmp/nakagin-test-projects/base.tar")
NAME = "projects/base"
PACKAGES = (
    "ca-certificates", "gcc", "libc6-dev", "make", "nginx-light", "nodejs", "npm", "postgresql", "python3",
    "python3-pip", "python3-venv", "redis-server",
)  # fmt: skip


def main() -> int:
    """Make the image and keep it as an archive."""
    ARCHIVE.parent.mkdir(exist_ok=True)
    engine = ScratchEngine()
    try:
        engine.start()
        included = [f"--include={name}" for name in PACKAGES]
        engine.nakagin("image", "bootstrap", "debian", "-t", NAME, *included, timeout=3600)
        fresh = ARCHIVE.with_suffix(".new")
        engine.nakagin("save", "-o", str(fresh), NAME, timeout=600)
        os.rename(fresh, ARCHIVE)
    finally:
        print(*engine.close(), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
