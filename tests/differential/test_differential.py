"""The same calls to Debian's dockerd and to Nakagin: the answers are the same, or the difference is explained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.conftest import close_clean
from tests.differential.compare import differences
from tests.differential.dialogue import Answer, Dialogue
from tests.differential.exceptions import EXEMPT
from tests.differential.script import script
from tests.dockerd_fixture import ScratchDockerd
from tests.engine_fixture import ScratchEngine

pytestmark = pytest.mark.root

IMAGE = "busybox"


@contextmanager
def started(engine: ScratchEngine) -> Iterator[ScratchEngine]:
    """`engine`, running, without an image; what it leaves fails."""
    try:
        engine.start()
        yield engine
    finally:
        close_clean(engine)


def held(engine: ScratchEngine) -> dict[str, Answer]:
    """The engine's answers to the whole script."""
    return Dialogue(engine.host, {"image": IMAGE}).hold(script())


def test_the_same_calls_have_the_same_answers(tmp_path: Path) -> None:
    calls = [call.name for call in script()]
    assert len(calls) == len(set(calls)) >= 400
    archive = str(tmp_path / "image.tar")  # so that both have an image with the same id
    with started(ScratchDockerd()) as dockerd:
        dockerd.bootstrap_busybox(IMAGE)
        dockerd.docker("save", "-o", archive, IMAGE)
        theirs = held(dockerd)
    with started(ScratchEngine()) as nakagin:
        nakagin.docker("load", "-i", archive)
        ours = held(nakagin)
    needed, unexplained = set(), []
    for call in calls:
        for difference in differences(call, theirs[call], ours[call]):
            exempt = [each for each in EXEMPT if each.covers(difference)]
            needed.update(exempt)
            if not exempt:
                unexplained.append(
                    f"{call} {difference.path}: dockerd {difference.theirs!r:.200}, nakagin {difference.ours!r:.200}"
                )
    assert not unexplained, "\n".join(unexplained)
    unneeded = [f"{each.calls} {each.paths}" for each in EXEMPT if each not in needed]
    assert not unneeded, "these exemptions are needed no more:\n" + "\n".join(unneeded)
