"""A Dockerfile written back from an image or a container builds to the same settings and the same files."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from tests.engine_fixture import ScratchEngine

from nakagin.init.backwards import Source, base_of, copied, dockerfile

PROJECT = r"""FROM busybox
ARG WHO=me
ENV A="b  c" D=e\$x Q="say \"hi\""
WORKDIR /srv
RUN echo "$WHO $A" > made; mkdir -p old/deep; echo x > old/deep/x; chmod 4711 made; ln -s made link; ln made twin
COPY --chown=5:6 --chmod=640 Dockerfile /etc/copied
RUN <<X
set -e
echo one > two
X
USER 5:6
EXPOSE 80 90/udp
VOLUME /data
LABEL a=b "c d"="e \$f"
HEALTHCHECK --interval=5s --retries=2 CMD echo hi
STOPSIGNAL SIGINT
ENTRYPOINT ["echo"]
CMD ["a b", "c"]
"""
# What the engine itself puts into a container.
OWN = ("etc/hosts", "etc/hostname", "etc/resolv.conf", "dev", "proc", "sys", ".dockerenv")


def init(engine: ScratchEngine, *words: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "nakagin.cli", "init", *words], capture_output=True, text=True, check=False,
        env={**os.environ, "NAKAGIN_HOST": engine.host, "PYTHONPATH": os.path.abspath("src")},
    )  # fmt: skip
    assert done.returncode == code, done.stderr + done.stdout
    return done.stdout + done.stderr


def settings(engine: ScratchEngine, image: str) -> Any:
    return json.loads(engine.docker("image", "inspect", "-f", "{{json .Config}}", image).stdout)


def tree(engine: ScratchEngine, container: str) -> dict[str, tuple[object, ...]]:
    """Path → kind, mode, owner, link and content of every file of a container."""
    argv = engine.nakagin_argv("export", container)
    data = subprocess.run(
        argv, capture_output=True, check=True, env={**os.environ, "NAKAGIN_HOST": engine.host}
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {
            each.name.strip("./"): (
                each.type, each.mode, each.uid, each.gid, each.linkname,
                (found.read() if (found := archive.extractfile(each)) else b""),
            )
            for each in archive
            if not each.name.strip("./").startswith(OWN)
        }  # fmt: skip


def made(engine: ScratchEngine, image: str) -> dict[str, tuple[object, ...]]:
    container = engine.docker("create", image).stdout.strip()
    try:
        return tree(engine, container)
    finally:
        engine.docker("rm", "-v", container)


@pytest.mark.root
def test_an_image_and_back(engine: ScratchEngine, name: str, tmp_path: Path) -> None:
    again, folder = f"{name}-again", tmp_path / "again"
    folder.mkdir()
    (tmp_path / "Dockerfile").write_text(PROJECT)
    engine.nakagin("build", "-q", "-t", name, str(tmp_path))
    try:
        assert "Wrote layer-4.tar" in init(engine, "--from-image", name, str(folder))
        assert sorted(os.listdir(folder)) == ["Dockerfile", "layer-4.tar"]
        engine.nakagin("build", "-q", "-t", again, str(folder))
        assert settings(engine, again) == settings(engine, name)
        assert made(engine, again) == made(engine, name)
        assert "layer-4.tar exist" in init(engine, "--from-image", name, str(folder), code=1)
        printed = init(engine, "--from-image", name)
        assert "COPY ./files-of-this-step/ /etc/copied" in printed
        assert "name a folder to" in printed
    finally:
        engine.docker("rmi", "-f", name, again, check=None)


@pytest.mark.root
def test_a_container_with_its_changes_and_back(engine: ScratchEngine, name: str, tmp_path: Path) -> None:
    """Its own settings win over the image's; what it deleted is deleted, as whoever it runs."""
    image, again, folder = f"{name}-image", f"{name}-again", tmp_path / "again"
    folder.mkdir()
    (tmp_path / "Dockerfile").write_text(PROJECT)
    engine.nakagin("build", "-q", "-t", image, str(tmp_path))
    script = (
        "rm -r /srv/old /srv/twin; mkdir -p /srv/old /new/deep; echo 1 > /srv/old/other; echo 2 > /new/deep/file; "
        "chown 7:8 /new"
    )
    flags = (
        "-e",
        "D=other",
        "-l",
        "x=y",
        "--entrypoint",
        "sh",
        "-w",
        "/tmp",
        "-u",
        "0:0",
        "--stop-signal",
        "TERM",
    )
    engine.docker("run", "--name", name, *flags, image, "-c", script)
    try:
        init(engine, "--from-container", name, str(folder))
        engine.nakagin("build", "-q", "-t", again, str(folder))
        wanted = json.loads(engine.docker("inspect", "-f", "{{json .Config}}", name).stdout)
        got = settings(engine, again)
        for key in (
            "Env",
            "Cmd",
            "Entrypoint",
            "WorkingDir",
            "Labels",
            "ExposedPorts",
            "Volumes",
            "Healthcheck",
        ):
            assert (sorted(got[key]) if key == "Env" else got[key]) == (
                sorted(wanted[key]) if key == "Env" else wanted[key]
            ), key
        assert (got["User"], got["StopSignal"]) == ("0:0", wanted["StopSignal"])
        assert made(engine, again) == tree(engine, name)
        assert "deleted  /srv/twin" in init(engine, "--from-container", name)
    finally:
        engine.docker("rm", "-f", "-v", name)
        engine.docker("rmi", "-f", image, again, check=None)


@pytest.mark.root
def test_an_image_without_a_word(engine: ScratchEngine, name: str, tmp_path: Path) -> None:
    """Bootstrapped, imported, committed: its layers are all there is, and a commit's command is not run again."""
    engine.docker("run", "--name", name, "busybox", "sh", "-c", "rm /bin/zcat; echo new > /made")
    image, again = f"{name}-image", f"{name}-again"
    try:
        engine.docker("commit", name, image)
        engine.docker("tag", "busybox", f"{name}-base")  # a name of its own for what it begins with
        printed = init(engine, "--from-image", image, str(tmp_path))
        text = (tmp_path / "Dockerfile").read_text()
        assert "FROM " in text
        assert "echo new" not in "".join(line for line in text.splitlines() if line.startswith("RUN"))
        assert "Wrote layer-2.tar" in printed
        engine.nakagin("build", "-q", "-t", again, str(tmp_path))
        assert made(engine, again) == made(engine, image)
    finally:
        engine.docker("rmi", "-f", image, again, f"{name}-base", check=None)


def step(created_by: str, layer: bool = True, comment: str = "") -> dict[str, object]:
    return {"CreatedBy": created_by, "Comment": comment, "DiffId": "d" if layer else ""}


def test_histories_of_other_builders() -> None:
    """docker's old builder and BuildKit write the same instruction in several ways."""
    steps = [
        step("/bin/sh -c #(nop) ADD file:" + "a" * 64 + " in / "),
        step('/bin/sh -c #(nop)  CMD ["bash"]', layer=False),
        step("ENV A=1 B=two words C=x=y", layer=False),
        step("/bin/sh -c #(nop)  EXPOSE 80/tcp", layer=False),
        step("EXPOSE map[80/tcp:{}]", layer=False),
        step("SHELL [/bin/bash -o pipefail -c]", layer=False),
        step("|2 X=1 Y=2 /bin/bash -o pipefail -c make install # buildkit"),
        step("|2 X=1 Y=2 /bin/bash -o pipefail -c make clean # buildkit"),
        step("RUN /bin/sh -c apt-get update # buildkit"),
        step("COPY --from=build /app /app # buildkit"),
        step("WORKDIR /app", layer=False),
        step('ENTRYPOINT ["/bin/sh" "-c" "x"]', layer=False),
        step("sleep 1000"),
        step("", comment="Imported from -"),
    ]
    config = {
        "Env": ["A=1", "B=two words", "C=x=y", "PATH=/bin"], "Cmd": ["bash"], "ExposedPorts": {"80/tcp": {}},
        "Shell": ["/bin/bash", "-o", "pipefail", "-c"], "WorkingDir": "/app", "Entrypoint": ["/bin/sh", "-c", "x"],
    }  # fmt: skip
    source = Source("x", steps, config, "id", "scratch", 0, {})
    assert copied(source) == [0, 4, 5, 6]
    lines = dockerfile(source, {0: [], 4: ["/gone"], 5: [], 6: []}).splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        "", "FROM scratch", "ADD layer-1.tar /", "ENV A=1", 'ENV B="two words"', "ENV C=x=y",
        'SHELL ["/bin/bash", "-o", "pipefail", "-c"]', "ARG X=1", "ARG Y=2", "RUN make install", "RUN make clean",
        "RUN apt-get update", 'RUN ["rm", "-rf", "/gone"]', "ADD layer-5.tar /", "WORKDIR /app", "ADD layer-6.tar /",
        "ADD layer-7.tar /", "ENV PATH=/bin", "EXPOSE 80/tcp", 'ENTRYPOINT ["/bin/sh", "-c", "x"]', 'CMD ["bash"]',
    ]  # fmt: skip
    told = dockerfile(source, {})
    assert "COPY --from=build /app /app" in told
    assert "# sleep 1000" in told
    assert "# Imported from -" in told


def test_the_largest_image_that_it_begins_with() -> None:
    others = {"a": ["1"], "b": ["1", "2"], "same": ["1", "2", "3"], "far": ["2"]}
    assert base_of(["1", "2", "3"], others) == ("b", 2)
    assert base_of(["9"], others) == ("scratch", 0)
