"""What builders attest of an image, and what an index lists beside the images that are here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from docker import DockerClient
from tests.engine_fixture import ScratchEngine
from tests.registry.faulty import FaultyRegistry
from tests.registry.made import index_of, layer_of, made

from nakagin.spec.digest import digest_of
from nakagin.spec.image import MEDIA_CONFIG, MEDIA_MANIFEST

pytestmark = pytest.mark.root

SBOM, PROVENANCE = "https://spdx.dev/Document", "https://slsa.dev/provenance/v0.2"
STATEMENTS = {
    kind: json.dumps({"_type": "https://in-toto.io/Statement/v0.1", "predicateType": kind}).encode()
    for kind in (SBOM, PROVENANCE)
}


class Attested:
    """An image for three platforms at a registry, with two statements about the one for amd64."""

    def __init__(self, registry: FaultyRegistry) -> None:
        self.name = f"{registry.host}/attested:1"
        self.images = {each: made(layer_of(each), architecture=each) for each in ("amd64", "arm64", "s390x")}
        for each, image in self.images.items():
            registry.put("attested", each, image)
        config = b"{}"
        registry.blobs.update({digest_of(data): data for data in (config, *STATEMENTS.values())})
        self.layers = [
            {
                "mediaType": "application/vnd.in-toto+json", "digest": digest_of(data), "size": len(data),
                "annotations": {"in-toto.io/predicate-type": kind},
            }
            for kind, data in STATEMENTS.items()
        ]  # fmt: skip
        self.manifest = json.dumps(
            {
                "schemaVersion": 2, "mediaType": MEDIA_MANIFEST,
                "config": {"mediaType": MEDIA_CONFIG, "digest": digest_of(config), "size": len(config)},
                "layers": self.layers,
            }
        ).encode()  # fmt: skip
        registry.put_manifest("attested", "proof", self.manifest, MEDIA_MANIFEST)
        data, kind = index_of(
            *((image, {"os": "linux", "architecture": each}) for each, image in self.images.items())
        )
        index = json.loads(data)
        index["manifests"].append(
            {
                "mediaType": MEDIA_MANIFEST, "digest": digest_of(self.manifest), "size": len(self.manifest),
                "platform": {"os": "unknown", "architecture": "unknown"},
                "annotations": {
                    "vnd.docker.reference.type": "attestation-manifest",
                    "vnd.docker.reference.digest": self.images["amd64"].digest,
                },
            }
        )  # fmt: skip
        self.index, self.kind = json.dumps(index).encode(), kind
        registry.put_manifest("attested", "1", self.index, kind)


@pytest.fixture
def attested(engine: ScratchEngine) -> Iterator[Attested]:
    """At a registry, and pulled for two of the platforms."""
    with FaultyRegistry() as registry:
        found = Attested(registry)
        for each in ("amd64", "arm64"):
            engine.docker("pull", "-q", "--platform", f"linux/{each}", found.name)
        yield found
        engine.docker("rmi", "-f", found.name, check=None)


def ask(api: DockerClient, path: str, status: int = 200) -> Any:
    answer = api.api.get(f"{api.api.base_url}/v1.55{path}")
    assert answer.status_code == status, answer.text
    return answer.json()


def test_statements_about_an_image(attested: Attested, api: DockerClient) -> None:
    """API.ImageAttestations API.ImageAttestations.platform API.ImageAttestations.type
    API.ImageAttestations.statement"""
    path = f"/images/{attested.name}/attestations"
    assert ask(api, path) == [
        {"Descriptor": layer, "PredicateType": kind}
        for layer, kind in zip(attested.layers, STATEMENTS, strict=True)
    ]
    (sbom,) = ask(api, f"{path}?type={quote(SBOM)}&type=https://nobody.example&statement=1")
    assert sbom["Statement"] == json.loads(STATEMENTS[SBOM])
    arm = quote('{"os": "linux", "architecture": "arm64"}')
    assert ask(api, f"{path}?platform={arm}") == []
    assert "only one platform" in ask(api, f"{path}?platform={arm}&platform={arm}", 400)["message"]
    ask(api, f"{path}?platform={quote('{')}", 400)
    ask(api, f"{path}?platform={quote('linux/riscv64')}", 404)
    ask(api, "/images/nobody/attestations", 404)


@pytest.mark.docker(28)
def test_what_an_index_lists(attested: Attested, api: DockerClient, engine: ScratchEngine) -> None:
    """API.def.ImageInspect.Manifests API.def.ImageManifestSummary.ID API.def.ImageManifestSummary.Descriptor
    API.def.ImageManifestSummary.Available API.def.ImageManifestSummary.Size API.def.ImageManifestSummary.Size.Total
    API.def.ImageManifestSummary.Size.Content API.def.ImageManifestSummary.Kind API.def.ImageManifestSummary.ImageData
    API.def.ImageManifestSummary.ImageData.Platform API.def.ImageManifestSummary.ImageData.Containers
    API.def.ImageManifestSummary.ImageData.Size API.def.ImageManifestSummary.ImageData.Size.Unpacked
    API.def.ImageManifestSummary.AttestationData API.def.ImageManifestSummary.AttestationData.For"""
    container = engine.docker("create", attested.name, "x").stdout.strip()
    amd, arm, s390, proof = ask(api, f"/images/{attested.name}/json?manifests=1")["Manifests"]
    engine.docker("rm", container)
    image = attested.images["amd64"]
    content = len(image.manifest) + sum(map(len, image.blobs.values()))
    unpacked = len("amd64")
    assert amd == {
        "ID": image.digest, "Available": True, "Kind": "image",
        "Descriptor": {
            "mediaType": image.media_type, "digest": image.digest, "size": len(image.manifest),
            "platform": {"os": "linux", "architecture": "amd64"},
        },
        "Size": {"Content": content, "Total": content + unpacked},
        "ImageData": {
            "Platform": {"os": "linux", "architecture": "amd64"}, "Containers": [container],
            "Size": {"Unpacked": unpacked},
            "Identity": {"Pull": [{"Repository": attested.name.rpartition(":")[0]}]},
        },
    }  # fmt: skip
    assert (arm["ID"], arm["Available"]) == (attested.images["arm64"].digest, True)
    assert (s390["ID"], s390["Kind"], s390["Available"]) == (attested.images["s390x"].digest, "image", False)
    assert s390["ImageData"]["Platform"]["architecture"] == "s390x"
    assert s390["Size"] == {"Content": 0, "Total": 0}
    assert (proof["Kind"], proof["Available"]) == ("attestation", False)
    assert proof["AttestationData"] == {"For": image.digest}
    shown = engine.docker("images", "--tree").stdout
    assert "linux/s390x" in shown


def test_what_came_in_an_archive_is_here(api: DockerClient, engine: ScratchEngine, tmp_path: Path) -> None:
    with FaultyRegistry() as registry:
        attested = Attested(registry)
        blobs = dict(registry.blobs)
        blobs.update({str(digest_of(data)): data for _, data in registry.manifests.values()})
    (tmp_path / "blobs/sha256").mkdir(parents=True)
    for digest, data in blobs.items():
        (tmp_path / "blobs/sha256" / digest[7:]).write_bytes(data)
    (tmp_path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    top: dict[str, object] = {
        "mediaType": attested.kind, "digest": digest_of(attested.index), "size": len(attested.index),
        "annotations": {"io.containerd.image.name": attested.name},
    }  # fmt: skip
    (tmp_path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))
    engine.nakagin("load", "-i", str(tmp_path))
    found = ask(api, f"/images/{attested.name}/attestations?statement=1")
    assert [each["Statement"] for each in found] == [json.loads(data) for data in STATEMENTS.values()]
    proof = ask(api, f"/images/{attested.name}/json?manifests=1")["Manifests"][-1]
    assert (proof["Kind"], proof["Available"]) == ("attestation", True)
    size = len(attested.manifest) + len(b"{}") + sum(map(len, STATEMENTS.values()))
    assert proof["Size"] == {"Content": size, "Total": size}
    engine.docker("rmi", attested.name)
