"""`compose config` and how files, names and variables are found, as a user of the command line sees it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from nakagin.cli.main import run
from nakagin.compose.environment import gather
from nakagin.compose.loader import load
from nakagin.compose.select import for_services
from nakagin.errors import Invalid
from tests.compose.corpus import SURROUNDINGS, binary, cases


def ours(home: Path, *words: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """`nakagin compose …`, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        for name in os.environ:
            patch.delenv(name)
        for name, value in {**SURROUNDINGS, **more}.items():
            patch.setenv(name, value)
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        output, errors = io.StringIO(), io.StringIO()
        with redirect_stdout(output), redirect_stderr(errors):
            code = run(["compose", *words])
        sys.stdin.close()
    return subprocess.CompletedProcess(words, code, output.getvalue(), errors.getvalue())


def theirs(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The binary's answer."""
    return subprocess.run(
        [binary(), *words],
        cwd=home,
        env=SURROUNDINGS,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A real stack."""
    return next(case for case in cases(topic="stacks") if "postgres-redis" in case.name).write(tmp_path)


@pytest.mark.parametrize(
    "flags",
    [
        ["--services"], ["--images"], ["--volumes"], ["--networks"], ["--profiles"], ["--models"],
        ["--hash", "*"], ["--hash", "db,cache"], ["--variables"], ["--no-interpolate"], ["--no-normalize"],
        ["--no-path-resolution"], ["--no-consistency"], ["--no-env-resolution"], ["--format", "json"], ["db"], ["-q"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_each_flag_says_what_compose_says(home: Path, flags: list[str]) -> None:
    answer, wanted = ours(home, "config", *flags), theirs(home, "config", *flags)
    assert (answer.returncode, wanted.returncode) == (0, 0), answer.stderr
    # Compose walks some of these in no order
    free = flags[0] in ("--services", "--images", "--volumes", "--networks", "--variables")
    shown, expected = answer.stdout.rstrip("\n"), wanted.stdout.rstrip("\n")
    assert (sorted(shown.splitlines()) == sorted(expected.splitlines())) if free else (shown == expected)


def test_a_whole_project_goes_into_a_file_and_back(home: Path) -> None:
    assert ours(home, "config", "-o", "out.yaml").stdout == ""
    again = ours(home, "-f", "out.yaml", "config")
    assert again.stdout == (home / "out.yaml").read_text()


def test_a_variable_says_where_it_comes_from_and_what_it_hides(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(
        "services:\n  a: {image: 'x:${SHELL_VAR:-none}', command: $UNSET}\n"
    )
    (tmp_path / ".env").write_text("SHELL_VAR=hidden\n")
    told = ours(tmp_path, "config", "--explain", "SHELL_VAR").stdout
    assert "SHELL_VAR = 'shell', from the environment" in told
    assert f"hides 'hidden' from {tmp_path}/.env" in told
    assert f"{tmp_path}/compose.yaml:2:7: ${{SHELL_VAR:-none}} → 'shell'" in told
    told = ours(tmp_path, "config", "--explain", "UNSET").stdout
    assert "UNSET is not set." in told
    assert "'' (it is not set)" in told


def test_files_are_found_above_and_read_from_standard_input(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {above: {image: x}}")
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    assert ours(inside, "config", "--services").stdout == "above\n"
    assert (
        ours(inside, "-f", "-", "config", "--services", stdin="services: {piped: {image: x}}").stdout
        == "piped\n"
    )


def test_env_files_by_variable_and_none_at_all(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {a: {image: 'x:${TAG:-none}'}}")
    (tmp_path / ".env").write_text("TAG=dotenv")
    (tmp_path / "one.env").write_text("TAG=one")
    assert ours(tmp_path, "config", "--images").stdout == "x:dotenv\n"
    assert ours(tmp_path, "config", "--images", COMPOSE_ENV_FILES="one.env").stdout == "x:one\n"
    assert ours(tmp_path, "config", "--images", COMPOSE_DISABLE_ENV_FILE="1").stdout == "x:none\n"


@pytest.mark.parametrize(
    ("folder", "name"),
    [("Plain", "plain"), ("with space", "withspace"), ("_9.x-Y", "9x-y"), ("Ünder", "nder")],
)
def test_a_project_has_its_folders_name(folder: str, name: str, tmp_path: Path) -> None:
    inside = tmp_path / folder
    inside.mkdir()
    (inside / "compose.yaml").write_text("services: {a: {image: x}}")
    assert load(gather(working=str(inside), surroundings=SURROUNDINGS)).name == name
    assert theirs(inside, "config").stdout.startswith(f"name: {name}\n")


def test_what_cannot_be_a_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {a: {image: x}}")
    for bad in ("Upper", "-dash", "a.b", "a b"):
        with pytest.raises(Invalid, match="invalid project name"):
            gather(name=bad, working=str(tmp_path), surroundings=SURROUNDINGS)
    assert ours(tmp_path, "-p", "good_1-x", "config").stdout.startswith("name: good_1-x\n")


def test_an_included_file_may_not_say_otherwise(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("include: [other.yaml]\nservices: {a: {image: x}}")
    (tmp_path / "other.yaml").write_text("services: {a: {image: y}}")
    told = ours(tmp_path, "config")
    assert told.returncode == 1
    assert "services.a: conflicts with imported resource" in told.stderr
    assert "other.yaml:1:12" in told.stderr


def test_a_service_that_is_named_needs_no_profile(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {a: {image: x}, b: {image: x, profiles: [p]}}")
    project = load(gather(working=str(tmp_path), surroundings=SURROUNDINGS)).project
    assert list(project.services) == ["a"]
    assert list(for_services(project, ["b"]).services) == ["b"]


def test_errors_and_help_are_for_people(tmp_path: Path) -> None:
    assert ours(tmp_path, "config").stderr.startswith("no configuration file provided: not found")
    (tmp_path / "compose.yaml").write_text("services: {a: {image: x}}")
    told = ours(tmp_path, "confg")
    assert told.returncode == 1
    assert 'unknown nakagin command: "compose confg" (did you mean config?)' in told.stderr
    told = ours(tmp_path, "config", "--servics")
    assert told.returncode == 1
    assert "unknown flag: --servics" in told.stderr
    assert "--services" in told.stderr
    assert "no such service: b" in ours(tmp_path, "config", "b").stderr
    assert "Print the service names" in ours(tmp_path, "config", "--help").stdout
    assert "Create and start containers" in ours(tmp_path, "--help").stdout
    assert ours(tmp_path, "version", "--short").stdout == "2.40.3\n"
