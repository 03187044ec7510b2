"""`inspect --as kube`: Kubernetes' own schema takes what it prints, strictly, for containers of every kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.engine_fixture import ScratchEngine

kubernetes_validate = pytest.importorskip("kubernetes_validate")

pytestmark = pytest.mark.root

KINDS = {
    "plain": (),
    "rich": (
        "-e", "WORD=a $b 'c'", "-l", "key=value", "-l", "odd/key!=odd value/with things", "-v", "{folder}:/host:ro",
        "-v", "vol-{name}:/data", "-v", "/anonymous", "--mount", "type=tmpfs,target=/mem,tmpfs-size=1048576", "-p",
        "127.0.0.1::80", "-p", "81/udp", "--memory", "64m", "--memory-reservation", "32m", "--cpus", "0.5",
        "--cpu-shares", "512", "--cap-drop", "ALL",
        "--cap-add", "NET_RAW", "--read-only", "--restart", "on-failure:3", "--user", "7:8",
        "-w", "/tmp", "--sysctl", "net.ipv4.ip_default_ttl=70", "--add-host", "there:10.1.2.3", "--hostname", "box",
        "--dns", "10.1.1.1", "--dns-search", "example.org", "--dns-opt", "ndots:3", "--health-cmd", "test -e /ok",
        "--health-interval", "7s", "--health-timeout", "1500ms", "--health-retries", "2", "--health-start-period", "3s",
        "--shm-size", "1m", "--tmpfs", "/run:size=1m", "--security-opt", "no-new-privileges", "--stop-timeout", "3",
        "--group-add", "9", "-t", "-i",
    ),
    "privileged": ("--privileged", "--network", "host", "--pid", "host", "--ipc", "host", "--restart", "always"),
    "odd": ("--user", "nobody", "--no-healthcheck", "--init", "--entrypoint", "/bin/sh", "--device", "/dev/null"),
}  # fmt: skip


@pytest.fixture
def volume(engine: ScratchEngine, name: str) -> Iterator[str]:
    yield f"vol-{name}"
    engine.docker("rm", "-fv", name)
    engine.docker("volume", "rm", "-f", f"vol-{name}")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("volume")
def test_kubernetes_takes_it(engine: ScratchEngine, name: str, kind: str, tmp_path: Path) -> None:
    flags = (word.format(folder=tmp_path, name=name) for word in KINDS[kind])
    engine.docker("create", "--name", name, *flags, "busybox", "sleep", "1000")
    documents = list(yaml.safe_load_all(engine.nakagin("inspect", "--as", "kube", name).stdout))
    assert documents[0]["kind"] == "Pod"
    for document in documents:
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
