"""Images for several platforms: pulled one by one, pushed whole where all of them are here, else with clear words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.engine_fixture import ScratchEngine
from tests.registry.faulty import FaultyRegistry
from tests.registry.made import Made, index_of, layer_of, made
from tests.transfer.peers import LocalRegistry, run, unique

from nakagin.spec.digest import digest_of

pytestmark = pytest.mark.root

PLATFORMS = ("amd64", "arm64", "s390x")


class Source:
    """An index of a few platforms at a registry, and its parts."""

    def __init__(self, registry: FaultyRegistry, *architectures: str, attested: bool = False) -> None:
        self.path = unique("multi")
        # No other test has them on this engine.
        self.images: dict[str, Made] = {
            each: made(layer_of(f"{self.path}-shared"), layer_of(f"{self.path}-{each}"), architecture=each)
            for each in architectures
        }
        self.name = f"{registry.host}/{self.path}:1"
        for each, image in self.images.items():
            registry.put(self.path, each, image)
        self.data, self.kind = index_of(
            *((image, {"os": "linux", "architecture": each}) for each, image in self.images.items())
        )
        registry.put_manifest(self.path, "1", self.data, self.kind)


def pull(engine: ScratchEngine, source: Source, *architectures: str) -> None:
    for each in architectures:
        engine.docker("pull", "-q", "--platform", f"linux/{each}", source.name)


@pytest.mark.docker(28)
def test_all_platforms_go_as_they_came(
    engine: ScratchEngine, faulty_registry: FaultyRegistry, peer: LocalRegistry, tmp_path: Path
) -> None:
    """CLI.pull.platform CLI.push.platform API.ImageCreate.platform API.ImagePush.platform"""
    source = Source(faulty_registry, *PLATFORMS)
    pull(engine, source, *PLATFORMS)
    target = f"{peer.host}/{unique('whole')}:1"
    engine.docker("tag", source.name, target)
    out = engine.docker("push", target).stdout
    assert f"1: digest: {digest_of(source.data)} size: {len(source.data)}" in out
    path = target.partition("/")[2].partition(":")[0]
    assert peer.manifest(path, "1") == source.data
    for image in source.images.values():
        assert peer.manifest(path, image.digest) == image.manifest
    run("skopeo", "copy", "-q", "--insecure-policy", "--all", "--src-tls-verify=false", f"docker://{target}",
        f"dir:{tmp_path}/all")  # fmt: skip
    known = engine.client().images.get(target).attrs["RepoDigests"]
    assert f"{target.rpartition(':')[0]}@{digest_of(source.data)}" in known
    # Again: nothing goes.
    again = engine.docker("push", target).stdout
    assert again.count("Layer already exists") == again.count(": Layer already exists") > 0
    assert "Pushed" not in again
    # One alone, by --platform.
    only = f"{peer.host}/{unique('only')}:1"
    engine.docker("tag", source.name, only)
    engine.docker("push", "--platform", "linux/arm64", only)
    assert peer.manifest(only.partition("/")[2].partition(":")[0], "1") == source.images["arm64"].manifest
    engine.docker("rmi", source.name, target, only)


@pytest.mark.docker(28)
def test_the_only_one_here_goes_alone(
    engine: ScratchEngine, faulty_registry: FaultyRegistry, peer: LocalRegistry
) -> None:
    source = Source(faulty_registry, *PLATFORMS)
    pull(engine, source, "arm64")
    target = f"{peer.host}/{unique('alone')}:1"
    engine.docker("tag", source.name, target)
    told = engine.nakagin("push", target).stdout
    assert "Only linux/arm64 is pushed: linux/amd64, linux/s390x of the index" in told
    assert peer.manifest(target.partition("/")[2].partition(":")[0], "1") == source.images["arm64"].manifest
    assert "single-platform image was pushed" in engine.docker("push", target).stderr.replace("\n", " ") + (
        engine.docker("push", target).stdout
    )
    engine.docker("rmi", source.name, target)


def test_what_is_missing_is_named(
    engine: ScratchEngine, faulty_registry: FaultyRegistry, peer: LocalRegistry
) -> None:
    source = Source(faulty_registry, *PLATFORMS)
    pull(engine, source, "amd64", "arm64")
    target = f"{peer.host}/{unique('part')}:1"
    engine.docker("tag", source.name, target)
    refused = engine.docker("push", target, check=1)
    assert "neither this engine nor the repository has linux/s390x" in refused.stderr
    pull(engine, source, "s390x")
    engine.docker("push", target)
    assert peer.manifest(target.partition("/")[2].partition(":")[0], "1") == source.data
    engine.docker("rmi", source.name, target)


def test_what_the_repository_has_need_not_be_here(
    engine: ScratchEngine, faulty_registry: FaultyRegistry
) -> None:
    """Pushed back to where it came from, an index stays an index, even if one platform of it is here."""
    source = Source(faulty_registry, *PLATFORMS)
    pull(engine, source, "amd64")
    again = f"{source.name.rpartition(':')[0]}:2"
    engine.docker("tag", source.name, again)
    engine.docker("push", again)
    assert faulty_registry.manifests[source.path, "2"] == (source.kind, source.data)
    engine.docker("rmi", source.name, again)


def test_an_attestation_and_an_index_inside(
    engine: ScratchEngine, faulty_registry: FaultyRegistry, peer: LocalRegistry, tmp_path: Path
) -> None:
    """Loaded from a layout with all of it, the whole goes out, inner things first."""
    source = Source(faulty_registry, "amd64")
    image = source.images["amd64"]
    proof = made(layer_of("proof"), architecture="unknown")
    inner, kind = source.data, source.kind
    blobs = {**image.blobs, **proof.blobs}
    for data in (image.manifest, proof.manifest, inner):
        blobs[digest_of(data)] = data
    entries = [
        {"mediaType": kind, "digest": digest_of(inner), "size": len(inner),
         "platform": {"os": "linux", "architecture": "amd64"}},
        {"mediaType": proof.media_type, "digest": proof.digest, "size": len(proof.manifest),
         "platform": {"os": "unknown", "architecture": "unknown"},
         "annotations": {"vnd.docker.reference.type": "attestation-manifest"}},
    ]  # fmt: skip
    outer = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": entries}).encode()
    blobs[digest_of(outer)] = outer
    name = f"{peer.host}/{unique('proof')}:1"
    folder = tmp_path / "layout"
    (folder / "blobs" / "sha256").mkdir(parents=True)
    for digest, data in blobs.items():
        (folder / "blobs" / "sha256" / digest[7:]).write_bytes(data)
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    top = {"mediaType": kind, "digest": digest_of(outer), "size": len(outer),
           "annotations": {"io.containerd.image.name": name}}  # fmt: skip
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))
    engine.nakagin("load", "-i", str(folder))
    engine.docker("push", name)
    path = name.partition("/")[2].partition(":")[0]
    assert peer.manifest(path, "1") == outer
    for data in (inner, image.manifest, proof.manifest):
        assert peer.manifest(path, digest_of(data)) == data
    engine.docker("rmi", name)


def test_compose_fetches_the_platform_that_a_service_asks_for(
    engine: ScratchEngine, faulty_registry: FaultyRegistry, tmp_path: Path
) -> None:
    source = Source(faulty_registry, "amd64", "arm64", "s390x")
    pull(engine, source, "amd64")
    home = tmp_path / unique("compose").rpartition("/")[2]
    home.mkdir()
    (home / "compose.yaml").write_text(
        f"services:\n  own: {{image: '{source.name}', platform: linux/arm64}}\n  any: {{image: '{source.name}'}}\n"
    )

    def compose(*words: str) -> str:
        done = engine.nakagin("compose", "--project-directory", str(home), *words)
        return done.stdout + done.stderr

    def made_for(service: str) -> str:
        (container,) = compose("ps", "-aq", service).split()
        image = engine.docker("inspect", "-f", "{{.Image}}", container).stdout.strip()
        return str(json.loads(engine.nakagin("image", "inspect", image).stdout)[0]["Architecture"])

    try:
        assert "the image is for linux/amd64, not for linux/arm64" in compose("up", "--plan")
        compose("pull", "--policy", "missing")
        assert "pull" not in compose("up", "--plan", "--no-start"), "the other platform was missing, and came"
        compose("create")
        assert (made_for("own"), made_for("any")) == ("arm64", "amd64")
        assert "pull" not in compose("up", "--plan", "--no-start"), "both are here now"
        (home / ".env").write_text("DOCKER_DEFAULT_PLATFORM=linux/s390x\n")
        compose("create", "--force-recreate")
        assert (made_for("own"), made_for("any")) == ("arm64", "s390x")
    finally:
        compose("down", "-t", "0")
