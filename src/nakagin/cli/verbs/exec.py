"""`nakagin exec`."""

from __future__ import annotations

import os

from nakagin.cli import terminal
from nakagin.cli.command import Call, Command, complain
from nakagin.cli.door import explain, start_exit_code
from nakagin.cli.flags import Flag
from nakagin.cli.relay import interact
from nakagin.cli.request.environment import check_variable, environment
from nakagin.client import execution
from nakagin.client.refusals import EngineError
from nakagin.errors import Invalid, NakaginError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FLAGS = (
    Flag("detach", "d", "bool", "Detached mode: run command in the background"),
    Flag("detach-keys", "", "string", "Override the key sequence for detaching a container"),
    Flag("env", "e", "list", "Set environment variables", check=check_variable),
    Flag("env-file", "", "list", "Read in a file of environment variables"),
    Flag("interactive", "i", "bool", "Keep STDIN open even if not attached"),
    Flag("privileged", "", "bool", "Give extended privileges to the command"),
    Flag("tty", "t", "bool", "Allocate a pseudo-TTY"),
    Flag("user", "u", "string", "Username or UID (format: <name|uid>[:<group|gid>])"),
    Flag("workdir", "w", "string", "Working directory inside the container"),
)


def run(call: Call) -> int:
    """Run a command in a running container; its exit code."""
    body = exec_body(call)
    tty, stdin, keys = (
        call.options.on("tty"),
        call.options.on("interactive"),
        call.options.text("detach-keys"),
    )
    if keys:
        terminal.parse_detach_keys(keys)
    detached = call.options.on("detach")
    if tty and stdin and not detached and not terminal.is_terminal(0):
        raise Invalid("the input device is not a TTY")
    size = terminal.size() if tty else None
    if tty:
        body["ConsoleSize"] = list(size or (0, 0))
    session = call.client.session
    created = execution.create(session, call.arguments[0], body)
    try:
        if detached:
            execution.start_detached(session, created, tty=tty)
            return 0
        stream = execution.attach(session, created, tty=tty, console=size)
    except EngineError as error:
        complain(explain(error))
        return start_exit_code(error)

    def fit() -> None:
        if current := terminal.size():
            try:
                execution.resize(session, created, *current)
            except NakaginError:  # it has ended in the meantime
                return

    with stream:
        left = interact(
            stream,
            stdin=stdin,
            tty=tty,
            detach_keys=terminal.parse_detach_keys(keys or terminal.DEFAULT_DETACH_KEYS),
            proxy=None,
            resized=fit,
            begin=fit if tty else lambda: None,
        )
    if left:
        return 0
    code = execution.Execution(session, created, None).poll()
    return 0 if code is None else code


def exec_body(call: Call) -> dict[str, Any]:
    """The body of POST /containers/{id}/exec, as docker's CLI sends it."""
    options = call.options
    attached = not options.on("detach")
    return {
        "User": options.text("user"),
        "Privileged": options.on("privileged"),
        "Tty": options.on("tty"),
        "AttachStdin": attached and options.on("interactive"),
        "AttachStderr": attached,
        "AttachStdout": attached,
        "Detach": not attached,
        "DetachKeys": options.text("detach-keys"),
        "Env": environment(options.many("env-file"), options.many("env"), os.environ) or None,
        "WorkingDir": options.text("workdir"),
        "Cmd": call.arguments[1:],
    }


EXEC = Command(run, "[OPTIONS] CONTAINER COMMAND [ARG...]", FLAGS, least=2, most=None, interspersed=False)
