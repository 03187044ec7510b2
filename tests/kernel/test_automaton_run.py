"""A list of system calls that ends in a program, made at once by a child that shares our memory."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from nakagin.kernel import abi, automaton, process, signals
from nakagin.kernel.calls import Call, CallFailed

pytestmark = pytest.mark.skipif(abi.MACHINE != "x86_64", reason="no machine code for this machine")


def execute(*argv: str, **environment: str) -> Call:
    words = [os.fsencode(each) for each in argv]
    variables = [os.fsencode(f"{name}={value}") for name, value in environment.items()]
    return Call(f"exec {argv[0]}", abi.NR_EXECVE, words[0], [*words, 0], [*variables, 0])


def exit_code(calls: list[Call], program: Call) -> int:
    _, pidfd = automaton.Maker().run(calls, program)
    try:
        return process.wait_pidfd(pidfd)
    finally:
        os.close(pidfd)


def output(calls: list[Call], program: Call) -> str:
    reader, writer = os.pipe2(os.O_CLOEXEC)
    with open(reader) as file:
        try:
            assert exit_code([*calls, Call("take the output", abi.NR_DUP3, writer, 1, 0)], program) == 0
        finally:
            os.close(writer)
        return file.read()


def test_arguments_and_environment_arrive() -> None:
    program = execute("/bin/sh", "-c", 'echo "$0" "$1" "$NAME"', "zero", "äöü", NAME="value")
    assert output([], program) == "zero äöü value\n"


def test_long_arguments_arrive_too() -> None:
    long = ["x" * 120_000] * 8
    assert output([], execute("/bin/sh", "-c", "echo $# ${#8}", "sh", *long)) == "8 120000\n"


def test_the_exit_code_is_the_programs() -> None:
    assert exit_code([], execute("/bin/sh", "-c", "exit 7")) == 7


@pytest.mark.parametrize(("path", "number"), [("/nope", 2), ("/etc", 13)])
def test_a_program_that_cannot_be_executed(path: str, number: int) -> None:
    with pytest.raises(CallFailed) as caught:
        exit_code([], execute(path))
    assert (caught.value.words, caught.value.errno) == (f"exec {path}", number)


def test_a_failing_call_ends_the_child_and_names_itself() -> None:
    calls = [Call("begin", abi.NR_SETSID), Call("go nowhere", abi.NR_FCHDIR, 1 << 20)]
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    before = children.read_text()
    with pytest.raises(CallFailed) as caught:
        exit_code(calls, execute("/bin/true"))
    assert (caught.value.words, caught.value.errno) == ("go nowhere", 9)
    assert children.read_text() == before


def test_a_call_that_may_fail_does_not() -> None:
    assert exit_code([Call("go nowhere", abi.NR_FCHDIR, 1 << 20, may_fail=True)], execute("/bin/true")) == 0


def test_calls_change_the_child_alone() -> None:
    usr = os.open("/usr", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        assert output([Call("enter", abi.NR_FCHDIR, usr)], execute("/bin/pwd")) == "/usr\n"
    finally:
        os.close(usr)
    assert os.getcwd() != "/usr"


def test_signals_are_blocked_only_meanwhile() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        lines = output(signals.default_calls(), execute("/bin/cat", "/proc/self/status")).splitlines()
        assert {f"Sig{each}:\t{0:016x}" for each in ("Blk", "Ign", "Cgt")} <= set(lines)
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before | {signal.SIGUSR1}
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_a_handler_of_ours_does_not_run_in_the_child() -> None:
    """It would run in our memory, on our stack."""
    seen: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: seen.append(number))
    try:
        program = execute("/bin/sh", "-c", "kill -USR1 $$; exit 1")
        assert exit_code(signals.default_calls(), program) == 128 + signal.SIGUSR1
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert seen == []
