"""Version ranges as the ecosystems write them (">=3.9,<3.13", "^18 || >=20", "~> 3.1", "8.x"), on short versions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_CLAUSE = re.compile(r"(>=|<=|===|==|!=|~>|~=|\^|~|>|<|=)?\s*v?(\d+(?:\.(?:\d+|[xX*]))*)")


def newest(known: Sequence[str], wanted: str, fallback: str) -> str:
    """The newest of the known versions that the range admits; `fallback` where it says nothing or admits none.

    `known` are ascending, of one or two parts ("20", "3.11"); what a range says beyond those parts is ignored.
    A range that admits the fallback keeps it.
    """
    if not _CLAUSE.search(wanted):
        return fallback
    admitted = [each for each in known if admits(wanted, each)]
    if fallback in admitted or not admitted:
        return fallback
    return admitted[-1]


def admits(wanted: str, version: str) -> bool:
    """Whether a range admits a version: alternatives by "|", clauses by comma or space."""
    return any(
        all(_holds(operator, limit, version) for operator, limit in _CLAUSE.findall(each))
        for each in re.split(r"\|+", wanted)
        if _CLAUSE.search(each)
    )


def exact(text: str, parts: int) -> str:
    """The first version in a text, cut to so many parts ("v20.11.1", 1 → "20"); "" where there is none."""
    found = re.search(r"\d+(?:\.\d+)*", text)
    return ".".join(found[0].split(".")[:parts]) if found else ""


def _holds(operator: str, limit: str, version: str) -> bool:
    have = [int(part) for part in version.split(".")]
    want = [int(part) for part in limit.split(".") if part.isdigit()]
    # Only what both say is compared: ">=3.9.2" on "3.9" is taken as true.
    short = min(len(have), len(want))
    left, right = have[:short], want[:short]
    if operator == ">=":
        return left >= right
    if operator == ">":
        return have > want if len(have) >= len(want) else left >= right
    if operator == "<=":
        return left <= right
    if operator == "<":
        beyond = len(want) > short and any(want[short:])
        return left < right or (left == right and beyond)
    if operator == "!=":
        return left != right or len(want) > len(have)
    if operator == "^":
        return left >= right and left[0] == right[0]
    if operator in {"~>", "~="}:
        held = max(len(want) - 1, 1)
        return left >= right and left[:held] == right[:held]
    return left == right
