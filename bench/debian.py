"""The image of the archive and registry scenarios: Debian with some 300 MB in 20,000 files, made once."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile

from bench.measure import say

NAME = "debian-bench:1"
_PACKAGES = "python3,git,perl,python3-django,tzdata,man-db"
_CACHE = "/var/tmp/nakagin-bench-images"


def archive() -> str:
    """The path of the image as docker-archive (one plain layer), from the cache where it is there."""
    path = os.path.join(_CACHE, "debian.tar")
    if os.path.exists(path):
        return path
    os.makedirs(_CACHE, exist_ok=True)
    layer = os.path.join(_CACHE, "layer.tar")
    say("making the Debian image (a minute, once) …")
    subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={_PACKAGES}", "bookworm", layer],
        check=True,
        timeout=1200,
    )
    _pack(layer, path + ".new")
    os.rename(path + ".new", path)
    os.unlink(layer)
    return path


def _pack(layer: str, path: str) -> None:
    check = hashlib.sha256()
    with open(layer, "rb") as stream:
        while piece := stream.read(1 << 20):
            check.update(piece)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["bash"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{check.hexdigest()}"]},
        "history": [{"created_by": "mmdebstrap"}],
    }
    manifest = [{"Config": "config.json", "RepoTags": [NAME], "Layers": ["layer.tar"]}]
    with tarfile.open(path, "w") as tar:
        tar.add(layer, "layer.tar")
        for name, document in (("config.json", config), ("manifest.json", manifest)):
            info = tarfile.TarInfo(name)
            data = json.dumps(document).encode()
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
