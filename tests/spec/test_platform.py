from __future__ import annotations

import pytest

from nakagin.errors import Invalid
from nakagin.spec.platform import Platform, choose


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("linux/x86_64", "linux/amd64"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/arm/7", "linux/arm/v7"),
        ("amd64", "linux/amd64"),
        ("macos/arm64", "darwin/arm64"),
    ],
)
def test_normal_form(text: str, normal: str) -> None:
    assert str(Platform.parse(text)) == normal


@pytest.mark.parametrize("text", ["", "linux/", "/amd64", "a/b/c/d", "toaster"])
def test_bad_platforms(text: str) -> None:
    with pytest.raises(Invalid):
        Platform.parse(text)


@pytest.mark.parametrize(
    ("offers", "host", "chosen"),
    [
        (["linux/arm64", "linux/amd64"], "linux/amd64", "linux/amd64"),
        (["linux/arm/v5", "linux/arm/v7", "linux/arm/v6"], "linux/arm/v7", "linux/arm/v7"),
        (["linux/arm/v5", "linux/arm/v6"], "linux/arm/v7", "linux/arm/v6"),
        (["linux/arm/v7"], "linux/arm64", "linux/arm/v7"),
        (["linux/386"], "linux/amd64", "linux/386"),
        (["windows/amd64"], "linux/amd64", None),
        (["linux/arm/v7"], "linux/arm/v6", None),
        (["linux/amd64", "linux/amd64/v3"], "linux/amd64", "linux/amd64"),
    ],
)
def test_the_best_is_chosen(offers: list[str], host: str, chosen: str | None) -> None:
    candidates = [(Platform.parse(offer), offer) for offer in offers]
    assert choose(candidates, Platform.parse(host)) == chosen
