"""Every flag that the list of docker's command line names for a verb of ours is accepted."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from nakagin.cli import registry
from nakagin.cli.command import Command
from nakagin.cli.help import noun_help, root_help, verb_help
from nakagin.cli.main import GLOBAL_FLAGS, run

SURFACE = Path(__file__).parents[3] / "shared" / "surface" / "cli.tsv"


@cache
def rows() -> list[tuple[str, str, str]]:
    """(verb as written, long name, short name) of each flag in the list."""
    found = []
    for path in (SURFACE, Path(__file__).parents[2].parent.parent / "shared/surface/cli.tsv"):
        if path.exists():
            for line in path.read_text().splitlines()[1:]:
                name, _, flag, *_ = line.split("\t")
                _, verb, *rest = name.split(".")
                if rest and "--" in flag:
                    words = flag.replace(",", "").split()
                    long = next(word for word in words if word.startswith("--"))
                    short = next((word for word in words if len(word) == 2 and word[0] == "-"), "")
                    found.append((verb.replace("_", " ", 1), long[2:], short[1:]))
            break
    return found


def known(written: str) -> Command | None:
    """Our verb of that name, or None where we have none (yet)."""
    full = registry.SHORT.get(written) or registry.ALIASES.get(written, written)
    return registry.load(full) if full in registry.VERBS else None


def test_every_listed_flag_is_accepted() -> None:
    if not rows():
        pytest.skip("the list is not beside this repository")
    missing = []
    checked = 0
    for verb, long, short in rows():
        flags = GLOBAL_FLAGS if verb == "root" else (command.flags if (command := known(verb)) else None)
        if flags is None or long == "help":
            continue
        checked += 1
        flag = next((each for each in flags if each.name == long), None)
        if flag is None or (short and flag.short != short and verb != "update"):
            missing.append(f"{verb} --{long} {short}")
    assert not missing
    assert checked > 500


#: Nouns and verbs of docker's command line that are not here, and why.
EXPLAINED = {
    "buildx": "a plugin of docker's; `nakagin build` does what it is used for",
    "swarm": "for many machines: under Kubernetes", "node": "of swarm", "service": "of swarm", "stack": "of swarm",
    "secret": "of swarm", "config": "of swarm", "volume update": "of swarm's cluster volumes",
    "plugin": "there are no managed plugins", "trust": "Notary v1, which Docker itself has given up",
    "checkpoint": "needs CRIU",
}  # fmt: skip


def test_every_listed_verb_is_there_or_explained() -> None:
    if not rows():
        pytest.skip("the list is not beside this repository")
    missing = {
        written
        for written, _, _ in rows()
        if written != "root"
        and known(written) is None
        and written not in registry.NOUNS
        and written not in EXPLAINED
        and written.split()[0] not in EXPLAINED
    }
    assert not missing
    for noun in EXPLAINED:
        assert noun not in registry.NOUNS, f"{noun} is there now"


@pytest.mark.parametrize("full", registry.VERBS)
def test_every_verb_loads_and_helps(full: str) -> None:
    command = registry.load(full)
    text = verb_help(full, full, command)
    assert registry.VERBS[full][1] in text
    names = [flag.name for flag in command.flags]
    shorts = [flag.short for flag in command.flags if flag.short]
    assert len(set(names)) == len(names)
    assert len(set(shorts)) == len(shorts)


def test_defaults_are_shown_as_one_writes_them() -> None:
    text = verb_help("capacity", "capacity", registry.load("capacity"))
    assert "(default 3s)" in text
    assert "(default 200ms)" in text
    assert "(default 2GiB)" in verb_help("sandbox", "sandbox", registry.load("sandbox"))


def test_help_is_grouped(capsys: pytest.CaptureFixture[str]) -> None:
    text = root_help(GLOBAL_FLAGS)
    for title in ("Commands by task:", "Management Commands:", "Global Options:"):
        assert title in text
    assert run(["--help"]) == 0
    assert capsys.readouterr().out == text
    assert run(["image"]) == 0
    assert capsys.readouterr().out == noun_help("image")
    assert run(["run", "--help"]) == 0
    assert "--publish list" in capsys.readouterr().out


def test_help_fits_a_screen_and_has_every_command_once() -> None:
    lines = root_help(GLOBAL_FLAGS).splitlines()
    assert len(lines) < 24  # the prompt stands below it
    assert max(map(len, lines)) <= 80
    listed = [name for names in registry.TASKS.values() for name in names]
    assert sorted(listed) == sorted({*registry.SHORT, *(name for name in registry.VERBS if " " not in name)})


def test_unknown_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rnu"]) == 1
    told = capsys.readouterr().err
    assert "unknown command: nakagin rnu" in told
    assert "Did you mean `nakagin run`?" in told
    assert run(["image", "nope"]) == 1
    assert run(["--nope"]) == 125
    assert run(["ps", "--nope"]) == 125
    assert run(["ps", "extra"]) == 1
    assert "'nakagin ps' accepts no arguments" in capsys.readouterr().err
