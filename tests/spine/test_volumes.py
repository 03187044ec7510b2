"""Bind mounts, named and anonymous volumes, tmpfs."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from docker import DockerClient
from tests.engine_fixture import ScratchEngine
from tests.spine.conftest import Cli
from tests.spine.observe import inspect

pytestmark = pytest.mark.root


def test_bind_mount_both_ways(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("from the host\n")
    script = "cat /data/in; echo from the container > /data/out"
    assert (
        cli("run", "--rm", "-v", f"{tmp_path}:/data", "busybox", "sh", "-c", script).stdout
        == "from the host\n"
    )
    assert (tmp_path / "out").read_text() == "from the container\n"


def test_read_only_bind_mount(cli: Cli, tmp_path: Path) -> None:
    done = cli("run", "--rm", "-v", f"{tmp_path}:/data:ro", "busybox", "touch", "/data/x", check=1)
    assert "Read-only file system" in done.stderr
    assert not (tmp_path / "x").exists()


def test_a_file_can_be_mounted(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file\n")
    mount = f"type=bind,source={tmp_path}/file,target=/etc/given,readonly"
    assert cli("run", "--rm", "--mount", mount, "busybox", "cat", "/etc/given").stdout == "a file\n"


def test_named_volume_is_made_kept_and_guarded(cli: Cli, name: str) -> None:
    cli("run", "--rm", "-v", f"{name}:/data", "busybox", "sh", "-c", "echo kept > /data/x")
    assert cli("run", "--rm", "-v", f"{name}:/data", "busybox", "cat", "/data/x").stdout == "kept\n"
    assert name in cli("volume", "ls", "-q").stdout.split()
    cli("create", "--name", name, "-v", f"{name}:/data", "busybox")
    assert "in use" in cli("volume", "rm", name, check=1).stderr
    cli("rm", name)
    cli("volume", "rm", name)
    assert name not in cli("volume", "ls", "-q").stdout.split()


def test_new_volume_takes_what_the_image_has_there(cli: Cli, name: str) -> None:
    try:
        assert "root" in cli("run", "--rm", "-v", f"{name}:/etc", "busybox", "cat", "/etc/passwd").stdout
        listing = cli("run", "--rm", "-v", f"{name}:/copied", "busybox", "ls", "/copied").stdout.split()
        assert {"passwd", "group"} <= set(listing)
    finally:
        cli("volume", "rm", name)


def test_anonymous_volume_goes_with_its_container(engine: ScratchEngine, cli: Cli, name: str) -> None:
    cli("run", "-d", "--name", name, "-v", "/data", "busybox", "sleep", "300")
    volume = inspect(engine, name, "{{(index .Mounts 0).Name}}")
    assert volume in cli("volume", "ls", "-q").stdout.split()
    cli("rm", "-f", "-v", name)
    assert volume not in cli("volume", "ls", "-q").stdout.split()


def test_any_user_may_write_to_a_tmpfs_where_the_image_has_nothing(cli: Cli, name: str) -> None:
    flags = ("--tmpfs", "/one", "--mount", "type=tmpfs,dst=/two,tmpfs-mode=700", "-u", "1000")
    cli("create", "--name", name, *flags, "busybox", "sh", "-c", "touch /one/x && ! touch /two/x 2>/dev/null")
    for _ in range(2):
        cli("start", "-a", name)


def test_tmpfs(cli: Cli) -> None:
    script = "mount | grep ' /scratch '; touch /scratch/x"
    shown = cli("run", "--rm", "--tmpfs", "/scratch:size=1m,noexec", "busybox", "sh", "-c", script).stdout
    assert shown.startswith("tmpfs on /scratch type tmpfs")
    assert "size=1024k" in shown
    assert "noexec" in shown


def test_propagation_and_volumes_from(cli: Cli, name: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("shared\n")
    cli("create", "--name", name, "-v", f"{tmp_path}:/data:rprivate", "busybox")
    assert cli("run", "--rm", "--volumes-from", name, "busybox", "cat", "/data/x").stdout == "shared\n"


def test_missing_source(cli: Cli, tmp_path: Path, name: str) -> None:
    missing = tmp_path / "missing"
    done = cli(
        "create", "--name", name, "--mount", f"type=bind,source={missing},target=/data", "busybox", check=1
    )
    assert str(missing) in done.stderr
    assert not missing.exists()
    cli("run", "--rm", "-v", f"{missing}:/data", "busybox", "true")  # Docker's old habit: it is made
    assert missing.is_dir()


def test_a_link_in_the_image_leads_nowhere_else(
    engine: ScratchEngine, api: DockerClient, name: str, tmp_path: Path
) -> None:
    # the mount's target goes through a link to a path of the host (CVE-2021-30465, its simple form)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as made:
        link = tarfile.TarInfo("var")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        made.addfile(link)
    api.api.import_image_from_data(archive.getvalue(), repository=f"{name}-linked")
    try:
        engine.docker("run", "--rm", "--tmpfs", "/var/inner", f"{name}-linked", "/none", check=None)
        assert list(tmp_path.iterdir()) == []
    finally:
        engine.docker("rmi", f"{name}-linked")
