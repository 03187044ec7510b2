"""kill, delete, pause, resume; checkpoint and restore, which this runtime does not do."""

from __future__ import annotations

import _signal

from nakagin.errors import Invalid, NotFound, Unsupported
from nakagin.runtime import container, state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.runtime.command import Call


def kill_(call: Call) -> int:
    """Send a signal, by name or number, to the first process or to all."""
    number = signal_number(call.words[1] if len(call.words) > 1 else "TERM")
    for id_ in _ids(call):
        container.load(call.root, id_, call.log.warn).kill(number, everyone=call.flag("all"))
    return 0


def signal_number(text: str) -> int:
    """ "KILL", "sigkill" and "9" -> 9. Raises Invalid."""
    if text.isdecimal() and 0 <= int(text) < _signal.NSIG:
        return int(text)
    name = text.upper()
    name = name if name.startswith("SIG") else f"SIG{name}"
    if name.startswith(("SIGRTMIN+", "SIGRTMAX-")):
        return int(getattr(_signal, name[:8])) + int(name[8:])
    number = getattr(_signal, name, None)
    if not isinstance(number, int) or name.startswith("SIG_"):
        raise Invalid(f"{text} is not a signal")
    return int(number)


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
