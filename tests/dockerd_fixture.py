"""A scratch dockerd (Debian's docker.io), so that the black-box tests and the bench can face the original.

It gets a bridge of its own and leaves the machine's firewall alone.
"""

from __future__ import annotations

import glob
import io
import os
import shutil
import subprocess
import tarfile
from functools import cache
from pathlib import Path

from tests.engine_fixture import ScratchEngine


class ScratchDockerd(ScratchEngine):
    """dockerd with containerd as its child; the same interface as our own scratch engine."""

    name = "dockerd"

    def command(self) -> list[str]:
        """dockerd's argv."""
        dockerd = shutil.which("dockerd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        assert dockerd, "no dockerd: make setup-test installs it"
        return [
            dockerd,
            "--data-root", str(self.data_root), "--exec-root", str(self.exec_root), "-H", self.host,
            "--pidfile", str(self.root / "pid"), "--bridge", self.bridge,
            "--cgroup-parent", f"/{self.cgroup_parent}",  # else below the control group of whoever runs the tests
            "--iptables=false", "--ip6tables=false", *self.arguments,
        ]  # fmt: skip

    @property
    def bridge(self) -> str:
        """The name of its bridge."""
        return f"nk-{self.instance}0"

    def start(self) -> None:
        """Make the bridge where it is missing, then start."""
        if not os.path.exists(f"/sys/class/net/{self.bridge}"):
            number = int(self.instance[1:], 16)
            address = f"10.{200 + number % 50}.{number // 50 % 256}.1/24"
            _ip("link", "add", self.bridge, "type", "bridge")
            _ip("address", "add", address, "dev", self.bridge)
            _ip("link", "set", self.bridge, "up")
        super().start()

    def close(self) -> list[str]:
        """As for our engine, and the bridge is taken away."""
        found = super().close()
        for mount in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
            if str(self.root) in (point := mount.split()[4]):
                subprocess.run(["umount", point], check=True)
        shutil.rmtree(self.root, ignore_errors=True)
        for group in glob.glob(f"/sys/fs/cgroup/*/{self.cgroup_parent}"):
            for folder, _, _ in os.walk(group, topdown=False):
                os.rmdir(folder)
        if os.path.exists(f"/sys/class/net/{self.bridge}"):
            _ip("link", "delete", self.bridge)
        return found

    def bootstrap_busybox(self, name: str = "busybox") -> str:
        """The same image by `docker import`, for an engine that cannot bootstrap."""
        subprocess.run(
            self.docker_argv("import", "-c", 'CMD ["sh"]', "-", name),
            input=busybox_tar(), env=self.environment(), check=True, capture_output=True,
        )  # fmt: skip
        return name

    def leaks(self) -> list[str]:
        """dockerd's leavings are not ours to judge; only what would disturb the next test."""
        return [line for line in super().leaks() if line.startswith("process")]


@cache
def busybox_tar() -> bytes:
    """A root file system of Debian's static busybox with all its applets, as a tar archive."""
    busybox = shutil.which("busybox")
    assert busybox, "no busybox: make setup installs it"
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for folder in ("bin", "etc", "root", "tmp", "proc", "sys", "dev", "var"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            archive.addfile(entry)
        program = tarfile.TarInfo("bin/busybox")
        program.size, program.mode = os.stat(busybox).st_size, 0o755
        with open(busybox, "rb") as file:
            archive.addfile(program, file)
        for applet in applets:
            if applet != "busybox":
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                archive.addfile(link)
        for name, text in (("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"), ("etc/group", "root:x:0:\n")):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text), 0o644
            archive.addfile(entry, io.BytesIO(text.encode()))
    return stream.getvalue()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
