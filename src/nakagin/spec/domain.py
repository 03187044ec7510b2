"""Which registry an image's name means, without the price of checking the whole name (that is `reference`)."""

from __future__ import annotations

DEFAULT_DOMAIN = "docker.io"
OFFICIAL = "library/"
_LEGACY_DOMAIN = "index.docker.io"
_ONE_SIGN = str.maketrans("._-", "///")


def split_domain(name: str) -> tuple[str, str]:
    """The domain and path of a name: "busybox" → ("docker.io", "library/busybox"), "host:5000/a" → ("host:5000", "a").

    The first part is a domain where it could not be a user of Docker Hub.
    """
    first, slash, rest = name.partition("/")
    is_domain = slash and (any(sign in first for sign in ".:") or first == "localhost")
    domain, path = (first, rest) if is_domain else (DEFAULT_DOMAIN, name)
    if domain == _LEGACY_DOMAIN:
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = OFFICIAL + path
    return domain, path


def is_plain(reference: str) -> bool:
    """Whether a name with or without a tag is well-formed beyond doubt; of any other, `Reference.parse` knows."""
    first, *parts = reference.split("/")
    host, colon, port = first.partition(":")
    if parts and colon:
        if not (port.isascii() and port.isdecimal()):
            return False
        first = host
    *path, last = first, *parts
    name, colon, tag = last.partition(":")
    words = [*path, name, tag] if colon else [*path, name]
    pieces = [piece for word in words for piece in word.translate(_ONE_SIGN).split("/")]
    return len(reference) < 64 and all(
        piece.isascii() and piece.isalnum() and piece == piece.lower() for piece in pieces
    )
