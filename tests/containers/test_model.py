"""The status follows from the facts, and the table says what may follow the status."""

from __future__ import annotations

import pytest

from nakagin.containers.model import Container, Facts, nanoseconds, require, status_of
from nakagin.errors import Conflict, NotModified
from nakagin.spec.docker import ContainerConfig, HostConfig

STARTED = "2026-01-01T00:00:00.000000001Z"


def container(**facts: object) -> Container:
    return Container(
        id="f" * 64, name="web", created=STARTED, image_id="", config=ContainerConfig(), host_config=HostConfig(),
        facts=Facts(**facts),  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        (Facts(), "created"),
        (Facts(pid=5), "running"),
        (Facts(pid=5, paused=True), "paused"),
        (Facts(started_at=STARTED), "exited"),
        (Facts(started_at=STARTED, restarting=True), "restarting"),
        (Facts(pid=5, intent="removing"), "removing"),
    ],
)
def test_status(facts: Facts, status: str) -> None:
    assert status_of(facts) == status


def test_what_may_follow() -> None:
    require(container(), "start")
    require(container(pid=5), "pause")
    with pytest.raises(NotModified, match="already running"):
        require(container(pid=5), "start")
    with pytest.raises(NotModified, match="not running"):
        require(container(), "stop")
    with pytest.raises(Conflict, match="try unpause"):
        require(container(pid=5, paused=True), "start")
    with pytest.raises(Conflict, match="is not running"):
        require(container(), "kill")
    with pytest.raises(Conflict, match="force remove") as raised:
        require(container(pid=5), "remove")
    assert 'cannot remove container "web": container is running' in raised.value.message


def test_times() -> None:
    assert nanoseconds("1970-01-01T00:00:01.5Z") == 1_500_000_000
    assert nanoseconds("0001-01-01T00:00:00Z") == 0
