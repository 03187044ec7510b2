"""The words of init: what was seen in a project, what cannot be seen, and the recipe that follows. Plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Topic = Literal["port", "command"]


class Fact(NamedTuple):
    """Something that was seen, and where: Fact("port", "8000", "app/main.py:12")."""

    what: str
    value: str
    source: str


class Question(NamedTuple):
    """What the folder does not tell. `fallback` is the answer of `--yes`; "" means that there is none."""

    topic: Topic
    text: str
    fallback: str


@dataclass(frozen=True, slots=True)
class Answers:
    """What the user said, by flag or by answering; "" and -1 where nothing was said. Port 0: it serves nothing."""

    language: str = ""
    version: str = ""
    port: int = -1
    command: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """Something the program needs beside it. `block` is its entry of compose.yaml, `wait` its condition."""

    name: str
    product: str
    block: str
    variables: dict[str, str]
    volume: str
    source: str
    wait: str = "service_healthy"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a project becomes an image: the Dockerfile without its head, and what the other files need to know."""

    language: str
    dockerfile: str
    port: int
    framework: str = ""
    tool: str = ""
    facts: tuple[Fact, ...] = ()
    questions: tuple[Question, ...] = ()
    ignore: tuple[str, ...] = ()
    dependencies: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """ "Python (FastAPI, uv)"."""
        inside = ", ".join(filter(None, (self.framework, self.tool)))
        return f"{self.language} ({inside})" if inside else self.language


class Planned(NamedTuple):
    """A file to be written; `old` is what stands there now, None where nothing does."""

    path: str
    text: str
    old: str | None

    @property
    def state(self) -> Literal["new", "same", "differs"]:
        """What writing it would mean."""
        if self.old is None:
            return "new"
        return "same" if self.old == self.text else "differs"
