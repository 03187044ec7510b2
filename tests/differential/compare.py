"""Two answers to one call, key by key: what differs after what must differ (ids, times, places) is taken out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.differential.dialogue import Answer


class Difference(NamedTuple):
    """A place in an answer that is not the same: `path` like ".HostConfig.Memory" or "status"."""

    call: str
    path: str
    theirs: Any
    ours: Any


ABSENT = "(absent)"

#: Numbers and texts that no two runs have in common; only their kind is compared.
_PASSING = re.compile(
    r"\.(?:Pid|time|timeNano|Created|CreatedAt|total_usage|usage_in_\w+|percpu_usage\[\d+\]|system_cpu_usage|usage"
    r"|max_usage|Processes\[\d+\]\[\d+\]|NFd|NGoroutines|MemTotal|SpaceReclaimed|SizeRw|SizeRootFs|Size|LayersSize"
    r"|MacAddress|SandboxKey|SandboxID|EndpointID|execID)$|\.stats\.\w+$"
)
_WORDS = (
    (re.compile(r"\b[0-9a-f]{64}\b"), "<id>"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "<short>"),
    (re.compile(r"(?!0001)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*(?:Z|[+-]\d\d:\d\d)"), "<time>"),
    (re.compile(r"/var/tmp/nk-[^/]*/(?:data|exec)(?=/|$)"), "<root>"),
    (re.compile(r"nk-t[0-9a-f]+0"), "<bridge>"),
    (re.compile(r"(?:Less than a|\d+) seconds?( ago)?"), "<age>"),
)  # fmt: skip


def differences(call: str, theirs: Answer, ours: Answer) -> Iterator[Difference]:
    """All of one call. Of refusals the status must be the same, and the body Docker's error document."""
    if theirs.status != ours.status:
        yield Difference(call, "status", theirs.status, ours.status)
        return
    if theirs.status >= 400:
        yield from _refusals(call, ours)
        return
    if theirs.kind and theirs.kind != ours.kind:
        yield Difference(call, "type", theirs.kind, ours.kind)
    yield from (Difference(call, *each) for each in _walk(_plain(theirs.body), _plain(ours.body), ""))


def _refusals(call: str, ours: Answer) -> Iterator[Difference]:
    document = ours.body[0] if isinstance(ours.body, list) and len(ours.body) == 1 else ours.body
    if not (isinstance(document, dict) and document.get("message")):
        yield Difference(call, "error", {"message": "…"}, ours.body)


def _plain(value: Any) -> Any:
    """`value` without what differs from run to run; keys, too, may be ids."""
    if isinstance(value, dict):
        plain = {_words(key): _plain(each) for key, each in value.items()}
        if isinstance(mounts := plain.get("Mounts"), list):  # a map in Go: in no order
            plain["Mounts"] = sorted(
                mounts, key=lambda each: str(each.get("Destination", each.get("Target")))
            )
        return plain
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return _words(value) if isinstance(value, str) else value


def _words(text: str) -> str:
    for pattern, word in _WORDS:
        text = pattern.sub(word, text)
    return text


def _walk(theirs: Any, ours: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if _empty(theirs) and _empty(ours):
        return
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in sorted(set(theirs) | set(ours)):
            if key not in theirs:
                yield f"{path}.{key}", ABSENT, ours[key]
            elif key not in ours:
                yield f"{path}.{key}", theirs[key], ABSENT
            else:
                yield from _walk(theirs[key], ours[key], f"{path}.{key}")
    elif isinstance(theirs, list) and isinstance(ours, list):
        if len(theirs) != len(ours):
            yield f"{path}.length", theirs, ours
        for number, (one, other) in enumerate(zip(theirs, ours, strict=False)):
            yield from _walk(one, other, f"{path}[{number}]")
    elif _PASSING.search(path):
        if type(theirs) is not type(ours):
            yield path, theirs, ours
    elif theirs != ours or type(theirs) is not type(ours):
        yield path, theirs, ours


def _empty(value: Any) -> bool:
    """null, [] and {}: which one it is hangs on what the client sent, not on the engine."""
    return value is None or value == [] or value == {}
