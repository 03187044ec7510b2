"""Named engines: Docker's own store of contexts, shared with docker's command line.

    FOLDER/contexts/meta/<sha256 of the name>/meta.json      name, description, address
    FOLDER/contexts/tls/<sha256>/docker/{ca,cert,key}.pem    TLS material
    FOLDER/contexts/nakagin-current                          the one in use here (docker's is in its config.json)

Source: docs.docker.com, "Docker contexts"; docker/cli cli/context/store.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil

from nakagin.client import endpoint
from nakagin.errors import Conflict, Invalid, NotFound, nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Document = dict[str, Any]

DEFAULT = "default"
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.+-]+")
_FILES = ("ca.pem", "cert.pem", "key.pem")


def config_folder(environment: Mapping[str, str], given: str | None = None) -> str:
    """Docker's folder of client settings."""
    return given or environment.get("DOCKER_CONFIG") or os.path.join(environment.get("HOME", "/"), ".docker")


def current(folder: str) -> str:
    """The name of the context in use; "default" where none was chosen."""
    return endpoint.in_use(folder) or DEFAULT


class Contexts:
    """The contexts of one configuration folder. A document is {"Name", "Metadata", "Endpoints"}."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._store = os.path.join(folder, "contexts")

    def places(self, name: str) -> tuple[str, str]:
        """The folders of its document and of its TLS files."""
        digest = hashlib.sha256(name.encode()).hexdigest()
        return os.path.join(self._store, "meta", digest), os.path.join(self._store, "tls", digest)

    def get(self, name: str) -> Document:
        """Its document; NotFound, Invalid where it cannot be read."""
        path = os.path.join(self.places(name)[0], "meta.json")
        try:
            with open(path, "rb") as file:
                document = json.loads(file.read())
        except FileNotFoundError:
            similar = nearest(name, self.names())
            raise NotFound(
                f'context "{name}": context not found', hint=similar or f"contexts are kept in {self._store}"
            ) from None
        except ValueError as error:
            raise Invalid(f'context "{name}": {error}', where=path) from None
        if not isinstance(document, dict):
            raise Invalid(f'context "{name}": not an object', where=path)
        return document

    def names(self) -> list[str]:
        """All, in order, without "default"."""
        found = []
        folder = os.path.join(self._store, "meta")
        for digest in os.listdir(folder) if os.path.isdir(folder) else ():
            try:
                with open(os.path.join(folder, digest, "meta.json"), "rb") as file:
                    found.append(str(json.loads(file.read())["Name"]))
            except (OSError, ValueError, KeyError, TypeError):
                continue
        return sorted(found)

    def tls_files(self, name: str) -> dict[str, bytes]:
        """The contents of its TLS files by file name."""
        folder = os.path.join(self.places(name)[1], "docker")
        found = {}
        for each in _FILES:
            path = os.path.join(folder, each)
            if os.path.exists(path):
                with open(path, "rb") as file:
                    found[each] = file.read()
        return found

    def put(self, document: Document, tls: Mapping[str, bytes], *, new: bool) -> None:
        """Write one; `new` refuses a name that is taken (Conflict) or cannot be (Invalid)."""
        name = document["Name"]
        check_name(name)
        meta, material = self.places(name)
        if new and os.path.exists(os.path.join(meta, "meta.json")):
            raise Conflict(f'context "{name}" already exists', hint="choose another name, or update that one")
        os.makedirs(meta, mode=0o755, exist_ok=True)
        _write(os.path.join(meta, "meta.json"), json.dumps(document, separators=(",", ":")).encode(), 0o644)
        shutil.rmtree(material, ignore_errors=True)
        if tls:
            os.makedirs(os.path.join(material, "docker"), mode=0o700)
            for each, content in tls.items():
                _write(os.path.join(material, "docker", each), content, 0o600)

    def remove(self, name: str, *, force: bool) -> None:
        """Delete one. NotFound; Conflict for the one in use unless `force`."""
        if name == DEFAULT:
            raise Invalid('context "default" cannot be removed')
        meta, material = self.places(name)
        if not os.path.isdir(meta):
            raise NotFound(f'context "{name}": context not found')
        if current(self.folder) == name:
            if not force:
                raise Conflict(f'context "{name}" is in use, set -f flag to force remove')
            self.use(DEFAULT)
        shutil.rmtree(material, ignore_errors=True)
        shutil.rmtree(meta)

    def use(self, name: str) -> None:
        """Choose one for the commands to come. NotFound."""
        if name != DEFAULT:
            self.get(name)
        os.makedirs(self._store, mode=0o755, exist_ok=True)
        _write(os.path.join(self._store, endpoint.CURRENT_CONTEXT), f"{name}\n".encode(), 0o644)


def check_name(name: str) -> None:
    """Raise Invalid, in Docker's words, for a name that cannot be."""
    if name == DEFAULT:
        raise Invalid('"default" is a reserved context name')
    if not _NAME.fullmatch(name):
        raise Invalid(
            f'context name "{name}" is invalid, names are validated against regexp '
            '"^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$"'
        )


def _write(path: str, content: bytes, mode: int) -> None:
    fd = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with open(fd, "wb") as file:
        file.write(content)
    os.rename(path + ".new", path)
