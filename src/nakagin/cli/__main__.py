"""`python -m nakagin.cli` is `nakagin`."""

from __future__ import annotations

from nakagin.cli.main import main

main()
