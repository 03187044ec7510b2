"""The guides: every command in them is one that there is, with flags that it has; both READMEs say the same."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from nakagin.cli import registry
from nakagin.cli.flags import parse
from nakagin.cli.main import GLOBAL_FLAGS

ROOT = Path(__file__).resolve().parents[2]
GUIDES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
# These read the words after their own name themselves.
OWN_WORDS = {"compose", "registry", "engine", "replicate", "explain"}


def blocks(path: Path) -> list[str]:
    """The shell lines of a guide, as they are typed: continued lines joined."""
    return [
        block.replace("\\\n", " ")
        for block in re.findall(r"^```sh\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)
    ]


def commands(path: Path) -> Iterator[list[str]]:
    """The words after `nakagin` of every such command in the shell blocks, without pipes and redirections."""
    for block in blocks(path):
        for line in block.splitlines():
            words: list[str] = []
            for word in [*shlex.split(line, comments=True), "&&"]:
                if word in {"&&", "|", ";", "<", ">"}:
                    if words[:1] == ["nakagin"]:
                        yield words[1:]
                    words = []
                else:
                    words.append(word)


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_every_command_of_a_guide_is_one(path: Path) -> None:
    for words in commands(path):
        _, rest = parse(GLOBAL_FLAGS, words, interspersed=False)
        full, written, used = registry.find(rest)
        if full not in OWN_WORDS:
            registry.load(full).parse(written, rest[used:])


def test_there_are_such_commands() -> None:
    assert sum(1 for path in GUIDES for _ in commands(path)) > 80


def test_both_readmes_say_the_same() -> None:
    """The same commands in the same order, and the same documents to read on."""
    texts = {name: (ROOT / name) for name in ("README.md", "README.zh-CN.md")}
    typed = {
        name: [re.sub(r"\s*#.*", "", line) for block in blocks(path) for line in block.splitlines()]
        for name, path in texts.items()
    }
    assert typed["README.md"] == typed["README.zh-CN.md"]
    links = {
        name: set(re.findall(r"\]\(([^)]+)\)", path.read_text())) - set(texts) for name, path in texts.items()
    }
    assert links["README.md"] == links["README.zh-CN.md"]
    headings = {name: path.read_text().count("\n## ") for name, path in texts.items()}
    assert len(set(headings.values())) == 1, headings
