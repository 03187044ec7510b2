"""`nakagin sandbox -- CMD`: it runs on a copy of this machine; what it changed is shown, applied or dropped."""

from __future__ import annotations

import os
import sys

from nakagin.cli import terminal
from nakagin.cli.command import Call, Command, complain, say
from nakagin.cli.conversation import attach_and_start
from nakagin.cli.door import explain, start_exit_code
from nakagin.cli.flags import Flag
from nakagin.errors import Invalid, NakaginError
from nakagin.sandbox.secrets import inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nakagin.client.containers import Container
    from nakagin.client.session import Documents

_LISTED = 20
_KINDS = {0: "changed", 1: "added", 2: "deleted"}
# What every container's start leaves in its root.
_NOISE = (
    "/dev", "/proc", "/sys", "/usr/sbin/docker-init", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf",
)  # fmt: skip


class Noise:
    """The paths that are no changes worth telling: in `places`, unless on a mount that is `copied` there."""

    def __init__(self, places: Sequence[str], copied: Sequence[str]) -> None:
        self._places = places
        self._copied = copied

    def __contains__(self, path: str) -> bool:
        return any(inside(path, each) for each in self._places) and not any(
            inside(path, each) for each in self._copied
        )


def sandbox(call: Call) -> int:
    """Run it, tell what it changed; its exit code."""
    options = call.options
    folder = os.getcwd()
    if options.text("format") not in {"text", "json"}:
        raise Invalid(f'invalid format "{options.text("format")}"', hint="text or json")
    if options.on("apply") and options.on("drop"):
        raise Invalid("--apply and --drop exclude each other")
    container, copied = _container(call, folder)
    try:
        try:
            code = attach_and_start(
                container,
                stdin=True,
                stdout=True,
                stderr=True,
                tty=_tty(),
                detach_keys="",
                sig_proxy=True,
                auto_remove=False,
            )
        except NakaginError as error:
            complain(f"nakagin sandbox: {explain(error)}")
            if any(f"mount overlay on {point} " in str(error) for point in copied):
                complain(
                    "Its file system has no copies: --folder read-only or --folder write shows it as it is."
                )
            return start_exit_code(error)
        _settle(call, container, folder, copied, code)
        return code
    finally:
        container.remove(force=True)


def _tty() -> bool:
    return terminal.is_terminal(0) and terminal.is_terminal(1)


def _container(call: Call, folder: str) -> tuple[Container, list[str]]:
    """The sandbox, and the mount points that it has copies of besides `/`."""
    from nakagin.client.requests import container_body
    from nakagin.sandbox import filesystems, request, secrets

    options = call.options
    mode = options.text("folder")
    request.check_mode(mode)
    masked = secrets.hidden(secrets.accounts(), os.getuid(), [folder], options.many("show"))
    with open(filesystems.TABLE, encoding="utf-8", errors="surrogateescape") as table:
        left_out = [*masked, *request.private(folder, [])]
        copied = filesystems.copied(table, filesystems.mount_at, folder, mode, left_out)
    given = request.options(
        folder=folder,
        mode=mode,
        copied=copied,
        user=(os.getuid(), os.getgid(), os.getgroups()),
        masked=masked,
        environment=request.environment(options.many("env"), os.environ),
        network=options.text("network"),
        memory=options.number("memory"),
        cpus=options.number("cpus") / 1e9,
        pids=options.number("pids-limit"),
        tty=_tty(),
    )
    body = container_body("", call.arguments, given)
    container, warnings = call.client.containers.create_from(body)
    for each in warnings:
        complain(f"WARNING: {each}")
    return container, copied


def _settle(call: Call, container: Container, folder: str, copied: list[str], code: int) -> None:
    """Tell, show, ask, apply: what the flags say."""
    from nakagin.sandbox.request import private

    options = call.options
    noise = Noise((*_NOISE, *private(folder, copied)), copied)
    found = _telling(container.changes(), noise)
    inner = [each for each in found if inside(each["Path"], folder)]
    as_json = options.text("format") == "json"
    if not options.on("quiet") and not as_json:
        _tell(found)
    everywhere = options.on("everywhere")
    chosen = found if everywhere else inner
    wanted: Callable[[str], bool] = _every if everywhere else lambda path: inside(path, folder)
    if options.on("diff") and found:
        from nakagin.sandbox.changes import diff

        for line in diff(container.layer(), lambda path: wanted(path) and path not in noise):
            say(line)
    left: list[str] = []
    applied = bool(chosen) and _consent(call, len(chosen), folder, everywhere=everywhere)
    if applied:
        from nakagin.sandbox.changes import apply

        left = apply(container.layer(), lambda path: wanted(path) and path not in noise)
    done = len(chosen) - len(left) if applied else 0
    if as_json:
        _document(found, code, done, left)
        return
    for line in left:
        complain(f"not applied: {line}")
    if applied:
        complain(f"Applied {done} change{'' if done == 1 else 's'}.")


def _document(found: Documents, code: int, applied: int, left: list[str]) -> None:
    """All of it in one line, the last on standard error."""
    import json

    changes = [{"Path": each["Path"], "Kind": _KINDS[each["Kind"]]} for each in found]
    document = {"ExitCode": code, "Changes": changes, "Applied": applied, "NotApplied": left}
    complain(json.dumps(document, ensure_ascii=False))


def _every(_path: str) -> bool:
    return True


def _telling(changes: Documents, noise: Noise) -> Documents:
    """The changes worth telling: not what a start leaves, not a folder that is only above another change."""
    above = {each["Path"].rpartition("/")[0] for each in changes}
    return [
        each for each in changes if each["Path"] not in noise and (each["Kind"] or each["Path"] not in above)
    ]


def _tell(found: Documents) -> None:
    """The list goes to standard error: standard output belongs to the command."""
    if not found:
        complain("sandbox: nothing was changed")
        return
    complain(f"sandbox: {len(found)} change{'s' if len(found) > 1 else ''} on the copy, none on this machine")
    for each in found[:_LISTED]:
        complain(f"  {_KINDS[each['Kind']]:<8} {each['Path']}")
    if len(found) > _LISTED:
        complain(f"  … and {len(found) - _LISTED} more")


def _consent(call: Call, count: int, folder: str, *, everywhere: bool) -> bool:
    options = call.options
    if options.on("apply"):
        return True
    if options.on("drop") or options.on("quiet") or not _tty():
        return False
    where = "everywhere" if everywhere else f"in {folder}"
    sys.stderr.write(f"Apply {count} change{'s' if count > 1 else ''} {where} to this machine? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


SANDBOX = Command(
    sandbox,
    "[OPTIONS] -- COMMAND [ARG...]",
    (
        Flag("apply", "", "bool", "Do afterwards to this machine what was changed in the current folder"),
        Flag("cpus", "", "decimal", "Number of CPUs"),
        Flag("diff", "", "bool", "Show what was changed in the current folder as a diff"),
        Flag("drop", "", "bool", "Ask nothing, apply nothing"),
        Flag("env", "e", "list", "Set a variable, or pass one on (few are passed by themselves)"),
        Flag(
            "everywhere", "", "bool", "--diff and --apply mean the whole machine, not only the current folder"
        ),
        Flag(
            "folder", "", "string", "How the current folder is seen: overlay, read-only or write", "overlay"
        ),
        Flag("format", "", "string", "Tell the changes as text or json, on standard error", "text"),
        Flag("memory", "m", "bytes", "Memory limit (0: none)", 2 * 1024**3),
        Flag("network", "", "string", "Connect it to a network", "none"),
        Flag("pids-limit", "", "int", "How many processes it may have", 512),
        Flag("quiet", "q", "bool", "Do not list what was changed"),
        Flag("show", "", "list", "Let it see a path that is hidden as secret"),
    ),
    least=1,
    most=None,
    interspersed=False,
)
