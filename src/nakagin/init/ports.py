"""The port that a program listens on, by what its source and settings say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nakagin.init.model import Fact, Question

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nakagin.init.folder import Folder
    from nakagin.init.model import Answers

_PORT = r"(?P<port>[1-9]\d{2,4})\b"
PATTERNS = {
    "python": (
        rf"""["']PORT["']\s*,\s*["']?{_PORT}""",
        rf"(?:^|[\s(,_])[Pp]ort\s*(?::\s*int\s*)?=\s*(?:int\()?[\"']?{_PORT}",
        rf"""(?:HTTPServer|TCPServer|create_server|\.bind|serve)\(\s*\(\s*["'][^"']*["']\s*,\s*{_PORT}""",
        rf"--port[= ]{_PORT}",
        rf"0\.0\.0\.0:{_PORT}",
    ),
    "script": (
        rf"process\.env\.PORT\s*(?:\|\||\?\?)\s*[\"']?{_PORT}",
        rf"\.listen\(\s*(?:\{{\s*port:\s*)?{_PORT}",
        rf"\b[Pp][Oo][Rr][Tt]\s*[:=]\s*(?:Number\()?[\"']?{_PORT}",
        rf"(?:-p|--port)[= ]{_PORT}",
    ),
    "compiled": (
        rf"""["'](?:[\d.]*|localhost|\[::\]):{_PORT}["']""",
        rf"\(\s*\[\s*(?:\d+\s*,\s*){{3}}\d+\s*\]\s*,\s*{_PORT}",
        rf"""\(\s*["'][\d.]+["']\s*,\s*{_PORT}""",
        rf"htons\(\s*{_PORT}",
        rf"\b[A-Za-z_]*[Pp][Oo][Rr][Tt]\s*(?::\s*\w+\s*)?(?:=|:=|\s)\s*[\"']?{_PORT}",
        rf"""(?:getOrDefault|env)\(\s*["']PORT["']\s*,\s*["']?{_PORT}""",
    ),
    "settings": (
        rf"^\s*server\.port\s*[=:]\s*(?:\$\{{PORT:)?{_PORT}",
        rf"^\s*port:\s*(?:\$\{{PORT:)?{_PORT}",
        rf"^\s*port\s+ENV\.fetch\(\s*[\"']PORT[\"']\s*\)\s*\{{\s*{_PORT}",
        rf"^\s*(?:HTTP_|SERVER_|APP_)?PORT={_PORT}",
    ),
}
SETTINGS = (
    ".env.example", ".env.sample", ".env", "config/puma.rb", "src/main/resources/application.properties",
    "src/main/resources/application.yml", "src/main/resources/application.yaml",
)  # fmt: skip


def port(
    folder: Folder, answers: Answers, kind: str, sources: Sequence[str], usual: int
) -> tuple[int, tuple[Fact, ...], tuple[Question, ...]]:
    """(port, fact, question): what the user said, what is seen, else what is usual there (0: it may serve nothing)."""
    if answers.port >= 0:
        return answers.port, (Fact("port", str(answers.port), "you"),) if answers.port else (), ()
    for pattern, paths in [
        *((pattern, sources) for pattern in PATTERNS[kind]),
        *((pattern, SETTINGS) for pattern in PATTERNS["settings"]),
    ]:
        if hit := folder.first(pattern, paths):
            return int(hit.match["port"]), (Fact("port", hit.match["port"], hit.place),), ()
    if usual:
        return usual, (Fact("port", str(usual), "usual for the framework"),), ()
    question = Question("port", "Which port does the program listen on? (0: none)", "0")
    return 0, (), (question,)
