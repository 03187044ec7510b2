"""Health checks that need nothing in the image but what it has anyway."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nakagin.init.folder import Folder

_ROUTE = r"""["'](?P<path>/(?:healthz?|health/live|livez|readyz|_health|status|up|ping))/?["']"""
_TIMES = "--interval=10s --timeout=3s --start-period=20s --start-interval=1s"


def path(folder: Folder, sources: Sequence[str]) -> str:
    """The route that the program itself calls its health, "" where it has none."""
    hit = folder.first(_ROUTE, sources)
    return hit.match["path"] if hit else ""


def python(port: int, route: str) -> str:
    """By the interpreter: an answer below 500 of the route, or of / where the program names none."""
    return _check(
        "python", "-c",
        "import sys, urllib.request as r, urllib.error as e\n"
        f"try: r.urlopen('http://127.0.0.1:{port}{route or '/'}', timeout=2)\n"
        f"except e.HTTPError as error: sys.exit(error.code >= {400 if route else 500})",
    )  # fmt: skip


def node(port: int, route: str) -> str:
    """By node's own fetch."""
    limit = 400 if route else 500
    return _check(
        "node", "-e",
        f"fetch('http://127.0.0.1:{port}{route or '/'}')"
        f".then(a=>process.exit(+(a.status>={limit})),()=>process.exit(1))",
    )  # fmt: skip


def connection(port: int) -> str:
    """By bash (Debian images have it): the port accepts a connection."""
    return _check("bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}")


def _check(*words: str) -> str:
    quoted = ", ".join('"' + re.sub(r'(["\\])', r"\\\1", word).replace("\n", "\\n") + '"' for word in words)
    return f"HEALTHCHECK {_TIMES} \\\n    CMD [{quoted}]"
