"""What the tab key offers: the pure part with made-up names, the shells for real."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nakagin.cli.completion import SCRIPTS, candidates, split
from tests.engine_fixture import ScratchEngine

NAMES = {
    "container": ["web", "db", "old"], "running": ["web", "db"], "stopped": ["old"],
    "image": ["busybox", "busybox:latest", "host:5000/a:1"], "network": ["bridge", "back"], "volume": ["data"],
    "anything": ["web", "bridge"], "explained": ["web", "busybox", "back", "run"], "debugged": ["web", "busybox"],
    "context": ["default", "far"],
}  # fmt: skip


def offered(line: str) -> list[str]:
    return candidates(line, lambda kind: NAMES[kind])


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("nakagin ru", ["run"]),
        ("nakagin explain b", ["back", "busybox"]),
        ("nakagin explain r", ["run"]),
        ("nakagin explain run --memory-s", ["--memory-swap", "--memory-swappiness"]),
        ("nakagin explain run bu", ["busybox", "busybox:latest"]),
        ("nakagin debug ", ["busybox", "web"]),
        ("nakagin context use f", ["far"]),
        ("nakagin -c ", ["default", "far"]),
        ("nakagin sandbox --folder ", ["overlay", "read-only", "write"]),
        ("nakagin sandbox --format=", ["--format=json", "--format=text"]),
        ("nakagin init --language p", ["php", "python"]),
        ("nakagin compose p", ["pause", "port", "ps", "publish", "pull", "push"]),
        ("nakagin compose --pro", ["--profile", "--progress", "--project-directory", "--project-name"]),
        ("nakagin compose -p x up --no-r", ["--no-recreate"]),
        ("nakagin compose nothing ", []),
        ("nakagin -D vol", ["volume"]),
        ("nakagin --host x volume cr", ["create"]),
        ("nakagin stop ", ["db", "web"]),
        ("nakagin stop web ", ["db"]),
        ("nakagin start ", ["old"]),
        ("nakagin rm -f o", ["old"]),
        ("nakagin run --rm --net", ["--network", "--network-alias"]),
        ("nakagin run --network b", ["back", "bridge"]),
        ("nakagin run --network=b", ["--network=back", "--network=bridge"]),
        ("nakagin run -e A=b busy", ["busybox", "busybox:latest"]),
        ("nakagin run --rm busybox ", []),
        ("nakagin run --rm busybox --net", []),
        ("nakagin exec -it w", ["web"]),
        ("nakagin rmi host:5", ["host:5000/a:1"]),
        ("nakagin network connect back ", ["db", "old", "web"]),
        ("nakagin inspect b", ["bridge"]),
        ("nakagin run --restart un", ["unless-stopped"]),
        ("nakagin run -v ", ["data"]),
        ("nakagin nonsense ", []),
        ('nakagin stop "w', ["web"]),
    ],
)
def test_candidates(line: str, found: list[str]) -> None:
    assert offered(line) == found


def test_services_are_those_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the folder, or of -f; with those of every profile; a file that cannot be read has none."""
    (tmp_path / "compose.yaml").write_text(
        "services:\n  web: {image: a}\n  db: {image: b, profiles: [more]}\n"
    )
    (tmp_path / "other.yaml").write_text("services: {odd: {image: a}}\n")
    (tmp_path / "broken.yaml").write_text("services: {odd: [\n")
    monkeypatch.chdir(tmp_path)
    assert offered("nakagin compose logs -f ") == ["db", "web"]
    assert offered("nakagin compose up web ") == ["db"]
    assert offered("nakagin compose -p x -f other.yaml exec ") == ["odd"]
    assert offered("nakagin compose exec web ") == [], "a file"
    for file in ("broken.yaml", "none.yaml", "oci://nowhere.invalid/x"):
        assert offered(f"nakagin compose -f {file} up ") == []


def test_lines_are_split_as_a_shell_does() -> None:
    assert split("nakagin run 'a b' c") == (["nakagin", "run", "a b"], "c")
    assert split("nakagin run ") == (["nakagin", "run"], "")
    assert split("") == ([], "")


def test_nobody_answers() -> None:
    """No engine: no names, no error, and none is started."""
    done = subprocess.run(
        [sys.executable, "-m", "nakagin.cli", "completion", "answer"],
        capture_output=True, text=True, check=True,
        env={
            **os.environ, "PYTHONPATH": "src", "NAKAGIN_HOST": "unix:///nowhere/x.sock",
            "NAKAGIN_COMPLETE": "nakagin stop ",
        },
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("", "")


@pytest.fixture
def shelf(engine: ScratchEngine, name: str, tmp_path: Path) -> tuple[str, Path, dict[str, str]]:
    """(a container's name, a folder with `nakagin` and the scripts, the environment that finds both)."""
    engine.docker("run", "-d", "--name", name, "busybox", "sleep", "1000")
    command = tmp_path / "nakagin"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m nakagin.cli "$@"\n')
    command.chmod(0o755)
    for shell, script in SCRIPTS.items():
        (tmp_path / f"script.{shell}").write_text(script)
    environment = {
        **os.environ, "PYTHONPATH": os.path.abspath("src"), "NAKAGIN_HOST": engine.host, "HOME": str(tmp_path),
        "PATH": f"{tmp_path}:{os.environ['PATH']}", "TERM": "dumb", "XDG_CONFIG_HOME": str(tmp_path),
        "XDG_DATA_HOME": str(tmp_path),
    }  # fmt: skip
    return name, tmp_path, environment


@pytest.mark.root
def test_bash_completes(shelf: tuple[str, Path, dict[str, str]]) -> None:
    """The script in a real bash: a name with a colon, a container's name."""
    name, folder, environment = shelf
    ask = (
        f". {folder}/script.bash; complete_line() {{ COMP_LINE=$1; COMP_POINT=${{#1}}; COMP_WORDS=(nakagin); _nakagin; "
        'printf "%s\\n" "${COMPREPLY[@]}"; }; '
    )

    def completed(line: str) -> list[str]:
        done = subprocess.run(
            ["bash", "-c", f"{ask} complete_line '{line}'"],
            capture_output=True, text=True, check=True, env=environment,
        )  # fmt: skip
        return done.stdout.split()

    assert completed(f"nakagin stop {name[:6]}") == [name]
    assert completed("nakagin run --rm busybox:la") == ["latest"]
    assert completed("nakagin volume p") == ["prune"]


@pytest.mark.root
def test_fish_completes(shelf: tuple[str, Path, dict[str, str]]) -> None:
    name, folder, environment = shelf

    def completed(line: str) -> list[str]:
        done = subprocess.run(
            ["fish", "--no-config", "-c", f"source {folder}/script.fish; complete -C '{line}'"],
            capture_output=True, text=True, check=True, env=environment,
        )  # fmt: skip
        return done.stdout.split()

    assert completed(f"nakagin stop {name[:6]}") == [name]
    assert completed("nakagin run --rm busybox:la") == ["busybox:latest"]
    assert completed("nakagin volume p") == ["prune"]
    assert completed("nakagin run --netw") == ["--network", "--network-alias"]
    assert "pyproject.toml" in completed("nakagin load -i pypr"), "where a file is meant, files are offered"


@pytest.mark.root
def test_zsh_completes(shelf: tuple[str, Path, dict[str, str]]) -> None:
    """Keys are pressed on a terminal of its own: zsh completes nowhere else."""
    name, folder, environment = shelf
    main, end = pty.openpty()
    zsh = subprocess.Popen(
        ["zsh", "-f", "-i"], stdin=end, stdout=end, stderr=end, env=environment, close_fds=True
    )
    os.close(end)
    said = ""

    def press(keys: str, until: str) -> None:
        nonlocal said
        os.write(main, keys.encode())
        deadline = time.monotonic() + 30
        while until not in said:
            assert select.select([main], [], [], max(deadline - time.monotonic(), 0))[0], (
                f"no {until!r} in {said!r}"
            )
            said += os.read(main, 65536).decode(errors="replace")

    try:
        press(
            f"autoload -Uz compinit && compinit -u -d {folder}/dump && . {folder}/script.zsh; echo rea''dy\n",
            "ready",
        )
        said = ""
        press(f"nakagin stop {name[:6]}\t", name[6:])
        said = ""
        press("\x15nakagin run --rm busybox:la\t", "busybox:latest")
        said = ""
        press("\x15nakagin volume pru\t", "prune")
    finally:
        zsh.kill()
        zsh.wait()
        os.close(main)


def test_the_scripts_are_those_that_are_printed() -> None:
    for shell, script in SCRIPTS.items():
        done = subprocess.run(
            [sys.executable, "-m", "nakagin.cli", "completion", shell],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == script.lstrip("\n")
