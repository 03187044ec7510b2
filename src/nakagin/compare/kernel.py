"""Which emulator and which kernel make the virtual machine: QEMU, and Debian's kernel for clouds."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess

from nakagin.errors import Unsupported

PACKAGE = "linux-image-cloud-amd64"
QEMU = "qemu-system-x86_64"


def emulator() -> str:
    """The path of QEMU; Unsupported says what to install."""
    if platform.machine() != "x86_64":
        raise Unsupported(
            f"compare boots machines of x86-64 only, and this one is {platform.machine()}",
            hint="run it on an x86-64 machine",
        )
    if found := shutil.which(QEMU):
        return found
    raise Unsupported(f"{QEMU} is not installed", hint="apt-get install qemu-system-x86")


def kernel() -> str:
    """The kernel's file, fetched with apt-get on first use and kept below ~/.cache/nakagin/vm; Unsupported."""
    cache = os.path.join(os.path.expanduser(os.environ.get("XDG_CACHE_HOME", "~/.cache")), "nakagin/vm")
    if found := _kept(cache):
        return found
    if not shutil.which("apt-get"):
        raise Unsupported("there is no apt-get to fetch a kernel with", hint="name one: --kernel FILE")
    try:
        _fetch(cache)
    except (OSError, subprocess.CalledProcessError) as error:
        words = getattr(error, "stderr", b"") or b""
        detail = words.decode(errors="replace").strip().rpartition("\n")[2] or str(error)
        raise Unsupported(
            f"cannot fetch {PACKAGE}: {detail}", hint="apt-get update, or name a kernel: --kernel FILE"
        ) from None
    return _kept(cache)


def _kept(cache: str) -> str:
    """The newest kernel of the cache; "" where there is none."""
    from glob import escape, glob

    return max(glob(f"{escape(cache)}/*/boot/vmlinuz-*"), default="")


def _fetch(cache: str) -> None:
    os.makedirs(cache, exist_ok=True)
    depends = ["apt-cache", "depends", PACKAGE]
    if subprocess.run(depends, capture_output=True, check=False).returncode:
        _run(["apt-get", "update", "-q"], cache)  # a fresh machine has no lists
    shown = _run(depends, cache)
    name = next((line.split()[-1] for line in shown.splitlines() if "Depends:" in line), "")
    if not name:
        raise FileNotFoundError("apt knows no such package")
    _run(["apt-get", "download", "-q", name], cache)
    package = next(
        each for each in os.listdir(cache) if each.startswith(f"{name}_") and each.endswith(".deb")
    )
    unpacked = os.path.join(cache, f".{name}")
    _run(["dpkg", "-x", package, unpacked], cache)
    os.rename(unpacked, os.path.join(cache, name))
    os.unlink(os.path.join(cache, package))


def _run(command: list[str], folder: str) -> str:
    return subprocess.run(command, cwd=folder, check=True, capture_output=True).stdout.decode()
