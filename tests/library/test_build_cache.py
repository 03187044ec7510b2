"""The space of the build cache: `system df` counts it once, and the prunes free it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import close_clean
from tests.engine_fixture import ScratchEngine, await_until
from tests.library.test_space import about, df, du

from nakagin.build.cleanup import Limits, Stored, limits_of
from nakagin.errors import Invalid

pytestmark = pytest.mark.root

DOCKERFILE = """FROM busybox
RUN dd if=/dev/urandom of=/big bs=1M count=3
RUN true
RUN --mount=type=cache,id=drawer,target=/c dd if=/dev/urandom of=/c/file bs=1M count=2
RUN dd if=/dev/urandom of=/last bs=1M count=1
"""


@pytest.fixture(scope="module")
def builder() -> Iterator[ScratchEngine]:
    """An engine of its own: others build, too."""
    engine = ScratchEngine()
    try:
        engine.start()
        engine.bootstrap_busybox()
        yield engine
    finally:
        close_clean(engine)


def build(engine: ScratchEngine, folder: Path, text: str = DOCKERFILE, *, name: str = "built:1") -> None:
    (folder / "Dockerfile").write_text(text)
    engine.nakagin("build", "-t", name, str(folder))


def cache(engine: ScratchEngine) -> list[dict[str, Any]]:
    api = engine.client().api
    usage = api.get(
        f"{api.base_url}/v1.51/system/df", timeout=60
    ).json()  # of the last version with a plain list
    found: list[dict[str, Any]] = usage["BuildCache"] or []
    sums = api.get(f"{api.base_url}/v1.52/system/df", timeout=60).json()["BuildCacheUsage"]
    assert sums["TotalSize"] == sum(each["Size"] for each in found if not each["Shared"])
    return found


def own(engine: ScratchEngine) -> int:
    return sum(each["Size"] for each in cache(engine) if not each["Shared"])


@pytest.mark.docker(28)
def test_the_cache_in_df_and_prune(builder: ScratchEngine, tmp_path: Path) -> None:
    """API.BuildPrune API.BuildPrune.all CLI.builder CLI.builder_prune CLI.builder_prune.all CLI.builder_prune.force
    API.SystemDataUsage.type"""
    root = builder.data_root
    build(builder, tmp_path)
    # While the image is there, its layers are the image's; only the drawer is the cache's alone.
    there = cache(builder)
    mounts = [each for each in there if each["Type"] == "exec.cachemount"]
    assert [each["Description"] for each in mounts] == ["cached mount drawer"]
    assert mounts[0]["Size"] > 2 << 20
    assert all(each["Shared"] for each in there if each["Type"] == "regular")
    assert about(own(builder), du(root / "build"))
    subprocess.run(["sync", "-f", str(root)], check=True)
    assert about(df(builder)["images"]["size"], du(root / "blobs", root / "layers"))

    builder.docker("rmi", "built:1")  # now the cache has them alone
    fixed = sum(each["size"] for each in df(builder).values())
    assert about(fixed + own(builder), du(root) - du(*root.glob("records.db*")))
    assert own(builder) > 6 << 20
    shown = builder.docker("system", "df", "--format", "json").stdout.splitlines()
    row = next(json.loads(line) for line in shown if "Build Cache" in line)
    assert (row["TotalCount"], row["Active"]) == (str(len(cache(builder))), "0")
    assert row["Reclaimable"] == row["Size"] != "0B"
    for each in (builder.docker("system", "df", "-v"), builder.nakagin("system", "df", "-v")):
        assert "exec.cachemount" in each.stdout
    build(builder, tmp_path)  # all of it from the cache
    assert max(each["UsageCount"] for each in cache(builder)) >= 1

    # Without --all, what the image has too stays, and the next build finds it.
    out = builder.docker("builder", "prune", "-f").stdout
    assert mounts[0]["ID"] in out
    assert "Total reclaimed space: 2." in out
    assert [each["Type"] for each in cache(builder)] == ["regular"] * len(cache(builder)) != []
    assert not list((root / "build" / "cache").iterdir())
    builder.docker("rmi", "built:1")
    out = builder.nakagin("builder", "prune", "-a", "-f").stdout
    assert "Deleted build cache objects:" in out
    assert "Total reclaimed space: 8." in out  # 4 MiB as layers and as blobs
    assert cache(builder) == []
    assert builder.nakagin("builder", "prune", "-f").stdout == "Total reclaimed space: 0B\n"


@pytest.mark.docker(28)
def test_filters_and_limits(builder: ScratchEngine, tmp_path: Path) -> None:
    """API.BuildPrune.filters API.BuildPrune.filters.until API.BuildPrune.filters.id API.BuildPrune.filters.type
    API.BuildPrune.filters.parent API.BuildPrune.reserved-space CLI.builder_prune.filter
    CLI.builder_prune.keep-storage"""
    lines = "\n".join(f"RUN dd if=/dev/urandom of=/{number} bs=1M count=2" for number in range(3))
    build(builder, tmp_path, f"FROM busybox\n{lines}\n", name="three:1")
    builder.docker("rmi", "three:1")
    before = cache(builder)
    assert len(before) == 3
    assert builder.docker("builder", "prune", "-af", "--filter", "until=1h").stdout.startswith("Total")
    assert builder.docker("builder", "prune", "-af", "--filter", "type=source.local").stdout.startswith(
        "Total"
    )
    assert builder.docker("builder", "prune", "-af", "--filter", "parent=x").stdout.startswith("Total")
    # Two megabytes as a layer and as a blob: the last step goes, the others do not stand on it.
    out = builder.docker("builder", "prune", "-af", "--keep-storage", "9MB").stdout
    assert "Total reclaimed space: 4." in out
    first, middle, last = sorted(before, key=lambda each: str(each["CreatedAt"]))
    assert last["ID"] in out
    assert (
        middle["ID"]
        in builder.docker("builder", "prune", "-af", "--filter", f"id={middle['ID'][:12]}").stdout
    )
    assert [each["ID"] for each in cache(builder)] == [first["ID"]]
    refused = builder.docker("builder", "prune", "-af", "--filter", "colour=red", check=1)
    assert "invalid filter 'colour'" in refused.stderr
    out = builder.nakagin("system", "prune", "-f").stdout
    assert "Deleted build cache objects:" in out
    assert cache(builder) == []


def test_what_a_build_uses_stays(builder: ScratchEngine, tmp_path: Path) -> None:
    """API.BuildPrune.filters.inuse"""
    (tmp_path / "Dockerfile").write_text(
        "FROM busybox\nRUN echo here > /here\nRUN --mount=type=cache,id=busy,target=/c "
        "touch /c/begun; while [ ! -e /c/go ]; do sleep 0.1; done\nRUN test -e /here\n"
    )
    argv = builder.nakagin_argv("build", "-t", "used:1", str(tmp_path))
    work = subprocess.Popen(
        argv, env=builder.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    )
    folders = builder.data_root / "build" / "cache"
    try:
        await_until(lambda: list(folders.glob("*/begun")), "the step to begin", 60)
        (folder,) = [each.parent for each in folders.glob("*/begun")]
        builder.docker("builder", "prune", "-af")
        assert folder.name in {each["ID"] for each in cache(builder) if each["InUse"]}
        (folder / "go").touch()
        assert work.wait(60) == 0
    finally:
        work.kill()
        work.wait()
    builder.docker("rmi", "used:1")
    builder.docker("builder", "prune", "-af")
    assert cache(builder) == []


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        (Limits(), 0),
        (Limits(reserved=10), 10),
        (Limits(most=60), 60),
        (Limits(free=50), 80),  # 20 are lacking of 50
        (Limits(free=50, most=30), 30),
        (Limits(free=200, reserved=40), 40),
        (Limits(free=5, most=90), 90),
    ],
)
def test_how_much_stays(limits: Limits, kept: int) -> None:
    """API.BuildPrune.max-used-space API.BuildPrune.min-free-space"""
    assert limits.keep_bytes(100, 30) == kept


def test_what_limits_concern() -> None:
    """API.BuildPrune.filters.shared API.BuildPrune.filters.private API.BuildPrune.filters.description"""
    alone = Stored(id="a", type="regular", description="RUN x", size=1, used="2026-01-01T00:00:00Z")
    shared = Stored(id="b", type="regular", description="RUN y", size=1, shared=True)
    busy = Stored(id="c", type="regular", description="RUN z", size=1, in_use=True)
    there = (alone, shared, busy)

    def chosen(filters: dict[str, list[str]], *, all: bool = False) -> str:
        return "".join(each.id for each in there if limits_of(filters, all=all).concern(each))

    assert chosen({}) == "a"
    assert chosen({}, all=True) == "ab"
    assert chosen({"shared": ["true"]}, all=True) == "b"
    assert chosen({"private": []}, all=True) == "a"
    assert chosen({"description": ["RUN x"]}, all=True) == "a"
    assert chosen({"until": ["2025-12-31T00:00:00Z"]}) == ""
    assert chosen({"until": ["1s"], "label!": ["x"]}) == "a"
    assert chosen({"label": ["x=y"]}, all=True) == ""
    for wrong in ({"until": ["soon"]}, {"until": ["1h", "2h"]}, {"id": ["a", "b"]}, {"what": ["x"]}):
        with pytest.raises(Invalid):
            limits_of(wrong)
