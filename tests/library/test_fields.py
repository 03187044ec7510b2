"""Every field that the list of Docker's API has about images is in the answer that it belongs to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from docker import DockerClient
from tests.engine_fixture import ScratchEngine
from tests.library.test_attestations import Attested
from tests.registry.faulty import FaultyRegistry, refuse_times
from tests.registry.made import layer_of, made

pytestmark = pytest.mark.root

DEFINITIONS = (
    "ImageInspect", "ImageSummary", "ImageHistoryResponseItem", "ImageDeleteResponseItem", "ImageManifestSummary",
    "DistributionInspect", "DriverData", "CreateImageInfo", "PushImageInfo",
)  # fmt: skip


def paths(document: Any, before: str = "") -> set[str]:
    """The dotted names of all fields; those of lists of objects without an index."""
    if isinstance(document, list):
        return {name for each in document for name in paths(each, before)}
    if not isinstance(document, dict):
        return set()
    found = {f"{before}{key}" for key in document}
    return found.union(*(paths(value, f"{before}{key}.") for key, value in document.items()))


def wanted(definition: str) -> set[str]:
    """The fields of the list; skips where that is not beside the repository."""
    for above in Path(__file__).parents:
        if (table := above / "shared/surface/api.tsv").is_file():
            names = [line.partition("\t")[0] for line in table.read_text().splitlines()]
            head = f"API.def.{definition}."
            return {name.removeprefix(head).replace("[]", "") for name in names if name.startswith(head)}
    pytest.skip("the lists are not beside this repository")


@pytest.fixture(scope="module")
def answers(engine: ScratchEngine) -> dict[str, Any]:
    """What is answered, for each definition; of images that come, fail to come, go, and fail to go."""
    api: DockerClient = engine.client()

    def ask(method: str, path: str, version: str = "1.55") -> Any:
        answer = api.api.request(
            method, f"{api.api.base_url}/v{version}{path}", headers={"X-Registry-Auth": "e30="}, timeout=60
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    def stream(path: str) -> list[Any]:
        answer = api.api.post(
            f"{api.api.base_url}/v1.50{path}", headers={"X-Registry-Auth": "e30="}, timeout=60
        )
        return [json.loads(line) for line in answer.text.splitlines()]

    with FaultyRegistry() as registry:
        attested = Attested(registry)
        more: dict[str, Any] = {
            "os.version": "1",
            "history": [{"created_by": "x"}],
            "config": {"Labels": {"a": "b"}},
        }
        more |= {"created": "2020-01-01T00:00:00Z", "author": "me", "variant": "v7"}
        plain = made(layer_of("x"), architecture="arm", **more)
        registry.put("plain", "1", plain)
        found: dict[str, Any] = {}
        found["CreateImageInfo"] = stream(f"/images/create?fromImage={attested.name}")
        name = f"{registry.host}/plain:1"
        stream(f"/images/create?fromImage={name}")
        found["ImageInspect"] = [
            ask("GET", f"/images/{attested.name}/json?manifests=1"),
            ask("GET", f"/images/{name}/json"),
            ask("GET", f"/images/{name}/json", "1.47"),
        ]
        found["DriverData"] = found["ImageInspect"][1]["GraphDriver"]
        found["ImageManifestSummary"] = found["ImageInspect"][0]["Manifests"]
        found["ImageSummary"] = ask("GET", "/images/json?manifests=1")
        found["ImageHistoryResponseItem"] = ask("GET", f"/images/{name}/history")
        found["DistributionInspect"] = ask("GET", f"/distribution/{name}/json")
        found["PushImageInfo"] = stream(f"/images/{registry.host}/plain/push?tag=1")
        registry.faults.append(refuse_times(9, 403, "DENIED", {}))
        found["PushImageInfo"] += stream(f"/images/{registry.host}/plain/push?tag=1")
        registry.reset()
        registry.blobs.clear()
        found["CreateImageInfo"] += stream(f"/images/create?fromImage={registry.host}/attested&tag=proof")
        found["ImageDeleteResponseItem"] = [
            *ask("DELETE", f"/images/{name}"),
            *ask("DELETE", f"/images/{attested.name}"),
        ]
        return found


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_every_field_is_shown(answers: dict[str, Any], definition: str) -> None:
    assert wanted(definition) - paths(answers[definition]) == set()
