"""What `watch` does about changed files: pure, from the services' triggers to copies, removals and rebuilds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from nakagin.compose.model import Service
from nakagin.compose.parts import Hook, Trigger
from nakagin.dockerfile.ignore import Patterns, read_ignore

#: What editors and version control write beside the files that are meant.
_ALWAYS = ("**/.git", "**/*~", "**/*.swp", "**/*.swx", "**/.#*", "**/4913", "**/.idea", "**/.DS_Store")


@dataclass(slots=True)
class Reaction:
    """What a service needs: `copies` are path here → path in its containers, `removed` are paths there."""

    copies: dict[str, str] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    commands: list[Hook] = field(default_factory=list)
    restart: bool = False
    rebuild: bool = False

    def __bool__(self) -> bool:
        return bool(self.copies or self.removed or self.commands or self.restart or self.rebuild)


class Rule:
    """One trigger, ready to be asked. `ignored` is the text of the .dockerignore of the folder `context`."""

    def __init__(self, trigger: Trigger, context: str = "", ignored: str = "") -> None:
        self.trigger = trigger
        self._context = context
        self._by_build = Patterns(read_ignore(ignored))
        self._ignored = Patterns([*_ALWAYS, *trigger.ignore])
        self._included = Patterns(trigger.include)

    def concerns(self, path: str) -> bool:
        """Whether a change of this file, an absolute path, is its business."""
        relative = _below(path, self.trigger.path)
        if relative is None or self._ignored.excludes(relative):
            return False
        inner = _below(path, self._context) if self._context else None
        if inner is not None and self._by_build.excludes(inner):
            return False
        return not self._included or self._included.excludes(relative)

    def target(self, path: str) -> str:
        """Where the file is in the containers."""
        relative = _below(path, self.trigger.path)
        return os.path.normpath(os.path.join(self.trigger.target, relative or "."))


def rules_of(service: Service, ignored: str) -> list[Rule]:
    """The service's triggers; `ignored` is the text of its context's .dockerignore."""
    context = service.build.context if service.build is not None else ""
    return [Rule(each, context, ignored) for each in (service.develop.watch if service.develop else ())]


def react(rules: list[Rule], changes: Mapping[str, bool]) -> Reaction:
    """What to do; `changes` are absolute paths → whether the file is there (else it was removed)."""
    found = Reaction()
    for rule in rules:
        trigger = rule.trigger
        concerned = [path for path in changes if rule.concerns(path)]
        if not concerned:
            continue
        if trigger.action == "rebuild":
            return Reaction(rebuild=True)  # the new image has all of it
        if "sync" in trigger.action:
            for path in concerned:
                if changes[path]:
                    found.copies[path] = rule.target(path)
                else:
                    found.removed.append(rule.target(path))
        if trigger.action == "sync+exec":
            found.commands.append(trigger.exec)
        found.restart |= "restart" in trigger.action
    return found


def _below(path: str, folder: str) -> str | None:
    if path == folder:
        return "."
    return path[len(folder) + 1 :] if path.startswith(f"{folder.rstrip('/')}/") else None
