"""Go: one static program on a small Debian."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nakagin.init import health, ports
from nakagin.init.languages.bare import final
from nakagin.init.model import Fact, Question, Recipe

if TYPE_CHECKING:
    from nakagin.init.folder import Folder
    from nakagin.init.model import Answers

USUAL = "1.24"
_SERVES = r"ListenAndServe|net\.Listen|\.Run\(|\.Start\("
FRAMEWORKS = {
    "github.com/gin-gonic/gin": "Gin", "github.com/labstack/echo": "Echo", "github.com/gofiber/fiber": "Fiber",
    "github.com/go-chi/chi": "chi", "github.com/gorilla/mux": "Gorilla",
}  # fmt: skip


def recipe(folder: Folder, answers: Answers) -> Recipe | None:
    """What a Go module needs, None where this is none."""
    module = folder.text("go.mod")
    if not module:
        return None
    hit = folder.first(r"^(?:toolchain go|go )(\d+\.\d+)", ("go.mod",))
    version = answers.version or (hit.match[1] if hit else USUAL)
    requirements = {
        each.match[1]: "go.mod" for each in folder.search(r"^\s*(?:require )?(\S+\.\S+/\S+) v\d", ("go.mod",))
    }
    framework = next(
        (FRAMEWORKS[each] for each in FRAMEWORKS if any(name.startswith(each) for name in requirements)), ""
    )
    sources = folder.ending(".go")
    mains = _mains(folder, sources)
    questions = (
        ()
        if len(mains) == 1
        else (Question("command", "Which package is the program? (a folder)", next(iter(mains), ".")),)
    )
    package = answers.command or next(iter(mains), ".")
    serves = bool(folder.first(_SERVES, sources))
    port, port_facts, port_questions = ports.port(
        folder, answers, "compiled", sources, 8080 if framework or serves else 0
    )
    check = health.connection(port) if port else ""
    build = (
        f"ARG GO_VERSION={version}\n\n"
        "FROM golang:${GO_VERSION}-bookworm AS build\n"
        "WORKDIR /src\n"
        f"COPY go.mod{' go.sum' if folder.has('go.sum') else ''} ./\n"
        "RUN --mount=type=cache,target=/go/pkg/mod \\\n    go mod download\n"
        "COPY . .\n"
        "RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \\\n"
        f"    CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o /out/app {_package(package)}\n\n"
    )
    return Recipe(
        "Go",
        build
        + final(
            "--from=build /out/app /usr/local/bin/app", json.dumps(["app"]), port, check, certificates=True
        ),
        port,
        framework=framework,
        tool="go modules",
        facts=(
            Fact("version", version, "you" if answers.version else hit.place if hit else "the usual one"),
            Fact("program", package, "you" if answers.command else _source(mains)),
            *((Fact("framework", framework, "go.mod"),) if framework else ()),
            *port_facts,
        ),
        questions=(*(questions if not answers.command else ()), *port_questions),
        ignore=("bin", "*.test", "*.out"),
        dependencies=requirements,
    )


def _mains(folder: Folder, sources: tuple[str, ...]) -> list[str]:
    """The folders of main packages ("." is the top one): first what listens, as it is what people put there."""
    found = [each.path.rpartition("/")[0] or "." for each in folder.search(r"^package main$", sources)]
    serving = {each.path.rpartition("/")[0] or "." for each in folder.search(_SERVES, sources)}
    return sorted(dict.fromkeys(found), key=lambda each: each not in serving)


def _source(mains: list[str]) -> str:
    return f"the first of {', '.join(mains)}" if len(mains) > 1 else "package main"


def _package(folder: str) -> str:
    return "." if folder == "." else f"./{folder.removeprefix('./')}"
