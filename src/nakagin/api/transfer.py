"""Images coming and going: load, save, import, pull, commit, bootstrap."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from typing import IO, TYPE_CHECKING, cast

from aiohttp import web
from aiohttp.streams import StreamReader

from nakagin.api.answers import answer, begin, encode
from nakagin.api.archives import send_tar
from nakagin.api.call import CHUNK, Call
from nakagin.errors import Invalid, Unsupported
from nakagin.spec import gojson
from nakagin.spec.docker import ContainerConfig
from nakagin.spec.reference import Reference

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class BodyFile(io.RawIOBase):
    """A request's body as a blocking file, for a worker thread."""

    def __init__(self, content: StreamReader, loop: asyncio.AbstractEventLoop) -> None:
        self._content = content
        self._loop = loop
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        if not self._left:
            self._left = asyncio.run_coroutine_threadsafe(self._content.readany(), self._loop).result()
        count = min(len(view), len(self._left))
        view[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


def _body_file(call: Call) -> IO[bytes]:
    raw = BodyFile(call.request.content, asyncio.get_running_loop())
    return cast(IO[bytes], io.BufferedReader(raw, CHUNK))


async def load(call: Call) -> web.StreamResponse:
    """POST /images/load: the archive in, one line of progress for each image out."""
    with _body_file(call) as file:
        names = await asyncio.to_thread(call.engine.images.load, file)
    response = await begin(call)
    for name in names:
        kind = "Loaded image ID" if name.startswith("sha256:") else "Loaded image"
        await response.write(encode({"stream": f"{kind}: {name}\n"}) + b"\r\n")
        call.engine.events.publish("image", "load", name, {"name": name})
    await response.write_eof()
    return response


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
    return await send_tar(call, _in_thread(call.engine.images.save(names)))


async def _in_thread(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """A blocking iterator, advanced in worker threads."""
    while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
        yield chunk


async def create(call: Call) -> web.StreamResponse:
    """POST /images/create: `fromImage` pulls, `fromSrc` imports a root file system."""
    if source := call.text("fromSrc"):
        return await _import(call, source)
    name = call.text("fromImage")
    if not name:
        raise Invalid("neither fromImage nor fromSrc is given")
    tag = call.text("tag")
    if tag:
        name += f"@{tag}" if ":" in tag else f":{tag}"
    Reference.parse(name)
    raise Unsupported(
        f"pulling {name} from a registry is not possible yet",
        hint="`load`, `import` and `nakagin image bootstrap` bring images in",
    )


async def _import(call: Call, source: str) -> web.StreamResponse:
    if source != "-":
        raise Unsupported(
            f"importing from {source} is not possible yet", hint="send the tar as the body: fromSrc=-"
        )
    repository, tag = call.text("repo"), call.text("tag")
    reference = f"{repository}:{tag}" if repository and tag else repository or None
    with _body_file(call) as file:
        image = await asyncio.to_thread(
            call.engine.images.import_,
            file,
            reference,
            changes=call.texts("changes"),
            message=call.text("message"),
            platform=call.text("platform"),
        )
    call.engine.events.publish("image", "import", image.id, {"name": reference or image.id})
    response = await begin(call)
    await response.write_eof(encode({"status": image.id}) + b"\r\n")
    return response


async def commit(call: Call) -> web.StreamResponse:
    """POST /commit: an image from a container's present state."""
    raw = await call.document()
    image = await call.engine.containers.commit(
        call.text("container"),
        repo=call.text("repo"),
        tag=call.text("tag"),
        comment=call.text("comment"),
        author=call.text("author"),
        pause=call.flag("pause", default=True),
        changes=call.texts("changes"),
        config=gojson.convert(raw, ContainerConfig) if raw else None,
    )
    return answer({"Id": image}, 201)


DEEDS = {
    "POST /images/load": load,
    "POST /images/create": create,
    "POST /commit": commit,
}
READS = {"GET /images/get": save, "GET /images/*/get": save_one}
