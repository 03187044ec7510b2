from __future__ import annotations

from typing import Any

from nakagin.cli.composing.builds import joined


def event(**more: object) -> dict[str, Any]:
    return {"id": "nakagin.event", "aux": more}


def test_several_builds_are_told_as_one() -> None:
    told: list[tuple[str, dict[str, Any]]] = [
        ("web", event(event="planned", steps=2)),
        ("db", event(event="planned", steps=3)),
        ("web", event(event="begun", number=1, stage="", text="FROM a")),
        ("db", event(event="begun", number=1, stage="base", text="FROM b")),
        ("db", event(event="warning", rule="R", message="words")),
        ("web", {"id": "layer", "status": "Pulling"}),
        ("web", event(event="done", number=1, seconds=1.0)),
    ]
    shown = list(joined(told))
    assert [each.get("aux") for each in shown] == [
        {"event": "planned", "steps": 2},
        {"event": "planned", "steps": 5},
        {"event": "begun", "number": 1, "stage": "web", "text": "FROM a"},
        {"event": "begun", "number": 2, "stage": "db base", "text": "FROM b"},
        {"event": "warning", "rule": "R", "message": "db: words"},
        None,
        {"event": "done", "number": 1, "seconds": 1.0},
    ]
    assert shown[5] == {"id": "web layer", "status": "Pulling"}
