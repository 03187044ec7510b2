"""Rows in columns, by Go template or as JSON: what every listing verb prints (--format, -q, --no-trunc)."""

from __future__ import annotations

import sys

from nakagin.cli.command import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Row = Mapping[str, object]

_MINIMUM_WIDTH = 10
_PADDING = 3


def columns(lines: Iterable[Sequence[str]], *, minimum: int = _MINIMUM_WIDTH, padding: int = _PADDING) -> str:
    """Lines of cells, aligned as Go's tabwriter does: all but the last cell of a line are padded."""
    table = [tuple(line) for line in lines]
    widths: list[int] = []
    for line in table:
        for position, cell in enumerate(line[:-1]):
            if position == len(widths):
                widths.append(minimum)
            widths[position] = max(widths[position], len(cell) + padding)
    return "".join(
        "".join(f"{cell:<{widths[position]}}" for position, cell in enumerate(line[:-1]))
        + (line[-1] if line else "")
        + "\n"
        for line in table
    )


def show(rows: Iterable[Row], template: str, default: Sequence[str], headers: Mapping[str, str]) -> None:
    """Print rows: "" or "table" as columns of the `default` fields, "table T", "json" or a template T for each."""
    if template in ("", "table"):
        lines = [[headers[name] for name in default]]
        lines += [[str(row[name]) for name in default] for row in rows]
        sys.stdout.write(columns(lines))
        return
    if template == "json":
        template = "{{json .}}"
    as_table = template.startswith("table ")
    render = row_renderer(template.removeprefix("table "), headers)
    if as_table:
        header, *shown = render(None), *(render(row) for row in rows)
        sys.stdout.write(columns(line.split("\t") for line in (header, *shown)))
        return
    for row in rows:
        say(render(row))


def _json(value: object) -> str:
    """Docker's rows marshal themselves, and so escape what HTML would misread; single fields are written plainly."""
    from nakagin.cli.templates.values import to_json

    return to_json(_plain(value), html=isinstance(value, dict))


def row_renderer(template: str, headers: Mapping[str, str]) -> Callable[[Row | None], str]:
    """A function that renders one row; None renders the headers. Its JSON has all fields but functions."""
    from nakagin.cli.templates import Template, TemplateError

    text = template.replace("\\t", "\t").replace("\\n", "\n")
    try:
        row_template = Template(text, {"json": _json})
    except TemplateError as error:
        raise TemplateError(f"failed to parse template: {error.message}") from None
    as_header = dict.fromkeys(
        ("json", "join", "title", "lower", "upper", "truncate", "pad", "println"), _first
    )
    header_template = Template(text, {**as_header, "split": lambda value, *_: [value]})

    def render(row: Row | None) -> str:
        if row is None:
            return header_template.render({**headers, "Label": _label_header})
        try:
            return row_template.render(row, absent={})
        except TemplateError as error:
            raise TemplateError(f"failed to execute template: {error.message}") from None

    return render


def _first(value: object, *_: object) -> object:
    return value


def _label_header(name: str) -> str:
    return name.rpartition(".")[2].replace("-", " ").replace("_", " ")


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: value[key] for key in sorted(value) if not callable(value[key])}
    return value


def short_id(full: str) -> str:
    """The first 12 characters, without "sha256:"."""
    return full.removeprefix("sha256:")[:12]


def ellipsis(text: str, width: int) -> str:
    """At most `width` characters; a longer text ends with one that says so."""
    return text if len(text) <= width else text[: width - 1] + "…"


#: Seconds since 1970 of Go's zero time, which engines give for "never".
NEVER = -62135596800


def timestamp(seconds: int) -> str:
    """Go's time.String of a point in time: "2026-11-22 17:06:15 +0000 UTC"."""
    import time

    if seconds <= NEVER:
        return "0001-01-01 00:00:00 +0000 UTC"
    moment = time.localtime(seconds)
    return time.strftime("%Y-%m-%d %H:%M:%S %z ", moment) + (moment.tm_zone or "UTC")


def filters(given: Iterable[str]) -> dict[str, list[str]]:
    """-f/--filter values → the engine's filters."""
    found: dict[str, list[str]] = {}
    for each in given:
        name, _, value = each.partition("=")
        found.setdefault(name.strip().lower(), []).append(value.strip())
    return found
