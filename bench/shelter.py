"""A shelter for the bench: own process, network and mount namespaces, so that nothing survives it.

The outer process waits and removes the two things that outlive a namespace: folders and control groups.
"""

from __future__ import annotations

import compileall
import contextlib
import glob
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import nakagin

INSIDE = "NAKAGIN_BENCH_FOLDER"


def run_inside(arguments: list[str]) -> int:
    """Run the bench again inside a new shelter; its exit code."""
    folder = tempfile.mkdtemp(prefix="nakagin-bench-", dir="/var/tmp")
    # As pip installs it; a shell that forbids bytecode would have each call of the command line compile its sources.
    compileall.compile_dir(os.path.dirname(nakagin.__file__), quiet=2)
    surroundings = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    argv = [
        "unshare", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "--net",
        "tini", "-g", "--", sys.executable, "-m", "bench", *arguments,
    ]  # fmt: skip
    ignored = signal.signal(signal.SIGINT, signal.SIG_IGN)  # the inner process cleans up; we wait for it
    try:
        return subprocess.run(
            argv, env={**surroundings, INSIDE: folder}, check=False,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        ).returncode  # fmt: skip
    finally:
        signal.signal(signal.SIGINT, ignored)
        _sweep(folder)


def enter() -> str | None:
    """Inside a shelter: make its network and /sys usable and return the folder for everything; else None."""
    folder = os.environ.get(INSIDE)
    if folder is None:
        return None
    groups = os.path.join(folder, "cgroup")
    os.mkdir(groups)
    for command in (
        # the old /sys shows the old network devices
        f"mount --rbind /sys/fs/cgroup {groups}", "mount -t sysfs sysfs /sys",
        f"mount --rbind {groups} /sys/fs/cgroup", f"umount --lazy {groups}", "ip link set lo up",
    ):  # fmt: skip
        subprocess.run(command.split(), check=True)
    os.rmdir(groups)
    # What an engine keeps only while it runs lies on /run, and that is a tmpfs on every machine.
    os.mkdir(run_root(folder))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", run_root(folder)], check=True)
    return folder


def run_root(folder: str) -> str:
    """Where the engines' exec roots lie."""
    return os.path.join(folder, "run")


def _sweep(folder: str) -> None:
    instances = [name.split("-")[1] for name in os.listdir(folder) if name.startswith("nk-")]
    patterns = [f"nakagin-{instance}" for instance in instances] + [f"bench-{os.path.basename(folder)}"]
    deadline = time.monotonic() + 10
    places = [f"/sys/fs/cgroup/{middle}{pattern}" for middle in ("", "*/") for pattern in patterns]  # v2, v1
    while left := [group for place in places for group in glob.glob(place)]:
        for group in left:
            for path, _, _ in os.walk(group, topdown=False):
                with contextlib.suppress(OSError):  # the last processes may still be dying
                    os.rmdir(path)
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)
