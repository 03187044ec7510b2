"""Names of Compose files that are not here: in a registry, or in a git repository as Docker's clients write it."""

from __future__ import annotations

_SCHEMES = ("oci://", "git://", "ssh://", "git+ssh://", "github.com/")


def is_elsewhere(name: str) -> bool:
    """Whether a file's name means one that has to be fetched."""
    place = name.partition("#")[0]
    if place.startswith(("http://", "https://")):
        return place.endswith(".git")
    return place.startswith(_SCHEMES) or (place.startswith("git@") and ":" in place)
