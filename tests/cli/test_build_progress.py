"""How `nakagin build` shows a build: the board of steps, plain lines, the picture on a terminal, the last page."""

from __future__ import annotations

import base64
import io
import os
import pty
import re
import select
from typing import Any

import pytest

from nakagin.cli.building.board import Board, clean
from nakagin.cli.building.plain import Plain
from nakagin.cli.building.report import closing, meaning
from nakagin.cli.building.screen import Screen, columns, fitting
from nakagin.cli.building.show import settle, show
from nakagin.errors import Invalid

Event = dict[str, Any]


def begun(number: int, text: str, stage: str = "", place: str = "") -> Event:
    return {"event": "begun", "number": number, "text": text, "stage": stage, "place": place}


def output(number: int, text: str) -> Event:
    return {"event": "output", "number": number, "data": base64.b64encode(text.encode()).decode()}


def done(number: int, seconds: float = 1.0) -> Event:
    return {"event": "done", "number": number, "seconds": seconds, "result": ""}


STORY = [
    {"event": "planned", "steps": 3},
    begun(1, "FROM busybox", "web", "1/3"),
    done(1, 0.0),
    begun(2, "COPY . /app", "web", "2/3"),
    {"event": "cached", "number": 2},
    done(2, 0.0),
    begun(3, "RUN npm ci &&    true", "web", "3/3"),
    output(3, "one\ntw"),
    output(3, "o\nthree"),
]


def test_plain_lines_come_whole_and_once() -> None:
    out = io.StringIO()
    view = Plain(out)
    for event in [
        *STORY,
        done(3, 4.2),
        {"event": "built", "id": "sha256:" + "a" * 64, "names": ["web:latest"]},
    ]:
        view.feed(event)
    view.close()
    shown = re.sub(r"#3 \d+\.\d{3}", "#3 T", out.getvalue())
    assert shown == (
        "#1 [web 1/3] FROM busybox\n#1 DONE 0.0s\n\n"
        "#2 [web 2/3] COPY . /app\n#2 CACHED\n\n"
        "#3 [web 3/3] RUN npm ci && true\n#3 T one\n#3 T two\n#3 T three\n#3 DONE 4.2s\n\n"
        "Successfully built aaaaaaaaaaaa\nSuccessfully tagged web:latest\n"
    )


def test_what_programs_do_to_their_line_is_undone() -> None:
    assert clean("\x1b[31mred\x1b[0m") == "red"
    assert clean("10%\r50%\r100%\r") == "100%"
    assert clean("bell\a\x1b]0;title\x07 end") == "bell end"


def test_the_page_of_a_failed_step() -> None:
    board = Board()
    for event in STORY:
        board.feed(event)
    board.feed(
        {"event": "failed", "number": 3, "message": "m", "code": 137, "excerpt": "Dockerfile:3\n>>> RUN"}
    )
    assert "\n".join(closing(board)) == (
        "\n------\n > [web 3/3] RUN npm ci && true:\n   one\n   two\n   three\n------\n"
        f"Dockerfile:3\n>>> RUN\n{meaning(137)}\nTo look around in this state, build again with --on-error=shell"
    )


def test_warnings_have_their_lines_and_reason() -> None:
    board = Board()
    board.feed(
        {"event": "warning", "rule": "R", "message": "m", "line": 4, "explanation": "why", "excerpt": "a\nb"}
    )
    assert list(closing(board)) == ["", "WARNING R: m (line 4)", "  why", "  a", "  b"]


@pytest.mark.parametrize(
    ("code", "words"), [(127, "not found"), (126, "can not be executed"), (137, "memory"), (143, "signal 15"), (3, "3")]
)  # fmt: skip
def test_exit_codes_in_words(code: int, words: str) -> None:
    assert words in meaning(code)


def test_texts_fit_in_columns() -> None:
    assert fitting("abcdef", 4) == "abc…"
    assert columns("漢字") == 4
    assert columns(fitting("漢字漢字", 5)) <= 5


def drawn(master: int) -> str:
    """What was written to a terminal so far."""
    found = b""
    while select.select([master], [], [], 0)[0]:
        found += os.read(master, 65536)
    return found.decode()


def test_the_picture_on_a_terminal() -> None:
    """What is done stays, what runs is drawn over; in the end nothing is drawn any more."""
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal:
        view = Screen(terminal, colour=False)
        for event in STORY:
            view.feed(event)
        view.message("Pulling")
        view.feed(done(3, 2.5))
        view.close()
        text = drawn(master)
    os.close(master)
    screen = played(text)
    assert [line.split("  ")[0].strip() for line in screen if line] == [
        "✔ [web 1/3] FROM busybox", "✔ [web 2/3] COPY . /app", "Pulling", "✔ [web 3/3] RUN npm ci && true",
        next(line for line in screen if line.startswith("[+] Building")),
    ]  # fmt: skip
    assert screen[1].endswith("CACHED")
    assert screen[3].endswith("2.5s")
    assert all(columns(line) < 80 for line in screen)


def played(text: str) -> list[str]:
    """The lines that a terminal shows after it: newlines, cursor up, erase below."""
    lines, row = [""], 0
    for piece in re.split(r"(\x1b\[\d*[AJ]|\r?\n|\r)", text):
        if piece.endswith("\n"):
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif piece.endswith("A"):
            row -= int(piece[2:-1])
        elif piece.endswith("J"):
            del lines[row:]
            lines.append("")
        elif piece != "\r":
            lines[row] += piece
    return lines


def test_the_form_is_known(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert settle("plain", quiet=True) == "quiet"
    monkeypatch.setenv("BUILDKIT_PROGRESS", "rawjson")
    assert settle("", quiet=False) == "rawjson"
    with pytest.raises(Invalid, match="loud"):
        settle("loud", quiet=False)
    show([{"id": "nakagin.event", "aux": done(1)}, {"status": "Pulling", "id": "x"}], "rawjson")
    assert capsys.readouterr().err.splitlines()[1] == '{"event": "said", "message": "x: Pulling"}'


def test_another_engine_is_shown_in_its_own_words(capfd: pytest.CaptureFixture[str]) -> None:
    show([{"stream": "Step 1/1 : FROM x\n"}], "plain")
    assert capfd.readouterr().out == "Step 1/1 : FROM x\n"
