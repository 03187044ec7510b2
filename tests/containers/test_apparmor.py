"""The default profile: who gets it, and how it comes into the kernel (the wall itself: tests/monitor/test_life.py)."""

from __future__ import annotations

import logging
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.containers.test_bundle import HOST

from nakagin.containers import apparmor, bundle, security
from nakagin.containers.model import Container
from nakagin.spec.docker import ContainerConfig, HostConfig

PARSER = shutil.which("apparmor_parser", path="/usr/sbin:/sbin")


@pytest.mark.parametrize(
    ("options", "privileged", "profile"),
    [
        ((), False, "ours"),
        ((), True, ""),
        (("apparmor=unconfined",), False, "unconfined"),
        (("apparmor=strict",), True, "strict"),
        (("apparmor:docker-default",), False, "ours"),
    ],
)
def test_who_gets_which(options: tuple[str, ...], privileged: bool, profile: str) -> None:
    host = HOST._replace(has_apparmor=True, apparmor_profile="ours")
    container = Container(
        id="a" * 64, name="c", created="", image_id="", chain_id="", config=ContainerConfig(),
        host_config=HostConfig(security_opt=options, privileged=privileged),
    )  # fmt: skip
    parsed = security.parse_options(options)
    assert bundle.apparmor_profile(container, host, parsed) == profile
    assert bundle.apparmor_profile(container, host._replace(has_apparmor=False), parsed) == ""


@pytest.mark.skipif(not PARSER, reason="apparmor_parser is not installed")
def test_it_compiles() -> None:
    assert PARSER
    done = subprocess.run(
        [PARSER, "-S", "-Q", "-K"], input=apparmor.profile().encode(), capture_output=True, check=True
    )
    assert apparmor.NAME.encode() in done.stdout


def test_loading(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    given = tmp_path / "given"
    parser = tmp_path / "parser"
    parser.write_text(f'#!/bin/sh\ntest "$1" = -Kr && cat > {given}\n')
    parser.chmod(0o755)
    known = tmp_path / "profiles"
    assert apparmor.load(str(parser), str(known)) == apparmor.NAME
    assert given.read_text() == apparmor.profile()
    given.unlink()
    known.write_text(f"man (enforce)\n{apparmor.NAME} (enforce)\n")
    assert apparmor.load(str(parser), str(known)) == apparmor.NAME
    assert not given.exists()  # once is enough


def test_without_the_parser_it_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert apparmor.load(str(tmp_path / "none"), str(tmp_path / "nothing")) == ""
        failing = tmp_path / "failing"
        failing.write_text("#!/bin/sh\necho no policy for you >&2\nexit 1\n")
        failing.chmod(0o755)
        assert apparmor.load(str(failing), str(tmp_path / "nothing")) == ""
    assert "apt-get install apparmor" in caplog.messages[0]
    assert "no policy for you" in caplog.messages[1]
