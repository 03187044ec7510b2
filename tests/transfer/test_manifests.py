"""Manifest lists by our command line, judged by docker's, skopeo and the registry."""

from __future__ import annotations

import json

import pytest
from tests.engine_fixture import ScratchEngine
from tests.registry.faulty import FaultyRegistry
from tests.registry.made import layer_of, made
from tests.transfer.peers import LocalRegistry, run, skopeo_copy, unique

pytestmark = pytest.mark.root


def test_a_list_of_two_platforms(engine: ScratchEngine, faulty_registry: FaultyRegistry) -> None:
    host = faulty_registry.host
    amd, arm = made(layer_of("amd")), made(layer_of("arm"), architecture="arm64")
    faulty_registry.put("list", "amd", amd)
    faulty_registry.put("other", "arm", arm)
    name = f"{host}/list:all"
    assert "Created manifest list" in engine.nakagin("manifest", "create", name, f"{host}/list:amd").stdout
    assert "no --amend" in engine.nakagin("manifest", "create", name, f"{host}/list:amd", check=1).stderr
    engine.nakagin("manifest", "create", "--amend", name, f"{host}/other:arm")
    engine.nakagin(
        "manifest", "annotate", name, f"{host}/other:arm", "--variant", "v8", "--os-features", "a,b"
    )
    shown = json.loads(engine.nakagin("manifest", "inspect", name).stdout)
    assert [each["platform"] for each in shown["manifests"]] == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux", "os.features": ["a", "b"], "variant": "v8"},
    ]
    digest = engine.nakagin("manifest", "push", "--purge", name).stdout.strip()
    assert faulty_registry.manifests["list", "all"] == faulty_registry.manifests["list", digest]
    assert faulty_registry.manifests["list", arm.digest][1] == arm.manifest
    assert json.loads(faulty_registry.manifests["list", "all"][1]) == shown
    assert "no such manifest list" in engine.nakagin("manifest", "rm", name, check=1).stderr
    # Our engine pulls from it.
    assert json.loads(engine.nakagin("manifest", "inspect", name).stdout) == shown
    verbose = json.loads(engine.nakagin("manifest", "inspect", "-v", name).stdout)
    assert verbose["Descriptor"]["digest"] == digest
    engine.docker("pull", "--platform", "linux/arm64", name)
    assert engine.docker("image", "inspect", "-f", "{{.Architecture}}", name).stdout == "arm64\n"
    engine.docker("rmi", name)


@pytest.mark.docker(28)
def test_a_list_at_a_real_registry(engine: ScratchEngine, peer: LocalRegistry) -> None:
    one, name = f"{peer.host}/{unique()}:1", f"{peer.host}/{unique()}:all"
    engine.docker("tag", "busybox", one)
    engine.docker("push", one)
    engine.nakagin("manifest", "create", name, one)
    engine.nakagin("manifest", "push", name)
    engine.nakagin("manifest", "rm", name)
    found = json.loads(run("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}").stdout)
    assert len(found["manifests"]) == 1
    shown = json.loads(engine.docker("manifest", "inspect", "--insecure", name).stdout)
    assert shown["manifests"][0]["digest"] == found["manifests"][0]["digest"]
    target = f"{peer.host}/{unique()}:1"
    skopeo_copy(f"docker://{name}", f"docker://{target}")
    engine.docker("rmi", one)
    assert engine.docker("run", "--rm", target, "echo", "through a list").stdout == "through a list\n"
    engine.docker("rmi", "-f", target)


def test_what_cannot_be(engine: ScratchEngine, faulty_registry: FaultyRegistry) -> None:
    host = faulty_registry.host
    faulty_registry.put("x", "1", made(layer_of("a")))
    assert "not found" in engine.nakagin("manifest", "create", f"{host}/l", f"{host}/x:no", check=1).stderr
    assert "no such manifest list" in engine.nakagin("manifest", "push", f"{host}/none", check=1).stderr
    engine.nakagin("manifest", "create", "127.0.0.9:1/l", f"{host}/x:1")
    assert "share one registry" in engine.nakagin("manifest", "push", "127.0.0.9:1/l", check=1).stderr
    assert "does not exist" in engine.nakagin("manifest", "annotate", "127.0.0.9:1/l", "y", check=1).stderr
    engine.nakagin("manifest", "rm", "127.0.0.9:1/l")
