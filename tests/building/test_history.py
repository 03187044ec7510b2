"""What was built, told afterwards: by the command line, and to clients that speak BuildKit."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.building.by_command import build
from tests.building.grpc import ask
from tests.building.test_cancel import building
from tests.engine_fixture import ScratchEngine, await_until

from nakagin.api.buildkit.protobuf import Message, encode
from nakagin.build.chronicle import Chronicle
from nakagin.build.progress import Built, Cached, Done, Planned, Warned
from nakagin.build.request import BuildRequest
from nakagin.errors import NotFound
from nakagin.storage.records import Records


def builds(engine: ScratchEngine) -> list[dict[str, Any]]:
    lines = engine.nakagin("builder", "history", "--no-trunc", "--format", "json").stdout.splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.root
def test_the_last_builds(engine: ScratchEngine, folder: Path) -> None:
    """DF.arg.builtin.BUILDKIT_BUILD_NAME: the newest first, with what came of them."""
    text = "FROM busybox AS one\nRUN echo history > /x\nFROM one\n"
    build(
        engine,
        folder,
        text,
        "--build-arg",
        "BUILDKIT_BUILD_NAME=nightly of one",
        "--target",
        "one",
        "--no-cache",
    )
    build(engine, folder, text, "-t", "told-one", "-t", "told-two")
    build(engine, folder, "FROM busybox\nRUN exit 3\n", check=1)
    build(engine, folder, "FROM busybox\n", "--check")
    failed, tagged, named = builds(engine)[:3]
    assert (failed["Status"], failed["Name"], failed["Steps"]) == ("Failed", "Dockerfile", "1/2")
    assert "non-zero code: 3" in failed["Error"]
    assert (tagged["Status"], tagged["Name"], tagged["Steps"], tagged["Cached"]) == (
        "Completed",
        "told-one",
        "3/3",
        "1",
    )
    image = engine.nakagin("image", "inspect", "-f", "{{.Id}}", "told-two").stdout.strip()
    assert f"sha256:{tagged['Image']}" == image
    assert (named["Name"], named["Cached"]) == ("nightly of one", "0")
    shown = engine.nakagin("builder", "history").stdout.splitlines()
    assert shown[0].split() == [
        "BUILD",
        "ID",
        "NAME",
        "STATUS",
        "STEPS",
        "CACHED",
        "CREATED",
        "DURATION",
        "IMAGE",
    ]
    assert named["ID"][:12] in shown[3]
    assert named["ID"] in engine.nakagin("builder", "history", "-q").stdout.split()
    engine.nakagin("build", "--builder", "default", "-q", "-", stdin="FROM busybox\n")
    engine.nakagin("rmi", "told-one", "told-two")


@pytest.mark.root
def test_a_build_under_way(engine: ScratchEngine, tmp_path: Path) -> None:
    with building(engine, tmp_path, "FROM busybox\nRUN sleep 9853.5\n") as process:
        await_until(lambda: [each["Steps"] for each in builds(engine)[:1]] == ["1/2"], "the build to be told")
        (running,) = [each for each in builds(engine) if each["Status"] == "Running"]
        process.send_signal(signal.SIGINT)
        process.wait(20)

        def told() -> dict[str, Any]:
            return next(each for each in builds(engine) if each["ID"] == running["ID"])

        await_until(lambda: told()["Status"] == "Canceled", "its end to be told")


@pytest.mark.root
def test_what_buildx_asks(engine: ScratchEngine, folder: Path) -> None:
    """`buildx history ls`, `buildx du` and, with the plugin installed, `docker builder prune`."""
    build(
        engine,
        folder,
        "FROM busybox\nRUN echo buildx > /y\n",
        "--build-arg",
        "BUILDKIT_BUILD_NAME=for buildx",
    )
    events = ask(engine, "ListenBuildHistory", encode([(3, True)]))
    record = events[-1].message(2)
    assert events[-1].number(1) == 1, "complete"
    assert record.map(3)["build-arg:BUILDKIT_BUILD_NAME"] == "for buildx"
    assert record.message(7).number(1) >= record.message(6).number(1) > 1_700_000_000
    assert (record.number(16), record.number(17)) == (2, 2)
    assert ask(engine, "ListenBuildHistory", encode([(1, True), (2, "nobody"), (3, True)])) == []

    (usage,) = ask(engine, "DiskUsage")
    mine = [each for each in usage.messages(1) if "echo buildx" in each.text(9)]
    assert len(mine) == 1
    assert mine[0].text(10) == "regular"
    assert mine[0].number(4) > 0
    only = encode([(1, f"id~={mine[0].text(1)[:20]}"), (2, True)])
    gone = ask(engine, "Prune", only)
    assert [each.text(1) for each in gone] == [mine[0].text(1)]
    (usage,) = ask(engine, "DiskUsage", encode([(1, f"id~={mine[0].text(1)}")])) or (Message(b""),)
    assert usage.messages(1) == []
    ask(engine, "UpdateBuildHistory", encode([(1, record.text(1)), (3, True)]))
    assert record.text(1) not in [each["ID"] for each in builds(engine)]


async def test_it_outlives_the_engine_and_has_an_end(tmp_path: Path) -> None:
    records = Records(str(tmp_path / "records.db"))
    chronicle = Chronicle(records)
    for number in range(60):
        request = BuildRequest(remote=f"https://example.org/{number}.git", target="t")
        with chronicle.written(request, lambda event: None) as tell:
            for event in (
                Planned(2),
                Warned("R", "m", 1),
                Cached(1),
                Done(1, "", 0),
                Built("sha256:1", ("n",)),
            ):
                tell(event)
    with pytest.raises(NotFound), chronicle.written(BuildRequest(), lambda event: None):
        raise NotFound("gone")
    with pytest.raises(asyncio.CancelledError), chronicle.written(BuildRequest(), lambda event: None):
        raise asyncio.CancelledError
    again = Chronicle(records).all()
    assert [each.state for each in again[:3]] == ["canceled", "failed", "completed"]
    assert len(again) == 50
    last = again[2]
    assert (last.name, last.steps, last.cached, last.warnings, last.image) == (
        "https://example.org/59.git (t)", 2, 1, 1, "sha256:1",
    )  # fmt: skip
    records.close()
