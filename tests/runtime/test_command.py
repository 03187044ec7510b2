"""The command line: options as runc and crun take them."""

from __future__ import annotations

import pytest

from nakagin.errors import Invalid
from nakagin.runtime.command import VERBS, parse
from nakagin.runtime.verbs.events import duration

OPTIONS = {"bundle": "=", "force": "!", "env": "*", "all": "!"}


@pytest.mark.parametrize(
    "argv",
    [
        ["--bundle", "/b", "id"],
        ["--bundle=/b", "id"],
        ["-bundle", "/b", "id"],
        ["-b", "/b", "id"],
        ["id", "-b", "/b"],
    ],
)
def test_spellings(argv: list[str]) -> None:
    assert parse(OPTIONS, argv, stop_at_word=False) == ({"bundle": "/b"}, ["id"])


def test_switches_and_lists() -> None:
    argv = ["-f", "--all=false", "-e", "A=1", "--env=B=2", "id"]
    assert parse(OPTIONS, argv, stop_at_word=False) == (
        {"force": True, "all": False, "env": ["A=1", "B=2"]},
        ["id"],
    )


def test_exec_leaves_the_commands_options_alone() -> None:
    assert parse(OPTIONS, ["-f", "id", "ls", "-a"], stop_at_word=True) == (
        {"force": True},
        ["id", "ls", "-a"],
    )
    assert parse(OPTIONS, ["--", "-f"], stop_at_word=True) == ({}, ["-f"])


@pytest.mark.parametrize("argv", [["--nope"], ["--bundle"]])
def test_mistakes(argv: list[str]) -> None:
    with pytest.raises(Invalid):
        parse(OPTIONS, argv, stop_at_word=False)


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_has_its_function(name: str) -> None:
    module = __import__(f"nakagin.runtime.verbs.{VERBS[name].module}", fromlist=[name])
    assert callable(getattr(module, f"{name}_"))


@pytest.mark.parametrize(("text", "seconds"), [("5s", 5), ("500ms", 0.5), ("1m", 60), ("1.5h", 5400)])
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["5", "s", "-1s", "0s"])
def test_bad_durations(text: str) -> None:
    with pytest.raises(Invalid):
        duration(text)
