"""Ports of a living container: published, taken back, and seen from outside."""

from __future__ import annotations

import json
import socket

import pytest
from tests.engine_fixture import ScratchEngine, await_until
from tests.free_port import free_port
from tests.spine.observe import inspect, is_free
from tests.spine.test_network import SERVER, await_page, fetch

pytestmark = pytest.mark.root


def ports(engine: ScratchEngine, name: str) -> dict[str, list[dict[str, str]] | None]:
    return json.loads(inspect(engine, name, "{{json .NetworkSettings.Ports}}"))  # type: ignore[no-any-return]


def test_a_port_comes_and_goes(engine: ScratchEngine, name: str) -> None:
    first, second = free_port(), free_port()
    engine.docker("run", "-d", "-p", f"127.0.0.1:{first}:80", "--name", name, *SERVER)
    await_page("127.0.0.1", first)
    started = inspect(engine, name, "{{.State.StartedAt}}")
    engine.nakagin("update", "--publish-add", f"{second}:80", name)
    assert fetch("127.0.0.1", second) == "served\n"
    assert fetch("[::1]", second) == "served\n"
    published = {(each["HostIp"], each["HostPort"]) for each in ports(engine, name)["80/tcp"] or ()}
    assert published == {("127.0.0.1", str(first)), ("0.0.0.0", str(second)), ("::", str(second))}
    engine.nakagin("update", "--publish-rm", f"127.0.0.1:{first}:80", name)
    await_until(lambda: is_free(first), "the port to be free again")
    assert fetch("127.0.0.1", second) == "served\n"
    assert inspect(engine, name, "{{.State.StartedAt}}") == started
    engine.docker("restart", "-t", "0", name)  # what was changed is how it starts again
    await_page("127.0.0.1", second)
    engine.nakagin("update", "--publish-rm", "80", name)
    assert ports(engine, name)["80/tcp"] is None
    await_until(lambda: is_free(second), "the port to be free again")


def test_a_taken_port_changes_nothing(engine: ScratchEngine, name: str) -> None:
    engine.docker("run", "-d", "--name", name, *SERVER)
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        refused = engine.nakagin("update", "--publish-add", f"127.0.0.1:{port}:80", name, check=1).stderr
    assert "already allocated" in refused
    assert "pid" in refused
    assert ports(engine, name) == {}
    refused = engine.nakagin("update", "--publish-rm", "81", name, check=1).stderr
    assert "81/tcp" in refused


def test_ports_of_a_container_that_does_not_run(engine: ScratchEngine, name: str) -> None:
    port = free_port()
    engine.docker("create", "--name", name, *SERVER)
    engine.nakagin("update", "--publish-add", f"127.0.0.1:{port}:80", name)
    engine.docker("start", name)
    await_page("127.0.0.1", port)


def test_from_where_a_port_is_reached(engine: ScratchEngine, name: str) -> None:
    one, other = free_port(), free_port()
    engine.docker(
        "run", "-d", "-p", f"127.0.0.1:{one}:80", "-p", f"[::1]:{other}:80", "--name", name, *SERVER
    )
    shown = engine.nakagin("port", "--exposure", name).stdout.splitlines()
    assert shown[0].split()[:2] == ["PORT", "PUBLISHED"]
    assert [f"127.0.0.1:{one}", "this", "host", "kept"] == [
        word
        for word in next(line for line in shown if str(one) in line).split()
        if word in {f"127.0.0.1:{one}", "this", "host", "kept"}
    ]
    assert "the host's" in next(line for line in shown if f"[::1]:{other}" in line)
    everybody = engine.nakagin("port", "--exposure").stdout.splitlines()
    assert everybody[0].split()[:2] == ["CONTAINER", "PORT"]
    assert any(line.split()[0] == name and f"127.0.0.1:{one}" in line for line in everybody[1:])
    assert "requires at least 1" in engine.nakagin("port", check=1).stderr


def test_restarts_take_the_same_port_again(engine: ScratchEngine, name: str) -> None:
    port = free_port()
    engine.docker("run", "-d", "-p", f"127.0.0.1:{port}:80", "--name", name, *SERVER)
    for _ in range(5):
        engine.docker("restart", "-t", "0", name)
    await_page("127.0.0.1", port)
