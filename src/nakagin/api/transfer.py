"""Images coming and going: load, save, import, pull, commit, bootstrap."""

from __future__ import annotations

import asyncio

from aiohttp import web

from nakagin.api.answers import answer
from nakagin.api.archives import send_tar
from nakagin.api.body import sent_file
from nakagin.api.call import Call
from nakagin.api.importing import import_
from nakagin.api.platforms import platforms_of
from nakagin.api.progress import ProgressStream
from nakagin.api.pull import pull
from nakagin.containers.commit import CommitRequest, in_threads
from nakagin.errors import Invalid
from nakagin.images.progress import State, message, short
from nakagin.spec import gojson
from nakagin.spec.docker import ContainerConfig


async def load(call: Call) -> web.StreamResponse:
    """POST /images/load: the archive in; out come the layers' progress (unless quiet) and a line for each image."""
    platforms = platforms_of(call.texts("platform"))
    stream = ProgressStream(call)
    loop = asyncio.get_running_loop()

    def progress(digest: str, done: int, total: int) -> None:
        line = message(short(digest), State("Loading layer", done, total))
        loop.call_soon_threadsafe(stream.tell, line)

    async def work() -> None:
        with sent_file(call) as file:
            names = await asyncio.to_thread(
                call.engine.images.load,
                file,
                platforms=platforms,
                progress=None if call.flag("quiet") else progress,
            )
        for name in names:
            kind = "Loaded image ID" if name.startswith("sha256:") else "Loaded image"
            stream.tell({"stream": f"{kind}: {name}\n"})
            call.engine.events.publish("image", "load", name, {"name": name})

    return await stream.run(work())


async def save_one(call: Call) -> web.StreamResponse:
    """GET /images/{name}/get."""
    return await _save(call, [call.name])


async def save(call: Call) -> web.StreamResponse:
    """GET /images/get?names=…"""
    names = call.texts("names")
    if not names:
        raise Invalid("no image is named", hint="give one or more names=")
    return await _save(call, names)


async def _save(call: Call, names: list[str]) -> web.StreamResponse:
    for name in names:
        call.engine.images.resolve(name)
    platforms = platforms_of(call.texts("platform"))
    return await send_tar(call, in_threads(call.engine.images.save(names, platforms)))


async def create(call: Call) -> web.StreamResponse:
    """POST /images/create: `fromImage` pulls, `fromSrc` imports a root file system."""
    if source := call.text("fromSrc"):
        return await import_(call, source)
    if not call.text("fromImage"):
        raise Invalid("neither fromImage nor fromSrc is given")
    return await pull(call)


async def commit(call: Call) -> web.StreamResponse:
    """POST /commit: an image from a container's present state."""
    raw = await call.document()
    request = CommitRequest(
        repo=call.text("repo"),
        tag=call.text("tag"),
        comment=call.text("comment"),
        author=call.text("author"),
        pause=call.flag("pause", default=True),
        changes=[line for text in call.texts("changes") for line in text.splitlines() if line.strip()],
        config=gojson.convert(raw, ContainerConfig) if raw else None,
    )
    image = await call.engine.containers.commit(call.text("container"), request)
    return answer({"Id": image}, 201)


DEEDS = {
    "POST /images/load": load,
    "POST /commit": commit,
}
READS = {"POST /images/create": create, "GET /images/get": save, "GET /images/*/get": save_one}
