"""Every error class has its status, and failed commands carry the docker CLI's words."""

from __future__ import annotations

from nakagin import errors
from nakagin.api.translate import STATUS, message_of, status_of


def family(kind: type[errors.NakaginError]) -> list[type[errors.NakaginError]]:
    return [kind, *(each for child in kind.__subclasses__() for each in family(child))]


def test_no_class_is_missing() -> None:
    ours = [kind for kind in family(errors.NakaginError) if kind.__module__ == "nakagin.errors"]
    assert set(ours) <= STATUS.keys()


def test_subclasses_take_after_their_base() -> None:
    class Lost(errors.NotFound):
        pass

    assert status_of(Lost("x")) == 404
    assert status_of(FileNotFoundError("x")) == 500
    assert status_of(ValueError("x")) is None


def test_commands() -> None:
    missing = errors.CommandFailed('exec "x"', "not there", errno=2)
    assert message_of(missing).endswith(": no such file or directory")
    worded = errors.CommandFailed('exec "x"', "executable file not found in $PATH", errno=2)
    assert message_of(worded) == 'exec "x": executable file not found in $PATH'
    denied = errors.CommandFailed('exec "x"', "Permission denied", errno=13)
    assert message_of(denied).endswith(": permission denied")


def test_hints_are_in_parentheses() -> None:
    assert message_of(errors.Conflict("busy", hint="wait")) == "busy (wait)"
