"""-v, --mount and --tmpfs → Binds, Volumes, Mounts and Tmpfs of a create request. Pure but for the working folder."""

from __future__ import annotations

import os

from nakagin.cli.quantities import parse_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Mount = dict[str, Any]

_TYPES = {"type", "source", "src", "target", "destination", "dst", "readonly", "ro", "consistency"}
_TRUE = frozenset({"1", "true", "t", "True", "TRUE", "T"})
_FALSE = frozenset({"0", "false", "f", "False", "FALSE", "F"})
_RECURSIVE = {"enabled": {}, "disabled": {"NonRecursive": True}}
_RECURSIVE |= {"writable": {"ReadOnlyNonRecursive": True}, "readonly": {"ReadOnlyForceRecursive": True}}


def volumes(specifications: Iterable[str]) -> tuple[list[str], dict[str, dict[str, str]]]:
    """(Binds, Volumes) of all -v values: `path` alone is an anonymous volume; ./relative sources are completed."""
    binds: list[str] = []
    anonymous: dict[str, dict[str, str]] = {}
    for each in specifications:
        source, colon, rest = each.partition(":")
        if "owner=me" in rest:
            target, _, options = rest.partition(":")
            words = [_owner() if word == "owner=me" else word for word in options.split(",")]
            rest = f"{target}:{','.join(words)}"
        if not colon:
            anonymous[each] = {}
        elif source.startswith((".", "~")) and (source in (".", "..", "~") or "/" in source):
            binds.append(f"{os.path.abspath(os.path.expanduser(source))}:{rest}")
        else:
            binds.append(f"{source}:{rest}")
    return binds, anonymous


def _owner() -> str:
    """The caller: also behind sudo."""
    if os.getuid() == 0 and (uid := os.environ.get("SUDO_UID", "")):
        return f"owner={uid}.{os.environ.get('SUDO_GID', uid)}"
    return f"owner={os.getuid()}.{os.getgid()}"


def tmpfs(specifications: Iterable[str]) -> dict[str, str]:
    """{"/run": "size=1m"} of all --tmpfs values."""
    return {path: options for path, _, options in (each.partition(":") for each in specifications)}


def mount(text: str) -> Mount:
    """One --mount value (CSV of key=value) as a Mount document; ValueError names the wrong field."""
    document: Mount = {"Type": "volume"}
    special: dict[str, list[tuple[str, str]]] = {}
    for field in _fields(text):
        key, equals, value = field.partition("=")
        key = key.lower()
        if not equals:
            if key not in ("readonly", "ro", "volume-nocopy", "bind-nonrecursive"):
                raise ValueError(f"invalid field '{field}' must be a key=value pair")
            value = "true"
        if key in _TYPES:
            _general(document, key, value)
        elif key.startswith(("volume-", "bind-", "tmpfs-", "image-")):
            special.setdefault(key.partition("-")[0], []).append((key, value))
        else:
            raise ValueError(f"unexpected key '{key}' in '{field}'")
    if not document.get("Target"):
        raise ValueError("target is required")
    return _with_special(document, special)


def _fields(text: str) -> list[str]:
    if '"' not in text:
        return text.split(",")
    import csv

    return next(csv.reader([text]))


def _general(document: Mount, key: str, value: str) -> None:
    if key == "type":
        document["Type"] = value.lower()
    elif key in ("source", "src"):
        relative = value in (".", "..") or value.startswith(("./", "../"))
        document["Source"] = os.path.abspath(value) if relative else value
    elif key in ("target", "destination", "dst"):
        document["Target"] = value
    elif key == "consistency":
        document["Consistency"] = value.lower()
    else:
        document["ReadOnly"] = _switch(key, value)


def _with_special(document: Mount, special: dict[str, list[tuple[str, str]]]) -> Mount:
    kind = document["Type"]
    makers = {"bind": _bind, "volume": _volume, "tmpfs": _tmpfs, "image": _image}
    for other, fields in special.items():
        if other != kind:
            raise ValueError(f"cannot mix '{other}-*' options with mount type '{kind}'")
        options = makers[other](fields)
        if options:
            document[f"{other.capitalize()}Options"] = options
    _check_recursion(document)
    return document


def _check_recursion(document: Mount) -> None:
    """What bind-recursive says of a read-only mount makes sense only for one."""
    options = document.get("BindOptions") or {}
    for key, value in (("ReadOnlyNonRecursive", "writable"), ("ReadOnlyForceRecursive", "readonly")):
        if not options.get(key):
            continue
        needs = "requires '{}' to be specified in conjunction"
        if not document.get("ReadOnly"):
            raise ValueError(f"option 'bind-recursive={value}' {needs.format('readonly')}")
        if value == "readonly" and options.get("Propagation") != "rprivate":
            raise ValueError(f"option 'bind-recursive={value}' {needs.format('bind-propagation=rprivate')}")


def _bind(fields: list[tuple[str, str]]) -> Mount:
    options: Mount = {}
    for key, value in fields:
        if key == "bind-propagation":
            options["Propagation"] = value.lower()
        elif key == "bind-nonrecursive":
            options["NonRecursive"] = _switch(key, value)
        elif key == "bind-recursive":
            if value not in _RECURSIVE:
                choices = '"enabled", "disabled", "writable", or "readonly"'
                raise ValueError(f"invalid value for {key}: {value} (must be {choices})")
            options.update(_RECURSIVE[value])
        elif key == "bind-create-src":
            options["CreateMountpoint"] = _switch(key, value)
        else:
            raise ValueError(f"unexpected key '{key}' in '{key}={value}'")
    return options


def _volume(fields: list[tuple[str, str]]) -> Mount:
    options: Mount = {}
    for key, value in fields:
        if key == "volume-nocopy":
            options["NoCopy"] = _switch(key, value)
        elif key == "volume-subpath":
            options["Subpath"] = value
        elif key == "volume-label":
            name, _, label = value.partition("=")
            options.setdefault("Labels", {})[name] = label
        elif key == "volume-driver":
            options.setdefault("DriverConfig", {})["Name"] = value
        elif key == "volume-opt":
            name, _, option = value.partition("=")
            options.setdefault("DriverConfig", {}).setdefault("Options", {})[name] = option
        else:
            raise ValueError(f"unexpected key '{key}' in '{key}={value}'")
    return options


def _tmpfs(fields: list[tuple[str, str]]) -> Mount:
    options: Mount = {}
    for key, value in fields:
        try:
            if key == "tmpfs-size":
                options["SizeBytes"] = parse_bytes(value)
            elif key == "tmpfs-mode":
                options["Mode"] = int(value, 8)
            else:
                raise LookupError(f"unexpected key '{key}' in '{key}={value}'")
        except LookupError as error:
            raise ValueError(error.args[0]) from None
        except ValueError:
            raise ValueError(f"invalid value for {key}: {value}") from None
    return options


def _image(fields: list[tuple[str, str]]) -> Mount:
    options: Mount = {}
    for key, value in fields:
        if key != "image-subpath":
            raise ValueError(f"unexpected key '{key}' in '{key}={value}'")
        options["Subpath"] = value
    return options


def _switch(key: str, value: str) -> bool:
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise ValueError(f"invalid value for {key}: {value}")
