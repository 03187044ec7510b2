"""What the registry answers instead of content: the distribution specification's error codes, one function each.

The codes and statuses are those of the specification's table "Error Codes"; where it names none (quota, full
disk), the nearest is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping


class Refusal(Exception):
    """An error answer: HTTP status, the specification's code, words for people, and details for programs."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        detail: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.detail = detail
        self.headers = dict(headers or {})

    def body(self) -> bytes:
        """The JSON document of the answer."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.detail is not None:
            error["detail"] = self.detail
        return msgspec.json.encode({"errors": [error]})


def name_invalid(name: str) -> Refusal:
    return Refusal(400, "NAME_INVALID", "invalid repository name", detail={"name": name[:300]})


def name_unknown(name: str) -> Refusal:
    return Refusal(404, "NAME_UNKNOWN", "repository name not known to registry", detail={"name": name})


def digest_invalid(digest: str, message: str = "not a digest of a supported algorithm") -> Refusal:
    return Refusal(400, "DIGEST_INVALID", message, detail={"digest": digest[:300]})


def blob_unknown(digest: str) -> Refusal:
    return Refusal(404, "BLOB_UNKNOWN", "blob unknown to registry", detail={"digest": digest})


def upload_unknown(id: str) -> Refusal:
    return Refusal(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry", detail={"upload": id[:100]})


def upload_invalid(message: str, detail: Any = None) -> Refusal:
    return Refusal(400, "BLOB_UPLOAD_INVALID", message, detail=detail)


def out_of_order(start: int, size: int, headers: Mapping[str, str]) -> Refusal:
    """A chunk that does not begin where the upload ends; `headers` tell the client where that is."""
    message = f"the chunk begins at {start}, the upload has {size} bytes"
    detail = {"start": start, "offset": size}
    return Refusal(416, "BLOB_UPLOAD_INVALID", message, detail=detail, headers=headers)


def size_invalid(message: str, detail: Any = None) -> Refusal:
    return Refusal(400, "SIZE_INVALID", message, detail=detail)


def too_large(limit: int) -> Refusal:
    return Refusal(
        413, "SIZE_INVALID", f"a manifest may have at most {limit} bytes here", detail={"limit": limit}
    )


def manifest_unknown(name: str, reference: str, message: str = "manifest unknown to registry") -> Refusal:
    return Refusal(404, "MANIFEST_UNKNOWN", message, detail={"name": name, "reference": reference[:300]})


def manifest_invalid(message: str, *, status: int = 400) -> Refusal:
    return Refusal(status, "MANIFEST_INVALID", message)


def manifest_blob_unknown(digest: str) -> Refusal:
    return Refusal(
        404,
        "MANIFEST_BLOB_UNKNOWN",
        f"the manifest refers to {digest}, which is not in this repository; push it first",
        detail={"digest": digest},
    )


def range_unsatisfiable(size: int) -> Refusal:
    return Refusal(
        416,
        "SIZE_INVALID",
        f"the range is outside of the {size} bytes of the blob",
        headers={"Content-Range": f"bytes */{size}"},
    )


def pagination_invalid(number: str) -> Refusal:
    return Refusal(
        400,
        "PAGINATION_NUMBER_INVALID",
        "n must be a number of results, 0 or more",
        detail={"n": number[:50]},
    )


def unauthorized(challenge: str, message: str = "authentication required") -> Refusal:
    return Refusal(401, "UNAUTHORIZED", message, headers={"WWW-Authenticate": challenge})


def denied(message: str, detail: Any = None) -> Refusal:
    return Refusal(403, "DENIED", message, detail=detail)


def immutable(tag: str) -> Refusal:
    return Refusal(
        409, "DENIED", f"the tag {tag} is immutable and leads to another manifest", detail={"tag": tag}
    )


def unsupported(message: str, *, status: int = 405, headers: Mapping[str, str] | None = None) -> Refusal:
    return Refusal(status, "UNSUPPORTED", message, headers=headers)


def too_many_requests(seconds: int) -> Refusal:
    return Refusal(429, "TOOMANYREQUESTS", "too many requests", headers={"Retry-After": str(max(1, seconds))})


def no_space(message: str) -> Refusal:
    return Refusal(507, "DENIED", message)


def unavailable(message: str) -> Refusal:
    """An upstream registry that does not answer."""
    return Refusal(502, "UNAVAILABLE", message)


def internal() -> Refusal:
    return Refusal(500, "UNKNOWN", "unknown error; the registry's log has more")
