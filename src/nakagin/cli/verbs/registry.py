"""`nakagin registry`: a registry of images, which needs no engine; serve, gc, check."""

from __future__ import annotations

import os
import sys

from nakagin.cli.command import Call, Command


def run(call: Call) -> int:
    """Become the registry: this process is replaced, so that nothing of the command line stays in its memory."""
    sys.stdout.flush()
    os.execv(  # noqa: S606
        sys.executable, [sys.executable, "-m", "nakagin.registry.server", *(call.arguments or ["--help"])]
    )


# The registry reads its own flags, --help too.
REGISTRY = Command(run, "COMMAND [OPTIONS]", most=None, raw=True)
