"""The corpus: our canonical JSON, YAML and hashes are those of the Compose v2 binary, project for project."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from nakagin.compose.environment import Sources, gather
from nakagin.compose.loader import Loaded, load
from nakagin.compose.render import as_json, as_yaml, yaml_document
from nakagin.compose.select import without_unused
from tests.compose.corpus import SURROUNDINGS, Case, cases, theirs

FLAGS = {"-f": "files", "--profile": "profiles", "--env-file": "env_files"}


def sources(case: Case, home: Path, monkeypatch: pytest.MonkeyPatch) -> Sources:
    """What the case's arguments mean."""
    monkeypatch.setenv("HOME", SURROUNDINGS["HOME"])
    lists: dict[str, list[str]] = {"files": [], "profiles": [], "env_files": []}
    name = folder = ""
    words = iter(case.arguments)
    for word in words:
        if word in FLAGS:
            lists[FLAGS[word]].append(next(words))
        elif word == "-p":
            name = next(words)
        elif word == "--project-directory":
            folder = next(words)
    surroundings = {**SURROUNDINGS, "PWD": str(home)}
    return gather(
        files=lists["files"], profiles=lists["profiles"], env_files=lists["env_files"],
        name=name, folder=folder, surroundings=surroundings, working=str(home),
    )  # fmt: skip


def ours(case: Case, home: Path, monkeypatch: pytest.MonkeyPatch) -> Loaded:
    """The case as we load it."""
    loaded = load(sources(case, home, monkeypatch))
    if "--all-resources" not in case.arguments:
        loaded.project = without_unused(loaded.project)
    return loaded


def asked(case: Case, form: str, home: Path) -> str:
    """What the binary prints."""
    answer = theirs(home, [*case.arguments, "config", "--format", form])
    assert answer.returncode == 0, f"{case.name}: {answer.stderr}"
    return answer.stdout


def test_every_project_is_what_compose_says_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    homes = {case.name: case.write(tmp_path) for case in cases()}
    assert len(homes) == len(cases()), "names are unique"
    assert len(homes) >= 120
    different: list[str] = []
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda case: asked(case, "json", homes[case.name]), cases())
        for case, answer in zip(cases(), answers, strict=True):
            project = ours(case, homes[case.name], monkeypatch).project
            shown = as_json(project.document()).replace("$", "$$")
            if json.loads(shown) != json.loads(answer):
                different.append(f"{case.name}\nours: {shown}\ntheirs: {answer}")
    assert not different, "\n\n".join(different)


def test_as_yaml_it_reads_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = [each for topic in ("applications", "stacks", "values") for each in cases(topic=topic)]
    homes = {case.name: case.write(tmp_path) for case in chosen}
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda case: asked(case, "yaml", homes[case.name]), chosen)
        for case, answer in zip(chosen, answers, strict=True):
            project = ours(case, homes[case.name], monkeypatch).project
            shown = as_yaml(yaml_document(project)).replace("$", "$$")
            assert yaml.safe_load(shown) == yaml.safe_load(answer), case.name
