"""What is said to ssh and understood of it; the real thing is in tests/spine/test_handover.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nakagin.client.endpoint import Endpoint
from nakagin.client.ssh import command, explain, shared_path
from nakagin.errors import Denied, Unavailable


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NAKAGIN_SSH", raising=False)


def test_command_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = command(Endpoint("ssh://box"), "")
    assert plain[0] == "ssh"
    assert plain[-3:] == ["--", "box", "nakagin system dial-stdio"]
    assert "-p" not in plain
    full = command(Endpoint("ssh://me@box:22/run/my sock"), "/run/x")
    assert full[full.index("-l") + 1] == "me"
    assert full[full.index("-p") + 1] == "22"
    assert "ControlPath=/run/x" in full
    assert full[-1] == "nakagin -H 'unix:///run/my sock' system dial-stdio"
    monkeypatch.setenv("NAKAGIN_SSH", "myssh -F 'a file'")
    assert command(Endpoint("ssh://box"), "")[:3] == ["myssh", "-F", "a file"]


def test_shared_connections(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    short = Path(os.path.realpath("/tmp")) / f"nk{os.getpid()}"
    short.mkdir(mode=0o700)
    try:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
        one, other = shared_path(Endpoint("ssh://a@box")), shared_path(Endpoint("ssh://b@box"))
        assert one
        assert one != other
        assert shared_path(Endpoint("ssh://a@box/some.sock")) == one
        folder = Path(one).parent
        assert folder.stat().st_mode & 0o777 == 0o700
        folder.chmod(0o777)  # others could put their socket there
        assert shared_path(Endpoint("ssh://a@box")) == ""
        folder.rmdir()
        folder.symlink_to(tmp_path)
        assert shared_path(Endpoint("ssh://a@box")) == ""
        folder.unlink()
    finally:
        short.rmdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / ("long" * 30)))
    assert shared_path(Endpoint("ssh://a@box")) == ""


@pytest.mark.parametrize(
    ("status", "text", "kind", "hint"),
    [
        (255, "Host key verification failed.", Denied, "check it"),
        (255, "me@box: Permission denied (publickey).", Denied, "authorized_keys"),
        (255, "ssh: Could not resolve hostname box: no", Unavailable, "name of the host"),
        (255, "connect to host box port 22: Connection refused", Unavailable, "ssh server"),
        (127, "sh: 1: nakagin: not found", Unavailable, "pip install"),
        (1, "bash: line 1: nakagin: command not found", Unavailable, "pip install"),
        (1, "no engine answers", Unavailable, None),
        (-15, "", Unavailable, None),
    ],
)
def test_what_went_wrong(status: int, text: str, kind: type[Exception], hint: str | None) -> None:
    error = explain("box", status, text)
    assert isinstance(error, kind)
    assert "box" in error.message
    assert (error.hint is None) if hint is None else (hint in (error.hint or ""))
