"""Requests made from the API document: right, half right and absurd, the same ones for the same seed.

What could reach beyond the scratch engine is left out: registries, and bind mounts of real folders.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

#: Operations that would speak to the world.
_OUTSIDE = {
    "ImageCreate", "ImagePush", "SystemAuth", "DistributionInspect", "ImageSearch", "PluginPull", "PluginUpgrade",
    "PluginPush",
}  # fmt: skip
_WORDS = [
    "",
    "x",
    "box",
    "busybox",
    "nobody",
    "0",
    "-1",
    "true",
    "a" * 3000,
    "\x00",
    "ü€",
    "../../etc",
    "%",
    "{}",
    "[1]",
    "1.5",
]
_NUMBERS: list[Any] = [0, 1, -1, 3, 2**31, 2**63 - 1, 2**63, -(2**63), 1.5, "7", "x", None, True]
_NAMES = ["box", "box", "box", "ended", "nobody", "", "b" * 300, "..", "a/b", "%2e", "ü", "-x"]
#: Fields whose values must stay harmless, and what they may be.
_TAMED: dict[str, list[Any]] = {
    "Cmd": [["true"], "true", [], None, ["/no/such"], [""]],
    "Entrypoint": [None, [], [""], ["env"], "env"],
    "Image": ["busybox", "busybox", "busybox", "nobody:1", "", "UPPER", "busybox@sha256:00"],
    "Binds": [None, [], ["v1:/v"], ["/no/such:/x:ro"], ["relative:/x:nonsense"], [":"], [""]],
    "PathOnHost": ["/dev/null", "/no/such", ""],
    "Source": ["v1", "", "/no/such", "relative/x"],
    "NetworkMode": ["none", "none", "none", "bridge", "nobody", "container:box", "container:nobody", ""],
    "PidMode": ["", "container:box", "nonsense"], "IpcMode": ["", "private", "shareable", "none", "nonsense"],
    "UTSMode": ["", "nonsense"], "UsernsMode": ["", "nonsense"], "CgroupnsMode": ["", "private", "nonsense"],
    "CgroupParent": ["", "nonsense"], "Runtime": ["", "runc", "nobody"], "Privileged": [False],
    "SecurityOpt": [None, ["no-new-privileges"], ["nonsense"], ["seccomp=nonsense"]], "AutoRemove": [False, True],
    "Driver": ["", "local", "bridge", "nonsense"], "device": ["tmpfs", "/no/such"],
}  # fmt: skip
#: Queries whose values must not make the test wait, or end the engine's own things.
_TAMED_QUERIES: dict[str, list[Any]] = {
    "t": [0, 1, "x", ""], "remote": ["x"], "fromSrc": ["-"], "follow": ["0", "1"], "until": ["1", "x"],
    "since": ["1", "x", "-1"],
}  # fmt: skip


class Request(NamedTuple):
    """One request; `operation` is the document's name for it."""

    operation: str
    method: str
    path: str
    body: bytes | None

    def __str__(self) -> str:
        return f"{self.operation}: {self.method} {self.path[:200]} {(self.body or b'')[:300]!r}"


class Maker:
    """Makes requests from one API document."""

    def __init__(self, document: dict[str, Any], seed: int) -> None:
        self._document = document
        self._random = random.Random(seed)
        self._operations = [
            (path, method, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
            if operation["operationId"] not in _OUTSIDE
        ]

    def requests(self, count: int) -> Iterator[Request]:
        """So many of them; every operation comes up."""
        while count > 0:
            for path, method, operation in self._random.sample(self._operations, len(self._operations)):
                yield self._request(path, method.upper(), operation)
                count -= 1

    def _request(self, path: str, method: str, operation: dict[str, Any]) -> Request:
        query: list[str] = []
        body: bytes | None = None
        for parameter in operation.get("parameters", ()):
            name, place = parameter["name"], parameter["in"]
            if place == "path":
                path = path.replace(f"{{{name}}}", quote(self._random.choice(_NAMES), safe=""))
            elif place == "query" and self._random.random() < 0.6:
                query.append(f"{name}={quote(str(self._query_value(name, parameter)), safe='')}")
            elif place == "body" and self._random.random() < 0.95:
                body = self._body(parameter.get("schema", {}))
        version = self._random.choice(["/v1.24", "/v1.41", "/v1.44", "/v1.50", "/v1.56", ""])
        return Request(
            operation["operationId"], method, version + path + ("?" + "&".join(query) if query else ""), body
        )

    def _query_value(self, name: str, parameter: dict[str, Any]) -> Any:
        if name in _TAMED_QUERIES:
            return self._random.choice(_TAMED_QUERIES[name])
        if name == "filters":
            key = self._random.choice(
                ["label", "status", "name", "id", "until", "type", "dangling", "nonsense", "before"]
            )
            value: Any = self._random.choice(
                [["x"], ["true"], {"running": True}, [], "x", None, [1], ["1h"], ["box"]]
            )
            return self._random.choice(
                [json.dumps({key: value}), json.dumps({key: value}), "{", "[]", "null", '"x"']
            )
        kind = parameter.get("type")
        if kind == "integer":
            return self._random.choice(_NUMBERS)
        if kind == "boolean":
            return self._random.choice(["1", "0", "true", "false", "", "maybe"])
        return self._random.choice(_WORDS)

    def _body(self, schema: dict[str, Any]) -> bytes:
        dice = self._random.random()
        if dice < 0.04:
            return self._random.choice([b"{", b"null", b"[]", b'"x"', b"\xff\xfe", b"{}" * 2, b"[" * 5000])
        return json.dumps(self._value("", schema, 0)).encode()

    def _value(self, name: str, schema: dict[str, Any], depth: int) -> Any:
        if name in _TAMED:
            return self._random.choice(_TAMED[name])
        schema = self._resolved(schema)
        if self._random.random() < 0.03:  # of a wrong kind altogether
            return self._random.choice([None, 1, "x", [], {}, True, [[]], {"": ""}])
        if "enum" in schema and self._random.random() < 0.8:
            return self._random.choice(schema["enum"])
        match schema.get("type"):
            case "object":
                return self._object(schema, depth)
            case "array":
                return [
                    self._value(name, schema.get("items", {}), depth + 1)
                    for _ in range(self._random.randrange(3))
                ]
            case "integer" | "number":
                return self._random.choice(_NUMBERS)
            case "boolean":
                return self._random.choice([True, False, None])
            case _:
                return self._random.choice(_WORDS)

    def _object(self, schema: dict[str, Any], depth: int) -> Any:
        if depth > 6:
            return {}
        properties = schema.get("properties", {})
        chance = 0.95 if depth == 0 and len(properties) < 12 else 0.12
        found = {
            key: self._value(key, each, depth + 1)
            for key, each in properties.items()
            if key in ("Image", "Cmd", "HostConfig") or self._random.random() < chance
        }
        rest = schema.get("additionalProperties")
        if isinstance(rest, dict) and self._random.random() < 0.5:
            found[self._random.choice(["80/tcp", "x", "none", "", "a=b"])] = self._value("", rest, depth + 1)
        return found

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema:
            schema = self._document["definitions"][schema["$ref"].rpartition("/")[2]]
        if "allOf" not in schema:
            return schema
        joined: dict[str, Any] = {"type": "object", "properties": {}}
        for part in schema["allOf"]:
            joined["properties"].update(self._resolved(part).get("properties", {}))
        return joined
