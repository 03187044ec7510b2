"""What the engine answers instead of a result, as exceptions: status → class of nakagin.errors.

Each is an `EngineError` (it carries the HTTP status) and also the class of the error tree that says what
happened, so a caller may write `except NotFound` or `except EngineError`.
"""

from __future__ import annotations

from nakagin.errors import (
    Conflict,
    Damaged,
    Denied,
    Exhausted,
    Invalid,
    NakaginError,
    NotFound,
    NotModified,
    Unavailable,
    Unsupported,
)
from nakagin.spec.document import parse


class EngineError(NakaginError):
    """The engine answered with an error; `message` is in its own words."""

    status: int = 500


class BadRequestError(EngineError, Invalid):
    """400: the engine finds the request wrong."""


class ForbiddenError(EngineError, Denied):
    """401 or 403: the engine does not allow it."""


class NotFoundError(EngineError, NotFound):
    """404: the engine does not know the object."""


class ConflictError(EngineError, Conflict):
    """409: the object's state or name forbids it."""


class NotModifiedError(EngineError, NotModified):
    """304: it already is as asked."""


class UnsupportedError(EngineError, Unsupported):
    """405 or 501: the engine cannot do it."""


class UnavailableError(EngineError, Unavailable):
    """503: something the engine needs does not answer."""


class ExhaustedError(EngineError, Exhausted):
    """507: the engine has run out of something."""


BY_STATUS: dict[int, type[EngineError]] = {
    304: NotModifiedError,
    400: BadRequestError,
    401: ForbiddenError,
    403: ForbiddenError,
    404: NotFoundError,
    405: UnsupportedError,
    409: ConflictError,
    501: UnsupportedError,
    503: UnavailableError,
    507: ExhaustedError,
}


def refusal(status: int, reason: str, body: bytes) -> EngineError:
    """The exception for an error answer: its JSON `message`, else its body, else its reason."""
    error = BY_STATUS.get(status, EngineError)(_message(status, reason, body))
    error.status = status
    return error


def _message(status: int, reason: str, body: bytes) -> str:
    text = body.decode("utf-8", "replace").strip()
    try:
        document = parse(text)
    except Invalid:
        return text or f"{status} {reason}".strip()
    if isinstance(document, dict):
        # podman's compatible API says "cause" too; Docker's "message" is the one both have.
        found = document.get("message") or document.get("error")
        if isinstance(found, str) and found:
            return found
    return text or f"{status} {reason}".strip()


def check_stream_message(message: object) -> None:
    """Raise the error that a progress stream reports in the middle of a 200 answer ({"error": ...})."""
    if isinstance(message, dict) and (text := message.get("error")):
        raise EngineError(str(text))


def not_json(what: str, data: bytes) -> Damaged:
    """The error for an answer that should have been JSON."""
    return Damaged(
        f"{what}: the engine's answer is not JSON: {data[:80]!r}", hint="is this address really an engine's?"
    )
