"""Real groups for the tests of this room: unique, and gone afterwards whatever happens."""

from __future__ import annotations

import os
import signal
import warnings
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from nakagin.cgroups.group import Group
from nakagin.cgroups.layout import detect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def group() -> Iterator[Group]:
    """A new group, two levels deep, on this machine's own layout."""
    layout = detect()
    if layout.mode == "none":
        pytest.skip(f"no cgroups here: {layout.reason}")
    parent = f"/nk-test-{uuid4().hex[:8]}"
    made = Group(f"{parent}/one", layout)
    made.create()
    yield made
    made.kill()
    Group(parent, layout).remove()


class Child:
    """A forked process that does `work` inside a group and exits with its answer."""

    def __init__(self, group: Group | None, work: Callable[[], int]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # threads of the test runner: the child uses none
            self.ready, writer = os.pipe()
            self.pid = os.fork()
        if self.pid == 0:
            code = 99
            try:
                if group:
                    group.join()
                os.write(writer, b"x")
                code = work()
            finally:
                os._exit(code)
        os.close(writer)
        os.read(self.ready, 1)

    def wait(self) -> int:
        """The exit code, negative for a signal."""
        os.close(self.ready)
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)


def sleep_forever() -> int:
    """Work of a child that waits for its end."""
    while True:
        signal.pause()


def run_inside(group: Group | None, work: Callable[[], int]) -> int:
    """The exit code of `work` done by a child in the group."""
    return Child(group, work).wait()
