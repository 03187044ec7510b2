"""The error tree and the doors' tables: no class is missing, and the drawing at the top is the tree."""

from __future__ import annotations

import inspect

import pytest

from nakagin import errors
from nakagin.api import translate
from nakagin.cli import door


def classes() -> list[type[errors.NakaginError]]:
    """Every class of the tree, parents first."""
    found: list[type[errors.NakaginError]] = [errors.NakaginError]
    for each in found:
        found += each.__subclasses__()
    return [each for each in found if each.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__name__)
def test_every_error_has_a_status_and_an_exit_code(kind: type[errors.NakaginError]) -> None:
    assert kind in translate.STATUS
    assert kind in door.EXIT_CODES


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__name__)
def test_every_error_is_in_the_drawing(kind: type[errors.NakaginError]) -> None:
    drawing = [line for line in (errors.__doc__ or "").splitlines() if kind.__name__ in line.split()]
    assert len(drawing) == 1
    depth = len(kind.__mro__) - len(errors.NakaginError.__mro__)
    assert drawing[0].index(kind.__name__) == 4 + 4 * depth


def test_statuses_tell_the_callers_fault_from_ours() -> None:
    assert translate.status_of(errors.NotFound("x")) == 404
    assert translate.status_of(errors.NotModified("x")) == 304
    assert translate.status_of(errors.CommandFailed("exec", "no such file", errno=2)) == 400
    assert translate.status_of(errors.StepFailed("mount", "denied")) == 500


def test_words() -> None:
    assert str(errors.Conflict("port 80 is in use", hint="take 81")) == "port 80 is in use (take 81)"
    assert str(errors.Invalid("no such key", where="config.json:3")) == "config.json:3: no such key"
    assert str(errors.StepFailed("bind /a -> /b", "Permission denied")) == "bind /a -> /b: Permission denied"


@pytest.mark.parametrize(("errno", "code"), [(2, 127), (13, 126), (8, 126), (0, 126)])
def test_a_command_that_cannot_run(errno: int, code: int) -> None:
    assert errors.CommandFailed("exec x", "cause", errno=errno).exit_code == code


def test_every_error_has_words_of_its_own() -> None:
    assert all(inspect.getdoc(kind) for kind in classes())
