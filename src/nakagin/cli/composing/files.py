"""`nakagin compose cp`, `export` and `commit`: the files of a service's containers."""

from __future__ import annotations

from nakagin.cli.command import Call
from nakagin.cli.composing.context import Compose, Verb
from nakagin.cli.composing.service import INDEX, containers, one_container, only_said
from nakagin.cli.flags import Flag
from nakagin.cli.verbs import files
from nakagin.client.copying.targets import split
from nakagin.errors import Invalid, NotFound


def cp(compose: Compose) -> int:
    """Copy out of a service's first container, or into all of them (--index: one)."""
    options = compose.options
    source, target = (split(each) for each in compose.arguments)
    if bool(source.container) == bool(target.container):
        both = source.container and target.container
        raise Invalid(
            "copying between services is not supported" if both else "unknown copy direction",
            hint="exactly one of the two is SERVICE:PATH",
        )
    service = source.container or target.container
    _, found = containers(compose, [service], all=True, oneoff=options.on("all"))
    if index := options.number("index"):
        found = [each for each in found if each.number == index]
    if not found:
        raise NotFound(f'no container found for service "{service}"')
    if source.container:
        found = found[:1]
    flags = [f"--{name}" for name in ("archive", "follow-link") if options.on(name)]
    for each in found:
        words = [
            place.path if not place.container else f"{each.id}:{place.path}" for place in (source, target)
        ]
        if only_said(compose, f"copy {compose.arguments[0]} to {compose.arguments[1]} ({each.name})"):
            continue
        chosen, arguments = files.CP.parse("cp", [*flags, "--", *words])
        files.cp(Call("cp", chosen, arguments, compose.connect))
    return 0


def export(compose: Compose) -> int:
    """A container's file system as a tar archive."""
    container = one_container(compose, compose.arguments[0], all=True)
    if only_said(compose, f"export {container.name}"):
        return 0
    return files.export(Call("export", compose.options, [container.id], compose.connect))


def commit(compose: Compose) -> int:
    """Make an image of a container's changes; prints its id."""
    service, *reference = compose.arguments
    container = one_container(compose, service, all=True)
    if only_said(compose, f"commit {container.name}"):
        return 0
    return files.commit(Call("commit", compose.options, [container.id, *reference], compose.connect))


CP = Verb(
    cp,
    "[OPTIONS] SERVICE:SRC_PATH DEST_PATH|-\n\tnakagin compose cp [OPTIONS] SRC_PATH|- SERVICE:DEST_PATH",
    (
        Flag("all", "", "bool", "Include containers created by the run command"),
        *(flag for flag in files.CP.flags if flag.name != "quiet"),
        INDEX,
    ),
    least=2,
    most=2,
)
EXPORT = Verb(export, "[OPTIONS] SERVICE", (*files.EXPORT.flags, INDEX), least=1, most=1)
COMMIT = Verb(commit, "[OPTIONS] SERVICE [REPOSITORY[:TAG]]", (*files.COMMIT.flags, INDEX), least=1, most=2)
