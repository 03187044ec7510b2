"""Exit codes as Docker's: 125 for the engine, 126 and 127 for the command, 128+n for a signal."""

from __future__ import annotations

import pytest
from tests.spine.conftest import Cli

pytestmark = pytest.mark.root

TABLE = [
    pytest.param(["busybox", "true"], 0, "", id="success"),
    pytest.param(["busybox", "sh", "-c", "exit 3"], 3, "", id="the program's own"),
    pytest.param(["busybox", "sh", "-c", "exit 255"], 255, "", id="the highest"),
    pytest.param(["--no-such-flag", "busybox", "true"], 125, "unknown flag", id="bad flag"),
    pytest.param(["-m", "lots", "busybox", "true"], 125, "lots", id="bad value"),
    pytest.param(["busybox", "no-such-command"], 127, "executable file not found", id="missing command"),
    pytest.param(["busybox", "/no/such/file"], 127, "no such file or directory", id="missing file"),
    pytest.param(["busybox", "/etc/passwd"], 126, "permission denied", id="not executable"),
    pytest.param(["busybox", "/etc"], 126, "permission denied|is a directory", id="a folder"),
    pytest.param(["-w", "/etc/passwd", "busybox", "true"], 125, "not a directory", id="folder is a file"),
    pytest.param(["-u", "nobody-here", "busybox", "true"], 125, "nobody-here", id="unknown user"),
    pytest.param(["--network", "no-such-network", "busybox", "true"], 125, "not found", id="unknown network"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), TABLE)
def test_run_exits_with(cli: Cli, arguments: list[str], code: int, words: str, name: str) -> None:
    done = cli("run", "--rm", "--name", name, *arguments, check=code)
    assert any(each in done.stderr.lower() for each in words.split("|")), done.stderr
    assert cli("ps", "-aq", "--filter", f"name={name}").stdout == "", "something half-made is left"


@pytest.mark.parametrize(("signal", "code"), [("KILL", 137), ("TERM", 143), ("INT", 130), ("HUP", 129)])
def test_death_by_signal(cli: Cli, name: str, signal: str, code: int) -> None:
    # `exec` below another shell: the program is not init, so that the signal's default holds
    cli("run", "--init", "--name", name, "busybox", "sh", "-c", f"kill -{signal} $$", check=code)
    assert cli("inspect", "-f", "{{.State.ExitCode}}", name).stdout.strip() == str(code)
