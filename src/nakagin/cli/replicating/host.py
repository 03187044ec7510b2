"""One host that gets a project: files, images, then the command."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nakagin.cli.quantities import human_size
from nakagin.cli.replicating.listing import difference
from nakagin.client.client import Client
from nakagin.client.copying.pack import pack_some
from nakagin.client.endpoint import Endpoint
from nakagin.client.handover import Handover
from nakagin.client.ssh import command, explain, shared_path
from nakagin.errors import CommandFailed, Damaged, Invalid

_PIECE = 1 << 16


@dataclass(frozen=True, slots=True)
class Replica:
    """What every host gets. `files` are marks by path below `folder`; `words` is the command, without "nakagin"."""

    project: str
    folder: str
    files: dict[str, str]
    images: list[str]
    words: list[str]


class Host:
    """A host behind ssh. Its engine and its files are reached over one connection."""

    def __init__(self, url: str) -> None:
        self.endpoint = Endpoint(url)
        if not self.endpoint.ssh or self.endpoint.far_path:
            raise Invalid(f"{url} is no host to replicate to", hint="write --to ssh://user@host[:port]")
        port = f":{self.endpoint.port}" if self.endpoint.port else ""
        self.name = f"{self.endpoint.host}{port}"

    def bring(self, replica: Replica, source: Client, tell: Callable[[str], None]) -> None:
        """Files and images. Raises Unavailable, Denied and what either engine refuses."""
        client = Client(self.endpoint, timeout=None)
        try:
            client.ping()  # makes the connection that all that follows share
            tell(self._bring_files(replica))
            if replica.images:
                handover = Handover(source, client, lambda digest, done, size: None)
                handover.send(replica.images)
                tell(
                    f"images: {len(replica.images)}, sent {human_size(handover.sent)} of layers; "
                    f"{handover.present} layers were there already"
                )
        finally:
            client.close()

    def _bring_files(self, replica: Replica) -> str:
        try:
            theirs = json.loads(self._ask("list", replica.project))
        except ValueError:
            raise Damaged(f"the answer of {self.name} cannot be understood") from None
        change = difference(replica.files, theirs)
        if change.sent or change.gone:
            order = json.dumps({"gone": change.gone, "all": sorted(replica.files)}).encode() + b"\n"
            self._ask("receive", replica.project, head=order, pieces=pack_some(replica.folder, change.sent))
        return f"files: sent {len(change.sent)} of {len(replica.files)}, removed {len(change.gone)}"

    def run(self, replica: Replica) -> Iterator[bytes]:
        """Run the command; what it writes, both outputs as one. Raises CommandFailed."""
        with self._start("run", replica.project, *replica.words, merged=True) as process:
            assert process.stdin is not None
            process.stdin.close()
            assert process.stdout is not None
            while piece := os.read(process.stdout.fileno(), _PIECE):
                yield piece
        if process.returncode:
            raise CommandFailed(
                f"nakagin {shlex.join(replica.words)}", f"exited with code {process.returncode}"
            )

    def _start(self, deed: str, *words: str, merged: bool = False) -> subprocess.Popen[bytes]:
        argv = command(
            self.endpoint, shared_path(self.endpoint), ("replicate", "--there", deed, "--", *words)
        )
        error = subprocess.STDOUT if merged else subprocess.PIPE
        return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=error)

    def _ask(
        self, deed: str, project: str, head: bytes = b"", pieces: Iterator[bytes] | None = None
    ) -> bytes:
        with self._start(deed, project) as process:
            assert process.stdin is not None
            try:
                process.stdin.write(head)
                for piece in pieces or ():
                    process.stdin.write(piece)
                process.stdin.flush()
            except BrokenPipeError:
                pass  # why is told on its standard error
            output, told = process.communicate()
        if process.returncode:
            raise explain(self.name, process.returncode, told.decode("utf-8", "replace"))
        return output
