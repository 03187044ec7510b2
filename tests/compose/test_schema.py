"""Every way to break the schema of the Compose specification, where it lies beside the repository: each is refused.

From each place of the schema come values of every type that it does not allow, unknown keys, missing ones, values
outside of enumerations and ranges, and doubles.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from nakagin.compose.schema import check
from nakagin.compose.source import parse
from nakagin.compose.tree import Mapping
from nakagin.errors import NakaginError

ROOT = Path(__file__).parents[2]
SPECS = (ROOT.parent / "shared/specs/compose-spec.json", ROOT.parents[1] / "shared/specs/compose-spec.json")

Schema = dict[str, Any]
#: (where, the document, what is wrong with it)
Case = tuple[str, Any, str]
VALUES: dict[str, Any] = {
    "string": "words", "integer": 7, "number": 1.5, "boolean": True, "array": [["x"]], "object": {"a-b": {"c": ["d"]}},
}  # fmt: skip
#: Compose itself does not hold these to its schema.
LENIENT = {
    # merged and read by its own code before the schema is asked
    "include",
    "services.*.extends",
}


@cache
def spec() -> Schema:
    for path in SPECS:
        if path.is_file():
            found: Schema = json.loads(path.read_text())
            return found
    pytest.skip("the specification is not here")


def resolved(schema: Schema) -> Schema:
    while "$ref" in schema:
        schema = spec()["definitions"][schema["$ref"].rpartition("/")[2]]
    return schema


def branches(schema: Schema) -> list[Schema]:
    """The forms that a value may have."""
    schema = resolved(schema)
    several = schema.get("oneOf") or schema.get("anyOf")
    return [form for each in several for form in branches(each)] if several else [schema]


def types(schema: Schema) -> set[str]:
    found: set[str] = set()
    for form in branches(schema):
        named = form.get("type", list(VALUES) if "const" not in form else "string")
        found.update([named] if isinstance(named, str) else named)
    return found | ({"integer"} if "number" in found else set())


def example(schema: Schema) -> Any:
    """Something that is right."""
    form = branches(schema)[0]
    if "enum" in form:
        return form["enum"][0]
    kind = form.get("type", "string")
    kind = kind if isinstance(kind, str) else kind[0]
    if kind == "object":
        properties = form.get("properties", {})
        return {key: example(properties[key]) for key in form.get("required", ())}
    return {"string": "1s", "integer": 1, "number": 1, "boolean": True, "array": [], "null": None}[kind]


def broken(schema: Schema, where: str) -> Iterator[Case]:
    """Values that are wrong at this place, or below it."""
    allowed = types(schema)
    for kind, value in VALUES.items():
        if kind not in allowed and not (kind == "number" and "integer" in allowed):
            yield where, value, f"{kind} instead of {'|'.join(sorted(allowed))}"
    for form in branches(schema):
        yield from _form(form, where, others=allowed)


def _form(form: Schema, where: str, others: set[str]) -> Iterator[Case]:
    if "enum" in form and others <= {"string", "null"}:
        yield where, "no-such-choice", "not one of the choices"
    if form.get("type") in ("integer", "number") or "integer" in form.get("type", ()):
        if "minimum" in form:
            yield where, form["minimum"] - 1, "too little"
        if "maximum" in form:
            yield where, form["maximum"] + 1, "too much"
    if form.get("type") == "array":
        for place, value, wrong in broken(form.get("items", {}), f"{where}[]"):
            yield place, [value], wrong
        if form.get("uniqueItems"):
            one = example(form["items"])
            yield where, [one, one], "twice the same"
    if form.get("type") == "object":
        yield from _object(form, where)


def _object(form: Schema, where: str) -> Iterator[Case]:
    properties: Schema = form.get("properties", {})
    needed = {key: example(properties[key]) for key in form.get("required", ()) if key in properties}
    for key, inner in properties.items():
        for place, value, wrong in broken(inner, f"{where}.{key}" if where else key):
            yield place, {**needed, key: value}, wrong
    for key in needed:
        rest = {name: value for name, value in needed.items() if name != key}
        if rest or where:
            yield where, rest, f"without {key}"
    if form.get("additionalProperties") is False and (properties or not form.get("patternProperties")):
        yield where, {**needed, "no-such-key": 1}, "an unknown key"
    for pattern, inner in form.get("patternProperties", {}).items():
        if not pattern.startswith("^x-"):
            for place, value, wrong in broken(inner, f"{where}.*"):
                yield place, {"some": value}, wrong


def cases() -> Iterator[Case]:
    for where, document, wrong in broken(spec(), ""):
        if isinstance(document, dict) and not any(where.startswith(each) for each in LENIENT):
            yield where, document, wrong


def refusal(document: Any) -> str:
    """What our check says; "" where it accepts."""
    (found,) = parse(json.dumps(document).encode(), "compose.yaml")
    assert isinstance(found.root, Mapping)
    try:
        check(found.root)
    except NakaginError as error:
        return str(error)
    return ""


def test_each_is_refused_and_its_key_is_named() -> None:
    accepted: list[str] = []
    unnamed: list[str] = []
    began = time.process_time()
    count = 0
    for where, document, wrong in cases():
        count += 1
        said = refusal(document)
        if not said:
            accepted.append(f"{where}: {wrong}: {json.dumps(document)}")
        elif (last := where.replace("[]", "").rpartition(".")[2]) not in ("*", "") and last not in said:
            unnamed.append(f"{where}: {wrong}: {said}")
    assert not accepted, f"{len(accepted)} of {count} are accepted:\n" + "\n".join(accepted)
    assert not unnamed, f"{len(unnamed)} of {count} do not name the key:\n" + "\n".join(unnamed)
    assert count > 1000
    assert time.process_time() - began < count / 50
