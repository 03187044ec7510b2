"""`nakagin replicate --to ssh://a --to ssh://b -- COMMAND`: the same project on several hosts."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass

from nakagin.cli.command import Call, Command, complain
from nakagin.cli.composing.context import FLAGS as COMPOSE_FLAGS
from nakagin.cli.composing.context import Compose
from nakagin.cli.flags import Flag
from nakagin.errors import Invalid, NakaginError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from nakagin.cli.composing.logs import Printer
    from nakagin.cli.replicating.host import Host, Replica
    from nakagin.compose.model import Project

_WORDS = ("compose", "up", "-d")
_OF_COMPOSE = (
    "all-resources", "ansi", "env-file", "file", "insecure-registry", "no-ansi", "profile", "project-directory",
    "project-name", "workdir",
)  # fmt: skip


@dataclass(slots=True)
class _Fate:
    """How it went on a host; None: well."""

    error: NakaginError | None = None


def replicate(call: Call) -> int:
    """Bring files and images to all hosts at once and run the command there; 1 where one of them failed."""
    if deed := call.options.text("there"):
        from nakagin.cli.replicating.there import serve

        return serve(deed, call.arguments)
    from nakagin.cli.composing.logs import Printer
    from nakagin.cli.door import explain
    from nakagin.cli.replicating.host import Host

    hosts = [Host(url) for url in dict.fromkeys(call.options.many("to"))]
    if not hosts:
        raise Invalid("no host is named", hint="write --to ssh://user@host, as often as you like")
    replica = _replica(call)
    printer = Printer([host.name for host in hosts], colours=False, prefix=True)
    fates = {host.name: _Fate() for host in hosts}
    threads = [
        threading.Thread(
            target=_replicate, args=(call, host, replica, printer, fates[host.name]), daemon=True
        )
        for host in hosts
    ]
    for thread in threads:
        thread.start()

    def wait() -> None:
        for thread in threads:
            thread.join()

    printer.run(wait)
    for name, fate in fates.items():
        complain(f"{name}: {'done' if fate.error is None else f'failed: {explain(fate.error)}'}")
    return int(any(fate.error for fate in fates.values()))


def _replicate(call: Call, host: Host, replica: Replica, printer: Printer, fate: _Fate) -> None:
    source = call.another_client()

    def tell(text: str) -> None:
        printer.take(host.name, [text.encode() + b"\n"])

    try:
        host.bring(replica, source, tell)
        printer.take(host.name, host.run(replica))
    except NakaginError as error:
        fate.error = error
    except OSError as error:
        fate.error = Invalid(f"{error.filename or 'ssh'}: {error.strerror}")
    finally:
        source.close()


def _replica(call: Call) -> Replica:
    """What the flags and the project's files mean. Raises Invalid, NotFound."""
    from nakagin.cli.replicating.host import Replica
    from nakagin.cli.replicating.listing import listing
    from nakagin.compose.observe import State, observe_images
    from nakagin.compose.reading import Stages

    project = Compose(call, call.options, call.options, []).project(
        all=True, stages=Stages(environment=False)
    )
    folder = project.working_dir
    state = State()
    observe_images(call.client, project, state)
    words = call.arguments or list(_WORDS)
    if words[0] == "compose":
        words = ["compose", *_same_project(call, project), *words[1:]]
    return Replica(
        project=project.name,
        folder=folder,
        files=listing(folder, _left_out(folder, _needed(call, project))),
        # What is not here each host pulls or builds by itself: it has the code.
        images=list(dict.fromkeys(name for name, _ in state.images)),
        words=words,
    )


def _same_project(call: Call, project: Project) -> list[str]:
    """The flags by which Compose finds the same project over there."""
    words = ["--project-directory", ".", "-p", project.name]
    for path in project.files:
        words += ["-f", _inside(project, path)]
    for path in call.options.many("env-file"):
        words += ["--env-file", _inside(project, os.path.abspath(path))]
    for profile in call.options.many("profile"):
        words += ["--profile", profile]
    return words


def _needed(call: Call, project: Project) -> tuple[str, ...]:
    """Paths below the project's folder that go along whatever .dockerignore says."""
    paths = [*project.files, *map(os.path.abspath, call.options.many("env-file"))]
    paths += [each.file for each in (*project.configs.values(), *project.secrets.values()) if each.file]
    for service in project.services.values():
        paths += [each.path for each in service.env_file]
        if service.build is not None and "://" not in service.build.context:
            _inside(project, service.build.context)
    needed = [".env", *(_inside(project, path) for path in paths)]
    needed += [
        os.path.relpath(mount.source, project.working_dir)
        for service in project.services.values()
        for mount in service.volumes
        # Other folders are the host's own: /etc/localtime, /var/run/docker.sock.
        if mount.type == "bind" and mount.source.startswith(f"{project.working_dir}/")
    ]
    return tuple(needed)


def _left_out(folder: str, needed: tuple[str, ...]) -> Callable[[str, bool], bool] | None:
    """What .dockerignore leaves out, but what is needed and all below it."""
    from nakagin.cli.building.contexts import ignore_of, pruning

    prune = pruning(ignore_of(folder), needed)
    if prune is None:
        return None
    below = tuple(f"{each}/" for each in needed)
    return lambda path, is_folder: not path.startswith(below) and prune(path, is_folder)


def _inside(project: Project, path: str) -> str:
    relative = os.path.relpath(path, project.working_dir)
    if relative.split("/")[0] == "..":
        raise Invalid(
            f"{path} lies outside of the project's folder {project.working_dir}: it cannot go along",
            hint="name a folder above both with --project-directory",
        )
    return relative


REPLICATE = Command(
    replicate,
    "[OPTIONS] --to ssh://[USER@]HOST [--to ...] [-- COMMAND...]",
    (
        *(flag for flag in COMPOSE_FLAGS if flag.name in _OF_COMPOSE),
        Flag("there", "", "string", "Be the other end", hidden=True),
        Flag("to", "", "list", "A host: ssh://user@host[:port]"),
    ),
    most=None,
    interspersed=False,
)
