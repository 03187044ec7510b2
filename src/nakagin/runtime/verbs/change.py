"""kill, delete, pause, resume; checkpoint and restore, which this runtime does not do."""

from __future__ import annotations

from nakagin.errors import NotFound, Unsupported
from nakagin.kernel import signals
from nakagin.runtime import container, state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.runtime.command import Call


def kill_(call: Call) -> int:
    """Send a signal, by name or number, to the first process or to all."""
    number = signals.number_of(call.words[1] if len(call.words) > 1 else "TERM")
    container.load(call.root, call.words[0], call.log.warn).kill(number, everyone=call.flag("all"))
    return 0


def delete_(call: Call) -> int:
    """Delete a stopped container; with --force kill it first, and be content if it is gone."""
    force = call.flag("force")
    try:
        made = container.load(call.root, call.words[0], call.log.warn)
    except NotFound:
        if not force:
            raise
        state.Folder(call.root, call.words[0]).remove()  # what an interrupted create may have left
        return 0
    made.delete(force=force)
    return 0


def pause_(call: Call) -> int:
    """Freeze the container."""
    container.load(call.root, call.words[0], call.log.warn).pause()
    return 0


def resume_(call: Call) -> int:
    """Thaw the container."""
    container.load(call.root, call.words[0], call.log.warn).resume()
    return 0


_INSTEAD = "runc and crun can, where criu is installed"


def checkpoint_(call: Call) -> int:
    """Not done: it needs CRIU."""
    raise Unsupported(
        f"container {call.words[0]} cannot be checkpointed: this runtime does not drive CRIU", hint=_INSTEAD
    )


def restore_(call: Call) -> int:
    """Not done: it needs CRIU."""
    raise Unsupported(
        f"container {call.words[0]} cannot be restored: this runtime does not drive CRIU", hint=_INSTEAD
    )
