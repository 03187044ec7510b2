"""`nakagin cp|diff|export|commit`: a container's file system."""

from __future__ import annotations

import sys

from nakagin.cli.command import Call, Command, complain, say, write_bytes
from nakagin.cli.flags import Flag
from nakagin.cli.output_file import write_stream
from nakagin.cli.quantities import human_size
from nakagin.client.images import split_tag
from nakagin.client.session import document
from nakagin.errors import Invalid

_KINDS = "CAD"


def diff(call: Call) -> int:
    """What changed since the container was made: C(hanged), A(dded), D(eleted)."""
    for change in call.client.containers.refer(call.arguments[0]).changes():
        say(f"{_KINDS[change['Kind']]} {change['Path']}")
    return 0


def export(call: Call) -> int:
    """The file system as a tar archive."""
    write_stream(call.client.containers.refer(call.arguments[0]).export(), call.options.text("output"))
    return 0


def commit(call: Call) -> int:
    """Make an image of a container's changes; prints its id."""
    options = call.options
    container, *reference = call.arguments
    repository, tag = split_tag(reference[0]) if reference else ("", "")
    query = {
        "author": options.text("author") or None,
        "changes": options.many("change"),
        "comment": options.text("message") or None,
        "container": container,
        "pause": None if options.on("pause") else False,
        "repo": repository or None,
        "tag": tag or None,
    }
    answer = document(call.client.session.request("POST", "/commit", query, body={}, timeout=None))
    say(str(answer["Id"]))
    return 0


def cp(call: Call) -> int:
    """Copy between a container and this machine, or another container; "-" is a tar stream."""
    from nakagin.client.copying import deeds
    from nakagin.client.copying.targets import split

    source, target = (split(each) for each in call.arguments)
    if not source.container and not target.container:
        raise Invalid("must specify at least one container source")
    options, containers = call.options, call.client.containers
    follow, archive = options.on("follow-link"), options.on("archive")
    copied = 0
    if source.container and target.container:
        ours, theirs = containers.refer(source.container), containers.refer(target.container)
        copied = deeds.between(ours, source.path, theirs, target.path, follow=follow, archive=archive)
    elif source.container:
        container = containers.refer(source.container)
        if target.path == "-":
            for piece in deeds.out(container, source.path, follow=follow):
                write_bytes(piece)
        else:
            copied = deeds.from_container(container, source.path, target.path, follow=follow, archive=archive)
    else:
        container = containers.refer(target.container)
        if source.path == "-":
            deeds.into(container, sys.stdin.buffer, target.path, archive=archive)
        else:
            copied = deeds.to_container(container, source.path, target.path, follow=follow, archive=archive)
    if copied and not options.on("quiet") and sys.stdout.isatty():
        complain(f"Successfully copied {human_size(copied)} to {call.arguments[1]}")
    return 0


DIFF = Command(diff, "CONTAINER", least=1, most=1)
EXPORT = Command(
    export,
    "[OPTIONS] CONTAINER",
    (Flag("output", "o", "string", "Write to a file, instead of STDOUT"),),
    least=1,
    most=1,
)
COMMIT = Command(
    commit,
    "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    (
        Flag("author", "a", "string", 'Author (e.g., "Ada Lovelace <ada@example.com>")'),
        Flag("change", "c", "list", "Apply Dockerfile instruction to the created image"),
        Flag("message", "m", "string", "Commit message"),
        Flag("pause", "p", "bool", "Pause container during commit", True),
    ),
    least=1,
    most=2,
)
CP = Command(
    cp,
    "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\tnakagin cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH\n"
    "\tnakagin cp [OPTIONS] CONTAINER:SRC_PATH CONTAINER:DEST_PATH",
    (
        Flag("archive", "a", "bool", "Archive mode (copy all uid/gid information)"),
        Flag("follow-link", "L", "bool", "Always follow symbol link in SRC_PATH"),
        Flag("quiet", "q", "bool", "Suppress progress output during copy"),
    ),
    least=2,
    most=2,
)
