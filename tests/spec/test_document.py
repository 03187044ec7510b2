"""JSON by the C scanner: the same answers as `json`."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nakagin.errors import Invalid
from nakagin.spec.document import parse, render

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@settings(deadline=None)  # a busy machine is no failure
@given(VALUES)
def test_what_is_rendered_is_what_json_renders(value: object) -> None:
    assert render(value) == json.dumps(value, separators=(",", ":"))
    assert json.loads(render(value, indent=2)) == value
    assert parse(render(value)) == value
    assert parse(json.dumps(value, indent=1).encode()) == value


def test_blanks_around() -> None:
    assert parse(b"\n\t {} \r\n") == {}


@pytest.mark.parametrize("text", ["", "{", "[1,", '{"a"}', "{} x", "nul", '"open', "\xff"])
def test_what_is_broken_names_the_document(text: str) -> None:
    with pytest.raises(Invalid, match=r"config\.json: "):
        parse(text.encode("latin-1"), "config.json")


def test_indented() -> None:
    assert render({"a": [1, {}], "b": {}}, indent=2) == '{\n  "a": [\n    1,\n    {}\n  ],\n  "b": {}\n}'


def test_what_is_no_json_value_is_refused() -> None:
    with pytest.raises(TypeError):
        render({"a": object()})
