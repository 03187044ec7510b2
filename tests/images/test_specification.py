"""The rows of the OCI image specification: every field of its documents comes through untouched, and each rule has the
test that shows it, or the reason why it is not for us."""

from __future__ import annotations

import ast
import asyncio
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.images.house import House
from tests.registry.faulty import FaultyRegistry
from tests.registry.made import layer_of, made

from nakagin.errors import NakaginError
from nakagin.spec.digest import digest_of

pytestmark = pytest.mark.root

TESTS = Path(__file__).parents[1]
MANIFEST, INDEX = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"

DESCRIPTOR = ("mediaType", "size", "digest", "urls", "data", "artifactType", "annotations")
PLATFORM = ("architecture", "os", "os.version", "os.features", "variant")
FIELDS = {
    "manifest": (
        "schemaVersion", "mediaType", "artifactType", "config", *(f"config.{each}" for each in DESCRIPTOR),
        "subject", *(f"subject.{each}" for each in DESCRIPTOR), "layers",
        *(f"layers[].{each}" for each in DESCRIPTOR), "annotations",
    ),
    "index": (
        "schemaVersion", "mediaType", "artifactType", "subject", *(f"subject.{each}" for each in DESCRIPTOR),
        "manifests", *(f"manifests[].{each}" for each in ("mediaType", "size", "digest", "urls", "annotations")),
        "manifests[].platform", *(f"manifests[].platform.{each}" for each in PLATFORM), "annotations",
    ),
    "config": (
        "created", "author", "architecture", "variant", "os", "os.version", "os.features", "config",
        *(f"config.{each}" for each in ("User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir",
                                        "Labels", "StopSignal", "ArgsEscaped")),
        "rootfs", "rootfs.diff_ids", "rootfs.type", "history",
        *(f"history[].{each}" for each in ("created", "author", "created_by", "comment", "empty_layer")),
    ),
}  # fmt: skip
ANNOTATIONS = (
    "created", "authors", "url", "documentation", "source", "version", "revision", "vendor", "licenses", "ref.name",
    "title", "description", "base.digest", "base.name",
)  # fmt: skip


def described(data: bytes, kind: str, **more: Any) -> dict[str, Any]:
    """A descriptor with all that one may have."""
    return {
        "mediaType": kind, "size": len(data), "digest": digest_of(data), "urls": ["https://elsewhere.example/x"],
        "data": "aGk=", "artifactType": "application/vnd.example", "annotations": {"note": "of a descriptor"}, **more,
    }  # fmt: skip


class Full:
    """An image with every field that the specification knows, and some that it does not."""

    def __init__(self) -> None:
        plain = made(layer_of("one"), layer_of("two"))
        diff_ids = json.loads(plain.blobs[plain.image_id])["rootfs"]["diff_ids"]
        moment = "2026-01-02T03:04:05Z"
        self.config: dict[str, Any] = {
            "created": moment, "author": "somebody", "architecture": "amd64", "variant": "v1", "os": "linux",
            "os.version": "6.1", "os.features": ["x"], "unknown": {"kept": True},
            "config": {
                "User": "1:2", "ExposedPorts": {"80/tcp": {}, "53/udp": {}}, "Env": ["A=b"], "Entrypoint": ["/e"],
                "Cmd": ["c"], "Volumes": {"/v": {}}, "WorkingDir": "/w", "Labels": {"l": "m"},
                "StopSignal": "SIGUSR1", "ArgsEscaped": True, "Healthcheck": {"Test": ["CMD", "true"]},
                "OnBuild": ["RUN x"], "Shell": ["/bin/sh", "-c"], "AlsoUnknown": [1],
            },
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [
                {"created": moment, "author": "a", "created_by": "one", "comment": "c"},
                {"created": moment, "created_by": "ENV A=b", "empty_layer": True},
                {"created": moment, "created_by": "two"},
            ],
        }  # fmt: skip
        self.blobs = dict(plain.blobs)
        gzip = "application/vnd.oci.image.layer.v1.tar+gzip"
        config = self.put(json.dumps(self.config, indent=7).encode())
        self.manifest: dict[str, Any] = {
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/vnd.example",
            "config": described(config, "application/vnd.oci.image.config.v1+json"),
            "layers": [described(self.blobs[each], gzip) for each in plain.layers],
            "subject": described(b"absent", MANIFEST), "unknown": "kept",
            "annotations": {f"org.opencontainers.image.{each}": f"the {each}" for each in ANNOTATIONS},
        }  # fmt: skip
        self.data = json.dumps(self.manifest, indent=5).encode()
        platform = {"architecture": "amd64", "os": "linux", "os.version": "6.1", "os.features": ["x"],
                    "variant": "v1"}  # fmt: skip
        self.index: dict[str, Any] = {
            "schemaVersion": 2, "mediaType": INDEX, "artifactType": "application/vnd.example",
            "subject": described(b"absent", MANIFEST), "annotations": {"note": "of an index"}, "unknown": [None],
            "manifests": [described(self.data, MANIFEST, platform=platform)],
        }  # fmt: skip
        self.top = json.dumps(self.index, indent=3).encode()

    def put(self, data: bytes) -> bytes:
        self.blobs[digest_of(data)] = data
        return data


def at(document: Any, path: str) -> Any:
    """The value at a row's path ("os.version" is one name)."""
    for word in path.replace("os.version", "os:version").replace("os.features", "os:features").split("."):
        name = word.removesuffix("[]").replace("os:", "os.")
        document = document[name]
        if word.endswith("[]"):
            document = {key: value for each in document for key, value in each.items()}
    return document


@cache
def passed_through(root: str) -> tuple[Full, dict[str, bytes]]:
    """A full image pulled and pushed elsewhere; what arrived there."""
    full = Full()

    async def work() -> dict[str, bytes]:
        with FaultyRegistry() as registry:
            registry.blobs.update(full.blobs)
            registry.put_manifest("from", "m", full.data, MANIFEST)
            registry.put_manifest("from", "1", full.top, INDEX)
            house = House(Path(root))
            try:
                await house.pull(f"{registry.host}/from:1")
                house.images.tag(f"{registry.host}/from:1", f"{registry.host}/to:1")
                registry.blobs.clear()
                await house.push(f"{registry.host}/to:1")
            finally:
                await house.close()
            top = registry.manifests["to", "1"][1]
            manifest = registry.manifests["to", digest_of(full.data)][1]
            config = registry.blobs[full.manifest["config"]["digest"]]
            return {"index": top, "manifest": manifest, "config": config}

    return full, asyncio.run(work())


@pytest.fixture(scope="module")
def through(tmp_path_factory: pytest.TempPathFactory) -> tuple[Full, dict[str, bytes]]:
    return passed_through(str(tmp_path_factory.mktemp("through")))


def rows() -> Iterator[str]:
    """OCIIMG.descriptor.* OCIIMG.manifest.* OCIIMG.index.* OCIIMG.config.* OCIIMG.ann.*"""
    yield from (f"{kind}.{field}" for kind, fields in FIELDS.items() for field in fields)
    yield from (f"descriptor.{field}" for field in DESCRIPTOR)
    yield from (f"ann.{field}" for field in ANNOTATIONS)


@pytest.mark.parametrize("row", list(rows()))
def test_a_field_comes_through(row: str, through: tuple[Full, dict[str, bytes]]) -> None:
    full, arrived = through
    kind, _, path = row.partition(".")
    if kind == "ann":
        assert (
            json.loads(arrived["manifest"])["annotations"][f"org.opencontainers.image.{path}"]
            == f"the {path}"
        )
        return
    if kind == "descriptor":
        kind, path = "manifest", f"config.{path}"
    before = {"manifest": full.manifest, "index": full.index, "config": full.config}[kind]
    assert at(json.loads(arrived[kind]), path) == at(before, path) is not None


def test_the_bytes_come_through(through: tuple[Full, dict[str, bytes]]) -> None:
    """OCIIMG.canonical.json OCIIMG.config.unknown-fields OCIIMG.config.docker-ext OCIIMG.layer.imageid"""
    full, arrived = through
    assert (arrived["index"], arrived["manifest"]) == (full.top, full.data)
    assert digest_of(arrived["config"]) == full.manifest["config"]["digest"]


MISSING = {
    "manifest.config": "missing required field", "manifest.config.digest": "missing required field",
    "manifest.config.size": "missing required field", "manifest.config.mediaType": "missing required field",
    "manifest.layers": "missing required field", "manifest.layers[].digest": "missing required field",
    "manifest.layers[].size": "missing required field", "index.manifests": "not what its media type",
    "config.rootfs": "not as it should be", "config.rootfs.diff_ids": "names 0 layers",
}  # fmt: skip


@pytest.mark.parametrize("row", MISSING)
async def test_a_required_field_is_missed(row: str, house: House, registry: FaultyRegistry) -> None:
    """Others that the specification requires (schemaVersion, rootfs.type, …) are not needed to run an image, and
    images without them exist: they are taken as Docker takes them."""
    full = Full()
    kind, _, path = row.partition(".")
    documents = {"manifest": full.manifest, "index": full.index, "config": full.config}
    above, _, name = path.rpartition(".")
    parent = at(documents[kind], above.removesuffix("[]")) if above else documents[kind]
    for each in parent if isinstance(parent, list) else [parent]:
        del each[name]
    if kind == "config":
        config = full.put(json.dumps(full.config).encode())
        full.manifest["config"] |= {"digest": digest_of(config), "size": len(config)}
    data = json.dumps(full.manifest).encode()
    top, media = (json.dumps(full.index).encode(), INDEX) if kind == "index" else (data, MANIFEST)
    registry.blobs.update(full.blobs)
    registry.put_manifest("x", "1", top, media)
    with pytest.raises(NakaginError, match=MISSING[row]):
        await house.pull(f"{registry.host}/x:1")
    assert house.images.list() == []


SHOWN = {
    "layout.imageLayoutVersion": "images/test_archive.test_what_is_saved_is_also_an_oci_layout",
    "layout.oci-layout": "images/test_archive.test_what_is_saved_is_also_an_oci_layout",
    "layout.blobs": "images/test_archive.test_what_is_saved_is_also_an_oci_layout",
    "layout.index": "images/test_archive.test_what_is_saved_is_also_an_oci_layout",
    "layout.docker-archive": "images/test_archive.test_there_and_back_through_skopeo",
    "media.manifest": "images/test_push.test_a_pulled_image_leaves_as_it_came",
    "media.index": "images/test_specification.test_the_bytes_come_through",
    "media.config": "images/test_push.test_a_pulled_image_leaves_as_it_came",
    "media.layer-tar": "images/test_pull.test_every_compression",
    "media.layer-gzip": "images/test_pull.test_every_compression",
    "media.layer-zstd": "images/test_pull.test_every_compression",
    "media.layout-header": "images/test_archive.test_what_is_saved_is_also_an_oci_layout",
    "media.docker-manifest": "images/test_push.test_a_pulled_image_leaves_as_it_came",
    "media.docker-list": "images/test_pull.test_the_platform_is_chosen",
    "media.docker-config": "images/test_push.test_a_pulled_image_leaves_as_it_came",
    "media.docker-layer": "images/test_push.test_a_registry_that_takes_only_dockers_form",
    "media.nondist": "images/test_elsewhere.test_from_its_url_and_not_to_a_registry",
    "media.docker-foreign": "images/test_elsewhere.test_from_its_url_and_not_to_a_registry",
    "media.empty": "images/test_pull.test_an_artifact_is_no_image",
    "media.unknown-ok": "registry/server/test_through.test_several_upstreams",
    "digest.sha256": "spec/test_digest.test_digest_of_bytes",
    "digest.sha512": "storage/test_blobs.test_sha512",
    "digest.grammar": "spec/test_digest.test_bad_digests",
    "digest.verify-size": "images/test_pull.test_wrong_bytes_are_refused",
    "layer.whiteout": "storage/test_unpack.test_whiteouts",
    "layer.opaque": "storage/test_unpack.test_opaque_directories",
    "layer.opaque-explicit": "storage/test_diff.test_what_a_container_did",
    "layer.whiteout-reserved": "storage/test_unpack.test_whiteouts_of_nothing_nameable",
    "layer.tar-formats": "storage/test_tarread.test_every_format",
    "layer.attrs": "storage/test_unpack.test_attributes",
    "layer.hardlinks": "storage/test_unpack.test_a_hard_link_to_a_lower_layer_copies_up",
    "layer.devices": "storage/test_unpack.test_attributes",
    "layer.dup-entries": "storage/test_unpack.test_the_last_of_duplicates_counts",
    "layer.changeset": "storage/test_diff.test_any_history",
    "layer.sparse-gnu": "storage/test_unpack.test_sparse_files_stay_sparse",
    "layer.diffid": "storage/test_layers.test_the_diff_id_is_that_of_the_plain_tar",
    "layer.chainid": "spec/test_digest.test_chains_follow_the_specification",
    "layer.imageid": "images/test_specification.test_the_bytes_come_through",
    "layer.path-escape": "storage/test_unpack.test_climbing_names_are_refused",
    "layer.zstd-multi-frame": "storage/test_compression.test_skippable_zstd_frames",
    "layer.gzip-multi": "storage/test_compression.test_several_members",
    "config.history.empty_layer": "images/test_library.test_commit",
    "config.user-resolve": "containers/test_users.test_user_forms",
    "config.volumes": "containers/test_lifecycle.test_volumes",
    "config.exposedports": "images/test_instructions.test_each",
    "config.stopsignal": "images/test_instructions.test_each",
    "config.ArgsEscaped": "images/test_specification.test_a_field_comes_through",
    "config.docker-ext": "images/test_specification.test_the_bytes_come_through",
    "config.unknown-fields": "images/test_specification.test_the_bytes_come_through",
    "platform.select": "spec/test_platform.test_the_best_is_chosen",
    "index.nested": "images/test_pull.test_an_index_in_an_index_and_null_lists",
    "index.artifact": "images/test_specification.test_a_field_comes_through",
    "index.attestation": "registry/test_model.test_the_platform_is_chosen_and_attestations_never",
    "subject.manifest": "registry/server/test_discovery.test_referrers",
    "canonical.json": "images/test_specification.test_the_bytes_come_through",
    "conversion.runtime": "containers/test_bundle.test_a_plain_container",
}
OTHERS = {
    "digest.blake3": "no registry and no builder gives such digests; they are refused by name (test_bad_digests)",
    "media.descriptor": "the type of a descriptor as a document of its own, which nobody stores",
}


@pytest.mark.parametrize("row", SHOWN)
def test_a_rule_has_its_test(row: str) -> None:
    module, _, name = SHOWN[row].rpartition(".")
    tree = ast.parse((TESTS / f"{module}.py").read_text())
    assert name in {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_every_row_of_the_list_is_here() -> None:
    ours = {*rows(), *SHOWN, *OTHERS}
    places = [above / "shared" / "surface" / "oci-image-dist.tsv" for above in TESTS.parents]
    table = next(filter(Path.is_file, places), None)
    if table is None:
        pytest.skip("the list is not beside this repository")
    names = [line.partition("\t")[0] for line in table.read_text().splitlines()]
    listed = {name.removeprefix("OCIIMG.") for name in names if name.startswith("OCIIMG.")}
    assert listed - ours == set()
    assert ours - listed == set()
