"""What a build tells while it goes on: plain values, in the order in which things happen in each stage."""

from __future__ import annotations

import msgspec


class Event(msgspec.Struct, frozen=True, tag_field="event"):
    """Something that happened."""


class Planned(Event, frozen=True, tag="planned"):
    """How many steps there will be."""

    steps: int


class OfStep(Event, frozen=True):
    """Something that happened to a step; `number` counts from 1 through all stages that are built."""

    number: int


class Begun(OfStep, frozen=True, tag="begun"):
    """A step has begun; `place` is where it stands in its stage (2/5)."""

    stage: str
    text: str
    place: str = ""


class Cached(OfStep, frozen=True, tag="cached"):
    """The step need not run."""


class Running(OfStep, frozen=True, tag="running"):
    """The step's container."""

    container: str


class Text(OfStep, frozen=True, tag="output"):
    """Output of a step's program; `stream` 1 or 2."""

    stream: int
    data: bytes


class Done(OfStep, frozen=True, tag="done"):
    """The step has ended; `result` names what there is now (a chain ID, or ""), `seconds` how long it took."""

    result: str
    seconds: float


class Failed(OfStep, frozen=True, tag="failed"):
    """The step that ends the build; `code` is the exit code of a RUN, `excerpt` the lines of the Dockerfile."""

    message: str
    code: int = 0
    excerpt: str = ""


class Warned(Event, frozen=True, tag="warning"):
    """A broken rule of the build checks; `excerpt` are the lines of the Dockerfile that it is about."""

    rule: str
    message: str
    line: int
    explanation: str = ""
    excerpt: str = ""


class Built(Event, frozen=True, tag="built"):
    """The image, the names it has now, and the digest of its index where it has several platforms."""

    id: str
    names: tuple[str, ...] = ()
    index: str = ""


class Said(Event, frozen=True, tag="said"):
    """A message in the words of pulls and pushes."""

    message: dict[str, object]


class Pushed(Event, frozen=True, tag="pushed"):
    """A name that the image has at a registry now, and the digest of what it leads to there."""

    name: str
    digest: str


class Called(Event, frozen=True, tag="called"):
    """What was asked about the Dockerfile, and the answer in BuildKit's form."""

    call: str
    answer: dict[str, object]


class Noted(Event, frozen=True, tag="noted"):
    """Something that is good to know and no mistake."""

    text: str


class Explained(OfStep, frozen=True, tag="explained"):
    """Why a step was found in the cache, or not."""

    text: str


class LetIn(OfStep, frozen=True, tag="let in"):
    """The client gets a shell in the state that a failed step has left."""

    shell: str
