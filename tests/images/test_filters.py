from __future__ import annotations

import pytest

from nakagin.errors import Invalid, NotFound
from nakagin.images.filters import selected
from nakagin.images.model import Image, ImageRecord


def image(id: str, created: str, *tags: str, labels: dict[str, str] | None = None) -> Image:
    config = {"created": created, "rootfs": {"type": "layers", "diff_ids": []}, "config": {"Labels": labels}}
    return Image(id, config, ImageRecord((), ""), 0, None, tags)  # type: ignore[arg-type]


A = image("a", "2026-01-01T00:00:00Z", "app:1", "quay.io/team/app:1", labels={"x": "1"})
B = image("b", "2026-01-02T00:00:00.5Z", "app:2", labels={"x": "2", "y": ""})
C = image("c", "2026-01-03T00:00:00Z")
ALL = [A, B, C]


def resolve(name: str) -> Image:
    for each in ALL:
        if name in each.repo_tags:
            return each
    raise NotFound(f"No such image: {name}")


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        ({}, "abc"),
        ({"dangling": ["true"]}, "c"),
        ({"dangling": ["0"]}, "ab"),
        ({"label": ["x"]}, "ab"),
        ({"label": ["x=2"]}, "b"),
        ({"label": ["x", "y"]}, "b"),
        ({"label!": ["y"]}, "ac"),
        ({"before": ["app:2"]}, "a"),
        ({"since": ["app:1"]}, "bc"),
        ({"until": ["2026-01-02T12:00:00"]}, "ab"),
        ({"until": ["1h"]}, "abc"),
        ({"reference": ["app"]}, "ab"),
        ({"reference": ["app:2"]}, "b"),
        ({"reference": ["*:1"]}, "a"),
        ({"reference": ["quay.io/*/app"]}, "a"),
        ({"reference": ["*/app"]}, ""),
        ({"reference": ["docker.io/library/app:*"]}, "ab"),
        ({"reference": ["nothing", "app:1"]}, "a"),
        ({"label": ["x"], "since": ["app:1"]}, "b"),
    ],
)
def test_filters(filters: dict[str, list[str]], ids: str) -> None:
    assert "".join(each.id for each in selected(ALL, filters, resolve)) == ids


def test_reference_leaves_only_the_names_that_match() -> None:
    (found,) = selected(ALL, {"reference": ["quay.io/*/*"]}, resolve)
    assert found.repo_tags == ("quay.io/team/app:1",)


@pytest.mark.parametrize("filters", [{"colour": ["red"]}, {"dangling": ["maybe"]}, {"until": ["soon"]}])
def test_bad_filters(filters: dict[str, list[str]]) -> None:
    with pytest.raises(Invalid, match="invalid filter"):
        selected(ALL, filters, resolve)


def test_an_unknown_image() -> None:
    with pytest.raises(NotFound):
        selected(ALL, {"before": ["nope"]}, resolve)
