"""A registry's answer that is no success, as one of our errors (distribution specification, "Error Codes")."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nakagin.errors import (
    Conflict,
    Damaged,
    Denied,
    Invalid,
    NakaginError,
    NotFound,
    Unavailable,
    Unsupported,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST_TEXT = 500
_CODES: dict[str, type[NakaginError]] = {
    "BLOB_UNKNOWN": NotFound,
    "BLOB_UPLOAD_UNKNOWN": NotFound,
    "MANIFEST_UNKNOWN": NotFound,
    "NAME_UNKNOWN": NotFound,
    "DIGEST_INVALID": Damaged,
    "SIZE_INVALID": Damaged,
    "MANIFEST_BLOB_UNKNOWN": Invalid,
    "MANIFEST_INVALID": Invalid,
    "NAME_INVALID": Invalid,
    "TAG_INVALID": Invalid,
    "UNAUTHORIZED": Denied,
    "DENIED": Denied,
    "UNSUPPORTED": Unsupported,
    "TOOMANYREQUESTS": Unavailable,
}
_STATUSES: dict[int, type[NakaginError]] = {
    400: Invalid, 401: Denied, 403: Denied, 404: NotFound, 405: Unsupported, 409: Conflict, 413: Invalid,
    415: Unsupported, 416: Invalid, 429: Unavailable,
}  # fmt: skip

_BARE = {
    401: "unauthorized: authentication required",
    403: "denied: access to the resource is denied",
    404: "unknown at the registry",
    429: "toomanyrequests: the registry's limit is reached",
}
"""For answers without a body, as those to HEAD are."""


class _Error(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Errors(msgspec.Struct):
    errors: list[_Error] = []


def codes_of(body: bytes) -> Sequence[str]:
    """The specification's codes in an error body."""
    return [each.code for each in _decoded(body)]


def refusal(
    what: str, status: int, body: bytes, *, retry_after: float | None = None, domain: str = ""
) -> NakaginError:
    """The error for `what` ("manifest for x:1", say) at `domain`; its text has the registry's own words."""
    errors = _decoded(body)
    kind = next((_CODES[each.code] for each in errors if each.code in _CODES), None)
    if status in (401, 429) or kind is None:
        kind = _STATUSES.get(status, Unavailable if status >= 500 else Invalid)
    words = "; ".join(f"{_words(each.code)}: {each.message}" for each in errors) or _plain(body)
    words = words or _BARE.get(status, f"the registry answered {status}")
    return kind(f"{what}: {words}", hint=_hint(status, retry_after, domain))


def _decoded(body: bytes) -> list[_Error]:
    try:
        return msgspec.json.decode(body, type=_Errors).errors[:5]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return []


def _words(code: str) -> str:
    """MANIFEST_UNKNOWN as people know it from Docker: "manifest unknown"."""
    return {"DENIED": "denied", "TOOMANYREQUESTS": "toomanyrequests"}.get(
        code, code.lower().replace("_", " ")
    )


def _plain(body: bytes) -> str:
    text = body[:_LONGEST_TEXT].decode(errors="replace").strip()
    return "" if text.startswith(("<", "{", "[")) else " ".join(text.split())


def _hint(status: int, retry_after: float | None, domain: str) -> str | None:
    if status == 429:
        when = f"in {retry_after:.0f} seconds" if retry_after else "later"
        return f"the registry limits how often it may be asked: try again {when}, log in, or use a mirror"
    if status == 401:
        return f"log in with `nakagin login{f' {domain}' if domain else ''}`"
    return None
