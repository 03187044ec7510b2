"""What was built here: the last builds with their names, what came of them, and how long they took."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from nakagin.build import progress
from nakagin.images.model import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nakagin.build.request import BuildRequest
    from nakagin.storage.records import Records

KIND = "build"
_KEPT = 50
_LONGEST = 500


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One build. `state` is running, completed, failed or canceled; `steps` were planned, of those `ended` are over
    and `cached` were not carried out; `started` is RFC 3339 in UTC."""

    id: str
    name: str
    started: str
    began: float
    """The same in seconds since the epoch."""
    state: str = "running"
    seconds: float = 0.0
    steps: int = 0
    ended: int = 0
    cached: int = 0
    warnings: int = 0
    error: str = ""
    image: str = ""
    names: tuple[str, ...] = ()
    attributes: dict[str, str] = {}
    """What was asked, as far as it tells builds apart: filename, target, context."""

    def document(self) -> dict[str, object]:
        """As the API shows it."""
        return {
            "ID": self.id, "Name": self.name, "State": self.state, "Started": self.started, "Began": self.began,
            "Seconds": round(self.seconds, 3), "Steps": self.steps, "Ended": self.ended, "Cached": self.cached,
            "Warnings": self.warnings, "Error": self.error, "Image": self.image, "Names": list(self.names),
            "Attributes": self.attributes,
        }  # fmt: skip


_decode = msgspec.json.Decoder(Told).decode


class Chronicle:
    """Of one engine: the builds under way, and the last ones."""

    def __init__(self, records: Records) -> None:
        self._records = records
        found = sorted((_decode(data) for _, data in records.all(KIND)), key=lambda each: each.began)
        self._told = {each.id: each for each in found}
        self._changed = asyncio.Event()

    def all(self) -> list[Told]:
        """Every build, the newest first."""
        now = time.time()
        return [
            msgspec.structs.replace(each, seconds=now - each.began) if each.state == "running" else each
            for each in reversed(self._told.values())
        ]

    def of_image(self, image: str) -> list[Told]:
        """The builds that made the image with this id, the newest first."""
        return [each for each in self.all() if each.image == image]

    async def news(self) -> None:
        """Wait until a build has begun or ended."""
        await self._changed.wait()

    @contextmanager
    def written(
        self, request: BuildRequest, tell: Callable[[progress.Event], None], id: str = ""
    ) -> Iterator[Callable[[progress.Event], None]]:
        """A build, for the length of the context: what is told through what this gives is counted."""
        began = time.time()
        told = Told(
            id=id or secrets.token_hex(12), name=_name(request), started=timestamp(began), began=began,
            attributes=_attributes(request),
        )  # fmt: skip

        def counting(event: progress.Event) -> None:
            self._count(told.id, event)
            tell(event)

        self._told[told.id] = told
        self._announce()
        state, error = "completed", ""
        try:
            yield counting
        except asyncio.CancelledError:
            state = "canceled"
            raise
        except BaseException as failure:
            state, error = "failed", str(failure)[:_LONGEST]
            raise
        finally:
            self._end(told.id, state, error, time.time() - began)

    def _count(self, id: str, event: progress.Event) -> None:
        told = self._told[id]
        changes: dict[str, object]
        match event:
            case progress.Planned():
                changes = {"steps": event.steps}
            case progress.Cached():
                changes = {"cached": told.cached + 1}
            case progress.Done():
                changes = {"ended": told.ended + 1}
            case progress.Warned():
                changes = {"warnings": told.warnings + 1}
            case progress.Built():
                changes = {"image": event.id, "names": event.names}
            case _:
                return
        self._told[id] = msgspec.structs.replace(told, **changes)

    def _end(self, id: str, state: str, error: str, seconds: float) -> None:
        told = msgspec.structs.replace(self._told[id], state=state, error=error, seconds=seconds)
        self._told[id] = told
        self._records.put(KIND, id, msgspec.json.encode(told))
        over = [each.id for each in self._told.values() if each.state != "running"]
        for old in over[:-_KEPT]:
            self.forget(old)
        self._announce()

    def forget(self, id: str) -> None:
        """Say no more of a build that is over."""
        told = self._told.get(id)
        if told is not None and told.state != "running":
            del self._told[id]
            self._records.delete(KIND, id)

    def clear(self) -> None:
        """Say no more of any build that is over."""
        for told in self.all():
            self.forget(told.id)

    def _announce(self) -> None:
        self._changed.set()
        self._changed.clear()


def _name(request: BuildRequest) -> str:
    """What was given as a name, else the first tag, else where the files came from."""
    given = request.given.get("BUILDKIT_BUILD_NAME", "")
    named = [name for each in request.outputs for name in each.names]
    found = given or next(iter((*request.names, *named)), "") or request.remote or request.dockerfile
    return found if given or not request.target else f"{found} ({request.target})"


def _attributes(request: BuildRequest) -> dict[str, str]:
    known = {
        "filename": request.dockerfile,
        "target": request.target,
        "context": request.remote,
        "build-arg:BUILDKIT_BUILD_NAME": request.given.get("BUILDKIT_BUILD_NAME", ""),
        "vcs:source": request.vcs.get("source", ""),
        "vcs:revision": request.vcs.get("revision", ""),
    }
    return {name: value for name, value in known.items() if value}
