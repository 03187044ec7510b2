"""Tests that clone by hand: they run in a child with one thread.

The test runner has threads of its own. A raw clone3(2) beside them may leave a lock of the C library held for ever in
the new process; os.fork(2) puts such locks in order, and in its child there is nobody to hold one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import traceback
import warnings
from collections.abc import Callable

import pytest

from nakagin.kernel import abi
from nakagin.kernel.libc import syscall

_SKIPPED = 77


def run_forked(body: Callable[[], object]) -> None:
    """Call it in a child; AssertionError with the child's traceback, or the child's skip."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pid = os.fork()
    if pid == 0:
        os.close(reading)
        _child(body, writing)
    os.close(writing)
    try:
        with open(reading, encoding="utf-8") as report:
            text = report.read()
    except BaseException:  # the time limit of a test: nobody waits for the child any more
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        raise
    finally:
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status == _SKIPPED:
        pytest.skip(text)
    if status:
        raise AssertionError(f"in the child (exit {status}):\n{text}")


def _child(body: Callable[[], object], report: int) -> None:
    code = 1
    try:
        syscall(abi.NR_PRCTL, abi.PR_SET_PDEATHSIG, signal.SIGKILL)
        body()
        code = 0
    except pytest.skip.Exception as skipped:
        os.write(report, str(skipped).encode())
        code = _SKIPPED
    except BaseException:  # noqa: BLE001  the outermost frame of a process
        os.write(report, traceback.format_exc().encode())
    finally:
        os._exit(code)
