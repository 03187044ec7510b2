"""`nakagin run` and `nakagin create`."""

from __future__ import annotations

from nakagin.cli import terminal
from nakagin.cli.command import PROGRAM, Call, Command, complain, say
from nakagin.cli.conversation import attach_and_start
from nakagin.cli.door import explain, start_exit_code
from nakagin.cli.flags import UsageError
from nakagin.cli.request.tables import CREATE_FLAGS, RUN_FLAGS
from nakagin.cli.verbs.create import create_container, request_body
from nakagin.errors import Invalid, NakaginError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

USAGE = "[OPTIONS] IMAGE [COMMAND] [ARG...]"


def create(call: Call) -> int:
    """Create a container and print its id."""
    try:
        body = request_body(call)
    except UsageError:
        raise
    except NakaginError as error:
        return _failed(call, error)
    say(create_container(call, body).reference)
    return 0


def run(call: Call) -> int:
    """Create a container, start it, and be its terminal until it ends; its exit code."""
    try:
        body = request_body(call)
    except UsageError:
        raise
    except NakaginError as error:
        return _failed(call, error)
    _settle_streams(call, body)
    try:
        return _run(call, body)
    except NakaginError as error:
        return _failed(call, error)


def _failed(call: Call, error: NakaginError) -> int:
    complain(f"{PROGRAM}: {explain(error)}\n\nRun '{PROGRAM} {call.name} --help' for more information")
    return start_exit_code(error)


def _settle_streams(call: Call, body: dict[str, Any]) -> None:
    """What -d and a terminal change in the request."""
    if call.options.on("detach"):
        if call.options.many("attach"):
            raise Invalid("conflicting options: cannot specify both --attach and --detach")
        body.update(AttachStdin=False, AttachStdout=False, AttachStderr=False, StdinOnce=False)
        return
    if body["AttachStdin"] and body["Tty"] and not terminal.is_terminal(0):
        raise Invalid("the input device is not a TTY")
    if body["Tty"] and (size := terminal.size()):
        body["HostConfig"]["ConsoleSize"] = list(size)


def _run(call: Call, body: dict[str, Any]) -> int:
    options = call.options
    keys = options.text("detach-keys")
    if keys:
        terminal.parse_detach_keys(keys)
    container = create_container(call, body)
    attached = body["AttachStdin"] or body["AttachStdout"] or body["AttachStderr"]
    if not attached:
        container.start()
        say(container.reference)
        return 0
    return attach_and_start(
        container,
        stdin=body["AttachStdin"] and body["OpenStdin"],
        stdout=body["AttachStdout"],
        stderr=body["AttachStderr"],
        tty=body["Tty"],
        detach_keys=keys,
        sig_proxy=options.on("sig-proxy"),
        auto_remove=options.on("rm"),
    )


RUN = Command(run, USAGE, RUN_FLAGS, most=None, interspersed=False)
CREATE = Command(create, USAGE, CREATE_FLAGS, most=None, interspersed=False)
