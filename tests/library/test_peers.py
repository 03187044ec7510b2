"""Archives of dockerd, podman, skopeo and buildah load here, and ours load there; manifests stay byte-identical."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.dockerd_fixture import ScratchDockerd
from tests.engine_fixture import ScratchEngine

pytestmark = pytest.mark.root


def run(*argv: str, cwd: Path | None = None) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120, cwd=cwd)
    assert done.returncode == 0, f"{argv}\n{done.stdout}{done.stderr}"
    return done.stdout


def needs(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"no {program}: make setup-test installs it")
    return found


@pytest.fixture(scope="module")
def saved(engine: ScratchEngine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our own archive of an image of two layers."""
    folder = tmp_path_factory.mktemp("saved")
    engine.docker("run", "--name", "peers", "busybox", "sh", "-c", "echo two > /two")
    engine.docker("commit", "peers", "peers:1")
    engine.docker("rm", "peers")
    engine.docker("save", "-o", str(folder / "ours.tar"), "peers:1")
    return folder / "ours.tar"


@pytest.fixture
def podman() -> Iterator[list[str]]:
    """podman with a storage of its own."""
    place = tempfile.mkdtemp(prefix="nkp-", dir="/var/tmp")  # podman wants short paths
    yield [
        needs("podman"), "--root", f"{place}/r", "--runroot", f"{place}/x", "--tmpdir", f"{place}/t",
        "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "none",
    ]  # fmt: skip
    shutil.rmtree(place, ignore_errors=True)


def manifests(archive: bytes) -> dict[str, bytes]:
    """The manifests of an OCI layout in a tar, by digest."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        pending = json.load(tar.extractfile("index.json") or io.BytesIO())["manifests"]
        while pending:
            digest = pending.pop()["digest"]
            member = tar.extractfile("blobs/" + digest.replace(":", "/"))
            assert member is not None
            found[digest] = member.read()
            pending += json.loads(found[digest]).get("manifests", [])
    return found


def check(engine: ScratchEngine, name: str) -> None:
    """The image runs, and has both layers."""
    assert engine.docker("run", "--rm", name, "cat", "/two").stdout == "two\n"


@pytest.mark.parametrize(
    ("form", "compressed"),
    [("docker-archive", ""), *(("oci-archive", each) for each in ("", "gzip", "zstd", "bzip2", "xz"))],
)
def test_podman_saves_for_us(
    engine: ScratchEngine, podman: list[str], saved: Path, tmp_path: Path, form: str, compressed: str
) -> None:
    run(*podman, "load", "-i", str(saved))
    name = f"localhost/from-podman:{form}{compressed}"
    run(*podman, "tag", "peers:1", name)
    archive = tmp_path / "a.tar"
    run(*podman, "save", "--format", form, "-o", str(archive), name)
    if compressed:
        run(needs(compressed), "-q", str(archive))
        archive = next(tmp_path.glob("a.tar.*"))
    assert name in engine.docker("load", "-i", str(archive)).stdout
    check(engine, name)
    if form == "oci-archive" and not compressed:
        again = tmp_path / "again.tar"
        engine.docker("save", "-o", str(again), name)
        assert manifests(again.read_bytes()) == manifests(archive.read_bytes())
    engine.docker("rmi", name)


def test_a_folder_in_oci_layout(
    engine: ScratchEngine, podman: list[str], saved: Path, tmp_path: Path
) -> None:
    run(*podman, "load", "-i", str(saved))
    name = "localhost/from-podman:folder"  # a name of its own: `saved` still needs peers:1
    run(*podman, "tag", "peers:1", name)
    run(*podman, "save", "--format", "oci-dir", "-o", str(tmp_path / "dir"), name)
    assert name in engine.nakagin("load", "-i", str(tmp_path / "dir")).stdout
    check(engine, name)
    engine.docker("rmi", name)


def test_podman_loads_ours(podman: list[str], saved: Path) -> None:
    assert "peers:1" in run(*podman, "load", "-i", str(saved))


def test_skopeo_both_ways(engine: ScratchEngine, saved: Path, tmp_path: Path) -> None:
    skopeo = needs("skopeo")
    for source in ("docker-archive", "oci-archive"):
        for target in ("docker-archive", "oci-archive"):
            archive = tmp_path / f"{source}-{target}.tar"
            name = f"docker.io/library/skopeo-{source}:{target}"
            place = f"{source}:{saved}" + (":docker.io/library/peers:1" if source == "docker-archive" else "")
            run(skopeo, "copy", "-q", "--insecure-policy", place, f"{target}:{archive}:{name}")
            assert "Loaded image: " in engine.docker("load", "-i", str(archive)).stdout
            short = name.removeprefix("docker.io/library/")
            check(engine, short)
            engine.docker("rmi", short)


def test_buildah_pushes_an_archive(engine: ScratchEngine, saved: Path, tmp_path: Path) -> None:
    place = Path("/var/tmp") / f"nkb-{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:8]}"
    buildah = [needs("buildah"), "--root", f"{place}/r", "--runroot", f"{place}/x", "--storage-driver", "vfs"]
    try:
        run(*buildah, "pull", "-q", f"docker-archive:{saved}")
        run(*buildah, "push", "-q", "peers:1", f"oci-archive:{tmp_path}/b.tar:docker.io/library/built:1")
        engine.docker("load", "-q", "-i", f"{tmp_path}/b.tar")
        check(engine, "built:1")
        engine.docker("rmi", "built:1")
    finally:
        shutil.rmtree(place, ignore_errors=True)


@pytest.mark.alone
def test_dockerd_both_ways(engine: ScratchEngine, saved: Path, tmp_path: Path) -> None:
    dockerd = ScratchDockerd()
    try:
        dockerd.start()
        assert "peers:1" in dockerd.docker("load", "-i", str(saved)).stdout
        ids = {each.docker("inspect", "-f", "{{.Id}}", "peers:1").stdout for each in (engine, dockerd)}
        assert len(ids) == 1
        dockerd.docker("tag", "peers:1", "dockers:1")
        dockerd.docker("tag", "peers:1", "dockers:2")
        archive = tmp_path / "d.tar"
        dockerd.docker("save", "-o", str(archive), "dockers:1", "dockers:2")
        loaded = engine.docker("load", "-i", str(archive)).stdout
        assert "Loaded image: dockers:1\n" in loaded
        assert "Loaded image: dockers:2\n" in loaded
        check(engine, "dockers:2")
        engine.docker("rmi", "dockers:1", "dockers:2")
    finally:
        dockerd.close()


@pytest.mark.docker(28)
def test_several_platforms_under_one_name(engine: ScratchEngine, saved: Path, tmp_path: Path) -> None:
    """An index with two platforms is kept whole, chosen by --platform, and saved as it came."""
    archive = two_platforms(saved.read_bytes())
    (tmp_path / "two.tar").write_bytes(archive)
    assert engine.docker("load", "-i", str(tmp_path / "two.tar")).stdout.count("Loaded image: multi:1") == 1
    assert engine.docker("images", "-q", "multi").stdout.count("\n") == 1
    found = engine.nakagin(
        "image", "inspect", "--platform", "linux/arm64", "multi:1", "-f", "{{.Architecture}}"
    )
    assert found.stdout == "arm64\n"
    assert engine.docker("image", "inspect", "-f", "{{.Architecture}}", "multi:1").stdout == "amd64\n"
    missing = engine.docker("image", "inspect", "--platform", "linux/s390x", "multi:1", check=1)
    assert "does not provide the specified platform (linux/s390x)" in missing.stderr
    engine.docker("save", "-o", str(tmp_path / "again.tar"), "multi:1")
    assert manifests((tmp_path / "again.tar").read_bytes()) == manifests(archive)
    engine.docker("save", "--platform", "linux/arm64", "-o", str(tmp_path / "arm.tar"), "multi:1")
    assert len(manifests((tmp_path / "arm.tar").read_bytes())) == 1
    assert "linux/arm64" in engine.nakagin("images", "--tree").stdout
    engine.docker("rmi", "multi:1")
    only = engine.docker("load", "--platform", "linux/arm64", "-i", str(tmp_path / "two.tar")).stdout
    assert "Loaded image: multi:1" in only
    assert engine.docker("image", "inspect", "-f", "{{.Architecture}}", "multi:1").stdout == "arm64\n"
    engine.docker("rmi", "multi:1")


@pytest.mark.docker(28)
def test_a_container_of_the_platform_that_was_asked_for(
    engine: ScratchEngine, saved: Path, name: str, tmp_path: Path
) -> None:
    """CLI.run.platform CLI.create.platform: the image of that platform or none; others only with a warning."""
    (tmp_path / "two.tar").write_bytes(two_platforms(saved.read_bytes()))
    engine.docker("load", "-i", str(tmp_path / "two.tar"))
    ids = {
        word: engine.nakagin(
            "image", "inspect", "--platform", f"linux/{word}", "-f", "{{.Id}}", "multi:1"
        ).stdout
        for word in ("amd64", "arm64")
    }
    client = engine.client()
    for cli in (engine.docker, engine.nakagin):
        for word, id in ids.items():
            cli("create", "--platform", f"linux/{word}", "--name", name, "multi:1", "true")
            assert engine.docker("inspect", "-f", "{{.Image}}", name).stdout == id
            assert engine.docker("ps", "-af", f"name={name}", "--format", "{{.Image}}").stdout == "multi:1\n"
            shown = client.api.inspect_container(name)["ImageManifestDescriptor"]
            assert (shown["platform"]["architecture"], shown["size"] > 0) == (word, True)
            (listed,) = client.api.containers(all=True, filters={"name": name})
            assert listed["ImageManifestDescriptor"] == shown
            engine.nakagin("recreate", "-e", "A=b", name)
            assert engine.docker("inspect", "-f", "{{.Image}}", name).stdout == id
            engine.docker("rm", name)
        wrong = cli(
            "run", "--rm", "--pull", "never", "--platform", "linux/s390x", "multi:1", "true", check=125
        )
        assert "does not provide the specified platform (linux/s390x)" in wrong.stderr
        pulled = cli("run", "--rm", "--platform", "linux/s390x", "nowhere.invalid/multi:1", check=125).stderr
        assert "Unable to find image 'nowhere.invalid/multi:1' locally" in pulled
    for argv in (engine.docker_argv(), engine.nakagin_argv()):
        subprocess.run(
            [*argv, "create", "--name", name, "multi:1", "true"], check=True, stdout=subprocess.DEVNULL,
            env=engine.environment({"DOCKER_DEFAULT_PLATFORM": "linux/arm64"}),
        )  # fmt: skip
        assert engine.docker("inspect", "-f", "{{.Image}}", name).stdout == ids["arm64"]
        engine.docker("rm", name)
    engine.docker("rmi", "multi:1")
    engine.docker("load", "--platform", "linux/arm64", "-i", str(tmp_path / "two.tar"))
    warned = "platform (linux/arm64) does not match the detected host platform (linux/amd64)"
    for cli in (engine.docker, engine.nakagin):
        assert warned in cli("run", "--rm", "multi:1", "true").stderr
        assert warned not in cli("run", "--rm", "--platform", "linux/arm64", "multi:1", "true").stderr
    engine.docker("rmi", "multi:1")


def two_platforms(archive: bytes) -> bytes:
    """Our archive as an OCI layout whose one entry is an index of the image and an arm64 twin of it."""
    files: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            if (stream := tar.extractfile(member)) is not None:
                files[member.name] = stream.read()
    entry = json.loads(files["index.json"])["manifests"][0]
    manifest = json.loads(files["blobs/" + entry["digest"].replace(":", "/")])
    config = json.loads(files["blobs/" + manifest["config"]["digest"].replace(":", "/")])
    config["architecture"] = "arm64"

    def put(document: object) -> dict[str, object]:
        data = json.dumps(document).encode()
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        files["blobs/" + digest.replace(":", "/")] = data
        return {"digest": digest, "size": len(data)}

    twin = {**manifest, "config": {**manifest["config"], **put(config)}}
    kind = "application/vnd.oci.image.manifest.v1+json"
    arm = {"mediaType": kind, **put(twin), "platform": {"os": "linux", "architecture": "arm64"}}
    amd = {key: entry[key] for key in ("mediaType", "digest", "size")}
    amd["platform"] = {"os": "linux", "architecture": "amd64"}
    index = "application/vnd.oci.image.index.v1+json"
    whole = put({"schemaVersion": 2, "mediaType": index, "manifests": [amd, arm]})
    named = {
        "mediaType": index,
        **whole,
        "annotations": {"io.containerd.image.name": "docker.io/library/multi:1"},
    }
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [named]}).encode()
    files.pop("manifest.json")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()
