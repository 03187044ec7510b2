"""Which API versions are spoken, and reading the version from a path."""

from __future__ import annotations

from nakagin.errors import Invalid

Version = tuple[int, int]

MAXIMUM: Version = (1, 56)
MINIMUM: Version = (1, 24)


def show(version: Version) -> str:
    return f"{version[0]}.{version[1]}"


def split(path: str) -> tuple[Version, str]:
    """("/v1.43/info") → ((1, 43), "/info"); without a prefix the newest version.

    Raises Invalid, in Docker's words, for a version that is not spoken.
    """
    if not path.startswith("/v") or not path[2:3].isdigit():
        return MAXIMUM, path
    prefix, slash, rest = path[2:].partition("/")
    major, dot, minor = prefix.partition(".")
    if not (dot and major.isdigit() and minor.isdigit()):
        return MAXIMUM, path
    version = (int(major), int(minor))
    if version > MAXIMUM:
        raise Invalid(f"client version {prefix} is too new. Maximum supported API version is {show(MAXIMUM)}")
    if version < MINIMUM:
        raise Invalid(
            f"client version {prefix} is too old. Minimum supported API version is {show(MINIMUM)}, "
            "please upgrade your client to a newer version"
        )
    return version, slash + rest
