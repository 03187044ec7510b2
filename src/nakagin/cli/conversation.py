"""Being a container's terminal: what `run`, `start -a` and `attach` share."""

from __future__ import annotations

from nakagin.cli import terminal
from nakagin.cli.relay import interact
from nakagin.errors import NakaginError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from nakagin.client.containers import Container, Waiting
    from nakagin.client.hijack import Stream


def attach_and_start(
    container: Container,
    *,
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
    detach_keys: str,
    sig_proxy: bool,
    auto_remove: bool,
) -> int:
    """Attach, register for the end, start, relay; the exit code. In that order nothing of a short life is missed."""
    stream = container.attach(stdin=stdin, stdout=stdout, stderr=stderr, detach_keys=detach_keys, tty=tty)
    waiting = container.waiting("removed" if auto_remove else "next-exit")

    def begin() -> None:
        try:
            container.start()
        except NakaginError:
            if auto_remove:
                _let_go(waiting)
            raise
        if tty:
            fit(container)

    if converse(
        container, stream, stdin=stdin, tty=tty, detach_keys=detach_keys, sig_proxy=sig_proxy, begin=begin
    ):
        waiting.close()
        return 0
    return waiting.result()


def _let_go(waiting: Waiting) -> None:
    """Wait until a container that could not start has been removed; why it could not is told elsewhere."""
    try:
        waiting.result()
    except NakaginError:
        return


def converse(
    container: Container,
    stream: Stream,
    *,
    stdin: bool,
    tty: bool,
    detach_keys: str,
    sig_proxy: bool,
    begin: Callable[[], None],
) -> bool:
    """Relay until the output ends (false) or the user detaches (true)."""
    keys = terminal.parse_detach_keys(detach_keys or terminal.DEFAULT_DETACH_KEYS)
    with stream:
        return interact(
            stream,
            stdin=stdin,
            tty=tty,
            detach_keys=keys,
            proxy=(lambda name: forward(container, name)) if sig_proxy else None,
            resized=lambda: fit(container),
            begin=begin,
        )


def forward(container: Container, name: str) -> None:
    """Pass a signal on; a container that has just ended does not need it any more."""
    try:
        container.kill(name)
    except NakaginError:
        return


def fit(container: Container) -> None:
    """Give the container's terminal the size of ours."""
    if size := terminal.size():
        try:
            container.resize(*size)
        except NakaginError:  # it has ended in the meantime
            return
