"""Answers what a build asks of this side."""

from __future__ import annotations

import os
import select
import socket
import stat
import subprocess
import tempfile
import threading

from nakagin.cli.building.contexts import ignore_of, packed, pruning
from nakagin.cli.building.listing import listing
from nakagin.cli.command import complain
from nakagin.client.building import Listed
from nakagin.client.containers import Container
from nakagin.client.copying.pack import pack_some
from nakagin.errors import Invalid, NotFound, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Self

    from nakagin.cli.building.contexts import Plan
    from nakagin.cli.building.values import Output
    from nakagin.client.hijack import Stream
    from nakagin.client.session import Body, Session

_PIECE = 1 << 16


class Supplier:
    """See `nakagin.client.building.Supplier`. A context manager: agents that were started for it end with it."""

    def __init__(
        self,
        plan: Plan,
        folders: Mapping[str, str],
        secrets: Mapping[str, tuple[str, str]],
        agents: Mapping[str, Sequence[str]],
        outputs: Sequence[Output],
        caches: Mapping[str, str],
        session: Session,
    ) -> None:
        """`secrets` are (path, variable) by id, `caches` the folders of `type=local` caches ("cache-to 0")."""
        self._plan = plan
        self._folders = folders
        self._secrets = secrets
        self._agents = Agents(agents)
        self._outputs = outputs
        self._caches = caches
        self._session = session

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._agents.close()

    def give(self, kind: str, name: str) -> Body:
        if kind == "context":
            folder = self._folders[name] if name else self._plan.folder
            if folder is None:
                return self._plan.context()
            listed = listing(folder, pruning(self._ignore(name)))
            return self.files(name, None) if listed is None else Listed(listed)
        if kind == "layout":
            from nakagin.client.copying.pack import pack

            return pack(self._folders[name], ".", follow=True)
        if kind == "secret":
            return self._secret(name)
        if kind == "credentials":
            return _credentials(name)
        if kind == "cache-from":
            return _layout(self._caches[f"cache-from {name}"])
        raise Unsupported(
            f"the engine asks for {kind} {name}", hint="is this command line older than the engine?"
        )

    def files(self, name: str, paths: Sequence[str] | None) -> Body:
        folder = self._folders[name] if name else self._plan.folder
        assert folder is not None
        return packed(folder, self._ignore(name)) if paths is None else pack_some(folder, paths)

    def _ignore(self, name: str) -> str:
        return ignore_of(self._folders[name]) if name else self._plan.ignore

    def _secret(self, id: str) -> bytes:
        path, variable = self._secrets[id]
        if variable:
            return os.environb.get(os.fsencode(variable), b"")
        with open(path, "rb") as file:
            return file.read()

    def take(self, kind: str, name: str, pieces: Iterable[bytes]) -> None:
        if kind == "cache-to":
            _unpack(pieces, self._caches[f"cache-to {name}"])
            return
        output = self._outputs[int(name)]
        if output.is_folder:
            _unpack(pieces, output.target)
        else:
            from nakagin.cli.output_file import write_stream

            write_stream(pieces, "" if output.target == "-" else output.target)

    def talk(self, kind: str, name: str, stream: Stream) -> None:
        if kind == "shell":
            _shell(Container(self._session, name), stream)
            return
        with self._agents.connect(name) as agent:
            _join(stream, agent)


def _shell(container: Container, stream: Stream) -> None:
    """Be the terminal of a shell in the state that a failed step has left."""
    from nakagin.cli.conversation import converse, fit

    complain(f"A shell in the state that the step has left ({container.id[:12]}); the build ends with it.")
    fit(container)
    converse(container, stream, stdin=True, tty=True, detach_keys="", sig_proxy=False, begin=lambda: None)


def _layout(folder: str) -> Iterable[bytes]:
    from nakagin.client.copying.pack import pack

    if not os.path.isfile(os.path.join(folder, "index.json")):
        raise NotFound(f"there is no cache in {folder}")
    return pack(folder, ".", follow=True)


def _credentials(domain: str) -> bytes:
    from nakagin.client.keychain import Keychain, server_key
    from nakagin.spec.document import render

    auth = Keychain(os.environ).find(domain)
    return render(auth.document(server_key(domain)) if auth else {}).encode()


def _unpack(pieces: Iterable[bytes], folder: str) -> None:
    from nakagin.client.copying.unpack import unpack

    os.makedirs(folder, exist_ok=True)
    unpack(pieces, folder, "", whole=True)


class Agents:
    """ssh agents by name: those that run, and those started here for keys in files."""

    def __init__(self, agents: Mapping[str, Sequence[str]]) -> None:
        self._paths = agents
        self._lock = threading.Lock()
        self._started: dict[str, tuple[tempfile.TemporaryDirectory[str], subprocess.Popen[bytes], str]] = {}

    def connect(self, id: str) -> socket.socket:
        """A connection to an agent. Raises NotFound, Invalid."""
        paths = self._paths.get(id, ())
        if len(paths) == 1 and _is_socket(paths[0]):
            path = paths[0]
        else:
            with self._lock:
                path = self._started[id][2] if id in self._started else self._start(id, paths)
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(path)
        except OSError as error:
            connection.close()
            raise NotFound(f"the ssh agent at {path} does not answer: {error.strerror}") from None
        return connection

    def _start(self, id: str, keys: Sequence[str]) -> str:
        folder = tempfile.TemporaryDirectory(prefix="nakagin-ssh-")
        path = os.path.join(folder.name, "agent")
        try:
            process = subprocess.Popen(
                ["ssh-agent", "-D", "-a", path], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
        except FileNotFoundError:
            folder.cleanup()
            raise Unsupported(
                "keys in files need ssh-agent, which is not here", hint="install openssh-client"
            ) from None
        self._started[id] = (folder, process, path)
        environment = {**os.environ, "SSH_AUTH_SOCK": path}
        for key in keys:
            _await(path, process)
            added = subprocess.run(
                ["ssh-add", "-q", key], env=environment, capture_output=True, text=True, check=False
            )
            if added.returncode:
                raise Invalid(f"the key {key} can not be used: {added.stderr.strip()}")
        return path

    def close(self) -> None:
        """End what was started here."""
        while self._started:
            _, (folder, process, _) = self._started.popitem()
            process.terminate()
            process.wait()
            folder.cleanup()


def _await(path: str, process: subprocess.Popen[bytes]) -> None:
    while not os.path.exists(path) and process.poll() is None:
        select.select([], [], [], 0.01)


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        raise NotFound(f"there is no ssh agent or key at {path}") from None


def _join(stream: Stream, agent: socket.socket) -> None:
    """Bytes both ways until one side ends."""
    ends = [stream.fileno(), agent.fileno()]
    while True:
        ready: set[int] = {stream.fileno()} if stream.ready else set(select.select(ends, [], [])[0])
        if stream.fileno() in ready:
            pieces = stream.receive()
            if pieces is None:
                return
            for _, data in pieces:
                agent.sendall(data)
        if agent.fileno() in ready:
            if not (data := agent.recv(_PIECE)):
                return
            stream.send(data)
