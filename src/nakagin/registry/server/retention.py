"""Which tags are kept: a pure plan out of rules, names and times."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from nakagin.registry.server.settings import Retention, seconds_of


def outdated(
    repository: str, tags: Sequence[tuple[str, float]], rules: Sequence[Retention], now: float
) -> set[str]:
    """The tags that a rule gives up, of tags with the times they were set (seconds since the epoch).

    Each rule looks at those tags that match it: beyond its newest `keep`, those older than `older_than` go. What
    no rule matches is kept for ever.
    """
    gone: set[str] = set()
    for rule in rules:
        if not any(fnmatchcase(repository, pattern) for pattern in rule.repositories):
            continue
        mine = [each for each in tags if _matches(each[0], rule)]
        mine.sort(key=lambda each: (-each[1], each[0]))
        age = seconds_of(rule.older_than)
        gone |= {tag for tag, moment in mine[rule.keep :] if moment <= now - age}
    return gone


def _matches(tag: str, rule: Retention) -> bool:
    if any(fnmatchcase(tag, pattern) for pattern in rule.except_tags):
        return False
    return any(fnmatchcase(tag, pattern) for pattern in rule.tags)
