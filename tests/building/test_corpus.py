"""The same Dockerfiles built by Debian's dockerd and by us, through the same command line, from the same base.

Each file in `corpus/` is a case; what dockerd made of it lies beside it (`tests/building/rival.py` records it, and a
few cases are built by a dockerd here, so that the records are known to be true). What is compared: the whole config,
the words of the history, and every layer, entry by entry: type, mode, owner, time, attributes, links, content,
whiteouts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.building import rival
from tests.dockerd_fixture import ScratchDockerd
from tests.engine_fixture import ScratchEngine

pytestmark = pytest.mark.root

Told = dict[str, Any]
LIVE = ("00-files", "copy-special", "add-archives", "scratch", "cmd-not-json")
"""What a dockerd of this machine builds as well; few, as it takes its time."""

#: What we do otherwise on purpose: case and path (a layer's entry) → our words.
DIFFERENT = {
    # dockerd forgets set-user-ID when it gives the file to root, and BuildKit does not
    ("copy-special", "s/suid"): "file 4711 0:0 1000000000 1 043a718774c5",
    ("copy-folder", "all/special/suid"): "file 4711 0:0 1000000000 1 043a718774c5",
    # dockerd loses file capabilities on the way out of another image, and BuildKit does not
    ("run-xattr", "again"): "file 755 0:0 1000000000 security.capability='\\x01\\x00\\x00\\x02\\x00\\x04"
    + "\\x00" * 14 + "' 10 a8076d3d28d2",
    # dockerd mounts an anonymous volume into every step and leaves its mount point behind
    ("inherit-all", "data"): None,
}  # fmt: skip


@pytest.fixture(scope="module")
def ours(engine: ScratchEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Told | str]]:
    """What our engine makes of each case, or what it says."""
    failed = rival.build(engine, rival.CASES)
    made = [name for name in rival.CASES if name not in failed]
    yield {**rival.told(engine, made, tmp_path_factory.mktemp("corpus")), **failed}
    engine.docker(
        "rmi", "-f", *engine.docker("images", "-q", "--filter", "reference=corpus/*").stdout.split()
    )


@pytest.mark.parametrize("name", rival.CASES)
def test_it_is_the_image_that_dockerd_makes(ours: dict[str, Told | str], name: str) -> None:
    mine = ours[name]
    assert not isinstance(mine, str), mine
    original = settled(name, rival.recorded(name), mine)
    assert {**mine, "layers": None} == {**original, "layers": None}
    assert mine["layers"] == original["layers"]


def test_the_corpus_is_large_enough() -> None:
    assert len(rival.CASES) >= 40


@pytest.fixture(scope="module")
def dockerd() -> Iterator[ScratchDockerd]:
    dockerd = ScratchDockerd()
    try:
        dockerd.start()
        yield dockerd
    finally:
        assert not dockerd.close()


def test_the_records_are_what_dockerd_makes(dockerd: ScratchDockerd, tmp_path: Path) -> None:
    assert not rival.build(dockerd, LIVE)
    assert rival.told(dockerd, LIVE, tmp_path) == {name: rival.recorded(name) for name in LIVE}


def test_dockerd_unpacks_our_layers_as_we_do(
    ours: dict[str, Told | str], engine: ScratchEngine, dockerd: ScratchDockerd, tmp_path: Path
) -> None:
    """A folder that a layer does not name would get a mode of its own there."""
    name = rival.image("copy-onto")
    engine.docker("save", "-o", str(tmp_path / "image"), name)
    dockerd.docker("load", "-i", str(tmp_path / "image"))
    look = 'find / -xdev ! -path "/etc/*" ! -name .dockerenv -exec stat -c "%n %f %u:%g" {} + | sort'
    shown = [
        each.docker("run", "--rm", "--network=none", name, "sh", "-c", look).stdout.splitlines()
        for each in (engine, dockerd)
    ]
    assert len(shown[0]) > 100
    assert shown[0] == shown[1]


def settled(name: str, original: Told, mine: Told) -> Told:
    """dockerd's image with what does not count taken from ours."""
    history = [
        # the count of build arguments, where there are none but proxies
        re.sub(r"^\|0 ", "", re.sub(r"(--chown=\S+?)(file|dir|multi):DIGEST", r"\1 \2:DIGEST", text))
        for text in original["history"]
    ]
    if (
        name == "onbuild-from-stage"
    ):  # as with BuildKit, a stage hands its arguments to those that stand on it
        history[-1] = f"|1 NAME=nobody {history[-1]}"
    layers = [
        {
            path: words
            for path in sorted({*theirs, *our})
            if (words := _settled(name, path, theirs.get(path), our.get(path))) is not None
        }
        for theirs, our in zip(original["layers"], mine["layers"], strict=True)
    ]
    config = dict(original["config"])
    if name == "healthcheck-none":  # dockerd keeps the times of the inherited check, which then mean nothing
        config["Healthcheck"] = {"Test": ["NONE"]}
    return {**original, "history": history, "layers": layers, "config": config}


def _settled(name: str, path: str, theirs: str | None, our: str | None) -> str | None:
    if (name, path) in DIFFERENT:
        return DIFFERENT[name, path]
    # dockerd makes a copied folder anew, and touches those above; we keep the times that they had
    if theirs and our and theirs.startswith("folder") and theirs.endswith(" now"):
        return f"{theirs.removesuffix('now')}{our.split()[3]}"
    return theirs
