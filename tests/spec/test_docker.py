"""Docker's documents: what real clients send is taken, what is wrong is named, ours have Docker's shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from nakagin.errors import Invalid
from nakagin.spec import docker, gojson, networking

CLI_28 = b"""{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":true,
"AttachStderr":true,"ExposedPorts":{"80/tcp":{}},"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":["true"],
"Image":"busybox","Volumes":{},"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":{},"HostConfig":{
"Binds":null,"ContainerIDFile":"","LogConfig":{"Type":"","Config":{}},"NetworkMode":"default",
"PortBindings":{"80/tcp":[{"HostIp":"","HostPort":"8080"}]},"RestartPolicy":{"Name":"no","MaximumRetryCount":0},
"AutoRemove":true,"VolumeDriver":"","VolumesFrom":null,"ConsoleSize":[24,80],"CapAdd":null,"CapDrop":null,
"CgroupnsMode":"","Dns":[],"DnsOptions":[],"DnsSearch":[],"ExtraHosts":null,"GroupAdd":null,"IpcMode":"",
"Cgroup":"","Links":null,"OomScoreAdj":0,"PidMode":"","Privileged":false,"PublishAllPorts":false,
"ReadonlyRootfs":false,"SecurityOpt":null,"UTSMode":"","UsernsMode":"","ShmSize":0,"Isolation":"","CpuShares":0,
"Memory":67108864,"NanoCpus":500000000,"CgroupParent":"","BlkioWeight":0,"BlkioWeightDevice":[],
"BlkioDeviceReadBps":[],"Devices":[],"DeviceCgroupRules":null,"DeviceRequests":null,"MemorySwappiness":-1,
"OomKillDisable":false,"PidsLimit":0,"Ulimits":[],"CpuCount":0,"MaskedPaths":null,"ReadonlyPaths":null,
"Init":true},"NetworkingConfig":{"EndpointsConfig":{"default":null}}}"""


def create(raw: bytes) -> docker.ContainerCreate:
    return gojson.decode(raw, docker.ContainerCreate)


def test_what_the_docker_cli_sends() -> None:
    body = create(CLI_28)
    assert body.config.cmd == ("true",)
    assert body.entrypoint is None
    assert body.env == ()
    host = body.host_config
    assert (host.memory, host.nano_cpus) == (67108864, 500000000)
    assert (host.init, host.console_size) == (True, (24, 80))
    assert host.port_bindings == {"80/tcp": (docker.PortBinding(host_port="8080"),)}
    assert host.masked_paths is None
    assert host.pids_limit == 0
    assert body.networking_config.endpoints_config == {"default": docker.EndpointSettings()}


@pytest.mark.parametrize(
    ("raw", "cmd", "entrypoint"),
    [
        (b'{"Cmd":"echo hi","Entrypoint":""}', ("echo hi",), ("",)),
        (b'{"Cmd":[],"Entrypoint":[]}', (), ()),
        (b"{}", None, None),
        (b"null", None, None),
        (b"", None, None),
    ],
)
def test_commands(raw: bytes, cmd: tuple[str, ...] | None, entrypoint: tuple[str, ...] | None) -> None:
    body = create(raw)
    assert (body.cmd, body.entrypoint) == (cmd, entrypoint)


def test_gos_liberties() -> None:
    body = create(
        b'{"image":"x","HOSTCONFIG":{"portbindings":{"80/tcp":null},"binds":[null,"a:b"],"unknown":{"x":1}},'
        b'"Labels":{"a":null},"Volumes":{"/v":null},"Healthcheck":{"Test":null,"Interval":1000000000}}'
    )
    assert body.image == "x"
    assert body.host_config.port_bindings == {"80/tcp": ()}
    assert body.host_config.binds == ("", "a:b")
    assert body.labels == {"a": ""}
    assert body.volumes == {"/v": {}}
    assert body.healthcheck == docker.Healthcheck(interval=1_000_000_000)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"[]", "invalid request body: expected `object`, got `array`"),
        (b'{"Env":"A=1"}', "invalid request body: Env: expected `array`, got `str`"),
        (b'{"Tty":1}', "invalid request body: Tty: expected `bool`, got `int`"),
        (
            b'{"HostConfig":{"Memory":1.5}}',
            "invalid request body: HostConfig.Memory: expected `int`",
        ),
        (
            b'{"HostConfig":{"Ulimits":[{"Name":"n","Soft":"1"}]}}',
            "invalid request body: HostConfig.Ulimits[0].Soft: expected `int`, got `str`",
        ),
        (
            b'{"HostConfig":{"Memory":9223372036854775808}}',
            "invalid request body: HostConfig.Memory: expected `int` <= 9223372036854775807",
        ),
        (b'{"Cmd":', "invalid JSON: Input data was truncated"),
        (b"[" * 100_000, "invalid JSON:"),
        (b'"\xff"', "invalid JSON:"),
    ],
)
def test_what_is_wrong_is_named(raw: bytes, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        create(raw)
    assert str(caught.value).startswith(message)


def test_documents_show_null_and_leave_out_as_go_does() -> None:
    host = gojson.document(create(CLI_28).host_config)
    assert host["Binds"] is None
    assert host["Dns"] == []
    assert "Annotations" not in host
    assert host["PortBindings"] == {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}
    config = gojson.document(create(CLI_28).config)
    assert "Healthcheck" not in config
    assert "HostConfig" not in config
    assert config["Entrypoint"] is None


def test_records_survive_their_own_codec() -> None:
    body = create(CLI_28)
    assert msgspec.json.decode(msgspec.json.encode(body), type=docker.ContainerCreate) == body


# The API document, where the sources of this machine have it


def _definitions() -> dict[str, Any]:
    for parent in Path(__file__).parents:
        found = parent / "shared" / "specs" / "docker-engine-api-v1.50.yaml"
        if found.exists():
            with found.open() as file:
                definitions: dict[str, Any] = yaml.load(file, yaml.CSafeLoader)["definitions"]
            return definitions
    return {}


DEFINITIONS = _definitions()

#: Definition → our type.
TYPES: dict[str, type[docker.Document]] = {
    "ContainerConfig": docker.ContainerConfig,
    "HostConfig": docker.HostConfig,
    "NetworkingConfig": docker.NetworkingConfig,
    "EndpointSettings": docker.EndpointSettings,
    "EndpointIPAMConfig": docker.EndpointIPAMConfig,
    "RestartPolicy": docker.RestartPolicy,
    "HealthConfig": docker.Healthcheck,
    "Mount": docker.Mount,
    "DeviceMapping": docker.DeviceMapping,
    "DeviceRequest": docker.DeviceRequest,
    "ThrottleDevice": docker.ThrottleDevice,
    "PortBinding": docker.PortBinding,
    "VolumeCreateOptions": docker.VolumeCreate,
    "IPAM": networking.IPAM,
    "IPAMConfig": networking.IPAMConfig,
    "Health": docker.Health,
    "HealthcheckResult": docker.HealthcheckResult,
}


def _properties(definition: dict[str, Any]) -> set[str]:
    names = set(definition.get("properties", ()))
    for part in definition.get("allOf", ()):
        names |= _properties(DEFINITIONS[part["$ref"].split("/")[-1]] if "$ref" in part else part)
    return names


@pytest.mark.parametrize("name", [name for name in TYPES if name in DEFINITIONS])
def test_every_field_of_the_api_document_is_here(name: str) -> None:
    assert _properties(DEFINITIONS[name]) <= set(TYPES[name].__struct_encode_fields__)
