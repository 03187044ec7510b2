"""Errors → HTTP status and Docker's message: the one table of this door."""

from __future__ import annotations

from nakagin import errors

#: The status of each class; a class that is not here has its nearest base's.
STATUS: dict[type[Exception], int] = {
    errors.NotFound: 404,
    errors.NotModified: 304,
    errors.Conflict: 409,
    errors.Invalid: 400,
    errors.Denied: 403,
    errors.Unavailable: 503,
    errors.Unsupported: 501,
    errors.Damaged: 500,
    errors.Exhausted: 500,
    errors.AddressTaken: 409,
    errors.CommandFailed: 400,
    errors.StepFailed: 500,
    errors.NakaginError: 500,
    NotImplementedError: 501,
    MemoryError: 500,
    OSError: 500,
}

# The docker CLI finds its exit code (127, 126, else 125) by these words in the message
# (cli/command/container/run.go, toStatusError).
_NOT_FOUND = ("executable file not found", "no such file or directory")
_NOT_EXECUTABLE = ("permission denied", "is a directory")


def status_of(error: BaseException) -> int | None:
    """The HTTP status for an error, or None for one that nobody foresaw."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), None)


def message_of(error: BaseException) -> str:
    """The text for the client; a failed command's text always has the words that the docker CLI looks for."""
    if isinstance(error, errors.CommandFailed):
        return _command_message(error)
    if isinstance(error, NotImplementedError):
        return str(error) or "this is not possible yet"
    return str(error) or type(error).__name__


def _command_message(error: errors.CommandFailed) -> str:
    words = _NOT_FOUND if error.exit_code == 127 else _NOT_EXECUTABLE
    text = str(error)
    return (
        text
        if any(word in text for word in words)
        else f"{text}: {words[-1 if error.exit_code == 127 else 0]}"
    )
