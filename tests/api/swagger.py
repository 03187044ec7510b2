"""A check of documents against the API document (Swagger 2.0), as far as that document needs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml


def find(name: str = "docker-engine-api-v1.50.yaml") -> dict[str, Any] | None:
    """The API document beside the sources, or None where it is absent."""
    for parent in Path(__file__).parents:
        found = parent / "shared" / "specs" / name
        if found.exists():
            with found.open() as file:
                loaded: dict[str, Any] = yaml.load(file, yaml.CSafeLoader)
            return loaded
    return None


class Swagger:
    """The API document, and what it has against an answer."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document

    def complaints(self, method: str, path: str, status: int, answer: Any) -> list[str]:
        """What is wrong with the answer to `path` (as written in the document): "Config.Env: ..."."""
        responses = self._document["paths"][path][method.lower()]["responses"]
        schema = responses[status].get("schema")
        return list(self._check(answer, schema, "")) if schema else []

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        """`schema` with references followed and allOf joined."""
        if "$ref" in schema:
            found: dict[str, Any] = self._document["definitions"][schema["$ref"].split("/")[-1]]
            return self._resolved({**found, **{key: value for key, value in schema.items() if key != "$ref"}})
        if "allOf" not in schema:
            return schema
        joined: dict[str, Any] = {**schema, "properties": dict(schema.get("properties", {}))}
        del joined["allOf"]
        for part in map(self._resolved, schema["allOf"]):
            joined["properties"].update(part.get("properties", {}))
            joined.setdefault("required", []).extend(part.get("required", []))
            for key in ("type", "enum"):
                if key in part:
                    joined.setdefault(key, part[key])
        return joined

    def _check(self, value: Any, schema: dict[str, Any], where: str) -> Iterator[str]:
        schema = self._resolved(schema)
        kind = schema.get("type")
        if value is None:
            # Go writes null for empty lists and maps, and for absent objects.
            if kind in {"string", "integer", "boolean", "number"} and not schema.get("x-nullable"):
                yield f"{where}: null where a {kind} belongs"
            return
        if not _is(value, kind):
            yield f"{where}: {value!r} is no {kind}"
        elif kind == "array":
            for number, each in enumerate(value):
                yield from self._check(each, schema.get("items", {}), f"{where}[{number}]")
        elif isinstance(value, dict):
            yield from self._check_object(value, schema, where)
        elif "enum" in schema and value not in schema["enum"]:
            yield f"{where}: {value!r} is none of {schema['enum']}"

    def _check_object(self, value: dict[str, Any], schema: dict[str, Any], where: str) -> Iterator[str]:
        properties = schema.get("properties", {})
        rest = schema.get("additionalProperties")
        for name in schema.get("required", ()):
            if name not in value:
                yield f"{where}.{name}: missing"
        for name, each in value.items():
            place = f"{where}.{name}"
            if name in properties:
                yield from self._check(each, properties[name], place)
            elif isinstance(rest, dict):
                yield from self._check(each, rest, place)


def _is(value: Any, kind: str | None) -> bool:
    match kind:
        case "string":
            return isinstance(value, str)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float)
        case "boolean":
            return isinstance(value, bool)
        case "array":
            return isinstance(value, list)
        case "object":
            return isinstance(value, dict)
        case _:
            return True
