"""What a build tells of itself (checks, outlines, reasons) and lets people do (entitlements, a shell at a failure)."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import time
from pathlib import Path

import pytest
from tests.building.by_command import build
from tests.engine_fixture import ScratchEngine

pytestmark = pytest.mark.root


# --- Without building


def test_the_checks(engine: ScratchEngine, folder: Path) -> None:
    """DF.check.call-check DF.directive.check-skip DF.directive.check-error DF.directive.check-both
    DF.directive.check-buildarg"""
    text = "FROM busybox AS Big\nRUN true\nCMD echo\n"
    said = build(engine, folder, text, "--check")
    assert "Check complete, 2 warnings have been found!" in said
    assert "WARNING: StageNameCasing - https://docs.docker.com/go/dockerfile/rule/stage-name-casing/" in said
    assert ">>> FROM busybox AS Big" in said
    assert "no warnings found" in build(engine, folder, "FROM busybox\n", "--call=check")
    assert "1 warning has" in build(engine, folder, f"# check=skip=StageNameCasing\n{text}", "--check")
    build(engine, folder, f"# check=skip=StageNameCasing;error=true\n{text}", "--check", check=1)
    failed = build(engine, folder, f"# check=error=true\n{text}", check=1)
    assert "lint violation found for rules: JSONArgsRecommended, StageNameCasing" in failed
    build(engine, folder, f"# check=error=true\n{text}", "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=all")
    found = json.loads(build(engine, folder, text, "--call=check,format=json"))
    assert [each["ruleName"] for each in found["warnings"]] == ["StageNameCasing", "JSONArgsRecommended"]


def test_outline_and_targets(engine: ScratchEngine, folder: Path) -> None:
    """DF.check.call-outline DF.check.call-targets"""
    text = (
        "ARG BASE=busybox\nFROM $BASE AS one\nARG WHO=me\n"
        "RUN --mount=type=secret,id=key,required --mount=type=ssh true\nFROM one AS two\n"
    )
    outline = build(engine, folder, text, "--call=outline", "--target", "two")
    assert all(word in outline for word in ("TARGET: two", "BASE", "WHO", "key", "default"))
    assert build(engine, folder, text, "--call=targets").split() == [
        "TARGET", "BASE", "one", "$BASE", "two", "(default)", "one",
    ]  # fmt: skip


def test_why_a_step_was_cached_or_not(engine: ScratchEngine, folder: Path) -> None:
    (folder / "f").write_text("1")
    text = (
        "FROM busybox AS a\nARG V=1\nRUN echo explain $V > /x\n"
        "FROM a AS b\nCOPY f /f\nFROM busybox AS c\nRUN false\n"
    )
    options = ("--explain", "--progress=plain", "--target", "b")
    first = build(engine, folder, text, *options, "--no-cache")
    assert "carried out: --no-cache" in first
    assert "c: not needed" in first
    assert "b (target): on a" in first
    again = build(engine, folder, text, *options)
    assert again.count("cached: made") == 2
    (folder / "f").write_text("2")
    assert "carried out: changed: files" in build(engine, folder, text, *options)
    other = build(engine, folder, text, *options, "--build-arg", "V=2")
    assert "carried out: changed: variable V" in other
    assert "carried out: changed: below" in other


def test_a_frontend_is_named_and_not_fetched(engine: ScratchEngine, folder: Path) -> None:
    """DF.directive.syntax DF.directive.syntax-builtin DF.arg.builtin.BUILDKIT_SYNTAX"""
    for name in ("docker/dockerfile:1", "registry.invalid/frontend"):
        said = build(engine, folder, f"# syntax={name}\nFROM busybox\n", "--build-arg", "BUILDKIT_SYNTAX=x")
        assert f"# syntax={name}: the builder's own frontend reads this file" in said
    foreign = build(engine, folder, "# syntax=r/other:1\napiVersion: v1\n", check=1)
    assert "unknown instruction: apiVersion" in foreign
    assert "for the frontend r/other:1; this builder runs no frontends" in foreign
    ours = build(engine, folder, "# syntax=docker/dockerfile:1.7-labs\nFORM busybox\n", check=1)
    assert "did you mean FROM?" in ours
    assert "frontend" not in ours


def test_a_large_context_is_weighed(engine: ScratchEngine, folder: Path) -> None:
    """Its size, and the five that take the most; said once, and not of a small one."""
    for number, size in enumerate((50, 20, 15, 10, 4, 3)):
        below = folder / f"part{number}" / "deep" / "er"
        below.mkdir(parents=True)
        with (below / "zeros").open("wb") as file:
            file.truncate(size * 1_000_000)
    (folder / "small").write_text("s")
    (folder / "same").hardlink_to(folder / "part0/deep/er/zeros")
    said = build(engine, folder, "FROM scratch AS a\nCOPY small /\nFROM a\nCOPY small /2\n")
    assert said.count("LargeContext") == 1
    assert "the build context has 102MB in 9 files; the largest: part0/deep 50MB, part1/deep 20MB" in said
    assert "part4/deep 4MB" in said
    assert "part5" not in said
    assert "name it in .dockerignore" in said
    (folder / ".dockerignore").write_text("part0\nsame\n")
    assert "LargeContext" not in build(engine, folder, "FROM scratch\nCOPY small /\n")


# --- Entitlements


@pytest.mark.parametrize(
    ("line", "entitlement"),
    [
        ("RUN --network=host test -e /sys/class/net/lo", "network.host"),
        ("RUN --security=insecure mount -t tmpfs x /mnt", "security.insecure"),
        ("RUN --device=/dev/fuse test -c /dev/fuse", "device"),
    ],
)
def test_what_leads_beyond_the_walls_must_be_allowed(
    engine: ScratchEngine, folder: Path, line: str, entitlement: str
) -> None:
    """DF.run.network.host DF.run.security.insecure DF.run.device DF.build.opts.allow DF.run.security.sandbox"""
    if "/dev/fuse" in line and not os.path.exists("/dev/fuse"):
        pytest.skip("no /dev/fuse here")
    text = f"FROM busybox\nRUN mkdir -p /mnt\n{line}\n"
    refused = build(engine, folder, text, check=1)
    assert f"build with --allow {entitlement}" in refused
    build(engine, folder, text, "--allow", entitlement, "--no-cache")
    assert "did you mean network.host?" in build(engine, folder, text, "--allow", "network.hots", check=1)


def test_a_step_in_the_sandbox_can_not_mount(engine: ScratchEngine, folder: Path) -> None:
    """DF.run.security.sandbox"""
    build(engine, folder, "FROM busybox\nRUN mkdir -p /mnt && ! mount -t tmpfs x /mnt\n")


# --- A shell at a failure


def test_a_shell_in_the_failed_state(engine: ScratchEngine, folder: Path) -> None:
    (folder.parent / "s").write_text("shown")
    (folder / "Dockerfile").write_text(
        "FROM busybox\nENV V=env\nRUN --mount=type=secret,id=s --mount=type=cache,id=on-error,target=/c "
        "echo half > /half; echo in > /c/in; exit 3\n"
    )
    argv = engine.nakagin_argv(
        "build", "--on-error=shell", "--no-cache", "--secret", f"id=s,src={folder.parent}/s", str(folder)
    )
    master, slave = pty.openpty()
    process = subprocess.Popen(
        argv, stdin=slave, stdout=slave, stderr=slave, env=engine.environment(), start_new_session=True
    )
    os.close(slave)
    try:
        said = _until(master, b"/ # ")
        os.write(master, b"cat /half /c/in /run/secrets/s; echo v=$V; exit\n")
        said += _until(master, None)
        assert process.wait(30) == 1
    finally:
        process.kill()
        process.wait()
        os.close(master)
    text = said.decode(errors="replace").replace("\r", "")
    assert "half\nin\nshownv=env\n" in text
    assert "returned a non-zero code: 3" in text
    assert "build-" not in engine.nakagin("ps", "-a").stdout


def _until(fd: int, mark: bytes | None) -> bytes:
    """What comes up to a mark, or to the end."""
    found, deadline = b"", time.monotonic() + 30
    while time.monotonic() < deadline:
        if not select.select([fd], [], [], 1)[0]:
            continue
        try:
            piece = os.read(fd, 4096)
        except OSError:  # the other side is closed
            return found
        found += piece
        if not piece or (mark is not None and mark in found):
            return found
    raise AssertionError(f"still waiting for {mark!r}: {found!r}")


def test_an_unknown_way_to_fail(engine: ScratchEngine, folder: Path) -> None:
    assert "unknown --on-error=cry" in build(engine, folder, "FROM busybox\n", "--on-error=cry", check=1)
