"""Images as `docker save` writes them, taken apart: config, history and what is in each layer."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

_KINDS = {
    tarfile.DIRTYPE: "folder", tarfile.SYMTYPE: "symlink", tarfile.LNKTYPE: "link", tarfile.FIFOTYPE: "fifo",
    tarfile.CHRTYPE: "char", tarfile.BLKTYPE: "block",
}  # fmt: skip
_XATTR = "SCHILY.xattr."
_WHITEOUT = ".wh."


class Saved:
    """An archive of images. A context manager."""

    def __init__(self, path: Path) -> None:
        self._archive = tarfile.open(path)  # noqa: SIM115  closed by close
        self._recent = time.time() - 3600
        self._images = {
            name: image for image in self._json("manifest.json") for name in image["RepoTags"] or ()
        }
        self._layers: dict[str, dict[str, str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.close()

    def _json(self, name: str) -> Any:
        file = self._archive.extractfile(name)
        assert file is not None
        return json.load(file)

    def document(self, name: str) -> dict[str, Any]:
        """The image's config document."""
        found: dict[str, Any] = self._json(self._images[name]["Config"])
        return found

    def layers(self, name: str, *, but: Sequence[str] = ()) -> list[dict[str, str]]:
        """For each layer: path → everything about it that a user could notice, as text. `but` are diff IDs."""
        diffs = self.document(name)["rootfs"]["diff_ids"]
        paths = self._images[name]["Layers"]
        return [self._layer(path) for diff, path in zip(diffs, paths, strict=True) if diff not in but]

    def _layer(self, path: str) -> dict[str, str]:
        if path not in self._layers:
            member = self._archive.getmember(path)
            while member.issym():  # dockerd saves a layer once
                target = os.path.normpath(f"{member.name}/../{member.linkname}")
                member = self._archive.getmember(target)
            stream = self._archive.extractfile(member)
            assert stream is not None
            with tarfile.open(fileobj=stream) as layer:
                self._layers[path] = self._entries(layer)
        return self._layers[path]

    def _entries(self, layer: tarfile.TarFile) -> dict[str, str]:
        found: dict[str, str] = {}
        links: dict[str, list[str]] = {}
        for entry in layer:
            name = entry.name.strip("/").removeprefix("./")
            if entry.islnk():
                links.setdefault(entry.linkname.strip("/"), []).append(name)
            else:
                found[name] = self._described(layer, entry)
        for (
            first,
            others,
        ) in links.items():  # which of the names comes first in the archive is nobody's concern
            words = found.pop(first)
            for each in (first, *others):
                found[each] = f"{words} = {' '.join(sorted((first, *others)))}"
        return dict(sorted(found.items()))

    def _described(self, layer: tarfile.TarFile, entry: tarfile.TarInfo) -> str:
        if os.path.basename(entry.name).startswith(_WHITEOUT):
            return "whiteout"
        when = "now" if entry.mtime > self._recent else str(int(entry.mtime))
        attributes = {key: value for key, value in entry.pax_headers.items() if key.startswith(_XATTR)}
        words = [
            _KINDS.get(entry.type, "file"), f"{stat.S_IMODE(entry.mode):o}", f"{entry.uid}:{entry.gid}", when,
            *(f"{key.removeprefix(_XATTR)}={value!r}" for key, value in sorted(attributes.items())),
        ]  # fmt: skip
        if entry.issym():
            words.append(f"-> {entry.linkname}")
        if entry.ischr() or entry.isblk():
            words.append(f"{entry.devmajor}:{entry.devminor}")
        if entry.isreg():
            file = layer.extractfile(entry)
            assert file is not None
            words.append(f"{entry.size} {hashlib.sha256(file.read()).hexdigest()[:12]}")
        return " ".join(words)
