"""`nakagin stop|kill|restart|rm|pause|unpause|rename|wait`: one call for each container."""

from __future__ import annotations

import time

from nakagin.cli.command import Call, Command, complain, say
from nakagin.cli.door import explain
from nakagin.cli.flags import Flag
from nakagin.errors import NakaginError, NotFound

_SIGNAL = Flag("signal", "s", "string", "Signal to send to the container")
_TIMEOUT = (
    Flag("time", "", "int", "", same_as="timeout"),
    Flag("timeout", "t", "int", "Seconds to wait before killing the container"),
)
# Seconds from which on a stop is worth a word, and the exit code of a killed program.
_SLOW, _KILLED = 1.0, 137
_MANY = "CONTAINER [CONTAINER...]"


def _seconds(call: Call) -> int | None:
    return call.options.number("timeout") if call.options.given("timeout") else None


def stop(call: Call) -> int:
    """Ask containers to end; kill them when they do not."""
    signal = call.options.text("signal") or None
    slow: list[str] = []

    def one(name: str) -> None:
        container = call.client.containers.refer(name)
        began = time.monotonic()
        container.stop(seconds=_seconds(call), signal=signal)
        if (
            time.monotonic() - began >= _SLOW
            and not slow
            and container.inspect()["State"]["ExitCode"] == _KILLED
        ):
            slow.append(name)

    code = call.each(one)
    for name in slow:
        complain(
            f"hint: {name} did not end when it was asked to, and was killed. A program without a handler for the "
            "signal ignores it as the first process of a container: run it with --init, or give --stop-signal"
        )
    return code


def restart(call: Call) -> int:
    """Stop and start containers."""
    signal = call.options.text("signal") or None
    return call.each(
        lambda name: call.client.containers.refer(name).restart(seconds=_seconds(call), signal=signal)
    )


def kill(call: Call) -> int:
    """Send containers a signal."""
    signal = call.options.text("signal") or None
    return call.each(lambda name: call.client.containers.refer(name).kill(signal))


def pause(call: Call) -> int:
    """Freeze containers."""
    return call.each(lambda name: call.client.containers.refer(name).pause())


def unpause(call: Call) -> int:
    """Let frozen containers go on."""
    return call.each(lambda name: call.client.containers.refer(name).unpause())


def rm(call: Call) -> int:
    """Remove containers; with --force it is no failure when one does not exist."""
    options, code = call.options, 0
    force = options.on("force")
    for name in call.arguments:
        container = call.client.containers.refer(name.strip("/"))
        try:
            container.remove(force=force, volumes=options.on("volumes"), link=options.on("link"))
        except NakaginError as error:
            complain(explain(error))
            code = code if force and isinstance(error, NotFound) else 1
        else:
            say(name)
    return code


def rename(call: Call) -> int:
    """Give a container another name."""
    old, new = call.arguments
    call.client.containers.refer(old).rename(new)
    return 0


def wait(call: Call) -> int:
    """Block until containers end; print their exit codes."""
    code = 0
    for name in call.arguments:
        try:
            say(str(call.client.containers.refer(name).wait()))
        except NakaginError as error:
            complain(explain(error))
            code = 1
    return code


STOP = Command(stop, f"[OPTIONS] {_MANY}", (_SIGNAL, *_TIMEOUT), least=1, most=None)
RESTART = Command(restart, f"[OPTIONS] {_MANY}", (_SIGNAL, *_TIMEOUT), least=1, most=None)
KILL = Command(kill, f"[OPTIONS] {_MANY}", (_SIGNAL,), least=1, most=None)
PAUSE = Command(pause, _MANY, least=1, most=None)
UNPAUSE = Command(unpause, _MANY, least=1, most=None)
RENAME = Command(rename, "CONTAINER NEW_NAME", least=2, most=2)
WAIT = Command(wait, _MANY, least=1, most=None)
RM = Command(
    rm,
    f"[OPTIONS] {_MANY}",
    (
        Flag("force", "f", "bool", "Force the removal of a running container (uses SIGKILL)"),
        Flag("link", "l", "bool", "Remove the specified link"),
        Flag("volumes", "v", "bool", "Remove anonymous volumes associated with the container"),
    ),
    least=1,
    most=None,
)
