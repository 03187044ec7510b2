"""What was asked of a Dockerfile without building it, as text: checks, outline, targets."""

from __future__ import annotations

import json

from nakagin.cli.command import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Answer = dict[str, Any]


def tell(call: str, answer: Answer, *, json_wanted: bool) -> int:
    """Write the answer; the exit code: 1 for warnings in a file that lets them fail its build."""
    if json_wanted:
        say(json.dumps(answer, indent=2))
    elif call == "outline":
        _outline(answer)
    elif call == "targets":
        _targets(answer)
    else:
        _check(answer)
    return int(bool(answer.get("error") and answer.get("warnings")))


def _check(answer: Answer) -> None:
    warnings = answer["warnings"]
    if not warnings:
        say("Check complete, no warnings found.")
        return
    number = len(warnings)
    say(f"Check complete, {number} {'warning has' if number == 1 else 'warnings have'} been found!")
    for each in warnings:
        say(f"\nWARNING: {each['ruleName']} - {each['url']}\n{each['detail']}\n{each['description']}")
        if each.get("excerpt"):
            say(each["excerpt"])


def _outline(answer: Answer) -> None:
    if answer["name"]:
        say(f"TARGET: {answer['name']}\n")
    if answer["args"]:
        _table("BUILD ARG", "VALUE", [(each["name"], each.get("value", "")) for each in answer["args"]])
    for title, key in (("SECRET", "secrets"), ("SSH", "ssh")):
        if answer[key]:
            rows = [(each["name"], "true" if each.get("required") else "") for each in answer[key]]
            _table(title, "REQUIRED", rows)


def _targets(answer: Answer) -> None:
    rows = [
        (f"{each['name'] or '(last stage)'}{' (default)' if each.get('default') else ''}", each["base"])
        for each in answer["targets"]
    ]
    _table("TARGET", "BASE", rows)


def _table(left: str, right: str, rows: list[tuple[str, str]]) -> None:
    width = max(len(left), *(len(row[0]) for row in rows)) + 3
    for first, second in ((left, right), *rows):
        say(f"{first:<{width}}{second}".rstrip())
    say("")
