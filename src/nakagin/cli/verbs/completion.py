"""`nakagin completion bash|zsh|fish`: the script for a shell; `answer` is what that script calls."""

from __future__ import annotations

import sys

from nakagin.cli.command import Call, Command, say
from nakagin.errors import Invalid


def completion(call: Call) -> int:
    """Print a shell's script, or the candidates for the line that a script hands over."""
    from nakagin.cli import completion as completing

    shell = call.arguments[0]
    if shell == "answer":
        from nakagin.client import Client

        # Not by the call's own client: pressing a key must not start an engine, nor wait for one that hangs.
        names = completing.from_engine(Client.from_env(timeout=1.0))
        for each in completing.candidates(completing.line(), names):
            say(each)
        return 0
    if shell not in completing.SCRIPTS:
        raise Invalid(f'unknown shell "{shell}"', hint=f"one of: {', '.join(completing.SCRIPTS)}")
    sys.stdout.write(completing.SCRIPTS[shell].lstrip("\n"))
    return 0


COMPLETION = Command(completion, "bash|zsh|fish", least=1, most=1)
