"""What a build asks of its client: secrets, agents, folders, outputs; and what stays of it (nothing)."""

from __future__ import annotations

import contextlib
import json
import os
import tarfile
from pathlib import Path

import pytest
from tests.building.agents import agent_with, make_key, with_ssh_add
from tests.building.by_command import build, output
from tests.engine_fixture import ScratchEngine, await_until

pytestmark = pytest.mark.root

_SECRET = "hush-5c1f0a-hush"


def test_secrets_are_files_and_variables_of_their_step(engine: ScratchEngine, folder: Path) -> None:
    """DF.run.mount.secret DF.run.mount.secret.id DF.run.mount.secret.env DF.run.mount.secret.mode
    DF.run.mount.secret.cli"""
    (folder.parent / "s").write_text(_SECRET)
    text = """
FROM busybox
RUN --mount=type=secret,id=one sha256sum < /run/secrets/one > /r; stat -c '%a %u' /run/secrets/one >> /r
RUN --mount=type=secret,id=one,env=TOKEN test ! -e /run/secrets/one && echo -n "$TOKEN" | sha256sum >> /r
RUN --mount=type=secret,target=/deep/one,mode=0444,uid=7 stat -c '%a %u' /deep/one >> /r
RUN --mount=type=secret,id=two test ! -e /run/secrets/two && echo none >> /r
RUN ls -d /deep /run/secrets 2>&1 | wc -l >> /r
"""
    shown = output(engine, folder, text, "--no-cache", "--secret", f"id=one,src={folder.parent}/s")
    import hashlib

    digest = hashlib.sha256(_SECRET.encode()).hexdigest()
    assert shown == f"{digest}  -\n400 0\n{digest}  -\n444 7\nnone\n2\n"
    missing = build(engine, folder, "FROM busybox\nRUN --mount=type=secret,id=x,required true\n", check=1)
    assert "secret x is required" in missing


def test_a_secret_from_the_environment(
    engine: ScratchEngine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DF.run.mount.secret.cli"""
    monkeypatch.setenv("BUILD_TOKEN", "from-environment")
    text = "FROM busybox\nRUN --mount=type=secret,id=t cat /run/secrets/t > /r\n"
    for given in ("id=t,env=BUILD_TOKEN", "type=env,id=t,env=BUILD_TOKEN"):
        assert output(engine, folder, text, "--no-cache", "--secret", given) == "from-environment"


def test_nothing_of_a_secret_stays(engine: ScratchEngine, folder: Path) -> None:
    """DF.run.mount.secret.no-leak"""
    (folder.parent / "s").write_text(_SECRET)
    text = (
        "FROM busybox\nRUN --mount=type=secret,id=k --mount=type=secret,id=k,env=K "
        'test -n "$K" && test -s /run/secrets/k && env | wc -l > /n\n'
    )
    said = build(
        engine, folder, text, "-t", "no-leak", "--no-cache", "--secret", f"id=k,src={folder.parent}/s"
    )
    history = engine.nakagin("history", "--no-trunc", "no-leak").stdout
    assert _SECRET not in said + history
    # What a container had to run with goes with it, a moment later.
    await_until(lambda: not _holding(engine, _SECRET.encode()), "the step's files to go")
    assert _SECRET not in engine.log.read_text()
    engine.nakagin("rmi", "no-leak")


def _holding(engine: ScratchEngine, secret: bytes) -> list[Path]:
    found = []
    for top in (engine.data_root, engine.exec_root):
        for folder, _, names in os.walk(top):
            for name in names:
                path = Path(folder, name)
                with contextlib.suppress(OSError):
                    if path.is_file() and not path.is_symlink() and secret in path.read_bytes():
                        found.append(path)
    return found


# --- ssh


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    path = tmp_path_factory.mktemp("key") / "id"
    return path, make_key(path)


def test_an_agent_signs_in_a_step(engine: ScratchEngine, folder: Path, key: tuple[Path, str]) -> None:
    """DF.run.mount.ssh DF.run.mount.ssh.opts DF.run.mount.ssh.cli"""
    path, fingerprint = key
    start = with_ssh_add(folder)
    text = start + "RUN --mount=type=ssh ssh-add -l > /r; stat -c %a $SSH_AUTH_SOCK >> /r\n"
    with agent_with(path) as agent:
        shown = output(engine, folder, text, "--no-cache", "--ssh", f"default={agent}")
    assert shown == f"{fingerprint}600\n"
    mount = "RUN --mount=type=ssh,id=k,target=/s/agent,mode=0666,uid=9"
    text = f"{start}{mount} ssh-add -l > /r; stat -c '%a %u' /s/agent >> /r\n"
    assert output(engine, folder, text, "--no-cache", "--ssh", f"k={path}") == f"{fingerprint}666 9\n"
    missing = build(engine, folder, "FROM busybox\nRUN --mount=type=ssh,required true\n", check=1)
    assert "the ssh agent default is required" in missing
    build(engine, folder, "FROM busybox\nRUN --mount=type=ssh test -z $SSH_AUTH_SOCK\n")


# --- contexts


def test_named_contexts(engine: ScratchEngine, folder: Path) -> None:
    """DF.from.named-context DF.copy.from-context DF.ignore.named-context"""
    other = folder.parent / "other"
    other.mkdir()
    (other / "x").write_text("from other")
    (other / "secret.log").write_text("no")
    (other / ".dockerignore").write_text("*.log\n")
    text = "FROM base\nCOPY --from=Other . /o\nRUN --mount=from=other,target=/m ls -A /o /m > /r; cat /o/x >> /r\n"
    options = ("--build-context", f"other={other}", "--build-context", "base=docker-image://busybox")
    assert output(engine, folder, text, *options) == (
        "/m:\n.dockerignore\nx\n\n/o:\n.dockerignore\nx\nfrom other"
    )


def test_a_folder_and_a_layout_as_base(engine: ScratchEngine, folder: Path) -> None:
    """DF.from.named-context"""
    layout = folder.parent / "layout"
    layout.mkdir()
    saved = folder.parent / "saved.tar"
    engine.nakagin("save", "-o", str(saved), "busybox")
    with tarfile.open(saved) as archive:
        archive.extractall(layout)
    text = "FROM lay\nRUN echo ran > /r\n"
    assert output(engine, folder, text, "--build-context", f"lay=oci-layout://{layout}") == "ran\n"
    build(engine, folder, "FROM fold\nENV A=1\n", "-t", "of-folder", "--build-context", f"fold={layout}")
    shown = json.loads(engine.nakagin("image", "inspect", "of-folder").stdout)[0]
    assert len(shown["RootFS"]["Layers"]) == 1
    engine.nakagin("rmi", "of-folder")


def test_a_dockerfile_outside_its_context(engine: ScratchEngine, folder: Path) -> None:
    """DF.syntax.stdin DF.ignore.per-dockerfile DF.ignore.dockerfile-itself"""
    (folder / "a.txt").write_text("a")
    (folder / "b.log").write_text("b")
    elsewhere = folder.parent / "my.Dockerfile"
    elsewhere.write_text("FROM busybox\nCOPY . /c\nRUN ls -A /c > /r\nFROM scratch\nCOPY --from=0 /r /\n")
    out = folder.parent / "out"
    for ignore, expected in (("", "a.txt\nb.log\n"), ("*.log\n", "a.txt\n")):
        (folder.parent / "my.Dockerfile.dockerignore").write_text(ignore)
        engine.nakagin("build", "-f", str(elsewhere), "-o", str(out), str(folder))
        assert (out / "r").read_text() == expected
    engine.nakagin("build", "-f", "-", "-o", str(out), str(folder), stdin=elsewhere.read_text())
    assert (out / "r").read_text() == "a.txt\nb.log\n"
    # docker's command line puts it into the tar, which then ends without padding
    listing = "FROM busybox\nCOPY . /c\nRUN ls -A /c\n"
    elsewhere.write_text(listing)
    for options, stdin in ((("-f", "-"), listing), (("-f", str(elsewhere)), None)):
        said = engine.docker("build", "--no-cache", *options, str(folder), stdin=stdin).stdout
        assert "\na.txt\nb.log\n ---> " in said, said


def test_the_context_stays_here_when_nothing_needs_it(engine: ScratchEngine, folder: Path) -> None:
    with (folder / "huge").open("wb") as file:
        file.truncate(1 << 42)
    build(engine, folder, "FROM busybox\nRUN true\n")
