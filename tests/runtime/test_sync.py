"""The conversation between runtime and init."""

from __future__ import annotations

import os

import pytest

from nakagin.errors import CommandFailed, StepFailed
from nakagin.runtime import sync


def test_messages_keep_their_borders_and_carry_descriptors() -> None:
    one, other = sync.pair()
    one.send(sync.WARNING, b"first")
    one.send(sync.READY, pass_fds=[0])
    warnings: list[str] = []
    kind, _, received = sync.expect(other, (sync.READY,), warnings.append)
    assert (kind, warnings) == (sync.READY, ["first"])
    assert os.fstat(received[0]) == os.fstat(0)
    os.close(received[0])
    one.close()
    other.close()


@pytest.mark.parametrize("kind", [StepFailed, CommandFailed])
def test_a_failure_arrives_as_it_was(kind: type[StepFailed]) -> None:
    one, other = sync.pair()
    one.send(sync.FAILED, sync.failure_body(kind("mount x", "no", errno=2, hint="try")))
    with pytest.raises(kind) as caught:
        sync.expect(other, (sync.READY,), print)
    assert (caught.value.step, caught.value.cause, caught.value.errno, caught.value.hint) == (
        "mount x",
        "no",
        2,
        "try",
    )
    assert type(caught.value) is kind
    one.close()
    other.close()


def test_last_words_of_a_dead_side_are_heard() -> None:
    one, other = sync.pair()
    other.send(sync.GO)  # never read
    one.send(sync.FAILED, sync.failure_body(StepFailed("step", "cause")))
    one.close()
    with pytest.raises(StepFailed, match="step: cause"):
        sync.expect(other, (sync.READY,), print)
    other.close()


def test_silence_is_a_failure() -> None:
    one, other = sync.pair()
    one.close()
    with pytest.raises(StepFailed, match="ended unexpectedly"):
        sync.expect(other, (sync.READY,), print)
    with pytest.raises(EOFError):
        other.await_go()
    other.close()


def test_errors_of_execve_have_hints() -> None:
    assert sync.not_executed(2).exit_code == 127
    assert sync.not_executed(8).exit_code == 126
    assert "#!" in (sync.not_executed(8).hint or "")
