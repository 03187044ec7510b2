"""Names of repositories, tags and uploads, by the specification's grammar. What passes here is safe as a path.

Components of a repository's name begin with a letter or digit, so folders that begin with "_" are the registry's own.
"""

from __future__ import annotations

import re

from nakagin.errors import Invalid
from nakagin.registry.server.refusals import digest_invalid, manifest_invalid, name_invalid
from nakagin.spec.digest import Digest, parse_digest

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_UPLOAD = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

LONGEST_NAME = 255


def check_name(name: str) -> str:
    """The name of a repository, or Refusal NAME_INVALID."""
    if len(name) > LONGEST_NAME or not _NAME.fullmatch(name):
        raise name_invalid(name)
    return name


def is_name(name: str) -> bool:
    """Whether it may be the name of a repository."""
    return len(name) <= LONGEST_NAME and _NAME.fullmatch(name) is not None


def is_tag(text: str) -> bool:
    """Whether it may be a tag."""
    return _TAG.fullmatch(text) is not None


def check_tag(text: str) -> str:
    """A tag, or Refusal MANIFEST_INVALID."""
    if not is_tag(text):
        raise manifest_invalid(
            f"invalid tag {text[:200]!r}: letters, digits, '_', '.', '-'; at most 128 of them"
        )
    return text


def check_digest(text: str) -> Digest:
    """A digest of a known algorithm, or Refusal DIGEST_INVALID."""
    try:
        return parse_digest(text)
    except Invalid as error:
        raise digest_invalid(text, error.message) from None


def is_upload_id(text: str) -> bool:
    """Whether it may name an upload session."""
    return _UPLOAD.fullmatch(text) is not None
