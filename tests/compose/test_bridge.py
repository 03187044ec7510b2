from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.compose.test_clients import Stack, stack

__all__ = ["stack"]
pytestmark = pytest.mark.root

PROJECT = """
services:
  web: {image: busybox, ports: ["8080:80"], environment: {A: b$$c}, configs: [conf]}
configs: {conf: {file: ./conf}}
"""
DOCKERFILE = """FROM busybox
LABEL com.docker.compose.bridge=transformation
RUN mkdir /templates && echo own > /templates/own.tmpl
COPY work /
ENTRYPOINT ["sh", "/work"]
"""
WORK = """
echo at work
ls /templates > /out/templates
cp /in/compose.yaml /out/
! grep -q fail /in/compose.yaml
"""


@pytest.fixture
def transformation(stack: Stack) -> Iterator[str]:
    name = f"{stack.name}-transformation"
    (stack.home / "compose.yaml").write_text(PROJECT)
    (stack.home / "conf").write_text("listen")
    (stack.home / "Transformation").write_text(DOCKERFILE)
    (stack.home / "work").write_text(WORK)
    stack.engine.nakagin("build", "-q", "-t", name, "-f", str(stack.home / "Transformation"), str(stack.home))
    yield name
    stack.engine.docker("rmi", "-f", name)


def test_a_transformation_finds_the_project_and_leaves_files(stack: Stack, transformation: str) -> None:
    told = stack.ours("bridge", "convert", "-t", transformation, "-o", "made")
    assert told == "at work\n"
    assert (stack.home / "made" / "templates").read_text() == "own.tmpl\n"
    found = (stack.home / "made" / "compose.yaml").read_text()
    assert "A: b$c" in found
    assert "content: listen" in found
    assert 'expose:\n      - "80"' in found
    (stack.home / "mine").mkdir()
    (stack.home / "mine" / "my.tmpl").write_text("x")
    stack.ours("bridge", "convert", "-t", transformation, "-o", "made", "--templates", "mine")
    assert (stack.home / "made" / "templates").read_text() == "my.tmpl\n"
    (stack.home / "conf").write_text("fail")
    assert "it exited with status 1" in stack.ours("bridge", "convert", "-t", transformation, code=1)
    assert stack.engine.docker("ps", "-aq", "-f", f"ancestor={transformation}").stdout == ""


def test_transformations_are_listed_and_copied(stack: Stack, transformation: str) -> None:
    for run in (stack.ours, stack.theirs):
        assert f"{transformation}:latest" in run("bridge", "transformations", "list", "-q").split()
    assert transformation in stack.ours("bridge", "transformations", "ls")
    listed = json.loads(stack.ours("bridge", "transformations", "list", "--format", "json"))
    assert [f"{transformation}:latest"] in [each["RepoTags"] for each in listed]
    stack.ours("bridge", "transformations", "create", "-f", transformation, "copy")
    assert (stack.home / "copy" / "templates" / "own.tmpl").read_text() == "own\n"
    assert (stack.home / "copy" / "Dockerfile").read_text().startswith(f"FROM {transformation}\n")
    assert "exists already" in stack.ours(
        "bridge", "transformations", "create", "-f", transformation, "copy", code=1
    )


def test_without_one_there_are_manifests(stack: Stack) -> None:
    (stack.home / "compose.yaml").write_text(PROJECT)
    (stack.home / "conf").write_text("listen")
    told = stack.ours("bridge", "convert")
    assert "Kubernetes resource web-deployment.yaml created" in told
    assert (stack.home / "out" / "kustomization.yaml").exists()
    assert "name its image with -t" in stack.ours("bridge", "convert", "--templates", "out", code=1)
    assert "bridge convert" in stack.ours("bridge")
    assert stack.ours("bridge", "convert", "--dry-run").startswith("DRY-RUN MODE")
