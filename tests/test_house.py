"""The rules of the house that no linter knows: sizes, junk rooms, light imports, the way documents point."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
LONGEST = 500
LONGEST_TABLE = 700  # spec/ holds documents, one class per object of a specification

# Loaded by the zygote, every monitor and nakagin-runtime: each import costs every container.
LIGHT = ["kernel", "cgroups", "runtime", "monitor"]
LIGHT_FILES = ["errors.py", "network/links.py"]
# These of monitor/ belong to the engine's side.
ENGINE_SIDE = {"monitor/launch.py", "monitor/logreader.py", "monitor/logwatch.py"}
HEAVY = {
    "typing", "dataclasses", "re", "pathlib", "argparse", "logging", "asyncio", "contextlib", "msgspec",
    "subprocess", "shutil", "tempfile", "inspect", "collections.abc", "enum",
}  # fmt: skip


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_a_file_reads_in_one_sitting(path: Path) -> None:
    lines = path.read_text().count("\n")
    most = LONGEST_TABLE if path.parent.name == "spec" else LONGEST
    assert lines <= most, f"{lines} lines: which second noun moved in?"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_every_file_says_what_it_keeps(path: Path) -> None:
    if text := path.read_text():
        assert ast.get_docstring(ast.parse(text))


def test_no_junk_rooms() -> None:
    junk = {"utils", "util", "helpers", "helper", "common", "misc", "base", "core", "manager"}
    assert not [relative(path) for path in SOURCES if path.stem in junk or path.parent.name in junk]


def heavy_imports(path: Path) -> set[str]:
    """Heavy modules that the file imports, now or later, but for the type checker's sake."""
    found: set[str] = set()
    verb = path.parent.name == "verbs"  # one verb of the command line may import what it alone needs

    def walk(node: ast.AST) -> None:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return
        if verb and isinstance(node, ast.FunctionDef):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
        for child in ast.iter_child_nodes(node):
            walk(child)

    walk(ast.parse(path.read_text()))
    return found & HEAVY


def test_what_the_zygote_loads_is_light() -> None:
    package = ROOT / "src/nakagin"
    files = [path for room in LIGHT for path in sorted((package / room).rglob("*.py"))]
    files += [package / name for name in LIGHT_FILES]
    found = {
        relative(path): heavy
        for path in files
        if str(path.relative_to(package)) not in ENGINE_SIDE and (heavy := heavy_imports(path))
    }
    assert not found


def test_the_zygote_itself_loads_nothing_heavy() -> None:
    script = "import sys, nakagin.monitor.zygote; print('\\n'.join(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    argv = [sys.executable, "-S", "-c", script]
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, check=True)
    assert not (HEAVY | {"json"}) & set(done.stdout.split()) - {
        "enum",
        "collections.abc",
    }  # socket brings these


def test_documents_point_to_what_exists() -> None:
    broken = []
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text()):
            if "://" not in target and not (document.parent / target).exists():
                broken.append(f"{relative(document)}: {target}")
    assert not broken


def test_help_explains_every_target() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony is not None
    argv = ["make", "--no-print-directory", "help"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    shown = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    assert {line.split()[1] for line in shown.splitlines()} == set(phony.group(1).split())
    assert all(len(line.split(maxsplit=2)) == 3 for line in shown.splitlines())


def test_continuous_integration_calls_the_readmes_command() -> None:
    assert "make test" in (ROOT / ".ci/run").read_text()
    assert "\nmake test\n" in (ROOT / "README.md").read_text()
