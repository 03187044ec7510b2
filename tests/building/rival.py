"""The corpus: Dockerfiles that Debian's dockerd has built, and what came out, beside each as JSON.

`python -m tests.building.rival [NAME...]` builds them with dockerd again and writes the JSON anew.
"""

from __future__ import annotations

import bz2
import io
import json
import lzma
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.building.saved import Saved
from tests.dockerd_fixture import ScratchDockerd, busybox_tar
from tests.engine_fixture import ScratchEngine
from tests.storage.tars import directory, member, symlink, tar

CORPUS = Path(__file__).parent / "corpus"
CASES = sorted(path.name.removesuffix(".Dockerfile") for path in CORPUS.glob("*.Dockerfile"))
BASES = [name for name in CASES if name.startswith("00-")]
"""Those that others stand on."""
CONFIG = (
    "User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal",
    "Healthcheck", "OnBuild", "Shell",
)  # fmt: skip
_BUSYBOX = "corpus/busybox"
_AT = 1_000_000_000
"""The time of every file in the context."""


def image(name: str) -> str:
    """How the image of a case is called."""
    return f"corpus/{name.removeprefix('00-')}"


def context(case: str) -> bytes:
    """A build context with a bit of everything, and the Dockerfile of a case."""
    hard = member("in/hard", type=tarfile.LNKTYPE, linkname="in/file", mode=0o604, uid=10, gid=11, mtime=_AT)
    inner = tar(
        directory("in", mode=0o750, uid=8, gid=9, mtime=_AT),
        member("in/file", b"packed", mode=0o604, uid=10, gid=11, mtime=_AT),
        member("in/link", type=tarfile.SYMTYPE, linkname="file", mtime=_AT),
        hard,
        format=tarfile.GNU_FORMAT,
    )
    plain = {
        "a.txt": b"A", "b.txt": b"B", "empty": b"", "dir/in.txt": b"in", "dir/deep/x.sh": b"#!/bin/sh\n",
        "dir/deep/deeper/y": b"y", "dir/more/z.txt": b"z", "with space": b"space", "plain.tar": inner,
        "not-an-archive.tar": b"text", "hard/one": b"hard",
        "packed.tar.gz": _gzip(inner), "packed.tar.bz2": bz2.compress(inner),
        "packed.tar.xz": lzma.compress(inner),
    }  # fmt: skip
    folders = ("dir", "dir/deep", "dir/deep/deeper", "dir/more", "dir/empty", "special", "hard", "links")
    owner: dict[str, Any] = {"uid": 501, "gid": 502, "mtime": _AT}
    two = member("hard/two", type=tarfile.LNKTYPE, linkname="hard/one", mode=0o644, **owner)
    return tar(
        *(directory(name, **owner) for name in folders),
        *(member(name, data, mode=0o644, **owner) for name, data in plain.items()),
        two,
        member("run.sh", b"#!/bin/sh\n", mode=0o755, **owner),
        member("private.key", b"key", mode=0o600, **owner),
        member("special/suid", b"s", mode=0o4711, **owner),
        member("special/fifo", type=tarfile.FIFOTYPE, mode=0o620, **owner),
        symlink("dir/link", "in.txt", **owner),
        symlink("links/up", "../a.txt", **owner),
        symlink("links/out", "../../../../etc/passwd", **owner),
        symlink("links/absolute", "/etc/passwd", **owner),
        symlink("links/broken", "nowhere", **owner),
        member("Dockerfile", text(case).encode(), mode=0o644, **owner),
    )


def _gzip(data: bytes) -> bytes:
    # Python's gives other bytes, and the records have their digest.
    return subprocess.run(["gzip", "-c"], input=data, capture_output=True, check=True).stdout


def text(name: str) -> str:
    """The Dockerfile of a case."""
    return (CORPUS / f"{name}.Dockerfile").read_text()


def base() -> bytes:
    """busybox and a program with a file capability."""
    with tarfile.open(fileobj=io.BytesIO(busybox_tar())) as archive:
        members = [(each, (archive.extractfile(each) or io.BytesIO()).read()) for each in archive]
    capable = member("capable", b"#!/bin/sh\n", mode=0o755, mtime=_AT)
    capability = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    capable[0].pax_headers = {"SCHILY.xattr.security.capability": capability.decode()}
    return tar(*members, capable)


def build(engine: ScratchEngine, names: Sequence[str]) -> dict[str, str]:
    """Make the base, build these cases and those that they stand on; what was said for each that failed."""
    subprocess.run(
        engine.docker_argv("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin", "-", _BUSYBOX),
        input=base(), env=engine.environment(), check=True, capture_output=True,
    )  # fmt: skip

    def one(name: str) -> str:
        argv = engine.docker_argv(
            "build", "-t", image(name),
            "--build-arg", "http_proxy=http://proxy.example:3128", "-",
        )  # fmt: skip
        environment = engine.environment({"DOCKER_BUILDKIT": "0"})
        archive = context(name)
        done = subprocess.run(argv, input=archive, capture_output=True, check=False, env=environment)
        return (done.stdout + done.stderr).decode() if done.returncode else ""

    failed: dict[str, str] = {}
    with ThreadPoolExecutor(4) as pool:
        bases = [base for base in BASES if any(base == name or image(base) in text(name) for name in names)]
        for some in (bases, [name for name in names if name not in BASES]):
            failed |= {name: said for name, said in zip(some, pool.map(one, some), strict=True) if said}
    return failed


def told(engine: ScratchEngine, names: Iterable[str], folder: Path) -> dict[str, dict[str, Any]]:
    """What came out, by case: config, history, layers."""
    path = folder / f"{engine.name}.tar"
    engine.docker("save", "-o", str(path), _BUSYBOX, *map(image, names), timeout=180)
    with Saved(path) as saved:
        below = saved.document(f"{_BUSYBOX}:latest")["rootfs"]["diff_ids"]
        return {name: _told(saved, f"{image(name)}:latest", below) for name in names}


def _told(saved: Saved, name: str, below: list[str]) -> dict[str, Any]:
    document = saved.document(name)
    config = document["config"]
    return {
        "platform": f"{document['os']}/{document['architecture']}",
        "author": document.get("author", ""),
        "config": {key: config[key] for key in CONFIG if config.get(key)},
        "history": [
            re.sub(r"[0-9a-f]{64} in", "DIGEST in", entry.get("created_by", ""))
            + (" (empty)" if entry.get("empty_layer") else "")
            for entry in document["history"]
        ],
        "layers": saved.layers(name, but=below),
    }


def recorded(name: str) -> dict[str, Any]:
    """What dockerd made of a case."""
    found: dict[str, Any] = json.loads((CORPUS / f"{name}.json").read_text())
    return found


def main() -> int:
    """Build with dockerd and record."""
    names = sys.argv[1:] or CASES
    dockerd = ScratchDockerd()
    try:
        dockerd.start()
        failed = build(dockerd, names)
        for name, said in failed.items():
            print(f"{name}: {said}")
        made = [name for name in names if name not in failed]
        with tempfile.TemporaryDirectory() as folder:
            for name, found in told(dockerd, made, Path(folder)).items():
                (CORPUS / f"{name}.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    finally:
        dockerd.close()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
