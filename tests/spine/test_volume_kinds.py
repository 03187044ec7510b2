"""Volumes that are more than a folder: mounted ones, parts, limits, copies; image mounts and owners of binds."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engine_fixture import ScratchEngine
from tests.spine.conftest import Cli
from tests.spine.observe import inspect

pytestmark = pytest.mark.root


@pytest.fixture
def volume(engine: ScratchEngine, name: str) -> Iterator[str]:
    """A name for a volume; it is removed with all whose name begins alike."""
    yield f"vol-{name}"
    found = engine.docker("volume", "ls", "-q", "--filter", f"name=vol-{name}").stdout.split()
    if found:
        engine.docker("volume", "rm", *found)


def test_a_tmpfs_volume_is_shared_and_goes_with_its_last_user(engine: ScratchEngine, volume: str) -> None:
    engine.docker("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m", volume)
    first = engine.docker("run", "-d", "-v", f"{volume}:/v", "busybox", "sleep", "1000").stdout.strip()
    engine.docker("exec", first, "touch", "/v/here")
    run = ("run", "--rm", "-v", f"{volume}:/v", "busybox")
    assert engine.docker(*run, "sh", "-c", "ls /v; df -k /v | tail -1").stdout.split()[:3] == [
        "here",
        "tmpfs",
        "1024",
    ]
    engine.docker("rm", "-f", first)
    assert engine.docker(*run, "ls", "/v").stdout == ""
    assert str(engine.root) not in Path("/proc/self/mountinfo").read_text()


def test_a_limit_holds(engine: ScratchEngine, volume: str) -> None:
    engine.nakagin("volume", "create", "--size", "16m", volume)
    if "watch" in engine.nakagin("volume", "inspect", volume).stdout:
        pytest.skip("nothing can limit a volume on this machine")
    write = "dd if=/dev/zero of=/v/large bs=1M count=32"
    done = engine.docker("run", "--rm", "-v", f"{volume}:/v", "busybox", "sh", "-c", write, check=1)
    assert "No space left" in done.stderr
    assert "large" in engine.docker("run", "--rm", "-v", f"{volume}:/v", "busybox", "ls", "/v").stdout


@pytest.mark.docker(26)
def test_a_part_of_a_volume(cli: Cli, engine: ScratchEngine, volume: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the host's")
    script = f"mkdir -p /v/part; echo inside > /v/part/f; ln -s part /v/link; ln -s {tmp_path} /v/out"
    cli("run", "--rm", "-v", f"{volume}:/v", "busybox", "sh", "-c", script)
    mount = f"type=volume,source={volume},target=/p,volume-subpath="
    assert cli("run", "--rm", "--mount", mount + "part", "busybox", "cat", "/p/f").stdout == "inside\n"
    assert cli("run", "--rm", "--mount", mount + "part/f", "busybox", "cat", "/p").stdout == "inside\n"
    assert cli("run", "--rm", "--mount", mount + "link", "busybox", "cat", "/p/f").stdout == "inside\n"
    for missing in ("nope", "out"):  # a link of a container's must not become a mount of the host's
        done = cli("run", "--rm", "--mount", mount + missing, "busybox", "ls", "/p", check=None)
        assert done.returncode != 0
        assert "cannot access path" in done.stderr
    assert not os.listdir(engine.exec_root / "pins")


@pytest.mark.docker(28)
def test_an_image_as_a_mount(cli: Cli, engine: ScratchEngine, name: str) -> None:
    mount = "type=image,source=busybox,target=/img"
    done = cli(
        "run", "--rm", "--mount", mount, "busybox", "sh", "-c", "ls /img/bin/sh; touch /img/x", check=1
    )
    assert done.stdout == "/img/bin/sh\n"
    assert "Read-only" in done.stderr
    part = cli("run", "--rm", "--mount", mount + ",image-subpath=bin", "busybox", "ls", "/img/sh")
    assert part.stdout == "/img/sh\n"
    assert (
        "pull it first"
        in cli("create", "--mount", "type=image,source=no-such-image,target=/x", "busybox", check=1).stderr
    )


def test_files_of_a_bind_belong_to_the_caller(engine: ScratchEngine, tmp_path: Path) -> None:
    here = tmp_path / "mine"
    here.mkdir()
    os.chown(here, 1234, 2345)
    (here / "before").write_text("x")
    os.chown(here / "before", 1234, 2345)
    script = "stat -c %u:%g /w/before; touch /w/made"
    environment = engine.environment({"SUDO_UID": "1234", "SUDO_GID": "2345"})
    done = subprocess.run(
        engine.nakagin_argv("run", "--rm", "-v", f"{here}:/w:owner=me", "busybox", "sh", "-c", script),
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "Invalid argument" in done.stderr:
        pytest.skip("the file system of the temporary folder has no idmapped mounts")
    assert done.stdout == "0:0\n", done.stderr
    assert ((here / "made").stat().st_uid, (here / "made").stat().st_gid) == (1234, 2345)
    # whatever user the container has
    bind = f"{here}:/w:owner=1234.2345"
    engine.docker("run", "--rm", "-u", "7", "-v", bind, "busybox", "touch", "/w/by-seven")
    assert (here / "by-seven").stat().st_uid == 1234


def test_a_bind_that_is_written_over(engine: ScratchEngine, name: str, tmp_path: Path) -> None:
    """The source stays as it is; the container has its changes again at its next start, and `diff` tells them."""
    here = tmp_path / "source"
    (here / "old").mkdir(parents=True)
    (here / "old/file").write_text("first\n")
    (here / "gone").write_text("x")
    os.chown(here, 1234, 2345)
    here.chmod(0o2751)
    script = "stat -c '%u:%g %a' /w; cat /w/*/file /w/new; echo second >> /w/old/file; rm -f /w/gone; echo n > /w/new"
    engine.docker("create", "--name", name, "-v", f"{here}:/w:O", "busybox", "sh", "-c", script)
    try:
        assert engine.docker("cp", f"{name}:/w/old/file", "-").stdout.count("first\n") == 1
        first = engine.docker("start", "-a", name, check=None).stdout
        assert first.splitlines() == ["1234:2345 2751", "first"]
        assert engine.docker("start", "-a", name).stdout.splitlines() == [
            "1234:2345 2751",
            "first",
            "second",
            "n",
        ]
        assert sorted(os.listdir(here)) == ["gone", "old"]
        assert (here / "old/file").read_text() == "first\n"
        changes = engine.docker("diff", name).stdout.splitlines()
        assert changes == ["C /w", "D /w/gone", "A /w/new", "C /w/old", "C /w/old/file"]

        # a look at a stopped container sees it as its processes did, and what is put there stays with it
        assert engine.docker("cp", f"{name}:/w/new", "-").stdout.count("n\n") == 1
        (tmp_path / "put").write_text("put\n")
        engine.docker("cp", str(tmp_path / "put"), f"{name}:/w/new")
        assert engine.docker("cp", f"{name}:/w/new", "-").stdout.count("put\n") == 1
        assert not (here / "new").exists()
        template = "{{range .Mounts}}{{.Type}} {{.Source}} {{.Mode}} {{.RW}}{{end}}"
        assert inspect(engine, name, template) == f"bind {here} O true"
    finally:
        engine.docker("rm", "-f", name)


def test_changes_of_a_bind_are_no_part_of_an_image(engine: ScratchEngine, name: str, tmp_path: Path) -> None:
    engine.docker("run", "--name", name, "-v", f"{tmp_path}:/w:O", "busybox", "touch", "/w/there", "/here")
    try:
        engine.docker("commit", name, f"image-{name}")
        assert engine.docker("run", "--rm", f"image-{name}", "ls", "/w", "/here", check=1).stdout == "/here\n"
    finally:
        engine.docker("rm", name)
        engine.docker("rmi", f"image-{name}")


def test_what_cannot_be_written_over(engine: ScratchEngine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    said = engine.docker("create", "-v", f"{tmp_path}/file:/w:O", "busybox", check=1).stderr
    assert "is not a folder" in said
    said = engine.docker("create", "-v", f"{tmp_path}/fil:/w:O", "busybox", check=1).stderr
    assert "bind source path does not exist" in said
    said = engine.docker("create", "-v", f"{tmp_path}:/w:O,ro", "busybox", check=1).stderr
    assert "O goes with no other option" in said
    said = engine.docker("create", "-v", "volume:/w:O", "busybox", check=1).stderr
    assert "invalid mode: O" in said


def test_a_mistyped_source_is_pointed_out(cli: Cli, engine: ScratchEngine, name: str, tmp_path: Path) -> None:
    (tmp_path / "project/data").mkdir(parents=True)
    done = cli("create", "--name", name, "-v", f"{tmp_path}/projcet/data:/data", "busybox")
    assert f"did you mean {tmp_path}/project/data?" in done.stderr
    assert "WARN" in done.stderr.upper()
    nothing_like_it = engine.nakagin("create", "-v", f"{tmp_path}/zzz/qqq:/x", "busybox")
    assert "did you mean" not in nothing_like_it.stderr
    engine.nakagin("rm", nothing_like_it.stdout.strip())
    wrong = f"type=bind,source={tmp_path}/project/dta,target=/x"
    assert f"{tmp_path}/project/data" in cli("create", "--mount", wrong, "busybox", check=1).stderr


def test_rename_clone_snapshot_and_diff(engine: ScratchEngine, name: str, volume: str) -> None:
    run = ("run", "--rm", "-v", f"{volume}:/v", "busybox", "sh", "-c")
    engine.docker(*run, "echo one > /v/a; echo two > /v/b; mkdir /v/d; ln /v/a /v/hard; chown 7:8 /v/b")
    kept = engine.nakagin("volume", "snapshot", volume).stdout.strip()
    assert kept.startswith(f"{volume}-")
    engine.docker(*run, "echo more >> /v/a; rm /v/b; echo new > /v/d/c")
    changes = engine.nakagin("volume", "diff", volume, kept).stdout.splitlines()
    assert changes == ["C /a", "D /b", "A /d/c", "C /hard"]
    engine.nakagin("volume", "clone", kept, f"{volume}-again")
    script = "cat /v/a; stat -c '%u:%g %h' /v/b /v/hard"
    again = engine.docker("run", "--rm", "-v", f"{volume}-again:/v", "busybox", "sh", "-c", script).stdout
    assert again == "one\n7:8 1\n0:0 2\n"

    engine.docker("create", "--name", name, "-v", f"{volume}:/v", "busybox", "cat", "/v/a")
    engine.nakagin("volume", "rename", volume, f"{volume}-new")
    assert engine.docker("start", "-a", name).stdout == "one\nmore\n"
    assert inspect(engine, name, "{{(index .Mounts 0).Name}} {{index .HostConfig.Binds 0}}").split() == [
        f"{volume}-new",
        f"{volume}-new:/v",
    ]
    assert "in use" in engine.docker("volume", "rm", f"{volume}-new", check=1).stderr
    engine.docker("rm", name)
    engine.docker("run", "-d", "--name", name, "-v", f"{volume}-new:/v", "busybox", "sleep", "1000")
    assert (
        f"running container {name}"
        in engine.nakagin("volume", "rename", f"{volume}-new", volume, check=1).stderr
    )
    engine.docker("rm", "-f", name)


def test_export_and_import(engine: ScratchEngine, volume: str, tmp_path: Path) -> None:
    engine.docker(
        "run", "--rm", "-v", f"{volume}:/v", "busybox", "sh", "-c", "mkdir /v/d; echo kept > /v/d/f"
    )
    archive = tmp_path / "volume.tar"
    engine.nakagin("volume", "export", "-o", str(archive), volume)
    assert engine.nakagin("volume", "import", f"{volume}-other", str(archive)).stdout == f"{volume}-other\n"
    run = ("run", "--rm", "-v", f"{volume}-other:/v", "busybox", "cat", "/v/d/f")
    assert engine.docker(*run).stdout == "kept\n"
    (tmp_path / "broken").write_bytes(b"no tar" * 200)
    assert "not a tar" in engine.nakagin("volume", "import", volume, str(tmp_path / "broken"), check=1).stderr


def test_the_end_of_a_container_deletes_nothing_that_was_mounted(
    engine: ScratchEngine, volume: str, name: str
) -> None:
    """Parts and images are pinned by mounts of ours, on the same device: they must be gone before their places."""
    engine.docker(
        "run", "--rm", "-v", f"{volume}:/v", "busybox", "sh", "-c", "mkdir /v/part; echo kept > /v/part/f"
    )
    mount = f"type=volume,source={volume},target=/p,volume-subpath=part"
    engine.nakagin("run", "-d", "--name", name, "--mount", mount, "busybox", "sleep", "1000")
    engine.nakagin("rm", "-f", name)
    assert engine.nakagin("run", "--rm", "--mount", mount, "busybox", "cat", "/p/f").stdout == "kept\n"


def test_a_read_only_bind_volume_leaves_its_folder_alone(
    engine: ScratchEngine, volume: str, tmp_path: Path
) -> None:
    (tmp_path / "kept").write_text("the host's")
    options = ("-o", "type=none", "-o", f"device={tmp_path}", "-o", "o=bind,ro")
    engine.docker("volume", "create", *options, volume)
    script = "cat /v/kept; touch /v/new"
    done = engine.docker("run", "--rm", "-v", f"{volume}:/v", "busybox", "sh", "-c", script, check=1)
    assert done.stdout == "the host's"
    assert "Read-only" in done.stderr
    engine.docker("volume", "rm", volume)
    assert os.listdir(tmp_path) == ["kept"]
