"""`nakagin compose watch`: changed files go into the containers, or into a new image of the service."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

from nakagin.cli.building.contexts import ignore_of
from nakagin.cli.command import complain, say
from nakagin.cli.composing.context import Compose, Verb
from nakagin.cli.composing.service import containers, only_said
from nakagin.cli.composing.up import UP
from nakagin.cli.door import explain
from nakagin.cli.flags import Flag
from nakagin.client.containers import Container
from nakagin.client.copying.pack import pack
from nakagin.client.execution import Execution
from nakagin.compose import labels
from nakagin.compose.model import Project
from nakagin.compose.watching import Reaction, Rule, react, rules_of
from nakagin.errors import CommandFailed, Invalid, NakaginError

#: Milliseconds: how soon the watch says that it stands, and how long a burst of changes may take.
_SOON = 300
_BURST = 200


def watch(compose: Compose) -> int:
    """Start the services, then follow their files until Ctrl-C."""
    rules = rules_for(compose.project(compose.arguments), compose.arguments)
    if only_said(compose, f"watch {', '.join(_paths(rules))}"):
        return 0
    if not compose.options.on("no-up"):
        quiet = ["--quiet-build"] if compose.options.on("quiet") else []
        compose.run(UP, ["-d", "--build", *quiet, *compose.arguments])
    try:
        follow(compose, rules)
    except KeyboardInterrupt:
        return 130
    return 0


def rules_for(project: Project, names: Sequence[str]) -> dict[str, list[Rule]]:
    """What is watched, by service. Raises Invalid where there is nothing."""
    found = {name: _rules(project, name) for name in names or project.services}
    if not any(found.values()):
        raise Invalid(
            "none of the selected services is configured for watch", hint="write a `develop` section"
        )
    return {name: each for name, each in found.items() if each}


def follow(compose: Compose, rules: dict[str, list[Rule]], until: threading.Event | None = None) -> None:
    """Answer changes, until the event or an interrupt."""
    for name, each in rules.items():
        initial = {
            rule.trigger.path: rule.trigger.target
            for rule in each
            if rule.trigger.initial_sync and "sync" in rule.trigger.action
        }
        _answer(compose, name, each, Reaction(copies=initial))
    _follow(compose, rules, until)


def _paths(rules: dict[str, list[Rule]]) -> list[str]:
    return sorted({rule.trigger.path for each in rules.values() for rule in each})


def _rules(project: Project, name: str) -> list[Rule]:
    service = project.services[name]
    context = service.build.context if service.build is not None else ""
    ignored = ignore_of(context) if context and "://" not in context else ""
    found = rules_of(service, ignored)
    for rule in found:
        path = rule.trigger.path
        if not os.path.exists(path):
            raise Invalid(f"service {name} shall watch {path}, which is not there")
        if rule.trigger.action == "rebuild" and service.build is None:
            raise Invalid(f"service {name} cannot be rebuilt: it has no build section")
    return found


def _follow(compose: Compose, rules: dict[str, list[Rule]], until: threading.Event | None) -> None:
    import watchfiles

    # A file that is replaced has a new inode: its folder is what can be watched.
    folders = sorted({path if os.path.isdir(path) else os.path.dirname(path) for path in _paths(rules)})
    standing = False
    for batch in watchfiles.watch(
        *folders, watch_filter=None, step=_BURST // 4, debounce=_BURST * 4, rust_timeout=_SOON,
        yield_on_timeout=True, stop_event=until, raise_interrupt=until is None,
    ):  # fmt: skip
        if not standing:
            standing = True
            complain("Watch enabled")
        changes = {}
        for kind, path in batch:
            # Of a folder only its coming and going counts: what is in it is told by itself.
            if kind is watchfiles.Change.modified and os.path.isdir(path):
                continue
            changes[path] = os.path.lexists(path)
        for name, each in rules.items():
            try:
                _answer(compose, name, each, react(each, changes))
            except NakaginError as error:
                complain(f"{name}: {explain(error)}")


def _answer(compose: Compose, name: str, rules: list[Rule], reaction: Reaction) -> None:
    """Do what a service needs, in all its containers."""
    if not reaction:
        return
    if reaction.rebuild:
        say(f"Rebuilding service {name} after changes were detected...")
        compose.run(UP, ["-d", "--build", "--no-deps", name])
        if not compose.options.has("prune") or compose.options.on("prune"):
            wanted = [f"{labels.PROJECT}={compose.named()[0]}"]
            compose.client.images.prune({"dangling": ["true"], "label": wanted})
        return
    count = len(reaction.copies) + len(reaction.removed)
    if count:
        say(f"Syncing service {name} after {count} changes were detected")
    for each in containers(compose, [name], oneoff=False)[1]:
        container = compose.client.containers.refer(each.id)
        for path, target in reaction.copies.items():
            _copy(container, path, target, rules)
        if reaction.removed:
            _finish(container.exec(["rm", "-rf", "--", *reaction.removed]))
        if reaction.restart:
            say(f"Restarting container {each.name}")
            container.restart()
        for hook in reaction.commands:
            variables = {key: value or "" for key, value in hook.environment.items()}
            _finish(
                container.exec(
                    hook.command or [], environment=variables, user=hook.user, privileged=hook.privileged,
                    workdir=hook.working_dir,
                )
            )  # fmt: skip


def _copy(container: Container, path: str, target: str, rules: list[Rule]) -> None:
    def prune(inner: str, is_folder: bool) -> bool:
        return not any(rule.concerns(os.path.join(path, inner)) for rule in rules) and not is_folder

    try:
        packed = b"".join(pack(path, target.lstrip("/"), prune=prune))
    except FileNotFoundError:
        return  # gone meanwhile, which will be told
    container.put_archive("/", packed)


def _finish(running: Execution) -> None:
    output, errors = running.communicate()
    if running.returncode:
        said = (errors or output or b"").decode("utf-8", "replace").strip()[-300:]
        raise CommandFailed("a command of watch", f"exited with code {running.returncode}", hint=said or None)


WATCH = Verb(
    watch,
    "[SERVICE...]",
    (
        Flag("no-up", "", "bool", "Do not build & start services before watching"),
        Flag("prune", "", "bool", "Prune dangling images on rebuild", True),
        Flag("quiet", "", "bool", "Hide build output"),
    ),
)
