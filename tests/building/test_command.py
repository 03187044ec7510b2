"""`docker build` and `nakagin build` on a folder: one test for the two of them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.engine_fixture import ScratchEngine

pytestmark = pytest.mark.root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nARG WHO=me\nCOPY . /c/\nRUN echo $WHO > /who\n")
    (tmp_path / ".dockerignore").write_text("*.log\nnode\n!node/keep\n")
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "b.log").write_text("b")
    (tmp_path / "node").mkdir()
    (tmp_path / "node" / "x").write_text("x")
    (tmp_path / "node" / "keep").write_text("keep")
    return tmp_path


def run(
    engine: ScratchEngine, which: str, *arguments: str, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    argv = getattr(engine, f"{which}_argv")(*arguments)
    environment = engine.environment({"DOCKER_BUILDKIT": "0", "WHO": "environment"})
    return subprocess.run(argv, env=environment, input=stdin, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("which", ["docker", "nakagin"])
def test_a_folder(engine: ScratchEngine, which: str, folder: Path) -> None:
    """DF.arg.from-env DF.ignore.parent-excluded DF.output.iidfile"""
    name, id_file = f"built-by-{which}", folder.parent / f"{which}-id"
    found = run(
        engine, which, "build", "-t", name, "--build-arg", "WHO", "--iidfile", str(id_file), str(folder)
    )
    assert found.returncode == 0, found.stderr
    assert f"Successfully tagged {name}:latest" in found.stdout + found.stderr
    shown = engine.nakagin(
        "run", "--rm", name, "sh", "-c", "cat /who; cd /c; find . -type f | grep -v ocker | sort"
    )
    assert shown.stdout == "environment\n./a.txt\n./node/keep\n"
    id = id_file.read_text()
    assert engine.nakagin("image", "inspect", "-f", "{{.Id}}", name).stdout.strip() == id
    engine.nakagin("rmi", "-f", name)


@pytest.mark.parametrize("which", ["docker", "nakagin"])
def test_a_dockerfile_on_standard_input(engine: ScratchEngine, which: str) -> None:
    """DF.syntax.stdin"""
    found = run(engine, which, "build", "-q", "-", stdin="FROM busybox\nRUN echo alone > /x\n")
    id = found.stdout.strip().splitlines()[-1]
    assert found.returncode == 0, found.stderr
    assert engine.nakagin("run", "--rm", id, "cat", "/x").stdout == "alone\n"
    engine.nakagin("rmi", "-f", id)


@pytest.mark.parametrize("which", ["docker", "nakagin"])
def test_a_failing_step_ends_with_an_error(engine: ScratchEngine, which: str) -> None:
    """DF.run.exitcode"""
    found = run(engine, which, "build", "-", stdin="FROM busybox\nRUN echo said && exit 7\n")
    assert found.returncode != 0
    assert "said\n" in found.stdout + found.stderr
    assert "returned a non-zero code: 7" in found.stderr


def test_a_mistake_is_shown_where_it_is(engine: ScratchEngine) -> None:
    found = run(engine, "nakagin", "build", "-", stdin="FROM busybox\nRUN true\nCOPPY a b\n")
    assert found.returncode == 1
    assert "3 | >>> COPPY a b" in found.stderr
    assert "did you mean COPY?" in found.stderr
