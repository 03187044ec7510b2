"""Labels as filters name them."""

from __future__ import annotations

from nakagin.spec.labels import has_labels


def test_labels() -> None:
    labels = {"a": "1", "b": ""}
    assert has_labels(labels, [])
    assert has_labels(labels, ["a", "a=1", "b="])
    assert not has_labels(labels, ["a", "c"])
    assert not has_labels(labels, ["a=2"])
    assert not has_labels(labels, ["a="])
