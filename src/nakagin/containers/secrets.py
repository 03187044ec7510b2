"""`--secret`: what a container may know and nobody else may find. Kept in memory (the exec root), never in a record,
an image or an inspection; so they end with the machine, and a container that needs them then has to be made anew.
"""

from __future__ import annotations

import base64
import binascii
import os
import posixpath
import re
import shutil
from typing import TYPE_CHECKING

import msgspec

from nakagin.containers.model import MountSpec
from nakagin.errors import Conflict, Invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nakagin.containers.model import Container
    from nakagin.containers.surroundings import Surroundings
    from nakagin.spec.docker import Extension, Secret

_FOLDER = "/run/secrets"
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,252}")
_LARGEST = 500 * 1024  # Docker's own bound


def recorded(extension: Extension) -> Extension:
    """What may be written down of a request."""
    kept = tuple(msgspec.structs.replace(each, data="") for each in extension.secrets)
    return msgspec.structs.replace(extension, secrets=kept)


def contents(secrets: Sequence[Secret]) -> list[bytes]:
    """Their bytes. Raises Invalid for what is wrong with one, without telling what it is."""
    found = []
    for each in secrets:
        if not _NAME.fullmatch(each.name):
            raise Invalid(f"invalid name of a secret: {each.name!r}", hint="letters, digits, . _ and -")
        if not (each.env or target(each).startswith("/")):
            raise Invalid(f"the target of the secret {each.name} is not absolute: {each.target}")
        try:
            data = base64.b64decode(each.data, validate=True)
        except binascii.Error:
            raise Invalid(f"the data of the secret {each.name} is no base64") from None
        if len(data) > _LARGEST:
            raise Invalid(f"the secret {each.name} is larger than {_LARGEST >> 10} KiB")
        if each.env and b"\0" in data:
            raise Invalid(f"the secret {each.name} cannot be a variable: it has a NUL byte")
        found.append(data)
    return found


def target(secret: Secret) -> str:
    """Where it is in the container."""
    return posixpath.normpath(secret.target or f"{_FOLDER}/{secret.name}")


def keep(around: Surroundings, id: str, secrets: Sequence[Secret], data: Sequence[bytes]) -> None:
    """Write a new container's secrets down for its starts; `release` forgets them."""
    folder = _folder(around, id)
    os.makedirs(folder, mode=0o700)
    for number, (secret, content) in enumerate(zip(secrets, data, strict=True)):
        path = os.path.join(folder, str(number))
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(content)
            os.fchown(file.fileno(), secret.uid, secret.gid)
            os.fchmod(file.fileno(), secret.mode & 0o777)


def mounts(around: Surroundings, record: Container) -> list[MountSpec]:
    """The mounts of those that are files. Raises Conflict where the machine was started anew since."""
    return [
        MountSpec(
            type="bind", target=target(secret), source=path, read_only=True, propagation="rprivate", recursive=False
        )
        for secret, path in _kept(around, record)
        if not secret.env
    ]  # fmt: skip


def environment(around: Surroundings, record: Container) -> list[str]:
    """The variables of those that are such."""
    found = []
    for secret, path in _kept(around, record):
        if secret.env:
            with open(path, "rb") as file:
                found.append(f"{secret.env}={os.fsdecode(file.read())}")
    return found


def _kept(around: Surroundings, record: Container) -> list[tuple[Secret, str]]:
    folder = _folder(around, record.id)
    found = []
    for number, secret in enumerate(record.extension.secrets):
        path = os.path.join(folder, str(number))
        if not os.path.lexists(path):
            raise Conflict(
                f"the secret {secret.name} of {record.name} is gone: secrets are kept in memory only",
                hint="make the container anew (nakagin recreate --secret …)",
            )
        found.append((secret, path))
    return found


def hand_over(around: Surroundings, old: str, new: str) -> None:
    """Give a container's secrets to the one that takes its place, too; fine if they are gone."""
    if os.path.isdir(_folder(around, old)):
        shutil.rmtree(_folder(around, new), ignore_errors=True)
        shutil.copytree(_folder(around, old), _folder(around, new))
        for name in os.listdir(_folder(around, old)):
            status = os.stat(os.path.join(_folder(around, old), name))
            os.chown(os.path.join(_folder(around, new), name), status.st_uid, status.st_gid)


def release(around: Surroundings, id: str) -> None:
    """Forget a container's secrets; fine if it has none."""
    shutil.rmtree(_folder(around, id), ignore_errors=True)


def _folder(around: Surroundings, id: str) -> str:
    return os.path.join(around.exec_root, "secrets", id)
