"""What `build -` makes of its standard input, and what the environment adds to the flags of `build`."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator

import pytest

from nakagin.cli.building.contexts import plan
from nakagin.cli.building.flags import FLAGS, query
from nakagin.cli.flags import parse
from tests.storage.tars import member, tar


class Input:
    """Stands for sys.stdin."""

    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


def test_a_tar_is_read_when_it_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tar(member("Dockerfile", b"FROM scratch\n"), member("large", bytes(3 << 20)))
    given = Input(archive)
    monkeypatch.setattr(sys, "stdin", given)
    found = plan("-", "")
    assert given.buffer.tell() == 512
    body = found.context()
    assert isinstance(body, Iterator)
    assert b"".join(body) == archive


@pytest.mark.parametrize("text", [b"FROM x\n", b"# " + b"long" * 300 + b"\nFROM x\n", b""])
def test_a_dockerfile_alone(monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", Input(text))
    assert plan("-", "").parameters()["text"] == text.decode()


def test_the_platform_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_DEFAULT_PLATFORM", "linux/arm64")
    for words, wanted in ((["."], "linux/arm64"), (["--platform", "linux/386", "."], "linux/386")):
        options, _ = parse(FLAGS, words)
        assert query(options)["platform"] == wanted
