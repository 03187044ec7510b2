"""Caches that travel: from one data root to another by a folder, a registry, or inside an image; and what is equal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engine_fixture import ScratchEngine
from tests.registry.faulty import FaultyRegistry

pytestmark = pytest.mark.root

_TEXT = """
FROM busybox AS tool
RUN cat /proc/sys/kernel/random/uuid > /tool
FROM busybox
ENV A=1
WORKDIR /w
RUN --mount=type=cache,id=travels,target=/c echo kept > /c/k; cat /proc/sys/kernel/random/uuid > /n
COPY --from=tool /tool /t
"""


@pytest.fixture(scope="module")
def other(engine: ScratchEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScratchEngine]:
    """A second engine, with the same base image and nothing else."""
    saved = tmp_path_factory.mktemp("base") / "busybox.tar"
    engine.nakagin("save", "-o", str(saved), "busybox")
    second = ScratchEngine()
    second.start()
    try:
        second.nakagin("load", "-i", str(saved))
        yield second
    finally:
        assert second.close() == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text(_TEXT)
    return folder


@pytest.fixture
def registry() -> Iterator[FaultyRegistry]:
    with FaultyRegistry() as found:
        yield found


def build(engine: ScratchEngine, folder: Path, *options: str) -> str:
    done = engine.nakagin("build", "--progress=plain", *options, str(folder))
    return done.stdout + done.stderr


def identity(engine: ScratchEngine, name: str) -> str:
    return engine.nakagin("image", "inspect", "-f", "{{.Id}}", name).stdout.strip()


def forget(*engines: ScratchEngine) -> None:
    for engine in engines:
        engine.nakagin("rmi", "-f", "travelled", check=None)
        engine.nakagin("builder", "prune", "-af")


@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_cache_in_a_folder(engine: ScratchEngine, other: ScratchEngine, folder: Path, mode: str) -> None:
    """DF.cache.local"""
    forget(engine, other)
    at = folder.parent / "cache"
    build(engine, folder, "-t", "travelled", "--cache-to", f"type=local,dest={at},mode={mode},mounts=1")
    assert (at / "oci-layout").is_file()
    said = build(other, folder, "-t", "travelled", "--cache-from", f"type=local,src={at}")
    # Without the other stage's step, that is carried out again; and as it gives something else, COPY too.
    assert said.count("CACHED") == (4 if mode == "max" else 2), said
    if mode == "max":
        assert identity(engine, "travelled") == identity(other, "travelled")
    text = "FROM busybox\nRUN --mount=type=cache,id=travels,target=/c cat /c/k > /k\nFROM scratch\nCOPY --from=0 /k /\n"
    (folder / "Dockerfile").write_text(text)
    other.nakagin("builder", "prune", "-af")
    build(other, folder, "--cache-from", f"type=local,src={at}", "-o", str(folder.parent / "out"))
    assert (folder.parent / "out" / "k").read_text() == "kept\n"


def test_a_cache_at_a_registry(
    engine: ScratchEngine, other: ScratchEngine, folder: Path, registry: FaultyRegistry
) -> None:
    """DF.cache.from-registry"""
    forget(engine, other)
    ref = f"{registry.host}/cache:1"
    build(engine, folder, "-t", "travelled", "--cache-to", f"type=registry,ref={ref},mode=max")
    said = build(other, folder, "-t", "travelled", "--cache-from", f"type=registry,ref={ref}")
    assert said.count("CACHED") == 4, said
    assert identity(engine, "travelled") == identity(other, "travelled")
    assert len(registry.requests("GET", "/blobs/")) == 1 + 4
    forget(other)
    assert build(other, folder, "-t", "travelled", "--cache-from", ref).count("CACHED") == 4


def test_a_cache_inside_an_image(
    engine: ScratchEngine, other: ScratchEngine, folder: Path, registry: FaultyRegistry
) -> None:
    """DF.cache.from-inline DF.arg.builtin.BUILDKIT_INLINE_CACHE"""
    forget(engine, other)
    name = f"{registry.host}/image:1"
    (folder / "Dockerfile").write_text(
        "FROM busybox\nRUN cat /proc/sys/kernel/random/uuid > /n\nENV B=1\nRUN cat /n > /m\n"
    )
    build(engine, folder, "-t", name, "--push", "--cache-to", "type=inline")
    said = build(other, folder, "-t", "travelled", "--cache-from", name)
    assert said.count("CACHED") == 2, said
    first, second = (
        json.loads(each.nakagin("image", "inspect", known).stdout)[0]["RootFS"]["Layers"]
        for each, known in ((engine, name), (other, "travelled"))
    )
    assert first == second
    engine.nakagin("rmi", "-f", name)
    forget(other)
    build(engine, folder, "-t", "travelled", "--build-arg", "BUILDKIT_INLINE_CACHE=1", "--no-cache")
    engine.nakagin("builder", "prune", "-af")
    assert build(engine, folder, "--cache-from", "travelled").count("CACHED") == 2


def test_what_can_not_be_had_is_told_and_built_without(engine: ScratchEngine, folder: Path) -> None:
    said = build(engine, folder, "--cache-from", f"type=local,src={folder.parent}/nowhere")
    assert "can not be used" in said
    for text, words in (
        ("type=local", "says not where"),
        ("type=registry,ref=x,mode=some", "unknown mode"),
    ):
        refused = engine.nakagin("build", "--cache-to", text, str(folder), check=1)
        assert words in refused.stderr


def test_the_same_image_on_two_data_roots(engine: ScratchEngine, other: ScratchEngine, folder: Path) -> None:
    """DF.arg.builtin.SOURCE_DATE_EPOCH DF.output.rewrite-timestamp"""
    forget(engine, other)
    text = (
        "FROM busybox\nENV B=2\nWORKDIR /deep/er\nRUN mkdir -p /x/y && echo 1 > /x/y/z && touch /etc/passwd && "
        "ln -s z /x/y/l\nCOPY . /c\nCOPY <<E /h\nhere\nE\n"
    )
    (folder / "Dockerfile").write_text(text)
    found = []
    for each in (engine, other):
        for options in ((), ("--no-cache",)):
            build(each, folder, "-t", "travelled", "--build-arg", "SOURCE_DATE_EPOCH=1000000000", *options)
            found.append(identity(each, "travelled"))
    assert len(set(found)) == 1
    shown = engine.nakagin(
        "run", "--rm", "travelled", "stat", "-c", "%Y", "/x/y/z", "/h", "/deep/er", "/x/y/l"
    ).stdout
    assert shown == "1000000000\n" * 4
    created = engine.nakagin("image", "inspect", "-f", "{{.Created}}", "travelled").stdout.strip()
    assert created.startswith("2001-09-09T01:46:40")
    forget(engine, other)
