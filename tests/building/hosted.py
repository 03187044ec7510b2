"""An image of packages that this machine has installed: real programs for builds, at once and from no network."""

from __future__ import annotations

import io
import os
import re
import subprocess
import tarfile
from collections.abc import Iterable

from tests.storage.tars import member

_DOCUMENTATION = re.compile(r"/usr/share/(doc|man|locale|info|lintian|bug)/")


def closure(names: Iterable[str]) -> list[str]:
    """The packages and all that they depend on, as far as it is installed."""
    fields = "${Package}\t${Depends}, ${Pre-Depends}\t${Provides}\n"
    told = subprocess.run(
        ["dpkg-query", "-W", "-f", fields], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    depends: dict[str, list[str]] = {}
    provided: dict[str, str] = {}
    for line in told:
        name, needs, gives = line.split("\t")
        depends[name] = re.findall(r"[a-z0-9][a-z0-9+.-]+(?=[ :,|(]|$)", re.sub(r"\([^)]*\)|:any", "", needs))
        provided.update(
            dict.fromkeys(re.findall(r"[a-z0-9][a-z0-9+.-]+", re.sub(r"\([^)]*\)", "", gives)), name)
        )
    found: dict[str, None] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        name = name if name in depends else provided.get(name, "")
        if name and name not in found:
            found[name] = None
            waiting += depends[name]
    return list(found)


def packed(names: Iterable[str]) -> bytes:
    """A tar with the files of these packages and all that they need, without documentation."""
    listed = subprocess.run(
        ["dpkg-query", "-L", *closure(names)], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for link in ("bin", "sbin", "lib", "lib64"):  # merged into /usr since Debian 12
            info = tarfile.TarInfo(link)
            info.type, info.linkname = tarfile.SYMTYPE, f"usr/{link}"
            archive.addfile(info)
        for path in sorted({_merged(each) for each in listed if each.startswith("/") and len(each) > 2}):
            if os.path.lexists(path) and not _DOCUMENTATION.match(path):
                archive.add(path, path[1:], recursive=False)
        users = b"root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"
        for info, data in (
            member("tmp", type=tarfile.DIRTYPE, mode=0o1777),
            member("etc/passwd", users, mode=0o644),
        ):
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _merged(path: str) -> str:
    head = path.split("/", 2)[1]
    return f"/usr{path}" if head in ("bin", "sbin", "lib", "lib64") else path
