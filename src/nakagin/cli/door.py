"""The door of the command line: errors become words and exit codes here, and only here."""

from __future__ import annotations

from nakagin.client.refusals import EngineError
from nakagin.errors import (
    AddressTaken,
    CommandFailed,
    Conflict,
    Damaged,
    Denied,
    Exhausted,
    Invalid,
    NakaginError,
    NotFound,
    NotModified,
    StepFailed,
    Unavailable,
    Unsupported,
)

TYPE_CHECKING = False

USAGE = 125
CANNOT_RUN = 125
CANNOT_EXECUTE = 126
NOT_FOUND = 127

# The exit code of a verb other than run, exec and start -a. Docker says 1 for all of them.
EXIT_CODES: dict[type[NakaginError], int] = {
    NotFound: 1,
    Conflict: 1,
    NotModified: 1,
    Invalid: 1,
    Denied: 1,
    Unavailable: 1,
    Unsupported: 1,
    Damaged: 1,
    Exhausted: 1,
    StepFailed: 1,
    AddressTaken: 1,
    CommandFailed: 1,
    NakaginError: 1,
}
_MISSING = ("executable file not found", "no such file or directory", "system cannot find the file specified")
_FORBIDDEN = ("permission denied", "is a directory", "exec format error")


def explain(error: NakaginError) -> str:
    """The message for people: an engine's own words are marked as such."""
    if isinstance(error, EngineError):
        return f"Error response from daemon: {error}"
    return str(error)


def exit_code(error: NakaginError) -> int:
    """The exit code of a failed verb."""
    return next(EXIT_CODES[each] for each in type(error).__mro__ if each in EXIT_CODES)


def start_exit_code(error: NakaginError) -> int:
    """The exit code when a container or command could not be started: 127, 126 or 125, as docker tells them apart.

    The API has no field for it: like docker, we look for the runtime's words in the message.
    """
    if not isinstance(error, EngineError):
        return CANNOT_RUN
    text = error.message
    if any(words in text for words in _MISSING):
        return NOT_FOUND
    if any(words in text for words in _FORBIDDEN):
        return CANNOT_EXECUTE
    return CANNOT_RUN
