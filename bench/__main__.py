"""`python -m bench`: start the engines, measure, print, clean up."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from tests.dockerd_fixture import ScratchDockerd
from tests.engine_fixture import ScratchEngine

from bench import debian, report, shelter
from bench.measure import Row, say
from bench.scenarios import ALONE, SCENARIOS, Engines, measure

PEERS = {"nakagin": ScratchEngine, "dockerd": ScratchDockerd}
NAMES = (*SCENARIOS, *ALONE)


def main() -> int:
    """Exit code 0 when everything could be measured, whatever the figures are."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a third of the rounds, fewer idle containers")
    parser.add_argument("--only", default=",".join(NAMES), help=f"of {', '.join(NAMES)}")
    parser.add_argument("--peers", default=",".join(PEERS), help=f"of {', '.join(PEERS)}")
    parser.add_argument("--rounds", type=int, help="samples of each thing")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("make bench needs root: it starts two container engines. Next step: sudo make bench")
        return 1
    folder = shelter.enter()
    if folder is None:
        if {"archives", "transfer"} & set(options.only.split(",")):
            debian.archive()  # made here, as the shelter has no network
        return shelter.run_inside(sys.argv[1:])
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    rounds = options.rounds or (6 if options.quick else 20)
    names = options.only.split(",")
    rows: list[Row] = []
    failed: list[str] = []
    with ExitStack() as stack:
        engines = _start(stack, options.peers.split(","), folder) if set(names) - ALONE.keys() else {}
        for name in names:
            try:
                rows += measure(name, engines, folder, rounds)
            except (RuntimeError, OSError, subprocess.SubprocessError, AssertionError) as error:
                failed.append(f"{name} could not be measured: {error}")
        print(report.table(rows))
        print("\n".join([*report.write(rows), *failed]), flush=True)
    return 1 if failed else 0


def _start(stack: ExitStack, peers: list[str], folder: str) -> Engines:
    engines: Engines = {}
    for peer in peers:
        engine = PEERS[peer](parent=folder, log_level="info")
        engine.exec_root = Path(shelter.run_root(folder)) / engine.instance
        stack.callback(_close, engine)
        engine.start()
        engine.bootstrap_busybox()
        engines[peer] = engine
    return engines


def _close(engine: ScratchEngine) -> None:
    for line in engine.close():
        say(f"{engine.name} left behind: {line}")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted; everything is cleaned up")
