"""state, list, ps."""

from __future__ import annotations

import os

from nakagin.errors import Invalid, NotFound
from nakagin.runtime import container, state
from nakagin.spec import document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.runtime.command import Call


def state_(call: Call) -> int:
    """Print the state; beside the specification's keys runc's rootfs, created and owner."""
    made = container.load(call.root, call.words[0], call.log.warn)
    print(document.render(_described(made), indent=2))
    return 0


def _described(made: container.Container) -> dict[str, object]:
    return {**made.state(), "rootfs": made.rootfs, "created": made.created, "owner": ""}


def list_(call: Call) -> int:
    """List the containers below the root, as a table, as JSON or only their ids."""
    found = []
    for folder in state.folders(call.root):
        try:
            found.append(_described(container.load(call.root, folder.path.rpartition("/")[2], call.log.warn)))
        except NotFound:
            pass  # deleted meanwhile
    if call.flag("quiet"):
        for each in found:
            print(each["id"])
    elif call.text("format", "table") == "json":
        print(document.render(found))
    elif call.text("format", "table") == "table":
        rows = [["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]]
        rows += [
            [str(each[key]) for key in ("id", "pid", "status", "bundle", "created")] + ["root"]
            for each in found
        ]
        _print_table(rows)
    else:
        raise Invalid("a format is table or json", where="--format")
    return 0


def _print_table(rows: list[list[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def ps_(call: Call) -> int:
    """List the processes: their pids as JSON, or the lines of ps(1) about them."""
    made = container.load(call.root, call.words[0], call.log.warn)
    pids = made.processes()
    form = call.text("format", "table")
    if form == "json":
        print(document.render(pids))
        return 0
    if form != "table":
        raise Invalid("a format is table or json", where="--format")
    title, *lines = _ps(call.words[1:] or ["-ef"]).splitlines()
    columns = title.split()
    if "PID" not in columns:
        raise Invalid("there must be a PID column", where="ps options")
    at = columns.index("PID")
    wanted = {str(pid) for pid in pids}
    print(title)
    for line in lines:
        fields = line.split()
        if len(fields) > at and fields[at] in wanted:
            print(line)
    return 0


def _ps(arguments: list[str]) -> str:
    """What ps(1) of the host prints."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    actions = [(os.POSIX_SPAWN_DUP2, writer, 1)]
    try:
        pid = os.posix_spawnp("ps", ["ps", *arguments], os.environ, file_actions=actions)
    except FileNotFoundError:
        raise NotFound("ps is not installed", hint="use --format json") from None
    finally:
        os.close(writer)
    with open(reader, "rb") as output:
        text = output.read().decode(errors="replace")
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        raise Invalid(f"ps does not take {' '.join(arguments)}", where="ps options")
    return text
