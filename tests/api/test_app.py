"""The door: versions, routes, errors, and the requests that the docker CLI makes for one run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from tests.api.conftest import Served
from tests.api.wire import DEADLINE, Wire

from nakagin.spec import docker


@pytest.fixture
async def wire(served: Served) -> AsyncIterator[Wire]:
    wire = await served.connect()
    yield wire
    wire.close()


async def test_ping_tells_what_clients_negotiate_by(wire: Wire) -> None:
    reply = await wire.ask("GET", "/_ping")
    assert (reply.status, reply.body) == (200, b"OK")
    assert reply.headers["api-version"] == "1.56"
    assert reply.headers["ostype"] == "linux"
    assert reply.headers["docker-experimental"] == "false"
    assert reply.headers["cache-control"] == "no-cache, no-store, must-revalidate"
    wire.send("HEAD", "/_ping")
    head = await wire.head()
    assert (head.status, head.headers["api-version"]) == (200, "1.56")
    assert (await wire.ask("GET", "/v1.24/version")).document["MinAPIVersion"] == "1.24"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/v1.99/info", "client version 1.99 is too new. Maximum supported API version is 1.56"),
        (
            "/v1.23/info",
            "client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade",
        ),
    ],
)
async def test_versions_that_are_not_spoken(wire: Wire, path: str, message: str) -> None:
    reply = await wire.ask("GET", path)
    assert reply.status == 400
    assert reply.document["message"].startswith(message)


async def test_unknown_paths_and_methods(wire: Wire) -> None:
    for method, path in (("GET", "/nothing"), ("POST", "/info"), ("GET", "/containers/a/b/c"), ("GET", "/")):
        reply = await wire.ask(method, path)
        assert (reply.status, reply.document) == (404, {"message": "page not found"})


async def test_options_of_any_path(wire: Wire) -> None:
    for path in ("/", "/v1.44/containers/json", "/nowhere"):
        reply = await wire.ask("OPTIONS", path)
        assert (reply.status, reply.body) == (200, b"")


async def test_errors_get_dockers_status_and_body(served: Served, wire: Wire) -> None:
    reply = await wire.ask("GET", "/containers/none/json")
    assert (reply.status, reply.document) == (404, {"message": "No such container: none"})
    assert (await wire.ask("POST", "/containers/create?name=c", {"Image": "x"})).status == 201
    reply = await wire.ask("POST", "/containers/create?name=c", {"Image": "x"})
    assert reply.status == 409
    assert reply.document["message"] == 'the name "/c" is in use (remove or rename that container)'
    assert (await wire.ask("POST", "/containers/c/start")).status == 204
    again = await wire.ask("POST", "/containers/c/start")
    assert (again.status, again.body) == (304, b"")
    assert (await wire.ask("GET", "/_ping")).status == 200


async def test_a_command_that_is_not_there_has_the_words_the_cli_looks_for(wire: Wire) -> None:
    await wire.ask("POST", "/containers/create?name=c", {"Image": "x", "Cmd": "nosuch"})
    reply = await wire.ask("POST", "/containers/c/start")
    assert reply.status == 400
    assert "no such file or directory" in reply.document["message"]


async def test_what_nobody_foresaw_is_a_500_and_the_connection_lives(wire: Wire) -> None:
    assert (await wire.ask("GET", "/info")).status == 500
    assert (await wire.ask("GET", "/_ping")).status == 200


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "invalid JSON: Input data was truncated"),
        (b"", "invalid JSON: got EOF while reading request body"),
        (
            b'{"HostConfig":{"Memory":"1g"}}',
            "invalid request body: HostConfig.Memory: expected `int`, got `str`",
        ),
    ],
)
async def test_bad_bodies(served: Served, wire: Wire, body: bytes, message: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    wire.send("POST", "/containers/create", None, headers, extra=body)
    reply = await wire.reply()
    assert (reply.status, reply.document["message"]) == (400, message)


async def test_other_content_types_are_refused(wire: Wire) -> None:
    headers = {"Content-Type": "text/plain", "Content-Length": "2"}
    wire.send("POST", "/containers/create", None, headers, extra=b"{}")
    reply = await wire.reply()
    assert reply.status == 400
    assert "must be 'application/json'" in reply.document["message"]


async def test_wait_answers_its_head_before_the_exit(served: Served, wire: Wire) -> None:
    served.engine.containers.created["c"] = docker.ContainerCreate()
    wire.send("POST", "/v1.50/containers/c/wait?condition=next-exit")
    head = await wire.head()
    assert (head.status, head.headers["content-type"]) == (200, "application/json")
    assert ("wait", "next-exit") in served.engine.containers.calls
    other = await served.connect()
    assert (await other.ask("POST", "/v1.50/containers/c/start")).status == 204
    other.close()
    assert json.loads(await wire.chunk()) == {"StatusCode": 7}


async def test_filters_and_flags_in_both_forms(served: Served, wire: Wire) -> None:
    for filters in ('{"status":["running"]}', '{"status":{"running":true}}'):
        await wire.ask("GET", f"/containers/json?all=1&limit=0&filters={filters}")
        expected = {"all": True, "limit": -1, "size": False, "filters": {"status": ["running"]}}
        assert served.engine.containers.calls[-1] == ("list", expected)
    assert (await wire.ask("GET", "/containers/json?filters=[]")).status == 400
    assert (await wire.ask("GET", "/containers/json?limit=x")).status == 400


async def test_old_clients_read_only_binds_stay_shallow(served: Served, wire: Wire) -> None:
    body = {"HostConfig": {"Mounts": [{"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": True}]}}
    for version, shallow in (("v1.43", True), ("v1.44", False)):
        await wire.ask("POST", f"/{version}/containers/create?name={version}", body)
        mount = served.engine.containers.created[version].host_config.mounts[0]
        assert (mount.bind_options is not None) is shallow
    del body["HostConfig"]["Mounts"][0]["ReadOnly"]
    await wire.ask("POST", "/v1.43/containers/create?name=writable", body)
    assert served.engine.containers.created["writable"].host_config.mounts[0].bind_options is None


async def test_a_deed_is_carried_through_when_its_client_has_gone(served: Served) -> None:
    containers = served.engine.containers
    containers.created["c"] = docker.ContainerCreate()
    containers.running.add("c")
    wire = await served.connect()
    wire.send("POST", "/containers/c/stop?t=3&signal=INT")
    async with asyncio.timeout(DEADLINE):
        while ("stop", "c", 3, "INT") not in containers.calls:
            await asyncio.sleep(0)
    wire.writer.transport.abort()
    second = await served.connect()
    await second.ask("GET", "/_ping")
    containers.gate.set()
    async with asyncio.timeout(DEADLINE):
        while "c" in containers.running:
            await asyncio.sleep(0)
    second.close()


async def test_logs_end_with_their_client(served: Served, wire: Wire) -> None:
    containers = served.engine.containers
    containers.created["c"] = docker.ContainerCreate()
    containers.log_chunks = [b"one", b"two"]
    reply = await wire.ask("GET", "/containers/c/logs?stdout=1&tail=5&since=12.5")
    assert reply.body == b"onetwo"
    options = next(call[1] for call in containers.calls if call[0] == "logs")
    assert (options["tail"], options["since_ns"], options["stderr"]) == (5, 12_500_000_000, False)
    wire.send("GET", "/containers/c/logs?stdout=1&follow=1")
    await wire.head()
    assert await wire.chunk() == b"one"
    containers.calls.clear()
    wire.writer.transport.abort()
    async with asyncio.timeout(DEADLINE):
        while ("logs closed",) not in containers.calls:
            await asyncio.sleep(0)


async def test_logs_need_a_stream(served: Served, wire: Wire) -> None:
    served.engine.containers.created["c"] = docker.ContainerCreate()
    assert (await wire.ask("GET", "/containers/c/logs")).status == 400


async def test_events_are_heard_at_once_and_end_at_until(served: Served, wire: Wire) -> None:
    served.engine.events.publish("container", "old", "c")
    wire.send("GET", '/v1.50/events?filters={"type":["container"]}')
    await wire.head()
    served.engine.events.publish("image", "tag", "i")
    served.engine.events.publish("container", "start", "c", {"image": "x", "name": "n"})
    event = json.loads(await wire.chunk())
    assert (event["Action"], event["status"], event["from"]) == ("start", "start", "x")
    other = await served.connect()
    reply = await other.ask("GET", "/events?since=1&until=1700000000.5")
    assert reply.body == b""
    assert (await other.ask("GET", "/events?since=yesterday")).status == 400
    other.close()


async def test_head_has_no_body_and_pipelined_requests_are_answered_in_order(wire: Wire) -> None:
    wire.send("GET", "/_ping")
    wire.send("GET", "/version")
    assert (await wire.reply()).body == b"OK"
    assert (await wire.reply()).document["Version"] == "0.1.0"


async def test_http_1_0_closes(served: Served, wire: Wire) -> None:
    wire.writer.write(b"GET /_ping HTTP/1.0\r\nHost: x\r\n\r\n")
    reply = await wire.reply()
    assert (reply.body, reply.headers["connection"]) == (b"OK", "close")
    assert await wire.rest() == b""


async def test_a_request_in_single_bytes(served: Served, wire: Wire) -> None:
    for (
        byte
    ) in b'POST /containers/create?name=b HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n{"Image":"x"}':
        wire.writer.write(bytes((byte,)))
        await wire.writer.drain()
        await asyncio.sleep(0)
    assert (await wire.reply()).document == {"Id": "b", "Warnings": []}


async def test_what_is_not_part_of_the_engine(wire: Wire) -> None:
    reply = await wire.ask("GET", "/v1.50/services")
    assert reply.status == 503
    assert reply.document["message"].startswith("This node is not a swarm manager.")
    assert (await wire.ask("GET", "/plugins")).document == []
