"""Signals by the C module: the `signal` module makes enums of them, which costs milliseconds of import."""

from __future__ import annotations

from nakagin.errors import Invalid
from nakagin.kernel import abi
from nakagin.kernel.calls import Call

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as table
else:
    import _signal as table

# The C library keeps these for itself and hides them from sigaction(3) and sigprocmask(3).
_RESERVED = (32, 33)

__all__ = ["default_calls", "hold_back", "number_of", "release", "table"]


def default_calls() -> list[Call]:
    """What undoes for a child what it would inherit: ignored signals (Python ignores SIGPIPE), blocked ones."""
    words = "restore the signals"
    ignored = [
        number
        for number in range(1, table.NSIG)
        if number in _RESERVED or table.getsignal(number) == table.SIG_IGN
    ]
    calls = [Call(words, abi.NR_RT_SIGACTION, number, bytes(32), 0, 8) for number in ignored]
    return [*calls, Call(words, abi.NR_RT_SIGPROCMASK, table.SIG_SETMASK, bytes(8), 0, 8)]


def hold_back() -> None:
    """Block all signals; they wait until `release`, or in a new program by `default_calls`."""
    table.pthread_sigmask(table.SIG_BLOCK, table.valid_signals())


def release() -> None:
    """Let signals through again, those that waited first."""
    table.pthread_sigmask(table.SIG_SETMASK, ())


def number_of(text: str) -> int:
    """ "KILL", "sigkill", "RTMIN+3" and "9" -> the number. Raises Invalid."""
    if text.isdecimal() and int(text) < table.NSIG:
        return int(text)
    name = text.upper()
    name, sign, offset = (name if name.startswith("SIG") else f"SIG{name}").replace("-", "+-").partition("+")
    number = getattr(table, name, None)
    if not isinstance(number, int) or name.startswith("SIG_") or (sign and not name.startswith("SIGRTM")):
        raise Invalid(f"{text} is not a signal")
    try:
        return number + int(offset or 0)
    except ValueError:
        raise Invalid(f"{text} is not a signal") from None
