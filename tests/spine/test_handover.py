"""Images straight to another host over ssh: a real sshd, two engines, no registry."""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.conftest import close_clean
from tests.engine_fixture import ScratchEngine
from tests.registry.faulty import FaultyRegistry
from tests.registry.made import index_of, layer_of, made
from tests.registry.server.box import served
from tests.registry.server.test_peers import runnable_image
from tests.ssh_fixture import SSHD, ScratchHost

from nakagin.client import Client
from nakagin.spec.digest import digest_of

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not os.path.exists(SSHD) or not shutil.which("ssh"), reason="no openssh-server"),
]

SIZE = 300_000


@pytest.fixture(scope="module")
def far() -> Iterator[ScratchEngine]:
    """The other host's engine."""
    engine = ScratchEngine()
    try:
        engine.start()
        yield engine
    finally:
        close_clean(engine)


@pytest.fixture
def faulty_registry() -> Iterator[FaultyRegistry]:
    """A registry in this process."""
    with FaultyRegistry() as found:
        yield found


@pytest.fixture
def host(far: ScratchEngine) -> Iterator[ScratchHost]:
    host = ScratchHost(far.host)
    yield host
    host.close()


def nakagin(
    engine: ScratchEngine, host: ScratchHost, *arguments: str, check: int | None = 0, there: str = ""
) -> subprocess.CompletedProcess[str]:
    """Our command line, able to reach the host; `there`: against the engine behind this URL."""
    argv = engine.nakagin_argv(*arguments)
    if there:
        argv = [there if word == engine.host else word for word in argv]
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=60,
        env=engine.environment(host.environment), stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert check is None or done.returncode == check, f"{argv}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def derive(engine: ScratchEngine, base: str, name: str, size: int) -> str:
    """The image with one incompressible layer more, a file named as the image; its id."""
    saved = subprocess.run(
        engine.docker_argv("save", base), env=engine.environment(), capture_output=True, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(saved)) as archive:
        files = {entry.name: archive.extractfile(entry) for entry in archive if entry.isfile()}
        content = {path: file.read() for path, file in files.items() if file is not None}
    (item,) = json.loads(content["manifest.json"])
    config = json.loads(content[item["Config"]])
    layer = tar({name.replace(":", "-"): secrets.token_bytes(size)})
    config["rootfs"]["diff_ids"].append("sha256:" + hashlib.sha256(layer).hexdigest())
    config.pop("history", None)
    layers = {f"{number}.tar": content[path] for number, path in enumerate(item["Layers"])} | {
        "new.tar": layer
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": list(layers)}]
    parts = {
        "config.json": json.dumps(config).encode(),
        **layers,
        "manifest.json": json.dumps(manifest).encode(),
    }
    subprocess.run(
        engine.docker_argv("load", "-q"), input=tar(parts), env=engine.environment(),
        capture_output=True, check=True,
    )  # fmt: skip
    return ids(engine)[name]


def tar(files: dict[str, bytes]) -> bytes:
    """An archive of these files."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


def ids(engine: ScratchEngine) -> dict[str, str]:
    """Name → id of every image."""
    lines = engine.docker("images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").stdout
    return dict(line.split() for line in lines.splitlines())


def sent(done: subprocess.CompletedProcess[str]) -> tuple[float, int]:
    """Bytes of layers that went over the wire, and the layers that were there, by the last line of `cp`."""
    words = done.stdout.splitlines()[-1].split()
    number = words[1].rstrip("kMB")
    return float(number) * {"B": 1, "kB": 1e3, "MB": 1e6}[words[1][len(number) :]], int(words[4])


def test_only_missing_layers_travel(engine: ScratchEngine, far: ScratchEngine, host: ScratchHost) -> None:
    name = f"app{secrets.token_hex(3)}"
    base = derive(engine, "busybox", f"{name}:1", SIZE)
    two = derive(engine, f"{name}:1", f"{name}:2", 100)
    three = derive(engine, f"{name}:1", f"{name}:3", 100)

    first = nakagin(engine, host, "image", "cp", f"{name}:1", f"{host.url}/")
    assert f"docker.io/library/{name}:1" in first.stdout
    assert sent(first)[0] > SIZE
    assert ids(far)[f"{name}:1"] == base

    # busybox and the large layer are there, once for both images.
    second = nakagin(engine, host, "image", "cp", f"{name}:2", f"{name}:3", f"{host.url}/")
    there = ids(far)
    assert (there[f"{name}:2"], there[f"{name}:3"]) == (two, three)
    assert sent(second)[0] < 2000
    assert sent(second)[1] == 2

    third = nakagin(engine, host, "image", "cp", f"{name}:2", f"{host.url}/")
    assert sent(third) == (0, 3)
    assert host.logins() == 1, "one shared connection for all commands"


def test_bytes_on_the_wire(engine: ScratchEngine, far: ScratchEngine, host: ScratchHost) -> None:
    """Counted outside of us: what ssh itself wrote."""
    name = f"wire{secrets.token_hex(3)}"
    derive(engine, "busybox", f"{name}:1", SIZE)
    derive(engine, f"{name}:1", f"{name}:2", 100)
    traffic = []
    for tag in ("1", "2"):
        host.write_client(known="known", key="key", more=f"ProxyCommand {host.counting_proxy(tag)}")
        nakagin(engine, host, "image", "cp", f"{name}:{tag}", f"{host.url}/")
        host.end_sharing()
        traffic.append(int((host.root / f"count-{tag}").read_text()))
    assert traffic[0] > SIZE
    assert traffic[1] < 30_000


def test_there_and_back_again(engine: ScratchEngine, far: ScratchEngine, host: ScratchHost) -> None:
    name = f"back{secrets.token_hex(3)}"
    image = derive(engine, "busybox", f"{name}:1", SIZE)
    look = ("run", "--rm", "--network", "none")
    content = engine.docker(*look, f"{name}:1", "sha256sum", f"/{name}-1").stdout
    nakagin(engine, host, "image", "cp", f"{name}:1", f"{host.url}/other/{name}:x")
    assert ids(far)[f"other/{name}:x"] == image
    assert far.docker(*look, f"other/{name}:x", "sha256sum", f"/{name}-1").stdout == content
    engine.docker("rmi", f"{name}:1")
    nakagin(engine, host, "image", "cp", f"{host.url}/other/{name}:x", ".")
    assert ids(engine)[f"other/{name}:x"] == image
    assert engine.docker(*look, f"other/{name}:x", "sha256sum", f"/{name}-1").stdout == content


def test_a_pulled_image_keeps_its_manifest(
    engine: ScratchEngine, far: ScratchEngine, host: ScratchHost, tmp_path: Path
) -> None:
    """What came from a registry can be checked against it at the other host too."""
    with served(tmp_path) as registry:
        image = runnable_image()
        name = f"app{secrets.token_hex(3)}"
        registry.push(image, "v1", name)
        there = f"{registry.address}/{name}"
        engine.docker("pull", f"{there}:v1")
    nakagin(engine, host, "image", "cp", f"{there}:v1", f"{host.url}/")
    (found,) = json.loads(far.docker("image", "inspect", f"{there}:v1").stdout)
    assert found["RepoDigests"] == [f"{there}@{image.digest}"]
    far.docker("image", "inspect", f"{there}@{image.digest}")


def test_push_and_pull_know_ssh_too(engine: ScratchEngine, far: ScratchEngine, host: ScratchHost) -> None:
    name = f"verbs{secrets.token_hex(3)}"
    images = [derive(engine, "busybox", f"{name}:{tag}", 100) for tag in "12"]
    nakagin(engine, host, "image", "push", f"{host.url}/", f"{name}:1", f"{name}:2")
    assert [ids(far)[f"{name}:{tag}"] for tag in "12"] == images
    engine.docker("rmi", f"{name}:1", f"{name}:2")
    nakagin(engine, host, "pull", f"{host.url}/{name}:2")
    assert ids(engine)[f"{name}:2"] == images[1]
    nothing = nakagin(engine, host, "push", f"{host.url}/", check=1)
    assert "no image is named" in nothing.stderr


def test_platforms_go_with_their_index(
    engine: ScratchEngine, far: ScratchEngine, host: ScratchHost, faulty_registry: FaultyRegistry
) -> None:
    path = f"multi{secrets.token_hex(3)}"
    images = {
        each: made(layer_of("shared"), layer_of(each), architecture=each) for each in ("amd64", "arm64")
    }
    for each, image in images.items():
        faulty_registry.put(path, each, image)
    index, kind = index_of(
        *((image, {"os": "linux", "architecture": each}) for each, image in images.items())
    )
    faulty_registry.put_manifest(path, "1", index, kind)
    name = f"{faulty_registry.host}/{path}"
    for each in images:
        engine.docker("pull", "-q", "--platform", f"linux/{each}", f"{name}:1")
    done = nakagin(engine, host, "image", "push", f"{host.url}/", f"{name}:1")
    assert done.stdout.count(f"{name}:1\n") == 1, "one name for both"
    for each, image in images.items():
        (shown,) = json.loads(
            far.nakagin("image", "inspect", "--platform", f"linux/{each}", f"{name}:1").stdout
        )
        assert (shown["Id"], shown["Architecture"]) == (image.image_id, each)
        assert shown["RepoDigests"] == [f"{name}@{digest_of(index)}"]
    # From there it goes on to a registry as it came.
    far.docker("tag", f"{name}:1", f"{name}:2")
    far.docker("push", "-q", f"{name}:2")
    assert faulty_registry.manifests[path, "2"] == (kind, index)
    # One alone, where that is asked for.
    far.docker("rmi", f"{name}:1", f"{name}:2")
    nakagin(engine, host, "image", "cp", "--platform", "linux/arm64", f"{name}:1", f"{host.url}/{path}:arm")
    assert ids(far)[f"{path}:arm"] == images["arm64"].image_id
    assert images["amd64"].image_id not in far.docker("images", "-aq", "--no-trunc").stdout
    far.docker("rmi", f"{path}:arm")


def test_platforms(engine: ScratchEngine, host: ScratchHost) -> None:
    wrong = nakagin(
        engine, host, "image", "cp", "--platform", "linux/s390x", "busybox", f"{host.url}/", check=1
    )
    assert "does not provide the specified platform (linux/s390x)" in wrong.stderr


def test_an_interrupted_transfer_goes_on(
    engine: ScratchEngine, far: ScratchEngine, host: ScratchHost
) -> None:
    name = f"cut{secrets.token_hex(3)}"
    image = derive(engine, "busybox", f"{name}:1", 20 * SIZE)
    layer = json.loads(engine.docker("image", "inspect", image).stdout)[0]["RootFS"]["Layers"][-1]
    blob = (engine.data_root / "blobs" / layer.replace(":", "/")).read_bytes()
    half = len(blob) // 2
    # What a transfer leaves that was cut in the middle: the missing blobs were told, and half of one has come.
    with Client(engine.host) as here, Client(far.host) as there:
        offer = here.session.request(
            "POST", "/nakagin/handover/offer", body={"Names": [f"{name}:1"]}, versioned=False
        ).json()
        there.session.request("POST", "/nakagin/handover/missing", body=offer, versioned=False).read()
        with pytest.raises(Exception, match="only"):
            there.session.request(
                "POST", "/nakagin/handover/blob", {"digest": layer, "size": len(blob), "offset": 0},
                data=iter([blob[:half]]), versioned=False,
                headers={"Content-Type": "application/octet-stream"},
            ).read()  # fmt: skip
    far.docker("image", "prune", "-f")
    far.kill9()
    far.restart()
    done = nakagin(engine, host, "image", "cp", f"{name}:1", f"{host.url}/")
    assert ids(far)[f"{name}:1"] == image
    assert half * 0.9 < sent(done)[0] < half * 1.1


def test_engine_behind_ssh(engine: ScratchEngine, far: ScratchEngine, host: ScratchHost) -> None:
    nakagin(engine, host, "image", "cp", "busybox", f"{host.url}/")
    version = nakagin(engine, host, "version", "--format", "{{.Server.Version}}", there=host.url)
    assert version.stdout.strip()
    run = nakagin(
        engine, host, "run", "--rm", "--network", "none", "busybox", "echo", "over there", there=host.url
    )
    assert run.stdout == "over there\n"
    by_socket = nakagin(engine, host, "ps", "-q", there=f"{host.url}{far.socket}")
    assert by_socket.stdout == ""
    assert host.logins() == 1


def test_a_context_over_ssh_with_thirty_containers_is_one_login(
    engine: ScratchEngine, far: ScratchEngine, host: ScratchHost
) -> None:
    nakagin(engine, host, "image", "cp", "busybox", f"{host.url}/")
    made = [_created(far) for _ in range(30)]
    try:
        nakagin(engine, host, "context", "create", "overthere", "--docker", f"host={host.url}{far.socket}")
        before = host.logins()
        argv = [
            word for word in engine.nakagin_argv("-c", "overthere", "ps", "-aq", "--no-trunc") if word != "-H"
        ]
        shown = subprocess.run(
            [word for word in argv if word != engine.host], capture_output=True, text=True, timeout=60, check=True,
            env={**engine.environment(host.environment), "DOCKER_HOST": ""},
        )  # fmt: skip
        assert set(made) <= set(shown.stdout.split())
        assert host.logins() - before <= 1, "one shared connection, which may be there already"
    finally:
        far.docker("rm", *made)
        nakagin(engine, host, "context", "rm", "overthere")


def _created(engine: ScratchEngine) -> str:
    return engine.docker("create", "busybox", "true").stdout.strip()


def test_many_connections_are_one_login(
    engine: ScratchEngine, host: ScratchHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in host.environment.items():
        monkeypatch.setenv(key, value)

    def ask(_: int) -> str:
        with Client(host.url) as there:
            return there.ping()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(24)))
    assert host.logins() == 1


def test_dockers_own_command_line_comes_in_too(far: ScratchEngine, host: ScratchHost) -> None:
    """`docker -H ssh://` runs `docker system dial-stdio` over there, through `ssh` from its PATH."""
    (host.root / "bin/docker").symlink_to("nakagin")
    tools = host.root / "tools"
    tools.mkdir()
    (tools / "ssh").write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {host.root}/config "$@"\n')
    (tools / "ssh").chmod(0o755)
    environment = {**far.environment(), "DOCKER_HOST": host.url, "PATH": f"{tools}:{os.environ['PATH']}"}
    done = subprocess.run(
        far.docker_argv("images", "-q"),
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_host_whose_key_is_unknown(engine: ScratchEngine, host: ScratchHost) -> None:
    host.write_client(known="nothing", key="key")
    done = nakagin(engine, host, "image", "cp", "busybox", f"{host.url}/", check=1)
    assert "Host key verification failed" in done.stderr
    assert "connect once with `ssh`" in done.stderr


def test_a_key_that_the_host_does_not_know(engine: ScratchEngine, host: ScratchHost) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(host.root / "other")], check=True
    )
    host.write_client(known="known", key="other")
    done = nakagin(engine, host, "image", "cp", "busybox", f"{host.url}/", check=1)
    assert "Permission denied" in done.stderr
    assert "authorized_keys" in done.stderr


def test_a_host_without_nakagin(engine: ScratchEngine, far: ScratchEngine) -> None:
    bare = ScratchHost(far.host, installed=False)
    try:
        done = nakagin(engine, bare, "image", "cp", "busybox", f"{bare.url}/", check=1)
        assert "has no nakagin" in done.stderr
        assert "pip install nakagin" in done.stderr
    finally:
        bare.close()


def test_a_host_that_does_not_answer(engine: ScratchEngine, host: ScratchHost) -> None:
    done = nakagin(engine, host, "image", "cp", "busybox", "ssh://127.0.0.1:1/", check=1)
    assert "Connection refused" in done.stderr


@pytest.mark.parametrize(
    "url", ["ssh://", "ssh://-oProxyCommand=x/", "ssh://-l@host/", "ssh://a:b@host/", "ssh://h:x/"]
)
def test_addresses_that_are_none(engine: ScratchEngine, host: ScratchHost, url: str) -> None:
    """CVE-2017-1000117: a host that ssh takes for an option."""
    done = nakagin(engine, host, "image", "cp", "busybox", url, check=1)
    assert "ssh" in done.stderr or "dash" in done.stderr
