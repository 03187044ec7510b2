"""The way in and out: environment, errors, exit codes, weight."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nakagin.cli import door, main
from nakagin.client.refusals import BY_STATUS, refusal
from nakagin.errors import NakaginError, Unavailable
from tests.cli.conftest import PaperEngine, environment, nakagin


def test_no_engine_is_told_with_what_to_do(tmp_path: Path) -> None:
    done = nakagin(f"unix://{tmp_path}/none", "ps")
    assert done.returncode == 1
    assert "Cannot connect to the engine at" in done.stderr
    assert nakagin(f"unix://{tmp_path}/none", "run", "x").returncode == 125


def test_a_file_that_went_away_is_told_without_a_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def dispatch(*_: object) -> int:
        raise FileNotFoundError(2, "No such file or directory", "/gone")

    monkeypatch.setattr(main, "_dispatch", dispatch)
    assert main.run(["ps"]) == 1
    assert capsys.readouterr().err == "/gone: No such file or directory\n"
    with pytest.raises(FileNotFoundError):
        main.run(["--debug", "ps"])


def test_version_tells_why_there_is_no_server_whatever_the_template_asks(tmp_path: Path) -> None:
    for template in ("{{.Server.Version}}", "{{.Client.Version}}"):
        done = nakagin(f"unix://{tmp_path}/none", "version", "--format", template)
        assert done.returncode == 1
        assert "Cannot connect to the engine at" in done.stderr
        assert "nil pointer" not in done.stderr


def test_the_flag_beats_the_environment(paper: PaperEngine, tmp_path: Path) -> None:
    paper.answers["GET /containers/json"] = (200, [])
    assert nakagin("tcp://127.0.0.1:1", "-H", paper.host, "ps", "-q").returncode == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ('exec: "x": executable file not found in $PATH', 127),
        ("stat /x: no such file or directory", 127),
        ('exec: "/etc": permission denied', 126),
        ('exec: "/etc": is a directory', 126),
        ("No such image: x:latest", 125),
        ("port is already allocated", 125),
    ],
)
def test_exit_codes_of_a_start(words: str, code: int) -> None:
    assert door.start_exit_code(refusal(400, "", words.encode())) == code
    assert door.start_exit_code(Unavailable(words)) == 125


def test_refusals_have_class_status_and_words() -> None:
    for status, kind in BY_STATUS.items():
        error = refusal(status, "Reason", b'{"message": "the words"}')
        assert isinstance(error, kind)
        assert (error.status, error.message) == (status, "the words")
        assert door.explain(error) == "Error response from daemon: the words"
        assert door.exit_code(error) == 1
    assert refusal(500, "Reason", b"").message == "500 Reason"
    assert refusal(500, "Reason", b"plain").message == "plain"
    assert isinstance(refusal(418, "", b""), NakaginError)


HEAVY = {
    "click",
    "rich",
    "typing",
    "json",
    "re",
    "enum",
    "socket",
    "ssl",
    "dataclasses",
    "inspect",
    "subprocess",
    "aiohttp",
}


@pytest.mark.parametrize("words", [["ps"], ["create", "x"], ["run", "-d", "x"]])
def test_the_start_path_is_light(paper: PaperEngine, words: list[str], tmp_path: Path) -> None:
    """What `ps` and `run` import is what their users wait for: a unix socket needs none of these."""
    code = (
        "import sys; before = set(sys.modules); from nakagin.cli.main import run; run(sys.argv[1:]);"
        "print(' '.join(set(sys.modules) - before), file=sys.stderr)"
    )
    variables = environment(f"unix://{tmp_path}/none")
    command = [
        sys.executable,
        "-I",
        "-c",
        f"import sys; sys.path.insert(0, {variables['PYTHONPATH']!r}); {code}",
        *words,
    ]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stderr.splitlines()[-1].split())


def test_the_installed_script_is_light_too() -> None:
    """The script that an installer writes for an entry point imports `re`, for a third of the time of `ps`."""
    installed = Path(sys.executable).with_name("nakagin")
    command = [sys.executable, "-X", "importtime"]
    bare = subprocess.run([*command, "-c", ""], capture_output=True, text=True, check=True).stderr
    ours = subprocess.run([*command, str(installed), "--version"], capture_output=True, text=True, check=True)
    assert ours.stdout.startswith("Nakagin version")
    assert not HEAVY & (_imported(ours.stderr) - _imported(bare))


def _imported(importtime: str) -> set[str]:
    """The modules that `python -X importtime` tells of."""
    return {line.rpartition("|")[2].strip() for line in importtime.splitlines()}
