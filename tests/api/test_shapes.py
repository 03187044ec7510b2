"""What a real engine answers, against the API document (where the sources have it beside them)."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any

import pytest
from tests.api import swagger
from tests.engine_fixture import ScratchEngine

pytestmark = pytest.mark.root

#: The edition that docker's command line 28 speaks, and the newest.
DOCUMENTS = [
    (version, document)
    for version, name in (("1.50", "docker-engine-api-v1.50.yaml"), ("1.56", "docker-engine-api.yaml"))
    if (document := swagger.find(name))
]

#: Pointers in Go: dockerd, too, answers null here, though the document does not say so.
NULL_IN_DOCKER = ("HostConfig.MemorySwappiness:", "HostConfig.OomKillDisable:", "/exec/{exec}/json.ExitCode:")

#: Method, path as in the document, query, body, status; {id}, {name}, {exec} and {volume} are filled in.
REQUESTS: list[tuple[str, str, str, dict[str, Any] | None, int]] = [
    ("GET", "/info", "", None, 200),
    ("GET", "/version", "", None, 200),
    ("GET", "/system/df", "", None, 200),
    ("GET", "/containers/json", "?all=1&size=1", None, 200),
    ("GET", "/containers/{id}/json", "?size=1", None, 200),
    ("GET", "/containers/{id}/top", "", None, 200),
    ("GET", "/containers/{id}/changes", "", None, 200),
    ("GET", "/containers/{id}/stats", "?stream=0", None, 200),
    ("GET", "/containers/{id}/stats", "?stream=0&one-shot=1", None, 200),
    ("POST", "/containers/{id}/update", "", {"Memory": 64 << 20, "MemorySwap": 128 << 20}, 200),
    ("POST", "/containers/{id}/exec", "", {"Cmd": ["true"]}, 201),
    ("GET", "/exec/{exec}/json", "", None, 200),
    ("GET", "/images/json", "", None, 200),
    ("GET", "/images/{image}/json", "", None, 200),
    ("GET", "/images/{image}/history", "", None, 200),
    ("GET", "/networks", "", None, 200),
    ("GET", "/networks/{network}", "", None, 200),
    ("POST", "/volumes/create", "", {"Labels": {"a": "b"}}, 201),
    ("GET", "/volumes", "", None, 200),
    ("GET", "/volumes/{volume}", "", None, 200),
    ("GET", "/plugins", "", None, 200),
    ("POST", "/containers/{id}/kill", "", None, 204),
    ("POST", "/containers/{id}/wait", "", None, 200),
    ("POST", "/containers/prune", '?filters={"label":["nobody-has-this"]}', None, 200),
    ("POST", "/images/prune", '?filters={"label":["nobody-has-this"]}', None, 200),
    ("POST", "/volumes/prune", '?filters={"label":["nobody-has-this"]}', None, 200),
    ("POST", "/networks/prune", '?filters={"label":["nobody-has-this"]}', None, 200),
]


class Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, host: str) -> None:
        super().__init__("nakagin", timeout=30)
        self._path = host.removeprefix("unix://")

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)

    def ask(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, version: str = "1.50"
    ) -> tuple[int, Any]:
        """The status and the decoded answer."""
        data = None if body is None else json.dumps(body)
        self.request(method, f"/v{version}{path}", data, {"Content-Type": "application/json"} if body else {})
        response = self.getresponse()
        raw = response.read()
        return response.status, json.loads(raw) if raw else None


@pytest.mark.parametrize(("version", "document"), DOCUMENTS, ids=[version for version, _ in DOCUMENTS])
def test_answers_have_the_shapes_of_the_api_document(
    version: str, document: dict[str, Any], engine: ScratchEngine, name: str
) -> None:
    judge = swagger.Swagger(document)
    connection = Connection(engine.host)
    body = {
        "Image": "busybox",
        "Cmd": ["sh", "-c", "touch /tmp/x; exec sleep 1000"],
        "ExposedPorts": {"80/tcp": {}},
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 10**9},
        "HostConfig": {"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1"}]}, "Tmpfs": {"/t": ""}},
    }
    known = {"id": name, "image": "busybox", "network": "bridge", "exec": "", "volume": ""}
    try:
        status, created = connection.ask("POST", f"/containers/create?name={name}", body, version=version)
        assert status == 201, created
        complaints = judge.complaints("POST", "/containers/create", 201, created)
        status, answer = connection.ask("POST", f"/containers/{name}/start")
        assert status == 204, answer
        for method, path, query, asked, expected in REQUESTS:
            status, answer = connection.ask(method, path.format(**known) + query, asked, version=version)
            assert status == expected, (path, answer)
            if path.endswith("/exec"):
                known["exec"] = answer["Id"]
            elif path == "/volumes/create":
                known["volume"] = answer["Name"]
            template = (
                path.replace("{image}", "{name}").replace("{exec}", "{id}").replace("{network}", "{id}")
            )
            found = judge.complaints(method, template.replace("{volume}", "{name}"), status, answer)
            complaints += [f"{method} {path}{each}" for each in found]
    finally:
        if known["volume"]:
            connection.ask("DELETE", f"/volumes/{known['volume']}")
        connection.close()
    complaints = [each for each in complaints if not any(place in each for place in NULL_IN_DOCKER)]
    assert not complaints, "\n".join(complaints)
