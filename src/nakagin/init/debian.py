"""The RUN that installs packages in an image made of Debian."""

from __future__ import annotations


def install(packages: str) -> str:
    """An instruction without its newline; the packages are separated by spaces."""
    return (
        "RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \\\n"
        f"    apt-get update && apt-get install -y --no-install-recommends {packages} \\\n"
        "    && rm -rf /var/lib/apt/lists/*"
    )
