"""For which platform images are fetched, made and run where no --platform says so."""

from __future__ import annotations

import os


def default_platform() -> str:
    """What the environment says, as to Docker's command line; "" is whatever suits the engine's machine."""
    return os.environ.get("DOCKER_DEFAULT_PLATFORM", "")
