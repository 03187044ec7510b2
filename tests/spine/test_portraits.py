"""`inspect --as`: what it prints makes the same container again, by the word of both inspections."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.engine_fixture import ScratchEngine

from nakagin.client import Client

pytestmark = pytest.mark.root

# What is another container's own, and what every client says in its own way. Anonymous volumes are named.
_OTHERS = {
    "Volumes",
    "Hostname",
    "AttachStdin",
    "AttachStdout",
    "AttachStderr",
    "OnBuild",
    "Image",
    "StdinOnce",
}


@pytest.fixture
def rich(engine: ScratchEngine, name: str, tmp_path: Path) -> Iterator[str]:
    """A container that has a bit of everything."""
    engine.docker("network", "create", f"net-{name}")
    engine.docker(
        "run", "-d", "--name", name, "--network", f"net-{name}", "--network-alias", "web", "-e", "WORD=a $b 'c'",
        "-l", "key=value", "-v", f"{tmp_path}:/host:ro", "-v", f"vol-{name}:/data", "-v", "/anonymous", "--mount",
        "type=tmpfs,target=/mem,tmpfs-size=1048576,tmpfs-mode=0700", "-p", "127.0.0.1::80", "-p", "81/udp",
        "--memory", "64m", "--cpus", "0.5", "--pids-limit", "50", "--cap-drop", "ALL", "--cap-add", "CAP_NET_RAW",
        "--read-only", "--init", "--restart", "on-failure:3", "--user", "7:8", "-w", "/tmp", "--ulimit",
        "nofile=100:200", "--sysctl", "net.ipv4.ip_default_ttl=70", "--add-host", "there:10.1.2.3", "--stop-signal",
        "SIGINT", "--stop-timeout", "3", "--health-cmd", "true", "--health-interval", "7s", "--shm-size", "1m",
        "--log-opt", "max-size=5m", "--tmpfs", "/run:size=1m", "--security-opt", "no-new-privileges", "--entrypoint",
        "sh", "busybox", "-c", "while :; do sleep 1; done",
    )  # fmt: skip
    yield name
    engine.docker("rm", "-fv", name, check=None)
    engine.docker("volume", "rm", f"vol-{name}")
    engine.docker("network", "rm", f"net-{name}")


def seen(engine: ScratchEngine, name: str) -> dict[str, Any]:
    """What is the same of two containers that are alike."""
    with Client(engine.host) as client:
        found = client.containers.get(name).attributes
    config = {key: value for key, value in found["Config"].items() if key not in _OTHERS and value}
    config["Env"] = sorted(config["Env"])
    config["Labels"] = {
        key: value
        for key, value in config.get("Labels", {}).items()
        if not key.startswith("com.docker.compose")
    }
    host = dict(found["HostConfig"])
    # There is more than one way to say these.
    for key in ("Binds", "Mounts", "ConsoleSize", "ExtraHosts", "MemorySwappiness"):
        host.pop(key, None)
    host["PortBindings"] = sorted(host["PortBindings"] or {})
    mounts = sorted(
        (each["Type"], each["Destination"], each["RW"], each.get("Name")) for each in found["Mounts"]
    )
    networks = {
        network: {each for each in endpoint["Aliases"] or () if each == "web"}
        for network, endpoint in found["NetworkSettings"]["Networks"].items()
    }
    return {
        "config": config,
        "host": {k: v for k, v in host.items() if v},
        "mounts": mounts,
        "networks": networks,
    }


@pytest.mark.parametrize("form", ["run", "python", "compose"])
def test_it_makes_the_same_again(engine: ScratchEngine, rich: str, form: str, tmp_path: Path) -> None:
    before = seen(engine, rich)
    text = engine.nakagin("inspect", "--as", form, rich).stdout
    engine.docker("rm", "-f", rich)
    if form == "run":
        command, *words = shlex.split(text.replace("\\\n", " "))
        assert command == "nakagin"
        engine.nakagin(*words)
    elif form == "python":
        subprocess.run([sys.executable, "-c", text], check=True, env=engine.environment())
    else:
        (tmp_path / "compose.yaml").write_text(text)
        binary = Path(sys.executable).parent / "docker-compose"
        environment = {**engine.environment(), "COMPOSE_PROJECT_NAME": rich}
        done = subprocess.run(
            [binary, "-f", tmp_path / "compose.yaml", "up", "-d"], capture_output=True, text=True, check=False,
            env=environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    after = seen(engine, rich)
    if form == "compose":  # it always says these
        for each in (before, after):
            each["host"].pop("NetworkMode", None)
    for part, wanted in before.items():
        if isinstance(wanted, dict):
            for key in wanted.keys() | after[part].keys():
                assert (key, after[part].get(key)) == (key, wanted.get(key))
        else:
            assert after[part] == wanted


def test_as_a_pod(engine: ScratchEngine, rich: str) -> None:
    pod = yaml.safe_load(engine.nakagin("inspect", "--as", "kube", rich).stdout)
    [container] = pod["spec"]["containers"]
    assert (pod["kind"], pod["spec"]["restartPolicy"], container["image"]) == ("Pod", "OnFailure", "busybox")
    assert container["command"] == ["sh"]
    assert container["env"] == [{"name": "WORD", "value": "a $b 'c'"}]
    assert container["resources"]["limits"] == {"memory": str(64 << 20), "cpu": "500m"}
    assert container["securityContext"]["runAsUser"] == 7
    assert {each["mountPath"] for each in container["volumeMounts"]} >= {"/host", "/data", "/mem", "/run"}


def test_what_the_image_says_is_left_out(engine: ScratchEngine, name: str) -> None:
    engine.docker("create", "--name", name, "busybox")
    text = engine.nakagin("inspect", "--as", "run", name).stdout
    engine.docker("rm", name)
    assert shlex.split(text.replace("\\\n", " ")) == [
        "nakagin",
        "run",
        "--detach",
        f"--name={name}",
        "busybox",
    ]
    wrong = engine.nakagin("inspect", "--as", "terraform", name, check=1)
    assert "run, compose, kube, python" in wrong.stderr


def test_what_a_form_has_no_word_for(engine: ScratchEngine, name: str, tmp_path: Path) -> None:
    """A bind that is written over would become one that is written into: that is said."""
    engine.docker("create", "--name", name, "-v", f"{tmp_path}:/host:O", "busybox")
    assert f"--volume={tmp_path}:/host:O" in engine.nakagin("inspect", "--as", "run", name).stdout
    assert engine.nakagin("inspect", "--as", "run", name).stderr == ""
    for form in ("compose", "kube"):
        assert f"-v {tmp_path}:/host:O" in engine.nakagin("inspect", "--as", form, name).stderr
