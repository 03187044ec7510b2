"""Where a variable comes from, what it hides, and what it does: for `config --explain`, `--variables`."""

from __future__ import annotations

from nakagin.compose.environment import Sources
from nakagin.compose.interpolate import Use


def explain_variable(name: str, sources: Sources, uses: list[Use]) -> str:
    """A text for people; it never fails, an unknown variable is told as such."""
    lines: list[str] = []
    origins = sources.origins.get(name, [])
    if not origins:
        known = sources.environment.get(name)
        lines.append(f"{name} is not set." if known is None else f"{name} = {known!r}, from Compose itself.")
    else:
        first, *hidden = origins
        lines.append(f"{name} = {first.value!r}, from {first.source}")
        lines += [f"  hides {each.value!r} from {each.source}" for each in hidden]
    here = [use for use in uses if use.variable == name]
    lines.append("It is used nowhere." if not here else "It is used in:")
    for use in here:
        text = f"${{{name}{use.operator}{use.alternative}}}" if use.operator else f"${{{name}}}"
        lines.append(f"  {use.where}: {text} → {_effect(use, sources.environment.get(name))}")
    return "\n".join(lines) + "\n"


def _effect(use: Use, value: str | None) -> str:
    given = value is not None and (value != "" or ":" not in use.operator)
    match use.operator.removeprefix(":"):
        case "-":
            return f"{value!r}" if given else f"the default {use.alternative!r}"
        case "+":
            return f"the alternative {use.alternative!r}" if given else "nothing"
        case "?":
            return f"{value!r}" if given else f"an error: {use.alternative}"
    return f"{value!r}" if value is not None else "'' (it is not set)"


def variables(uses: list[Use]) -> list[tuple[str, str, str, str]]:
    """(name, required, default, alternate value) of each variable that the files name."""
    rows: dict[str, tuple[bool, str, str]] = {}
    for use in uses:
        required, default, other = rows.get(use.variable, (False, "", ""))
        operator = use.operator.removeprefix(":")
        rows[use.variable] = (
            required or operator == "?",
            use.alternative if operator == "-" else default,
            use.alternative if operator == "+" else other,
        )
    return [
        (name, str(required).lower(), default, other)
        for name, (required, default, other) in sorted(rows.items())
    ]
