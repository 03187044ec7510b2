"""Every error that Nakagin raises on purpose.

    NakaginError
    ├── NotFound        the named object does not exist
    ├── Conflict        the object's state or name forbids it
    │   └── NotModified it already is as asked (HTTP 304: no failure for a caller)
    ├── Invalid         the request, file or document is wrong; `where` says at which place
    ├── Denied          not allowed to the caller
    ├── Unavailable     something it needs does not answer or is in use
    ├── Unsupported     this machine or this build of Nakagin cannot do it
    ├── Damaged         stored data does not match its digest or format
    ├── Exhausted       no space, address, port or other countable thing is left
    └── StepFailed      a step of a plan failed; carries the step's own words and the errno
        ├── AddressTaken   an address that was to be given has a stranger on the same network
        └── CommandFailed  the user's program could not be executed (exit code 126 or 127)

A message names the object and the cause; `hint` says what to do next. Errors are raised once and
reported once, at the door (API, command line). Each door keeps one table from class to its own code;
`tests/test_errors.py` proves that no class is missing there.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class NakaginError(Exception):
    """An error with a message for people and, where there is one, the next thing to try."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class NotFound(NakaginError):
    """The named object does not exist."""


class Conflict(NakaginError):
    """The object's present state, or its name, forbids the operation."""


class NotModified(Conflict):
    """The object already is as the caller wants it."""


class Invalid(NakaginError):
    """The request, file or document is wrong."""

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(f"{where}: {message}" if where else message, hint=hint)
        self.where = where


class Denied(NakaginError):
    """The caller may not do this."""


class Unavailable(NakaginError):
    """Something that is needed does not answer or is in use."""


class Unsupported(NakaginError):
    """This machine, or this build of Nakagin, cannot do what was asked."""


class Damaged(NakaginError):
    """Stored or received data does not match its digest or format."""


class Exhausted(NakaginError):
    """A countable thing (disk space, addresses, ports, ids) is used up."""


class StepFailed(NakaginError):
    """A step of a plan failed.

    `step` is the step's own description ("bind /a -> /b [readonly]"), `errno` the kernel's answer
    or 0 where there was none.
    """

    def __init__(self, step: str, cause: str, *, errno: int = 0, hint: str | None = None) -> None:
        super().__init__(f"{step}: {cause}", hint=hint)
        self.step = step
        self.cause = cause
        self.errno = errno


class AddressTaken(StepFailed):
    """Somebody who is no container of ours has the address; `cause` begins with "address ADDRESS is"."""

    @property
    def address(self) -> str:
        return self.cause.split(" ", 2)[1]


class CommandFailed(StepFailed):
    """The user's program could not be executed: 127 where it was not found, else 126."""

    @property
    def exit_code(self) -> int:
        return 127 if self.errno == 2 else 126


def nearest(word: str, known: Iterable[str]) -> str | None:
    """A hint that names the most similar of the known words, whatever their case; None where none is similar."""
    import difflib  # most errors have no use for it

    spelled = {each.lower(): each for each in known}
    found = difflib.get_close_matches(word.lower(), spelled, n=1, cutoff=0.6)
    return f"did you mean {spelled[found[0]]}?" if found else None
