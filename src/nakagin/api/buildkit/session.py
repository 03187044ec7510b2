"""The client of a BuildKit session, as a build sees it (`nakagin.build.supplies.Supplies`)."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from nakagin.api.buildkit import files
from nakagin.api.buildkit.contents import CONTENTS, Contents
from nakagin.api.buildkit.http2 import NOT_FOUND, UNIMPLEMENTED, Connection, RemoteError
from nakagin.api.buildkit.protobuf import Message, encode
from nakagin.build.context import Context
from nakagin.build.supplies import OnlyContext
from nakagin.build.tree import Item
from nakagin.build.writing import Pieces
from nakagin.errors import NotFound
from nakagin.registry.credentials import ANONYMOUS, Credentials
from nakagin.spec.domain import DEFAULT_DOMAIN
from nakagin.storage.tarread import DIRECTORY, Entry
from nakagin.tasks import drop

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from nakagin.build.depots.model import Depot
    from nakagin.build.kept import KeptContexts
    from nakagin.storage.compression import Readable

_FILES = "/moby.filesync.v1.FileSync/DiffCopy"
_OUTPUT = "/moby.filesync.v1.FileSend/DiffCopy"
_CREDENTIALS = "/moby.filesync.v1.Auth/Credentials"
_SECRET = "/moby.buildkit.secrets.v1.Secrets/GetSecret"  # noqa: S105  a method's name
_AGENT = "/moby.sshforward.v1.SSH/ForwardAgent"
_CHECK_AGENT = "/moby.sshforward.v1.SSH/CheckAgent"
_HUB = "https://index.docker.io/v1/"
_PIECE = 1 << 15


class Session:
    """What one client serves. `methods` are the calls that it takes; `exclude` is what the context leaves out."""

    def __init__(
        self, connection: Connection, methods: frozenset[str], temporary: str, kept: KeptContexts, key: str
    ) -> None:
        """`key` names the client's folders over several sessions; "" where it does not."""
        self._kept = kept
        self._key = key
        self._connection = connection
        self._methods = methods
        self._temporary = temporary
        self._nothing = OnlyContext(None, {})
        self.exclude: Sequence[str] = ()
        self.agents: set[str] = set()
        self.contents: Contents | None = None
        """The folder of the cache that was read or written last."""
        self.local: set[str] = set()
        """The outputs, by their numbers, that the client unpacks into a folder."""

    async def folder(
        self, name: str, *, follow: Sequence[str] = (), exclude: Sequence[str] = (), key: str = ""
    ) -> Context:
        """A folder of the client, or of it only some files; with a `key` only what changed. The caller closes it."""
        metadata = [
            ("dir-name", name),
            *(("followpaths", path) for path in follow),
            *(("exclude-patterns", pattern) for pattern in exclude),
        ]
        call = await self._connection.call(_FILES, metadata)
        return await files.receive(call, self._temporary, self._kept, key)

    # --- As a build's supplies

    async def context(self, name: str) -> Context:
        if name:
            return await self.folder(name)
        # Owners and attributes are not kept; the build's own context has no use for them.
        return await self.folder(
            "context", exclude=self.exclude, key=f"buildkit {self._key}" if self._key else ""
        )

    def archive(self, kind: str, name: str) -> AbstractAsyncContextManager[Readable]:
        return self._nothing.archive(kind, name)

    def depot(self, attributes: Mapping[str, str]) -> Depot | None:
        if CONTENTS not in self._methods:
            return None
        self.contents = Contents(self._connection, attributes)
        return self.contents

    async def secret(self, id: str) -> bytes | None:
        if _SECRET not in self._methods:
            return None
        try:
            return Message(await self._connection.unary(_SECRET, encode([(1, id)]))).data(1)
        except RemoteError as error:
            if error.code in (NOT_FOUND, UNIMPLEMENTED):
                return None
            raise

    async def credentials(self, domain: str) -> Credentials:
        if _CREDENTIALS not in self._methods:
            return ANONYMOUS
        host = _HUB if domain == DEFAULT_DOMAIN else domain
        found = Message(await self._connection.unary(_CREDENTIALS, encode([(1, host)])))
        return Credentials(username=found.text(1), password=found.text(2))

    async def find_agents(self, ids: Sequence[str]) -> None:
        """Ask once which of these agents there are."""
        for id in ids if _AGENT in self._methods else ():
            try:
                await self._connection.unary(_CHECK_AGENT, encode([(1, id)]))
            except RemoteError:
                continue
            self.agents.add(id)

    def has_agent(self, id: str) -> bool:
        return id in self.agents

    async def talk(self, kind: str, name: str, connection: socket.socket) -> None:
        if kind != "ssh":
            await self._nothing.talk(kind, name, connection)
            return
        call = await self._connection.call(_AGENT, [("buildkit.ssh.id", name)])
        reader, writer = await asyncio.open_connection(sock=connection)

        async def there() -> None:
            while data := await reader.read(_PIECE):
                await call.send(encode([(1, data)]))
            call.end_sending()

        going = asyncio.create_task(there())
        try:
            while (data := await call.receive()) is not None:
                writer.write(Message(data).data(1))
                await writer.drain()
        finally:
            try:
                await drop(going)
            finally:
                writer.close()

    async def deliver(self, kind: str, name: str, pieces: Iterator[bytes]) -> None:
        if kind != "output" or _OUTPUT not in self._methods:
            raise NotFound(f"the client takes no {kind}")
        call = await self._connection.call(_OUTPUT, [("buildkit-attachable-exporter-id", name)])
        if name in self.local:
            context = await asyncio.to_thread(Context.read, Pieces(pieces), self._temporary)
            try:
                await files.send(call, context, Item(b"", Entry(b"", DIRECTORY, 0o755)))
            finally:
                context.close()
            return
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            for at in range(0, len(piece), _PIECE):
                await call.send(encode([(1, piece[at : at + _PIECE])]))
        call.end_sending()
        while await call.receive() is not None:
            continue
