"""Relative paths of a project, made absolute from the folder of the file that they stand in."""

from __future__ import annotations

import os
import re

from nakagin.compose.tree import Mapping, Sequence, Value, section, services

_GIT = re.compile(r"(?:git@|github\.com/|git://|[\w.+-]+://)")
_WINDOWS = re.compile(r"(?:[a-zA-Z]:[\\/]|\\\\)")


def resolve_paths(root: Mapping, folder: str) -> None:
    """In place. Absolute paths, URLs and other remote things stay as they are."""
    for _, service in services(root):
        _service(service, folder)
    for group in ("configs", "secrets"):
        for each in section(root, group).values():
            if isinstance(each, Mapping):
                _at(each, "file", folder)
    for each in section(root, "volumes").values():
        if isinstance(each, Mapping) and each.get("driver") in (None, "", "local"):
            options = section(each, "driver_opts")
            if "bind" in str(options.get("o", "")).split(",") and str(options.get("device", ""))[:1] != ":":
                _at(options, "device", folder)


def _service(service: Mapping, folder: str) -> None:
    build = section(service, "build")
    if isinstance(context := build.get("context"), str):
        build["context"] = absolute_context(context, folder)
    contexts = section(build, "additional_contexts")
    for name, context in contexts.items():
        if isinstance(context, str):
            contexts[name] = absolute_context(context, folder)
    for each in _maps(service.get("env_file")):
        _at(each, "path", folder)
    labels = service.get("label_file")
    if isinstance(labels, Sequence):
        labels[:] = [absolute(each, folder) if isinstance(each, str) else each for each in labels]
    for trigger in _maps(section(service, "develop").get("watch")):
        _at(trigger, "path", folder)
    for each in _maps(service.get("volumes")):
        if each.get("type") == "bind":
            _at(each, "source", folder)
    _at(section(service, "extends"), "file", folder)


def _maps(value: Value) -> list[Mapping]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, Sequence) else []


def _at(holder: Mapping, key: str, folder: str) -> None:
    value = holder.get(key)
    if isinstance(value, str) and value:
        holder[key] = absolute(value, folder)


def absolute(path: str, folder: str) -> str:
    """`path` seen from `folder`; ~ is the home of the caller."""
    if path.startswith("~"):
        path = os.path.expanduser(path)
    if _WINDOWS.match(path):
        return path
    return os.path.normpath(os.path.join(folder, path)) if not path.startswith("/") else path


def absolute_context(context: str, folder: str) -> str:
    """The same for a build context, which may be a URL, a service or an image."""
    if _GIT.match(context) or context.startswith("service:"):
        return context
    return absolute(context, folder)
