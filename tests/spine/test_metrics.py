"""`--metrics-addr`: what Prometheus would read of an engine."""

from __future__ import annotations

import re
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from tests.conftest import running_engine
from tests.engine_fixture import ScratchEngine, await_until
from tests.free_port import free_port
from tests.spine.observe import inspect

from nakagin.daemon import settings_from
from nakagin.errors import Invalid

pytestmark = pytest.mark.root

_LINE = re.compile(r'([a-z_]+)(\{[a-z_]+="(?:[^"\\]|\\.)*"(?:,[a-z_]+="(?:[^"\\]|\\.)*")*\})? (-?[0-9.e+]+)')


@pytest.fixture(scope="module")
def address() -> str:
    return f"127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def counting(pytestconfig: pytest.Config, address: str) -> Iterator[ScratchEngine]:
    with running_engine(pytestconfig, "--metrics-addr", address) as engine:
        yield engine


def scraped(address: str) -> dict[str, float]:
    """Each sample by its name and labels; every name has its help and type before it."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=20) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        lines = answer.read().decode().splitlines()
    found: dict[str, float] = {}
    told: set[str] = set()
    for line in lines:
        if line.startswith("# "):
            told.add(line.split()[2])
            continue
        match = _LINE.fullmatch(line)
        assert match is not None, line
        assert match[1] in told or re.sub("_(bucket|sum|count)$", "", match[1]) in told, line
        found[match[1] + (match[2] or "")] = float(match[3])
    assert len(found) == sum(not line.startswith("#") for line in lines), "each is there once"
    return found


def test_what_happens_is_counted(counting: ScratchEngine, address: str) -> None:
    before = scraped(address)
    counting.docker("run", "--name", "one", "busybox", "true")
    check = ("--health-interval", "100ms", "--health-retries", "1", "--health-cmd", "false")
    counting.docker("run", "-d", "--name", "two", *check, "busybox", "sleep", "300")
    await_until(lambda: inspect(counting, "two", "{{.State.Health.Status}}") == "unhealthy", "the verdict")
    counting.docker("rm", "one")
    counting.docker("inspect", "nobody", check=1)
    now = scraped(address)

    def grown(name: str) -> float:
        return now.get(name, 0) - before.get(name, 0)

    action = 'engine_daemon_container_actions_seconds_count{action="%s"}'
    assert [grown(action % each) for each in ("create", "start", "delete", "commit")] == [2, 2, 1, 0]
    assert grown('engine_daemon_container_actions_seconds_bucket{action="start",le="+Inf"}') == 2
    assert now['engine_daemon_container_states_containers{state="running"}'] == 1
    assert grown("engine_daemon_health_checks_failed_total") >= 1
    assert now["engine_daemon_health_checks_total"] >= now["engine_daemon_health_checks_failed_total"]
    assert grown("engine_daemon_events_total") >= 6
    assert grown('nakagin_api_requests_total{endpoint="GET /containers/*/json",status="404"}') == 1
    [about] = [name for name in now if name.startswith("engine_daemon_engine_info{")]
    assert 'os_type="linux"' in about
    assert now["engine_daemon_engine_memory_bytes"] > 1 << 20
    assert now["process_resident_memory_bytes"] > 1 << 20
    assert now["process_open_fds"] > 3
    counting.docker("rm", "-f", "two")


def test_there_is_nothing_else_at_that_address(counting: ScratchEngine, address: str) -> None:
    for path in ("/", "/containers/json", "/v1.41/info"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://{address}{path}", timeout=20)


def test_an_address_that_cannot_be_says_so() -> None:
    with pytest.raises(Invalid, match="invalid metrics address: nowhere"):
        settings_from(["--metrics-addr", "nowhere"])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        engine = ScratchEngine("--metrics-addr", f"127.0.0.1:{taken.getsockname()[1]}")
        try:
            with pytest.raises(RuntimeError, match=r"cannot listen on the metrics address .* in use"):
                engine.start()
        finally:
            engine.process = None
            assert engine.close() == []
