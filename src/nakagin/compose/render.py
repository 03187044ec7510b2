"""A project as Compose prints it: JSON with Go's escapes, or YAML that every reader takes for the same.

In what is printed a dollar is doubled, so that the output is a Compose file again.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from nakagin.compose.model import Project
from nakagin.compose.source import resolve
from nakagin.compose.tree import Mapping, plain

_GO = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
# What a reader of YAML 1.1 takes for a boolean, and would not give back as text.
_OLD_WORDS = {"y", "n", "yes", "no", "on", "off"}
_SPECIAL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff\u2028\u2029]|[\ud800-\udfff]")
_LEADING = set("-?:,[]{}#&*!|>'\"%@`")


def as_json(document: object) -> str:
    """Two spaces a level, keys as they come."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    return re.sub("[<>&\u2028\u2029]", lambda found: _GO[found[0]], text)


def as_yaml(document: object) -> str:
    """Block style, lists indented below their key."""
    lines: list[str] = []
    _write(document, 0, lines)
    return "\n".join(lines) + "\n"


def json_document(project: Project) -> dict[str, object]:
    """What Compose shows as JSON."""
    shown = project.document()
    for key in project.extensions.get("", {}):
        shown[key] = json.loads(json.dumps(shown[key], sort_keys=True))
    return dict(sorted(shown.items()))


def yaml_document(project: Project) -> dict[str, object]:
    """What Compose shows as YAML: as JSON, but for what JSON alone needs, and with the x-… keys."""
    shown = project.document()
    if project.models:
        shown["models"] = msgspec.to_builtins(project.models)
    for key in sorted(project.extensions.get("", {})):  # printed last
        shown[key] = _sorted(shown.pop(key))
    _lower(shown)
    cleaned = _cleaned(shown, "", project.extensions)
    assert isinstance(cleaned, dict)
    return cleaned


def tree_document(tree: Mapping, name: str) -> dict[str, object]:
    """A project that is not settled, as it stands; without `name` it has none."""
    shown = plain(tree)
    assert isinstance(shown, dict)
    made: dict[str, object] = _sorted({**shown, "name": name} if name else shown)
    return made


def _lower(shown: dict[str, object]) -> None:
    """Rates of block devices have capitals in JSON alone."""
    services = shown["services"]
    assert isinstance(services, dict)
    for service in services.values():
        for entries in service.get("blkio_config", {}).values():
            if isinstance(entries, list):
                entries[:] = [{key.lower(): value for key, value in entry.items()} for entry in entries]


#: Go prints these as null or {} in JSON, and not at all in YAML, where nothing is said.
_SILENT = {"command", "entrypoint", "ipam", "resources", "placement", "exec"}


#: Maps whose keys are the user's.
_FREE = {
    "services", "networks", "volumes", "secrets", "configs", "models", "environment", "labels", "args", "annotations",
    "sysctls", "driver_opts", "options", "depends_on", "ulimits", "additional_contexts", "storage_opt", "aux_addresses",
}  # fmt: skip


def _cleaned(value: object, path: str, extensions: dict[str, dict[str, object]]) -> object:
    if isinstance(value, dict):
        made: dict[str, object] = {}
        for key, each in value.items():
            inner = _cleaned(each, f"{path}.{key}" if path else key, extensions)
            depth = path.count(".") if path else -1
            if key in _SILENT and inner in (None, {}) and depth >= 1 and not path.endswith("environment"):
                continue
            made[key] = {"soft": 0, "hard": 0} if inner == {} and path.endswith(".ulimits") else inner
        if path.rpartition(".")[2] in _FREE:
            made = {key: made[key] for key in sorted(made, key=_natural)}
        return made | (_sorted(extensions.get(path, {})) if path else {})
    if isinstance(value, list):
        return [_cleaned(each, f"{path}[{index}]", extensions) for index, each in enumerate(value)]
    return value


def _natural(key: str) -> list[tuple[int, int, str]]:
    """The order of keys in Go's YAML: signs, then numbers by their value, then letters."""
    parts = re.findall(r"\d+|\D", key)
    return [
        (1, int(part), "") if part.isdecimal() else (2 if part.isalpha() else 0, 0, part) for part in parts
    ]


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value, key=_natural)}
    return [_sorted(each) for each in value] if isinstance(value, list) else value


def _write(value: object, depth: int, lines: list[str]) -> None:
    pad = "  " * depth
    if isinstance(value, dict):
        for key, each in value.items():
            _entry(f"{pad}{_scalar(str(key), depth)}:", each, depth, lines)
    elif isinstance(value, list):
        for each in value:
            if isinstance(each, dict | list) and each:
                start = len(lines)
                _write(each, depth + 1, lines)
                lines[start] = f"{pad}- {lines[start][len(pad) + 2 :]}"
            else:
                _entry(f"{pad}-", each, depth, lines)


def _entry(head: str, value: object, depth: int, lines: list[str]) -> None:
    if isinstance(value, dict | list) and value:
        lines.append(head)
        _write(value, depth + 1, lines)
    elif isinstance(value, str) and "\n" in value and _is_block(value):
        tail = "-" if not value.endswith("\n") else "+" if value.endswith("\n\n") or value == "\n" else ""
        indent = "2" if value[0] in " \n" else ""
        lines.append(f"{head} |{indent}{tail}")
        pad = "  " * (depth + 1)
        lines.extend(pad + line if line else "" for line in value.removesuffix("\n").split("\n"))
    else:
        lines.append(f"{head} {_scalar(value, depth)}")


def _is_block(text: str) -> bool:
    return (
        not _SPECIAL.search(text)
        and "\t" not in text
        and not any(line != line.rstrip() for line in text.split("\n"))
    )


def _scalar(value: object, depth: int) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case dict():
            return "{}"
        case list():
            return "[]"
        case str():
            return _text(value)
    return str(value)


def _text(text: str) -> str:
    if _SPECIAL.search(text) or "\n" in text or "\t" in text:
        return json.dumps(text, ensure_ascii=False)
    old = (
        text.lower() in _OLD_WORDS or text in ("<<", "=") or re.fullmatch(r"[-+]?\d+(:\d\d?)+(\.\d*)?", text)
    )
    if old or not isinstance(resolve(text), str):
        return f'"{text}"'
    if (
        (text[0] in _LEADING and not (text[0] in "-?:" and len(text) > 1 and text[1] not in " ,[]{}"))
        or text != text.strip()
        or ": " in text
        or " #" in text
        or text.endswith(":")
        or text.startswith(("--- ", "... "))
        or text in ("---", "...")
        or re.fullmatch(r"\d{4}-\d\d?-\d\d?([Tt ].*)?", text)
    ):
        return "'" + text.replace("'", "''") + "'"
    return text
