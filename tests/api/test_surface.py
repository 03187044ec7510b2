"""The lists of Docker's API and of dockerd's settings, row by row, where they lie beside the repository.

A row is found in the door's table, in what its handlers read, or in what a real engine answers; or it is named here
with the reason why not.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec
import pytest
from tests.api.test_shapes import Connection
from tests.engine_fixture import ScratchEngine

from nakagin.api.app import Door
from nakagin.engineflags import make_parser
from nakagin.settings import Settings
from nakagin.spec import docker

ROOT = Path(__file__).parents[2]
LISTS = (ROOT.parent / "shared/surface", ROOT.parents[1] / "shared/surface")
API = ROOT / "src/nakagin/api"


class Row(NamedTuple):
    """One line of api.tsv."""

    id: str
    kind: str
    method: str
    path: str
    since: str
    note: str


@cache
def lines(name: str) -> list[list[str]]:
    """The cells of a list; [] where it is not there."""
    for folder in LISTS:
        if (path := folder / name).exists():
            return [(line.split("\t") + [""] * 6)[:6] for line in path.read_text().splitlines()[1:]]
    return []


def rows(*kinds: str) -> list[Row]:
    """The rows of these kinds that are about Linux and no swarm; skips where there is no list."""
    if not lines("api.tsv"):
        pytest.skip("the list is not beside this repository")
    found = [Row(*cells) for cells in lines("api.tsv")]
    return [
        row
        for row in found
        if row.kind in kinds and "swarm" not in row.note and "windows-only" not in row.note
    ]


#: Rows that are not there, and why.
EXPLAINED = {
    "API.ImageList.digests": "digests are shown in any case, as by dockerd since 1.40",
    "API.ContainerStart.detachKeys": "the attach request has its own; dockerd does not read it either",
    "API.def.Resources.Init": "a field of HostConfig",
    "API.PluginList.filters.capability": "there are no managed plugins",
    "API.PluginEnable.timeout": "there are no managed plugins",
    "API.def.SystemInfo.DefaultAddressPools": "shown where --default-address-pool is given",
    "API.def.SystemInfo.DefaultAddressPools[].Base": "shown where --default-address-pool is given",
    "API.def.SystemInfo.DefaultAddressPools[].Size": "shown where --default-address-pool is given",
    "API.def.SystemInfo.Containerd": "there is no containerd",
    "API.def.SystemInfo.NRI": "there is no NRI",
    "API.def.SystemInfo.GenericResources": "of swarm",
    "API.def.SystemInfo.ProductLicense": "there is no licence to buy",
    "API.def.ContainerSummary.ImageManifestDescriptor": "shown where the image has a manifest (library/test_peers)",
    "API.def.ContainerInspectResponse.ImageManifestDescriptor": "as above",
    "API.def.ContainerInspectResponse.SizeRw": "shown with size=1",
    "API.def.ContainerSummary.HostConfig.Annotations": "shown where there are some",
    "API.def.ContainerWaitResponse.Error": "shown where there is one",
    "API.def.ContainerState.Health": "shown where there is a check",
    "API.def.EndpointSettings.IPAMConfig": "an object of the request",
    "API.def.Volume.ClusterVolume": "of swarm",
    "API.def.Network.Peers": "of swarm",
}
#: Definitions that other rooms show, or that only swarm and plugins have.
ELSEWHERE = re.compile(
    r"API\.def\.(Plugin|Build|Image|PushImageInfo|CreateImageInfo|DistributionInspect|RegistryServiceConfig|AuthConfig"
    r"|Network|IPAM|ConfigReference|DriverData|Volume|Storage)"
)  # fmt: skip
#: Builds and their cache have a room of their own; their rows are its.
BUILDING = re.compile(r"API\.(ImageBuild|BuildPrune|def\.Build)")


def test_every_endpoint_is_in_the_table() -> None:
    table = Door(cast(Any, None))._table
    missing = [
        f"{row.id} {row.method} {row.path}"
        for row in rows("endpoint")
        if table.find(row.method, re.sub(r"\{[^}]+\}", "x", row.path)) is None
    ]
    assert not missing


def handler_text(row: Row) -> str:
    """The source of the module that answers a row's endpoint, and of what it leaves to others."""
    found = Door(cast(Any, None))._table.find(row.method, re.sub(r"\{[^}]+\}", "x", row.path))
    assert found is not None
    module = inspect.getsource(cast(Any, inspect.getmodule(found[0].handler)))
    return module + "".join((API / name).read_text() for name in ("call.py", "platforms.py", "registries.py"))


def test_every_query_is_read_by_its_handler() -> None:
    missing = []
    for row in rows("query", "header"):
        name = row.id.rpartition(".")[2]
        if row.id in EXPLAINED or BUILDING.match(row.id) or row.path.startswith("/plugins"):
            continue
        if f'"{name}"' not in handler_text(row):
            missing.append(f"{row.id} ({row.note})")
    assert not missing


def test_every_filter_is_known() -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "src/nakagin").rglob("*.py"))
    missing = [
        row.id
        for row in rows("filter")
        if row.id not in EXPLAINED
        and not BUILDING.match(row.id)
        and f'"{row.id.partition("filters.")[2]}"' not in source
    ]
    assert not missing


@cache
def taken() -> dict[str, frozenset[str]]:
    """The JSON names of each type that clients send."""
    return {
        name: frozenset(kind.__struct_encode_fields__)
        for name, kind in vars(docker).items()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
    }


#: The list's name of a type → ours, where it differs.
TYPES = {
    "HealthConfig": "Healthcheck",
    "NetworkingConfig": "NetworkingConfig",
    "VolumeCreateRequest": "VolumeCreate",
}


def keys_of(document: Any) -> Iterator[str]:
    """All keys at any depth."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield key
            yield from keys_of(value)
    elif isinstance(document, list):
        for each in document:
            yield from keys_of(each)


@pytest.fixture(scope="module")
def answered(engine: ScratchEngine) -> set[str]:
    """Every key in the answers about one container that has a little of everything."""
    body = {
        "Image": "busybox", "Cmd": ["sleep", "1000"], "ExposedPorts": {"80/tcp": {}},
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 10**8},
        "HostConfig": {
            "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1"}]}, "Annotations": {"a": "b"},
            "Mounts": [{"Type": "volume", "Target": "/v"}],
        },
    }  # fmt: skip
    connection = Connection(engine.host)
    found: set[str] = set()

    def ask(method: str, path: str, sent: dict[str, Any] | None = None) -> Any:
        status, answer = connection.ask(method, path, sent, version="1.56")
        assert status < 300, (path, answer)
        found.update(keys_of(answer))
        return answer

    identity = ask("POST", "/containers/create", body)["Id"]
    try:
        connection.ask("POST", f"/containers/{identity}/start")
        for path in ("json?size=1", "stats?stream=0&one-shot=1", "top", "changes"):
            ask("GET", f"/containers/{identity}/{path}")
        ask("GET", f'/containers/json?size=1&filters={{"id":["{identity}"]}}')
        ask("POST", f"/containers/{identity}/update", {"PidsLimit": 50})
        execution = ask("POST", f"/containers/{identity}/exec", {"Cmd": ["true"]})["Id"]
        ask("GET", f"/exec/{execution}/json")
        ask("GET", "/info")
        ask("GET", "/version")
        connection.request("GET", "/v1.51/events?since=1&until=1")
        connection.getresponse().read()
        connection.request(
            "GET", f'/v1.51/events?since=1&until=9999999999&filters={{"container":["{identity}"]}}'
        )
        found.update(keys_of(json.loads(connection.getresponse().readline())))
        connection.close()
        found.update(keys_of(connection.ask("GET", f"/containers/{identity}/json")[1]))
        status, failed = connection.ask("GET", "/containers/nobody/json")
        assert status == 404
        found.update(failed)
        ask("POST", f"/containers/{identity}/kill")
        ask("POST", f"/containers/{identity}/wait")
    finally:
        connection.ask("DELETE", f"/containers/{identity}?force=1&v=1")
        connection.close()
    return found


@pytest.mark.root
def test_every_field_is_taken_or_shown(answered: set[str]) -> None:
    missing = []
    for row in rows("field"):
        if row.id in EXPLAINED or ELSEWHERE.match(row.id):
            continue
        name = re.sub(r"\[\]", "", row.id.rpartition(".")[2])
        kind = TYPES.get(row.path, row.path)
        if name in answered or name in taken().get(kind, ()):
            continue
        if any(name in names for names in taken().values()) and row.id.count(".") > 3:
            continue  # a field of a field: BindOptions.Propagation
        missing.append(f"{row.id} ({row.note})")
    assert not missing


def test_what_is_explained_is_in_the_list() -> None:
    known = {row.id for row in rows("query", "filter", "field")}
    assert (
        not set(EXPLAINED) - known - {"API.def.Volume.ClusterVolume", "API.def.SystemInfo.GenericResources"}
    )


def test_every_protocol_row_is_shown_somewhere() -> None:
    shown = {
        "metrics": "spine/test_metrics",
        "hijack": "api/test_streams", "raw-stream": "api/test_streams", "multiplexed-stream": "api/test_streams",
        "version-prefix": "api/test_app", "x-registry-auth": "transfer/test_clients", "error-shape": "differential",
        "304": "differential", "unix-socket": "test_daemon", "tcp-tls": "spine/test_tls", "fd": "test_daemon",
        "ssh-dial-stdio": "spine/test_handover", "name-resolution": "spine/test_jobs",
        "name-regex": "containers/test_names", "chunked-json": "transfer/test_clients", "ping-headers": "api/test_app",
    }  # fmt: skip
    refused = {
        "authz-plugin": "refused at the start: scoped sockets say who may do what",
"debug-pprof": "a Go runtime's",
    }  # fmt: skip
    names = {row.id.rpartition(".")[2] for row in rows("protocol")}
    assert names == set(shown) | set(refused)
    for place in shown.values():
        assert (ROOT / "tests" / place).exists() or (ROOT / "tests" / f"{place}.py").exists(), place


def test_every_setting_of_dockerd_is_known() -> None:
    if not lines("daemon.tsv"):
        pytest.skip("the list is not beside this repository")
    flags = {option for action in make_parser()._actions for option in action.option_strings}
    missing = []
    for identity, kind, key, *_ in lines("daemon.tsv"):
        known = (
            f"--{key.lstrip('-')}" in flags if kind == "flag" else key in Settings.__struct_encode_fields__
        )
        if not known:
            missing.append(f"{identity} {key}")
    assert not missing
