"""`nakagin-compose`: `nakagin compose` for those who write `docker-compose`, or `docker compose` through a plugin.

Linked under the name docker-compose it answers both ways: docker calls plugins as `docker-compose compose …`, and asks
them once who they are.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from nakagin.cli.composing.context import FLAGS
from nakagin.cli.flags import Flag
from nakagin.cli.main import GLOBAL_FLAGS, run
from nakagin.compose.labels import FOLLOWED

_WHO = "docker-cli-plugin-metadata"
#: Flags that docker-compose has always taken among its own, though they say which engine.
_ENGINES = (
    "host",
    "context",
    "config",
    "tls",
    "tlscacert",
    "tlscert",
    "tlskey",
    "tlsverify",
    "debug",
    "log-level",
)


def main() -> None:
    """The console script."""
    words = sys.argv[1:]
    if words == [_WHO]:
        from nakagin.spec.document import render

        about = "Docker Compose, by Nakagin"
        told = {
            "SchemaVersion": "0.1.0",
            "Vendor": "Nakagin",
            "Version": f"v{FOLLOWED}",
            "ShortDescription": about,
        }
        sys.stdout.write(render(told) + "\n")
        code = 0
    else:
        code = run(arranged(words))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def arranged(words: Sequence[str]) -> list[str]:
    """The same command line for `nakagin`: what says which engine first, then `compose` and all the rest."""
    known = {f"--{flag.name}": flag for flag in GLOBAL_FLAGS if flag.name in _ENGINES}
    known |= {f"-{flag.short}": flag for flag in GLOBAL_FLAGS if flag.name in _ENGINES and flag.short}
    own = {f"--{flag.name}": flag for flag in FLAGS} | {
        f"-{flag.short}": flag for flag in FLAGS if flag.short
    }
    front: list[str] = []
    middle: list[str] = []
    rest = list(words)
    while rest and rest[0].startswith("-") and rest[0] not in ("-", "--"):
        name, equals, _ = rest[0].partition("=")
        flag = own.get(name) or known.get(name)
        count = 2 if flag is not None and flag.kind != "bool" and not equals else 1
        (front if _says_where(name, own, known) else middle).extend(rest[:count])
        del rest[:count]
    if rest[:1] == ["compose"]:
        del rest[0]
    return [*front, "compose", *middle, *rest]


def _says_where(name: str, own: dict[str, Flag], known: dict[str, Flag]) -> bool:
    return name in known and name not in own
