"""Flags of a build and build arguments that mean something by themselves, seen in what comes out."""

from __future__ import annotations

import base64
import glob
import io
import json
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.building.agents import agent_with
from tests.building.by_command import build, output
from tests.building.servers import Repository, Web, git_server
from tests.engine_fixture import ScratchEngine
from tests.registry.faulty import FaultyRegistry
from tests.ssh_fixture import ScratchHost

pytestmark = pytest.mark.root


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    yield server
    server.close()


def test_the_limits_of_steps(engine: ScratchEngine, folder: Path) -> None:
    """DF.build.opts.add-host DF.build.opts.shm-size DF.build.opts.ulimit DF.build.opts.cgroup-parent
    DF.build.opts.label DF.arg.builtin.BUILDKIT_SANDBOX_HOSTNAME"""
    parent = f"{engine.cgroup_parent}/given-parent"
    script = "df -k /dev/shm | tail -1 | awk '{print $2}'; ulimit -n; grep example /etc/hosts; hostname"
    shown = output(
        engine, folder, f"FROM busybox\nRUN ({script}; grep -c /given-parent/ /proc/self/cgroup) > /r",
        "--shm-size", "32m", "--ulimit", "nofile=77:88", "--add-host", "example.test:10.1.2.3", "--no-cache",
        "--cgroup-parent", parent, "--build-arg", "BUILDKIT_SANDBOX_HOSTNAME=sandbox",
    ).splitlines()  # fmt: skip
    assert not glob.glob(f"/sys/fs/cgroup/*/{parent}") + glob.glob(f"/sys/fs/cgroup/{parent}")
    assert shown[:2] == ["32768", "77"]
    assert shown[2].split() == ["10.1.2.3", "example.test"]
    assert shown[3] == "sandbox"
    assert int(shown[4]) > 0
    build(
        engine,
        folder,
        "FROM busybox\nLABEL a=file b=file\n",
        "--label",
        "b=flag",
        "--label",
        "c=",
        "-t",
        "labelled",
    )
    labels = json.loads(
        engine.nakagin("image", "inspect", "-f", "{{json .Config.Labels}}", "labelled").stdout
    )
    assert {"a": "file", "b": "flag", "c": ""}.items() <= labels.items()
    engine.nakagin("rmi", "labelled")


@pytest.mark.parametrize(("network", "found"), [("none", "lo"), ("default", "eth0 lo")])
def test_the_network_of_a_build(engine: ScratchEngine, folder: Path, network: str, found: str) -> None:
    """DF.build.opts.network DF.run.network.default"""
    text = "FROM busybox\nRUN echo $(ls /sys/class/net) > /r"
    assert output(engine, folder, text, "--network", network, "--no-cache") == f"{found}\n"


def test_what_is_not_taken_from_the_cache(engine: ScratchEngine, folder: Path) -> None:
    """DF.cache.no-cache DF.cache.no-cache-filter"""
    text = (
        "FROM busybox AS One\nRUN echo f > /1\nFROM busybox AS two\nRUN echo f > /2\nCOPY --from=one /1 /\n"
    )
    build(engine, folder, text)
    assert build(engine, folder, text).count("CACHED") == 3
    assert "CACHED" not in build(engine, folder, text, "--no-cache")
    said = build(engine, folder, text, "--no-cache-filter", "one")
    assert len(re.findall(r"^#\d+ CACHED", said, re.MULTILINE)) == 2


def test_a_base_that_has_moved(engine: ScratchEngine, folder: Path) -> None:
    """DF.cache.pull"""
    with FaultyRegistry() as registry:
        name = f"{registry.host}/moving:1"
        for word in ("old", "new"):
            build(engine, folder, f"FROM busybox\nRUN echo {word} > /r\n", "-t", name, "--push")
            if word == "old":
                engine.nakagin("tag", name, "moved:old")
        engine.nakagin("tag", "moved:old", name)
        text = f"FROM {name}\nRUN true"
        assert output(engine, folder, text) == "old\n"
        assert output(engine, folder, text, "--pull") == "new\n"
        engine.nakagin("rmi", "-f", name, "moved:old")


def test_a_tar_on_standard_input(engine: ScratchEngine, folder: Path) -> None:
    """DF.syntax.tar-stdin"""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as archive:
        for name, text in (
            ("sub/Other", "FROM busybox\nCOPY f /r\nFROM scratch\nCOPY --from=0 /r /\n"),
            ("f", "f"),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    out = folder.parent / "out"
    subprocess.run(
        engine.nakagin_argv("build", "-f", "sub/Other", "-o", str(out), "-"), input=packed.getvalue(), check=True,
        env=engine.environment(), capture_output=True,
    )  # fmt: skip
    assert (out / "r").read_text() == "f"


def test_cache_mounts(engine: ScratchEngine, folder: Path) -> None:
    """DF.run.mount.cache.mode-uid-gid DF.run.mount.cache.ro DF.run.mount.cache.from-source DF.run.mount.cache.ns
    DF.arg.builtin.BUILDKIT_CACHE_MOUNT_NS DF.run.mount.cache.sharing-locked DF.run.mount.cache.sharing-private"""
    text = """
FROM busybox AS seed
RUN mkdir /seed && echo seeded > /seed/s
FROM busybox
RUN --mount=type=cache,id=opts-a,target=/c,mode=0700,uid=5,gid=6 stat -c '%a %u %g' /c > /r && touch /c/mine
RUN --mount=type=cache,id=opts-a,target=/c,ro ls /c >> /r; ! touch /c/x
RUN --mount=type=cache,id=opts-b,target=/c,from=seed,source=/seed cat /c/s >> /r
RUN --mount=type=cache,id=opts-a,target=/c,sharing=locked --mount=type=cache,id=opts-b,target=/d,sharing=locked \\
    --mount=type=cache,id=opts-a,target=/e,sharing=locked ls /c /d /e | tr '\\n' ' ' >> /r
RUN --mount=type=cache,id=opts-a,target=/c,sharing=private ls /c | wc -l >> /r
FROM scratch
COPY --from=1 /r /
"""
    out = folder.parent / "out"
    build(engine, folder, text, "-o", str(out), "--no-cache")
    assert (out / "r").read_text() == "700 5 6\nmine\nseeded\n/c: mine  /d: s  /e: mine 1\n"
    build(engine, folder, text, "-o", str(out), "--no-cache", "--build-arg", "BUILDKIT_CACHE_MOUNT_NS=other")
    folders = {path.read_text() for path in (engine.data_root / "build" / "cache").glob("*.id")}
    assert {"opts-a", "other/opts-a", "other/opts-b"} <= folders


def test_build_arguments_of_the_builder(engine: ScratchEngine, folder: Path, tmp_path: Path) -> None:
    """DF.arg.builtin.BUILDKIT_MULTI_PLATFORM DF.arg.builtin.BUILDKIT_CONTEXT_KEEP_GIT_DIR
    DF.arg.builtin.BUILDKIT_BUILD_NAME DF.arg.builtin.BUILDKIT_DOCKERFILE_CHECK"""
    layout = folder.parent / "layout"
    build(
        engine, folder, "FROM scratch\nCOPY Dockerfile /\n", "-o", f"type=oci,tar=false,dest={layout}",
        "--build-arg", "BUILDKIT_MULTI_PLATFORM=1", "--build-arg", "BUILDKIT_BUILD_NAME=x",
    )  # fmt: skip
    top = json.loads((layout / "index.json").read_text())["manifests"][0]
    assert top["mediaType"] == "application/vnd.oci.image.index.v1+json"
    repository = Repository(tmp_path / "git" / "r.git")
    repository.commit(
        {"Dockerfile": "FROM busybox\nCOPY . /c\nRUN ls -A /c > /r\nFROM scratch\nCOPY --from=0 /r /\n"}
    )
    out = folder.parent / "out"
    with git_server(tmp_path / "git") as url:
        for keep, found in (("0", "Dockerfile\n"), ("1", ".git\nDockerfile\n")):
            engine.nakagin(
                "build",
                "-o",
                str(out),
                "--build-arg",
                f"BUILDKIT_CONTEXT_KEEP_GIT_DIR={keep}",
                f"{url}/r.git#main",
            )
            assert (out / "r").read_text() == found


# --- Who we are


def test_a_file_that_is_not_for_everybody(engine: ScratchEngine, folder: Path, web: Web) -> None:
    """DF.add.http-auth"""
    web.files["/f"] = b"for us\n"
    web.secret = "Bearer letmein"
    text = f"FROM busybox\nADD {web.url}/f /r"
    assert "does not let us in" in build(engine, folder, text, check=1)
    (folder.parent / "token").write_text("letmein\n")
    given = ("--secret", f"id=HTTP_AUTH_TOKEN_127.0.0.1,src={folder.parent}/token")
    assert output(engine, folder, text, *given) == "for us\n"
    web.secret = "Custom header"
    (folder.parent / "token").write_text("Custom header")
    given = ("--secret", f"id=HTTP_AUTH_HEADER_127.0.0.1,src={folder.parent}/token")
    assert output(engine, folder, text, *given) == "for us\n"


def test_a_repository_that_is_not_for_everybody(
    engine: ScratchEngine, folder: Path, web: Web, tmp_path: Path
) -> None:
    """DF.add.git-auth"""
    repository = Repository(tmp_path / "private")
    repository.commit({"r": "for us\n"})
    repository.git("update-server-info")
    inside = repository.folder / ".git"
    paths = [path for path in inside.rglob("*") if path.is_file()]
    web.files = {f"/r.git/{path.relative_to(inside)}": path.read_bytes() for path in paths}
    web.secret = "basic " + base64.b64encode(b"x-access-token:letmein").decode()
    text = f"FROM busybox\nADD {web.url}/r.git#main /git\nRUN cp /git/r /r"
    assert "GIT_AUTH_TOKEN" in build(engine, folder, text, check=1)
    (folder.parent / "token").write_text("letmein")
    for id in ("GIT_AUTH_TOKEN", "GIT_AUTH_TOKEN.127.0.0.1"):
        shown = output(engine, folder, text, "--no-cache", "--secret", f"id={id},src={folder.parent}/token")
        assert shown == "for us\n"


def test_a_repository_behind_ssh(engine: ScratchEngine, folder: Path, tmp_path: Path) -> None:
    """DF.add.git-ssh"""
    repository = Repository(tmp_path / "behind-ssh")
    repository.commit({"r": "signed\n"})
    host = ScratchHost("unix:///nowhere", installed=False)
    try:
        url = f"ssh://{host.user}@127.0.0.1:{host.port}{repository.folder}"
        text = f"FROM busybox\nADD {url}#main /git\nRUN cp /git/r /r"
        refused = build(engine, folder, text, check=1)
        assert "--ssh default" in refused
        with agent_with(host.root / "key") as agent:
            assert output(engine, folder, text, "--ssh", f"default={agent}") == "signed\n"
    finally:
        host.close()
