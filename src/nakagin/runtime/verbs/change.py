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
    for id_ in _ids(call):
        container.load(call.root, id_, call.log.warn).kill(number, everyone=call.flag("all"))
    return 0


def delete_(call: Call) -> int:
    """Delete a stopped container; with --force kill it first, and be content if it is gone."""
    force = call.flag("force")
    for id_ in _ids(call):
        try:
            made = container.load(call.root, id_, call.log.warn)
        except NotFound:
            if not force:
                raise
            state.Folder(call.root, id_).remove()  # what an interrupted create may have left
            continue
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


def checkpoint_(call: Call) -> int:
    """Not done: it needs CRIU."""
    raise Unsupported(f"container {call.words[0]} cannot be checkpointed: this runtime does not drive CRIU")


def restore_(call: Call) -> int:
    """Not done: it needs CRIU."""
    raise Unsupported(f"container {call.words[0]} cannot be restored: this runtime does not drive CRIU")


def _ids(call: Call) -> list[str]:
    """The container named, or with crun's --regex all whose id matches."""
    if not call.flag("regex"):
        return [call.words[0]]
    import re

    pattern = re.compile(call.words[0])
    names = [folder.path.rpartition("/")[2] for folder in state.folders(call.root)]
    return [name for name in names if pattern.search(name)]
