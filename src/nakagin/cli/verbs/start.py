"""`nakagin start` and `nakagin attach`."""

from __future__ import annotations

from nakagin.cli import terminal
from nakagin.cli.command import PROGRAM, Call, Command, complain
from nakagin.cli.conversation import attach_and_start, converse, fit
from nakagin.cli.door import explain, start_exit_code
from nakagin.cli.flags import Flag
from nakagin.errors import Conflict, Invalid, NakaginError

_KEYS = Flag("detach-keys", "", "string", "Override the key sequence for detaching a container")


def start(call: Call) -> int:
    """Start containers; with -a or -i be the terminal of one and return its exit code."""
    options = call.options
    if options.on("attach") or options.on("interactive"):
        if len(call.arguments) > 1:
            raise Invalid("you cannot start and attach multiple containers at once")
        return _start_attached(call, call.arguments[0])
    if options.text("checkpoint"):
        # The engine answers whether it can restore.
        path = options.text("checkpoint-dir") or None
        return call.each(
            lambda name: call.client.containers.refer(name).restore(options.text("checkpoint"), path)
        )
    failed: list[str] = []

    def start_one(name: str) -> None:
        try:
            call.client.containers.refer(name).start()
        except NakaginError:
            failed.append(name)
            raise

    code = call.each(start_one)
    if failed:
        complain(f"Error: failed to start containers: {', '.join(failed)}")
    return code


def _start_attached(call: Call, name: str) -> int:
    options = call.options
    container = call.client.containers.get(name)
    config = container.attributes["Config"]
    try:
        return attach_and_start(
            container,
            stdin=options.on("interactive") and config.get("OpenStdin", False),
            stdout=True,
            stderr=True,
            tty=config.get("Tty", False),
            detach_keys=options.text("detach-keys"),
            sig_proxy=True,
            auto_remove=container.attributes.get("HostConfig", {}).get("AutoRemove", False),
        )
    except NakaginError as error:
        complain(f"{PROGRAM}: {explain(error)}")
        return start_exit_code(error)


def attach(call: Call) -> int:
    """Be the terminal of a running container until it ends; its exit code."""
    options = call.options
    container = call.client.containers.get(call.arguments[0])
    state, config = container.attributes["State"], container.attributes["Config"]
    if not state.get("Running"):
        raise Conflict("you cannot attach to a stopped container, start it first")
    if state.get("Paused"):
        raise Conflict("you cannot attach to a paused container, unpause it first")
    if state.get("Restarting"):
        raise Conflict("you cannot attach to a restarting container, wait until it is running")
    tty, stdin = config.get("Tty", False), config.get("OpenStdin", False) and not options.on("no-stdin")
    if tty and stdin and not terminal.is_terminal(0):
        raise Invalid("the input device is not a TTY")
    keys = options.text("detach-keys")
    waiting = container.waiting()
    stream = container.attach(stdin=stdin, detach_keys=keys, tty=tty)
    detached = converse(
        container,
        stream,
        stdin=stdin,
        tty=tty,
        detach_keys=keys,
        sig_proxy=options.on("sig-proxy"),
        begin=lambda: fit(container) if tty else None,
    )
    if detached:
        waiting.close()
        return 0
    return waiting.result()


START = Command(
    start,
    "[OPTIONS] CONTAINER [CONTAINER...]",
    (
        Flag("attach", "a", "bool", "Attach STDOUT/STDERR and forward signals"),
        Flag("checkpoint", "", "string", "Restore from this checkpoint"),
        Flag("checkpoint-dir", "", "string", "Use a custom checkpoint storage directory"),
        _KEYS,
        Flag("interactive", "i", "bool", "Attach container's STDIN"),
    ),
    least=1,
    most=None,
)
ATTACH = Command(
    attach,
    "[OPTIONS] CONTAINER",
    (
        _KEYS,
        Flag("no-stdin", "", "bool", "Do not attach STDIN"),
        Flag("sig-proxy", "", "bool", "Proxy all received signals to the process", True),
    ),
    least=1,
    most=1,
)
