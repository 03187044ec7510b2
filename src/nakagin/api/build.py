"""POST /build: an image from a Dockerfile, told as Docker's classic builder tells it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web
from multidict import MultiDict, MultiDictProxy

from nakagin.api.answers import Answer, answer, begin, encode
from nakagin.api.asking import Asking
from nakagin.api.body import sent_file
from nakagin.api.build_request import build_request, secrets_and_agents
from nakagin.api.call import Call
from nakagin.api.translate import message_of
from nakagin.build import progress
from nakagin.build.context import Context
from nakagin.build.performing import RunFailed
from nakagin.build.supplies import OnlyContext
from nakagin.errors import Invalid, NakaginError, Unavailable
from nakagin.registry.credentials import from_config_header
from nakagin.tasks import drop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nakagin.build.request import BuildRequest
    from nakagin.build.supplies import Supplies
    from nakagin.images.model import Image

log = logging.getLogger("nakagin.api")
_SHORT = 12
#: Builds by the id that their clients gave them.
_under_way: dict[str, asyncio.Future[Image | None]] = {}


async def build(call: Call) -> web.StreamResponse:
    """POST /build: the context as a tar in the body; progress as JSON lines; ends with the client."""
    request = build_request(call)
    context: Context | None = None
    if not request.remote:
        with sent_file(call) as file:
            context = await asyncio.to_thread(Context.read, file, call.engine.builder.temporary)
    telling = Telling(call, request)
    credentials = from_config_header(call.request.headers.get("X-Registry-Config", ""))
    return await telling.run(OnlyContext(context, credentials))


async def build_asking(call: Call) -> web.StreamResponse:
    """POST /nakagin/build: the same parameters as a form in the body; what else it needs, the build asks for."""
    form = await call.request.post()
    call.query = MultiDictProxy(MultiDict([(name, str(value)) for name, value in form.items()]))
    telling = Telling(call, build_request(call))
    ids, agents = secrets_and_agents(call)
    return await telling.run(
        Asking(telling.say, call.engine.builder.temporary, ids, agents, call.engine.builder.contexts)
    )


class Telling:
    """A build, and the answer that streams what it tells."""

    def __init__(self, call: Call, request: BuildRequest) -> None:
        self._call = call
        self._request = request
        self._story = Story(quiet=call.flag("q"))
        self._raw = call.flag("events")
        self._news: asyncio.Queue[progress.Event | dict[str, Any] | None] = asyncio.Queue()

    def say(self, message: dict[str, Any]) -> None:
        """Send the client a message as it is."""
        self._news.put_nowait(message)

    async def run(self, supplies: Supplies) -> web.StreamResponse:
        """Build, and tell of it until the end. If the client goes away, the build is cancelled."""
        call = self._call
        work = asyncio.ensure_future(
            call.engine.builder.build(self._request, supplies, self._news.put_nowait)
        )
        work.add_done_callback(lambda _: self._news.put_nowait(None))
        if id := call.text("buildid"):
            _under_way[id] = work
        try:
            response = await begin(call)
            while (news := await self._news.get()) is not None:
                for line in (news,) if isinstance(news, dict) else self._lines(news):
                    await response.write(encode(line) + b"\r\n")
            for line in await self._ended(work):
                await response.write(encode(line) + b"\r\n")
            await response.write_eof()
            return response
        finally:
            _under_way.pop(call.text("buildid"), None)
            await drop(work)

    def _lines(self, event: progress.Event) -> Iterator[dict[str, Any]]:
        """The words of Docker's builder, or for a client that draws its own picture the event and what has no words."""
        if not self._raw:
            yield from self._story.tell(event)
            return
        yield {"id": "nakagin.event", "aux": msgspec.to_builtins(event)}
        if not isinstance(event, progress.OfStep):
            yield from (line for line in self._story.tell(event) if "stream" not in line)

    async def _ended(self, work: asyncio.Future[Image | None]) -> list[dict[str, Any]]:
        try:
            image = await asyncio.shield(work)
        except asyncio.CancelledError:
            if not work.cancelled():
                raise
            return [*self._flushed(), _failure(Unavailable("the build was cancelled"))]
        except (NakaginError, OSError) as error:
            return [*self._flushed(), _failure(error)]
        except Exception as error:  # a mistake of ours: the client hears of it, and the log has where it was
            log.exception("a build failed")
            return [*self._flushed(), _failure(error)]
        for name in self._request.names if image else ():
            assert image is not None
            self._call.engine.events.publish("image", "tag", image.id, {"name": name})
        return []

    def _flushed(self) -> Iterator[dict[str, Any]]:
        return iter(()) if self._raw else self._story.flush()


async def cancel(call: Call) -> web.StreamResponse:
    """POST /build/cancel?id=…: end the build that was begun with this `buildid`. Also where there is none."""
    id = call.text("id")
    if not id:
        raise Invalid("build ID not provided", hint="id= of the build's buildid=")
    if (work := _under_way.pop(id, None)) is not None:
        work.cancel()
    return Answer(200)


async def chronicle(call: Call) -> web.StreamResponse:
    """GET /nakagin/builds: those under way and the last ones, the newest first."""
    return answer([told.document() for told in call.engine.builder.chronicle.all()])


async def clear_chronicle(call: Call) -> web.StreamResponse:
    """DELETE /nakagin/builds: forget those that are over."""
    call.engine.builder.chronicle.clear()
    return Answer(204)


def _failure(error: Exception) -> dict[str, Any]:
    detail: dict[str, Any] = {"message": message_of(error)}
    if isinstance(error, RunFailed):
        detail["code"] = error.code
    return {"errorDetail": detail, "error": detail["message"]}


class Story:
    """Events as lines of progress. Stages go on at once, but steps are told one after another, each as a whole."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._steps = 0
        self._front = 1
        self._waiting: dict[int, list[progress.Event]] = {}
        self._ended: set[int] = set()

    def tell(self, event: progress.Event) -> Iterator[dict[str, Any]]:
        """What is to be said now."""
        if isinstance(event, progress.Planned):
            self._steps = event.steps
        elif isinstance(event, progress.OfStep) and event.number > self._front:
            self._waiting.setdefault(event.number, []).append(event)
        else:
            yield from self._lines(event)
            while self._front in self._ended:
                self._front += 1
                for held in self._waiting.pop(self._front, ()):
                    yield from self._lines(held)

    def flush(self) -> Iterator[dict[str, Any]]:
        """What later steps had to say, before the error."""
        for number in sorted(self._waiting):
            for event in self._waiting.pop(number):
                yield from self._lines(event)

    def _lines(self, event: progress.Event) -> Iterator[dict[str, Any]]:
        if isinstance(event, progress.Done):
            self._ended.add(event.number)
        if self._quiet:
            if isinstance(event, progress.Built):
                yield {"stream": f"{event.id}\n"}
            return
        yield from self._of_step(event) if isinstance(event, progress.OfStep) else self._of_all(event)

    def _of_step(self, event: progress.OfStep) -> Iterator[dict[str, Any]]:
        match event:
            case progress.Begun():
                yield {"stream": f"Step {event.number}/{self._steps} : {event.text}"}
                yield {"stream": "\n"}
            case progress.Cached():
                yield {"stream": " ---> Using cache\n"}
            case progress.Running():
                yield {"stream": f" ---> Running in {event.container[:_SHORT]}\n"}
            case progress.Text():
                yield {"stream": event.data.decode(errors="replace")}
            case progress.Explained():
                yield {"stream": f" ---> {event.text}\n"}
            case progress.LetIn():
                yield {"stream": f" ---> {event.shell} in the state that the step has left\n"}
            case progress.Done():
                yield {"stream": f" ---> {event.result.removeprefix('sha256:')[:_SHORT]}\n"}

    def _of_all(self, event: progress.Event) -> Iterator[dict[str, Any]]:
        match event:
            case progress.Warned():
                yield {"stream": f"[Warning] {event.rule}: {event.message} (line {event.line})\n"}
            case progress.Said():
                yield event.message
            case progress.Noted():
                yield {"stream": f"[Note] {event.text}\n"}
            case progress.Called():
                yield {"id": "nakagin.called", "aux": {"Call": event.call, "Answer": event.answer}}
            case progress.Pushed():
                yield {"id": "nakagin.pushed", "aux": {"Name": event.name, "Digest": event.digest}}
            case progress.Built():
                if event.index:
                    yield {"id": "nakagin.index", "aux": {"Digest": event.index}}
                yield {"aux": {"ID": event.id}}
                yield {"stream": f"Successfully built {event.id.removeprefix('sha256:')[:_SHORT]}\n"}
                for name in event.names:
                    yield {"stream": f"Successfully tagged {name}\n"}


READS = {
    "POST /build/cancel": cancel,
    "POST /build": build,
    "POST /nakagin/build": build_asking,
    "GET /nakagin/builds": chronicle,
    "DELETE /nakagin/builds": clear_chronicle,
}
