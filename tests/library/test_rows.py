"""The image rows of the lists of docker's command line and API: each is shown here, or says where it is shown."""

from __future__ import annotations

import ast
import io
import json
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docker import DockerClient
from tests import bare
from tests.engine_fixture import ScratchEngine
from tests.library import test_same_output
from tests.library.test_peers import two_platforms
from tests.storage.tars import member, tar

pytestmark = pytest.mark.root

TESTS = Path(__file__).parents[1]
LAYER = tar(member("file", b"of rows"))


class Wire(bare.Wire):
    """Queries by the names of Python: `unused_for` is unused-for."""

    def ask(self, method: str, place: str, /, *, body: Any = None, status: int = 200, **query: Any) -> Any:
        values = {name.replace("_", "-"): value for name, value in query.items()}
        return super().ask(method, place, body=body, status=status, **values)


@pytest.fixture
def wire(api: DockerClient) -> Wire:
    return Wire(api)


@pytest.fixture
def rows(engine: ScratchEngine, wire: Wire) -> Iterator[str]:
    """An image, imported over the API; its name."""
    name = "rows/one:1"
    wire.ask("POST", "/images/create", body=LAYER, fromSrc="-", repo="rows/one", tag="1", message="said",
             changes="LABEL row=one", platform="linux/arm64")  # fmt: skip
    yield name
    engine.docker("rmi", "-f", name, check=None)


def test_create_from_a_body(wire: Wire, rows: str) -> None:
    """API.ImageCreate API.ImageCreate.repo API.ImageCreate.tag API.ImageCreate.message API.ImageCreate.body
    API.ImageCreate.changes API.ImageInspect"""
    found = wire.ask("GET", f"/images/{rows}/json")
    assert (found["Architecture"], found["Comment"], found["Config"]["Labels"]) == (
        "arm64",
        "said",
        {"row": "one"},
    )
    assert wire.ask("POST", "/images/create", status=400)["message"].startswith(
        "neither fromImage nor fromSrc"
    )


def test_lists(wire: Wire, rows: str) -> None:
    """API.ImageList API.ImageList.all API.ImageList.filters API.ImageList.filters.before API.ImageList.filters.since
    API.ImageList.filters.dangling API.ImageList.filters.label API.ImageList.filters.reference
    API.ImageList.filters.until API.ImageList.shared-size API.ImageList.digests API.ImageList.manifests"""

    def names(**filters: list[str]) -> list[str]:
        return [tag for each in wire.ask("GET", "/images/json", filters=filters) for tag in each["RepoTags"]]

    assert names(reference=["rows/*"]) == names(label=["row=one"]) == [rows]
    assert rows in names(since=["busybox"])
    assert rows in names(dangling=["false"])
    assert rows not in names(before=[rows])
    assert rows not in names(until=["24h"])
    assert "busybox:latest" in names(before=[rows])
    wire.ask("GET", "/images/json", filters={"colour": ["red"]}, status=400)
    (plain,) = wire.ask("GET", "/images/json", filters={"label": ["row=one"]}, all=1, digests=1)
    assert plain["SharedSize"] == -1
    (found,) = wire.ask("GET", "/images/json", filters={"label": ["row=one"]}, shared_size=1, manifests=1)
    assert found["SharedSize"] == 0
    assert found["Manifests"][0]["ImageData"]["Platform"]["architecture"] == "arm64"


def test_one_image(wire: Wire, rows: str) -> None:
    """API.ImageInspect.manifests API.ImageInspect.platform API.ImageHistory API.ImageHistory.platform"""
    arm, s390 = (json.dumps({"os": "linux", "architecture": word}) for word in ("arm64", "s390x"))
    assert wire.ask("GET", f"/images/{rows}/json", manifests=1)["Manifests"]
    assert wire.ask("GET", f"/images/{rows}/json", platform=arm)["Architecture"] == "arm64"
    wire.ask("GET", f"/images/{rows}/json", platform=s390, status=404)
    wire.ask("GET", f"/images/{rows}/json", platform=arm, manifests=1, status=400)
    (layer,) = wire.ask("GET", f"/images/{rows}/history", platform=arm)
    assert (layer["Comment"], layer["Tags"]) == ("said", [rows])
    assert wire.ask("GET", f"/images/{rows}/attestations", platform=arm) == []
    wire.ask("GET", f"/images/{rows}/attestations", platform=s390, status=404)
    wire.ask("GET", "/images/nobody/history", status=404)


def test_tag_and_delete(wire: Wire, rows: str) -> None:
    """API.ImageTag API.ImageTag.repo API.ImageTag.tag API.ImageDelete API.ImageDelete.force API.ImageDelete.noprune"""
    wire.ask("POST", f"/images/{rows}/tag", repo="rows/two", tag="x", status=201)
    wire.ask("POST", f"/images/{rows}/tag", repo="rows/two", status=201)
    id = wire.ask("GET", "/images/rows/two/json")["Id"]
    wire.ask("POST", f"/images/{rows}/tag", status=400)
    wire.ask("POST", "/images/nobody/tag", repo="rows/two", status=404)
    assert wire.ask("DELETE", "/images/rows/two:x") == [{"Untagged": "rows/two:x"}]
    assert "must be forced" in wire.ask("DELETE", f"/images/{id}", status=409)["message"]
    gone = wire.ask("DELETE", f"/images/{id}", force=1, noprune=1)
    assert {"Untagged": "rows/two:latest"} in gone
    assert {"Deleted": id} in gone


def test_archives(wire: Wire, rows: str, engine: ScratchEngine) -> None:
    """API.ImageGet API.ImageGet.platform API.ImageGetAll API.ImageGetAll.names API.ImageGetAll.platform API.ImageLoad
    API.ImageLoad.body API.ImageLoad.quiet API.ImageLoad.platform API.ImageDelete.platforms"""
    arm = '{"os":"linux","architecture":"arm64"}'
    one = wire.ask("GET", f"/images/{rows}/get", platform=arm)
    with tarfile.open(fileobj=io.BytesIO(one)) as archive:
        assert "manifest.json" in archive.getnames()
    assert wire.ask("GET", "/images/get", names=[rows], platform=arm) == one
    wire.ask("GET", "/images/get", status=400)
    wire.ask("GET", "/images/nobody/get", status=404)
    for quiet in (0, 1):  # nothing is unpacked, so nothing else is told
        assert wire.ask("POST", "/images/load", body=one, quiet=quiet) == {
            "stream": f"Loaded image: {rows}\n"
        }
    several = two_platforms(wire.ask("GET", "/images/busybox/get"))
    wire.ask("POST", "/images/load", body=several, platform=arm)
    assert wire.ask("GET", "/images/multi:1/json")["Architecture"] == "arm64"
    wire.ask("POST", "/images/load", body=several)
    gone = wire.ask("DELETE", "/images/multi:1", platforms=arm)
    assert list(gone[0]) == ["Deleted"]
    assert wire.ask("GET", "/images/multi:1/json")["Architecture"] == "amd64"
    engine.docker("rmi", "multi:1")


def test_commit(wire: Wire, engine: ScratchEngine, name: str) -> None:
    """API.ImageCommit API.ImageCommit.container API.ImageCommit.repo API.ImageCommit.tag API.ImageCommit.comment
    API.ImageCommit.author API.ImageCommit.pause API.ImageCommit.changes API.ImageCommit.body"""
    engine.docker("create", "--name", name, "busybox", "true")
    id = wire.ask("POST", "/commit", container=name, repo="rows/made", tag="2", comment="why", author="who", pause=0,
                  changes="ENV A=b", status=201)["Id"]  # fmt: skip
    found = wire.ask("GET", "/images/rows/made:2/json")
    assert (found["Id"], found["Comment"], found["Author"]) == (id, "why", "who")
    assert "A=b" in found["Config"]["Env"]
    wire.ask("POST", "/commit", container="nobody", status=404)
    engine.docker("rmi", "rows/made:2")
    engine.docker("rm", name)


def test_prune_filters(wire: Wire, engine: ScratchEngine) -> None:
    """API.ImagePrune API.ImagePrune.filters API.ImagePrune.filters.dangling API.ImagePrune.filters.until
    API.ImagePrune.filters.label CLI.image_prune CLI.image_prune.filter CLI.image_prune.force CLI.image_prune.all"""
    for number in (1, 2):
        wire.ask(
            "POST",
            "/images/create",
            body=LAYER + bytes(1024 * number),
            fromSrc="-",
            changes=f"LABEL gone={number}",
        )

    def gone(**filters: list[str]) -> list[str]:
        outcome = wire.ask("POST", "/images/prune", filters={"dangling": ["true"], **filters})
        return [each["Deleted"] for each in outcome["ImagesDeleted"] or () if "Deleted" in each]

    assert gone(until=["1h"]) == gone(label=["gone=3"]) == []
    assert len(gone(label=["gone=1"])) > 0
    wire.ask("POST", "/images/prune", filters={"colour": ["red"]}, status=400)
    out = engine.docker("image", "prune", "-a", "-f", "--filter", "label=gone=2").stdout
    assert out.count("deleted: sha256:") >= 1
    assert (
        engine.nakagin("image", "prune", "--force", "--filter", "label=gone").stdout
        == "Total reclaimed space: 0B\n"
    )


@pytest.mark.docker(28)
@pytest.mark.parametrize("program", ["docker", "nakagin"])
def test_verbs_that_change(engine: ScratchEngine, tmp_path: Path, program: str) -> None:
    """CLI.image CLI.image_tag CLI.image_save CLI.image_save.output CLI.image_save.platform CLI.save.output
    CLI.save.platform CLI.image_load CLI.image_load.input CLI.image_load.quiet CLI.image_load.platform CLI.load.input
    CLI.load.quiet CLI.load.platform CLI.image_rm CLI.image_rm.force CLI.image_rm.no-prune CLI.rmi.force
    CLI.rmi.no-prune CLI.rmi.platform CLI.import.platform CLI.image_import.change CLI.image_import.message
    CLI.image_import.platform CLI.commit CLI.commit.author CLI.commit.change CLI.commit.message CLI.commit.pause
    CLI.export CLI.export.output CLI.images.tree CLI.image_ls.tree"""
    run = engine.docker if program == "docker" else engine.nakagin
    name, archive, folder = f"verbs/{program}", str(tmp_path / "a.tar"), tmp_path
    (folder / "root.tar").write_bytes(LAYER)
    run(
        "image",
        "import",
        "-c",
        "USER me",
        "-m",
        "words",
        "--platform",
        "linux/arm64",
        f"{folder}/root.tar",
        f"{name}:1",
    )
    found = engine.client().images.get(f"{name}:1").attrs
    assert (found["Architecture"], found["Comment"], found["Config"]["User"]) == ("arm64", "words", "me")
    run("image", "tag", f"{name}:1", f"{name}:2")
    run("image", "save", "--output", archive, "--platform", "linux/arm64", f"{name}:2")
    with (folder / "b.tar").open("wb") as file:  # to standard output
        argv = engine.docker_argv if program == "docker" else engine.nakagin_argv
        subprocess.run(argv("save", f"{name}:2"), stdout=file, env=engine.environment(), check=True)
    assert (folder / "b.tar").read_bytes() == Path(archive).read_bytes()
    assert (
        "s390x" in run("save", "-o", archive + "x", "--platform", "linux/s390x", f"{name}:2", check=1).stderr
    )
    assert run("rmi", f"{name}:2").stdout == f"Untagged: {name}:2\n"
    assert f"Deleted: {found['Id']}" in run("image", "rm", "--force", "--no-prune", f"{name}:1").stdout
    assert run("image", "load", "--input", archive, "--quiet").stdout == f"Loaded image: {name}:2\n"
    assert f"Loaded image: {name}:2" in run("load", "-i", archive, "--platform", "linux/arm64").stdout
    assert (
        "no image for linux/s390x" in run("load", "-i", archive, "--platform", "linux/s390x", check=1).stderr
    )
    run("rmi", "-f", found["Id"])
    run("create", "--name", f"verbs-{program}", "busybox", "true")
    id = run(
        "commit",
        "-a",
        "who",
        "-m",
        "why",
        "-c",
        "WORKDIR /w",
        "--pause=false",
        f"verbs-{program}",
        f"{name}:3",
    )
    found = engine.client().images.get(f"{name}:3").attrs
    assert id.stdout.strip() == found["Id"]
    assert (found["Author"], found["Comment"], found["Config"]["WorkingDir"]) == ("who", "why", "/w")
    run("export", "--output", f"{folder}/e.tar", f"verbs-{program}")
    with tarfile.open(folder / "e.tar") as exported:
        assert "bin/busybox" in exported.getnames()
    assert f"{name}:3" in run("images", "--tree").stdout
    run("rm", f"verbs-{program}")
    run("rmi", f"{name}:3")


ELSEWHERE = {
    "transfer/test_clients.test_the_docker_command_line_pulls": "CLI.pull.quiet API.ImageCreate.fromImage",
    "transfer/test_clients.test_ours_pulls_as_docker_does":
        "CLI.image_pull CLI.image_pull.quiet CLI.pull.disable-content-trust CLI.image_pull.disable-content-trust",
    "transfer/test_clients.test_all_tags_go_and_come": "CLI.image_pull.all-tags API.ImagePush API.ImagePush.tag",
    "transfer/test_clients.test_logging_in":
        "CLI.login CLI.login.username CLI.login.password CLI.login.password-stdin CLI.logout API.SystemAuth "
        "API.SystemAuth.body API.ImagePush.X-Registry-Auth API.ImageCreate.X-Registry-Auth",
    "transfer/test_clients.test_search":
        "CLI.search CLI.search.filter CLI.search.format CLI.search.limit CLI.search.no-trunc API.ImageSearch "
        "API.ImageSearch.term API.ImageSearch.limit API.ImageSearch.filters API.ImageSearch.filters.is-official "
        "API.ImageSearch.filters.stars",
    "transfer/test_platforms.test_all_platforms_go_as_they_came":
        "CLI.image_pull.platform CLI.image_push CLI.image_push.platform CLI.image_push.quiet CLI.push.quiet "
        "CLI.push.disable-content-trust CLI.image_push.disable-content-trust",
    "transfer/test_manifests.test_a_list_of_two_platforms":
        "CLI.manifest CLI.manifest_create CLI.manifest_create.amend CLI.manifest_create.insecure CLI.manifest_annotate "
        "CLI.manifest_annotate.arch CLI.manifest_annotate.os CLI.manifest_annotate.os-features "
        "CLI.manifest_annotate.os-version CLI.manifest_annotate.variant CLI.manifest_inspect "
        "CLI.manifest_inspect.insecure CLI.manifest_inspect.verbose CLI.manifest_push CLI.manifest_push.insecure "
        "CLI.manifest_push.purge CLI.manifest_rm",
    "transfer/test_peers.test_skopeo_to_us_and_back": "API.DistributionInspect",
    "library/test_space.test_after_removing_everything_nothing_is_left":
        "CLI.system_prune CLI.system_prune.all CLI.system_prune.force CLI.system_prune.volumes CLI.system_prune.filter",
    "library/test_space.test_df_agrees_with_du": "API.SystemDataUsage",
}  # fmt: skip
NEWER = {
    "API.ImageList.identity": "who signed an image: signatures are not verified here",
    "API.SystemDataUsage.verbose": "tests/api: the document of `GET /system/df` by version",
}
_OURS = re.compile(
    r"CLI\.(image(?!_build)|images|import|load|save|login|logout|manifest|pull|push|rmi|search|tag|history|commit|export"
    r"|diff|system_df|system_prune|builder_prune)(_\w+)?(\.|$)"
    r"|API\.(Image(?!Build)|Distribution|SystemAuth|SystemDataUsage|BuildPrune)"
)


@pytest.mark.parametrize("test", ELSEWHERE)
def test_a_row_has_its_test(test: str) -> None:
    module, _, name = test.rpartition(".")
    tree = ast.parse((TESTS / f"{module}.py").read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_image_row_is_shown() -> None:
    places = [above / "shared" / "surface" for above in TESTS.parents]
    found = next(filter(Path.is_dir, places), None)
    if found is None:
        pytest.skip("the lists are not beside this repository")
    ids = [
        line.partition("\t")[0]
        for name in ("cli", "api")
        for line in (found / f"{name}.tsv").read_text().splitlines()
    ]
    shown = {word for rows in ELSEWHERE.values() for word in rows.split()}
    shown |= {row.partition(" ")[0] for row in test_same_output.SAME}
    text = "\n".join(
        path.read_text() for folder in ("library", "transfer") for path in (TESTS / folder).glob("*.py")
    )
    shown |= set(re.findall(r"\b(?:CLI|API)\.[\w.-]*\w", text))
    assert [id for id in ids if _OURS.match(id) and id not in shown | NEWER.keys()] == []
