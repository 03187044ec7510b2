"""Building with Docker's own Python client: a Dockerfile and files in, an image or an error out."""

from __future__ import annotations

import gc
import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from docker import DockerClient
from docker.errors import BuildError, ImageNotFound
from docker.models.images import Image
from tests.engine_fixture import ScratchEngine, await_until
from tests.storage.tars import member, symlink, tar


class Outcome:
    """What a build gave: the image (None where it failed), and everything that it said."""

    def __init__(self, image: Image | None, lines: list[dict[str, Any]], error: str) -> None:
        self.image = image
        self.lines = lines
        self.error = error

    @property
    def text(self) -> str:
        return "".join(line.get("stream", "") for line in self.lines)

    @property
    def config(self) -> dict[str, Any]:
        assert self.image is not None, self.error + self.text
        found: dict[str, Any] = self.image.attrs["Config"]
        return found


class Rest:
    """What builds have on an engine for their time: containers of steps, temporary files. What came since a moment."""

    def __init__(self, engine: ScratchEngine) -> None:
        self._places = (
            engine.data_root / "tmp",
            engine.data_root / "containers",
            engine.exec_root / "containers",
        )
        self._before = self._here()

    def _here(self) -> set[Path]:
        return {path for place in self._places if place.is_dir() for path in place.iterdir()}

    def new(self) -> set[Path]:
        return self._here() - self._before

    def temporary(self) -> int:
        """How many new files and folders are in tmp."""
        return sum(path.parent == self._places[0] for path in self.new())

    def await_gone(self, seconds: float = 20) -> None:
        with suppress(AssertionError):
            await_until(lambda: not self.new(), "everything to go", seconds)
        assert self.new() == set()


@pytest.fixture
def rest(engine: ScratchEngine) -> Rest:
    """Since the beginning of the test; what others left is not the test's."""
    return Rest(engine)


class Site:
    """Builds on one engine, and forgets the images afterwards."""

    def __init__(self, api: DockerClient) -> None:
        self.api = api
        self.images: list[str] = []

    def __call__(
        self, dockerfile: str, files: dict[str, bytes | str] | None = None, **options: Any
    ) -> Outcome:
        """Files by path: bytes, or "-> target" for a symlink. Options as docker-py has them."""
        members = [member("Dockerfile", dockerfile.encode(), mode=0o644)]
        for path, content in (files or {}).items():
            if isinstance(content, str):
                members.append(symlink(path, content.removeprefix("-> ")))
            else:
                members.append(
                    member(path, content, mode=0o755 if path.endswith(".sh") else 0o640, uid=7, gid=8)
                )
        context = io.BytesIO(tar(*members))
        try:
            image, lines = self.api.images.build(fileobj=context, custom_context=True, rm=True, **options)
        except BuildError as error:
            return Outcome(None, list(error.build_log), str(error.msg))
        self.images.append(image.id)
        return Outcome(image, list(lines), "")

    def shell(self, outcome: Outcome, command: str) -> str:
        """The output of a command in a container of the image."""
        assert outcome.image is not None, outcome.error + outcome.text
        output: bytes = self.api.containers.run(
            outcome.image.id, ["sh", "-c", command], remove=True, entrypoint=[]
        )
        return output.decode()

    def clear(self) -> None:
        for id in self.images:
            try:
                self.api.images.remove(id, force=True)
            except ImageNotFound:
                continue


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder to build from; what lies beside it is not sent."""
    folder = tmp_path / "context"
    folder.mkdir()
    return folder


@pytest.fixture
def build(api: DockerClient) -> Iterator[Site]:
    site = Site(api)
    yield site
    site.clear()
    gc.collect()  # docker-py leaves the sockets of its streams to the garbage collector


Build = Callable[..., Outcome]
