"""The value of `RUN --mount`: `type=cache,target=/root/.cache,sharing=locked` and its kin."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import msgspec

from nakagin.dockerfile.fault import DockerfileError, nearest
from nakagin.dockerfile.instructions import Mount
from nakagin.spec.size import parse_size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_KINDS = ("bind", "cache", "tmpfs", "secret", "ssh")
_SHARING = ("shared", "private", "locked")
_ALIASES = {"source": "src", "dst": "target", "destination": "target", "readonly": "ro", "readwrite": "rw"}
_NAMES = {
    "bind": {"target", "src", "from", "rw", "ro"},
    "cache": {"id", "target", "ro", "rw", "sharing", "from", "src", "mode", "uid", "gid"},
    "tmpfs": {"target", "size"},
    "secret": {"id", "target", "required", "mode", "uid", "gid", "env"},
    "ssh": {"id", "target", "required", "mode", "uid", "gid"},
}
_NOT_EXPANDED = frozenset({"type", "from"})
_WITHOUT_VALUE = frozenset({"ro", "rw", "required"})


def parse_mount(text: str, expand: Callable[[str], str] = str) -> Mount:
    """One `--mount`, variables filled in by `expand` (but in `type` and `from`, as in Docker).

    Raises DockerfileError for unknown types and keys, and for keys that the type has not.
    """
    fields = dict(_field(each) for each in next(csv.reader([text]), []))
    fields = {name: value if name in _NOT_EXPANDED else expand(value) for name, value in fields.items()}
    kind = fields.pop("type", "bind").lower()
    if kind not in _KINDS:
        hint = nearest(kind, _KINDS) or f"known are {', '.join(_KINDS)}"
        raise DockerfileError(f"unsupported mount type {kind!r}", hint=hint, needle=kind)
    for name in fields:
        if name not in _NAMES[kind]:
            hint = nearest(name, _NAMES[kind]) or f"{kind} takes {', '.join(sorted(_NAMES[kind]))}"
            raise DockerfileError(f"unexpected key {name!r} for mount type {kind!r}", hint=hint, needle=name)
    if kind in ("bind", "cache", "tmpfs") and not fields.get("target"):
        raise DockerfileError(f"a {kind} mount needs a target", hint="add target=/PATH")
    if kind == "secret" and not (fields.get("id") or fields.get("target")):
        raise DockerfileError("a secret mount needs an id", hint="add id=NAME")
    attributes = {_ATTRIBUTES[name][0]: _ATTRIBUTES[name][1](value) for name, value in fields.items()}
    return msgspec.convert({"kind": kind, **attributes}, Mount)


def _field(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    name = name.strip().lower()
    name = _ALIASES.get(name, name)
    if not equals and name not in _WITHOUT_VALUE:
        raise DockerfileError(f"invalid field {text!r} must be a key=value pair", needle=text)
    return name, value if equals else "true"


def _truth(value: str) -> bool:
    if value.lower() not in ("true", "false", "1", "0"):
        raise DockerfileError(
            f"invalid boolean {value!r} in a mount", hint="write true or false", needle=value
        )
    return value.lower() in ("true", "1")


def _number(value: str) -> int:
    if not value.isdecimal():
        raise DockerfileError(f"invalid number {value!r} in a mount", needle=value)
    return int(value)


def _mode(value: str) -> int:
    try:
        return int(value, 8)
    except ValueError:
        raise DockerfileError(
            f"invalid mode {value!r} in a mount", hint="write octal digits: 0755", needle=value
        ) from None


def _sharing(value: str) -> str:
    if value.lower() not in _SHARING:
        raise DockerfileError(
            f"unsupported sharing value {value!r}", hint=f"known are {', '.join(_SHARING)}", needle=value
        )
    return value.lower()


_ATTRIBUTES: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "target": ("target", str),
    "src": ("source", str),
    "from": ("origin", str),
    "ro": ("read_only", _truth),
    "rw": ("read_only", lambda value: not _truth(value)),
    "id": ("id", str),
    "sharing": ("sharing", _sharing),
    "required": ("required", _truth),
    "mode": ("mode", _mode),
    "uid": ("uid", _number),
    "gid": ("gid", _number),
    "size": ("size", parse_size),
    "env": ("variable", str),
}
