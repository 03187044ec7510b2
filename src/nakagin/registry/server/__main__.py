"""`python -m nakagin.registry.server`: what `nakagin registry` executes."""

from __future__ import annotations

import sys

from nakagin.registry.server.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
