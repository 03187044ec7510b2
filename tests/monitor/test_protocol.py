"""Messages arrive whole, with all their descriptors, and errors keep their class."""

from __future__ import annotations

import os

import pytest

from nakagin import errors
from nakagin.monitor import protocol


def test_a_message_and_its_descriptors_arrive_together() -> None:
    one, other = protocol.pair()
    fd = os.open("/dev/null", os.O_RDONLY)
    protocol.send(one, {"kind": "x"}, [fd] * 600)
    received = protocol.receive(other)
    assert received is not None
    message, fds = received
    assert message == {"kind": "x"}
    assert len(fds) == 600
    assert all(os.path.sameopenfile(fd, each) for each in fds)
    for each in fds:
        assert not os.get_inheritable(each)
        os.close(each)
    os.close(fd)
    one.close()
    other.close()


def test_a_large_message_arrives_whole() -> None:
    one, other = protocol.pair()
    protocol.send(one, {"text": "x" * 150_000})
    received = protocol.receive(other)
    assert received is not None
    assert len(received[0]["text"]) == 150_000
    one.close()
    other.close()


def test_the_end_of_the_connection_is_none() -> None:
    one, other = protocol.pair()
    one.close()
    with other:
        assert protocol.receive(other) is None


@pytest.mark.parametrize(
    "error",
    [
        errors.NotFound("no such thing", hint="make it"),
        errors.StepFailed("bind /a -> /b", "Permission denied", errno=13, hint="ask"),
        errors.CommandFailed("exec", "not found", errno=2),
    ],
)
def test_an_error_is_raised_again_as_it_was(error: errors.NakaginError) -> None:
    again = protocol.error_from(protocol.error_document(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert getattr(again, "errno", 0) == getattr(error, "errno", 0)


def test_foreign_errors_become_steps() -> None:
    assert isinstance(protocol.error_from(protocol.error_document(OSError(5, "io"))), errors.StepFailed)
