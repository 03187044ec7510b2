"""OCI runtimes beside each other: `run` of the same bundle, and the floor that the kernel alone sets."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable

from tests.dockerd_fixture import busybox_tar

FLOOR = ["unshare", "--pid", "--fork", "--mount", "--net", "--uts", "--ipc"]


def make_bundle(folder: str) -> str:
    """A bundle with runc's own default configuration, without a terminal, that runs `true`."""
    bundle = os.path.join(folder, "bundle")
    rootfs = os.path.join(bundle, "rootfs")
    os.makedirs(rootfs)
    # Not tarfile: Debian 12's Python knows no extraction filter, later ones want one.
    subprocess.run(["tar", "-x", "-C", rootfs], input=busybox_tar(), check=True)
    subprocess.run(["runc", "spec", "--bundle", bundle], check=True)
    path = os.path.join(bundle, "config.json")
    with open(path) as file:
        config = json.load(file)
    config["process"]["terminal"] = False
    config["process"]["args"] = ["true"]
    config["linux"]["cgroupsPath"] = f"/bench-{os.path.basename(folder)}/runtime"
    with open(path, "w") as file:
        json.dump(config, file)
    return bundle


def commands(folder: str) -> tuple[dict[str, list[str]], list[str]]:
    """The runtimes that work here, as argv without "run ID"; and a note on each that does not."""
    installed = os.path.join(os.path.dirname(sys.executable), "nakagin-runtime")
    candidates = {
        "nakagin": [[installed], [os.path.abspath("bin/nakagin-runtime")]],
        "runc": [["runc"]],
        "crun": [["crun"], ["crun", "--cgroup-manager=disabled"]],
    }
    found: dict[str, list[str]] = {}
    notes = []
    for name, ways in candidates.items():
        for argv in ways:
            if shutil.which(argv[0]) is None:
                notes.append(f"{name}: not installed")
                continue
            whole = [*argv, "--root", os.path.join(folder, f"state-{name}")]
            tried = subprocess.run(
                [*whole, "run", f"bench-try-{name}"], cwd=os.path.join(folder, "bundle"),
                stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            )  # fmt: skip
            if tried.returncode == 0:
                found[name] = whole
                break
            notes.append(f"{' '.join(argv)}: cannot run here ({tried.stderr.strip()[-160:]})")
    return found, notes


def deeds(folder: str) -> tuple[dict[str, Callable[[], object]], list[str]]:
    """What to measure for each runtime, and the floor."""
    bundle = make_bundle(folder)
    found, notes = commands(folder)
    made: dict[str, Callable[[], object]] = {name: _runner(argv, bundle) for name, argv in found.items()}
    true = os.path.join(bundle, "rootfs/bin/busybox")
    made["floor"] = lambda: subprocess.run([*FLOOR, true, "true"], check=True)
    return made, notes


def _runner(argv: list[str], bundle: str) -> Callable[[], object]:
    number = 0

    def run() -> None:
        nonlocal number
        number += 1
        subprocess.run([*argv, "run", f"bench-{number}"], cwd=bundle, stdin=subprocess.DEVNULL, check=True)

    return run
