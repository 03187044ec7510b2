"""The flags of instructions (`--name=value` before the arguments): which each takes, and their kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nakagin.dockerfile.fault import DockerfileError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nakagin.dockerfile.nodes import Node

TEXT, TRUTH, TEXTS = "text", "truth", "texts"

_TRANSFER = {"chown": TEXT, "chmod": TEXT, "link": TRUTH, "exclude": TEXTS}
KNOWN: Mapping[str, Mapping[str, str]] = {
    "ADD": {**_TRANSFER, "checksum": TEXT, "keep-git-dir": TRUTH, "unpack": TRUTH},
    "COPY": {**_TRANSFER, "from": TEXT, "parents": TRUTH},
    "FROM": {"platform": TEXT},
    "HEALTHCHECK": dict.fromkeys(("interval", "timeout", "start-period", "start-interval", "retries"), TEXT),
    "RUN": {"mount": TEXTS, "network": TEXT, "security": TEXT, "device": TEXTS},
}
_TRUTH = {"true": True, "false": False, "1": True, "0": False, "t": True, "f": False}


class Flags:
    """The flags of one instruction, each asked for by name."""

    def __init__(self, node: Node) -> None:
        known = KNOWN.get(node.keyword, {})
        self._values: dict[str, list[str]] = {}
        for flag in node.flags:
            name, equals, value = flag.removeprefix("--").partition("=")
            kind = known.get(name)
            if kind is None:
                hint = nearest(f"--{name}", [f"--{each}" for each in known]) or (
                    f"{node.keyword} takes {_names(known)}" if known else None
                )
                raise DockerfileError(f"unknown flag: --{name}", hint=hint, needle=f"--{name}")
            if not equals and kind != TRUTH:
                raise DockerfileError(
                    f"missing a value on flag: --{name}", hint=f"write --{name}=VALUE", needle=f"--{name}"
                )
            if name in self._values and kind != TEXTS:
                raise DockerfileError(f"duplicate flag specified: --{name}", needle=f"--{name}")
            if kind == TRUTH and value.lower() not in _TRUTH and equals:
                raise DockerfileError(
                    f"expecting boolean value for flag --{name}, not: {value}", needle=value
                )
            self._values.setdefault(name, []).append(value if equals else "true")

    def text(self, name: str) -> str:
        """Empty when it was not given."""
        return self._values.get(name, [""])[0]

    def texts(self, name: str) -> tuple[str, ...]:
        """All values of a flag that may be repeated."""
        return tuple(self._values.get(name, ()))

    def truth(self, name: str) -> bool:
        """False when it was not given."""
        return self.perhaps(name) or False

    def perhaps(self, name: str) -> bool | None:
        """None when it was not given."""
        return _TRUTH[self._values[name][0].lower()] if name in self._values else None


def _names(known: Mapping[str, str]) -> str:
    return ", ".join(f"--{name}" for name in sorted(known))
