"""WWW-Authenticate: what a registry asks for, as data (RFC 9110, section 11.6.1). Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - the grammar's word
_PARAMETER = re.compile(rf'({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))')
_SCHEME = re.compile(rf"({_TOKEN})(?:\s+|$)")
_LONGEST = 16 << 10


class Challenge(NamedTuple):
    """A scheme in lower case ("bearer", "basic") and its parameters, names in lower case."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(values: Iterable[str]) -> Sequence[Challenge]:
    """The challenges of all WWW-Authenticate headers; what cannot be read is left out."""
    found: list[tuple[str, dict[str, str]]] = []
    for value in values:
        text, at = value[:_LONGEST], 0
        while at < len(text):
            if text[at] in " \t,":
                at += 1
            elif found and (match := _PARAMETER.match(text, at)):
                plain = match[3] if match[2] is None else re.sub(r"\\(.)", r"\1", match[2])
                found[-1][1].setdefault(match[1].lower(), plain)
                at = match.end()
            elif match := _SCHEME.match(text, at):
                found.append((match[1].lower(), {}))
                at = match.end()
            else:
                at += 1
    return [Challenge(scheme, parameters) for scheme, parameters in found]
