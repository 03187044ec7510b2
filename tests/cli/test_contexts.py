"""`nakagin context`: one store with docker's command line, and what it chooses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from nakagin.client.contexts import Contexts
from nakagin.client.endpoint import resolve
from nakagin.errors import Conflict, Invalid, NotFound
from tests.engine_fixture import CLI, docker_cli

Run = subprocess.CompletedProcess[str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "config"


def environment(folder: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("DOCKER_", "NAKAGIN_"))}
    return {**kept, "DOCKER_CONFIG": str(folder)}


def run(argv: list[str], folder: Path, **extra: str) -> Run:
    return subprocess.run(
        argv,
        capture_output=True,
        text=True,
        env={**environment(folder), **extra},
        check=False,
        cwd=folder.parent,
    )


def ours(folder: Path, *words: str, **extra: str) -> Run:
    return run([sys.executable, "-c", CLI, "context", *words], folder, **extra)


def theirs(folder: Path, *words: str) -> Run:
    return run([docker_cli(), "context", *words], folder)


def test_made_here_is_known_to_docker_and_the_other_way_round(folder: Path) -> None:
    made = ours(folder, "create", "far", "--description", "a machine", "--docker", "host=tcp://far:2375")
    assert (made.stdout, made.stderr) == ("far\n", 'Successfully created context "far"\n')
    assert theirs(folder, "create", "near", "--docker", "host=unix:///near.sock").returncode == 0
    assert ours(folder, "ls", "-q").stdout == theirs(folder, "ls", "-q").stdout == "default\nfar\nnear\n"
    shape = "{{.Name}}|{{.Description}}|{{.DockerEndpoint}}|{{.Current}}"
    mine, docker = (each(folder, "ls", "--format", shape).stdout.splitlines() for each in (ours, theirs))
    assert mine[1:] == docker[1:] == ["far|a machine|tcp://far:2375|false", "near||unix:///near.sock|false"]
    for name in ("far", "near"):
        assert json.loads(ours(folder, "inspect", name).stdout) == json.loads(
            theirs(folder, "inspect", name).stdout
        )
    assert theirs(folder, "rm", "far").returncode == 0
    assert ours(folder, "rm", "near").stdout == "near\n"
    assert ours(folder, "ls", "-q").stdout == "default\n"


def test_use(folder: Path) -> None:
    ours(folder, "create", "far", "--docker", "host=tcp://far:2375")
    assert ours(folder, "show").stdout == "default\n"
    used = ours(folder, "use", "far")
    assert (used.stdout, used.stderr) == ("far\n", 'Current context is now "far"\n')
    assert ours(folder, "show").stdout == "far\n"
    assert "far *" in ours(folder, "ls").stdout
    current = theirs(folder, "ls", "--format", "{{if .Current}}{{.Name}}{{end}}").stdout
    assert current.split() == ["default"], "docker's own choice is docker's"
    chosen = {"DOCKER_CONFIG": str(folder)}
    assert resolve(chosen).url == "tcp://far:2375"
    assert resolve({**chosen, "DOCKER_HOST": "/x"}).path == "/x"
    assert resolve({**chosen, "DOCKER_CONTEXT": "default"}).default
    assert "overrides the active context" in ours(folder, "use", "far", DOCKER_HOST="/x").stderr
    assert "is in use" in ours(folder, "rm", "far").stderr
    assert ours(folder, "rm", "-f", "far").returncode == 0
    assert resolve(chosen).default


def test_update_and_from(folder: Path) -> None:
    ours(folder, "create", "one", "--docker", "host=tcp://one:1")
    ours(folder, "update", "one", "--description", "the first")
    ours(folder, "create", "two", "--from", "one")
    assert ours(folder, "inspect", "two", "-f", "{{.Metadata.Description}} {{.Endpoints.docker.Host}}").stdout == (
        "the first tcp://one:1\n"
    )  # fmt: skip


def test_export_and_import_with_tls(folder: Path) -> None:
    for name in ("ca", "cert", "key"):
        (folder.parent / name).write_text(f"the {name}")
    made = ours(folder, "create", "safe", "--docker", "host=tcp://safe:2376,ca=ca,cert=cert,key=key")
    assert made.returncode == 0, made.stderr
    assert ours(folder, "export", "safe").stderr == 'Written file "safe.dockercontext"\n'
    assert "file exists" in ours(folder, "export", "safe").stderr
    archive = str(folder.parent / "safe.dockercontext")
    assert theirs(folder, "import", "copy", archive).returncode == 0
    assert ours(folder, "import", "again", archive).stdout == "again\n"
    assert Contexts(str(folder)).tls_files("copy") == Contexts(str(folder)).tls_files("again") == {
        "ca.pem": b"the ca", "cert.pem": b"the cert", "key.pem": b"the key",
    }  # fmt: skip
    assert theirs(folder, "export", "safe", "docker.tar").returncode == 0
    assert ours(folder, "import", "third", str(folder.parent / "docker.tar")).returncode == 0
    endpoint = resolve({"DOCKER_CONFIG": str(folder)}, context="third")
    assert endpoint.tls is not None
    assert endpoint.tls.verify
    assert oct(os.stat(endpoint.tls.key or "").st_mode & 0o777) == "0o600"


def test_what_cannot_be(folder: Path) -> None:
    for words, told in (
        (("create", "default", "--docker", "host=/x"), "reserved context name"),
        (("create", "b/d", "--docker", "host=/x"), "is invalid"),
        (("create", "none"), "docker endpoint configuration is required"),
        (("create", "bad", "--docker", "host=gopher://x"), "not supported"),
        (("create", "bad", "--docker", "nonsense=x"), "unrecognized config key: nonsense"),
        (("create", "bad", "--docker", "host=tcp://x,ca=/no/such"), "unable to read ca"),
        (("use", "nobody"), "context not found"),
        (("inspect", "nobody"), "context not found"),
        (("rm", "default"), "cannot be removed"),
        (("import", "xy", "/no/such"), "no such file"),
    ):
        done = ours(folder, *words)
        assert done.returncode == 1, words
        assert told in done.stderr, words
    assert ours(folder, "ls", "-q").stdout == "default\n"


def test_an_archive_with_foreign_files_is_refused(folder: Path, tmp_path: Path) -> None:
    evil = tmp_path / "evil.tar"
    with tarfile.open(evil, "w") as archive:
        archive.addfile(tarfile.TarInfo("../../etc/passwd"))
    done = ours(folder, "import", "evil", str(evil))
    assert "does not belong into a context" in done.stderr
    (tmp_path / "text").write_text("no archive")
    assert "neither tar nor zip" in ours(folder, "import", "evil", str(tmp_path / "text")).stderr


def test_a_store(folder: Path) -> None:
    store = Contexts(str(folder))
    document = {"Name": "abc", "Metadata": {}, "Endpoints": {"docker": {"Host": "tcp://a:1"}}}
    store.put(document, {"ca.pem": b"x"}, new=True)
    with pytest.raises(Conflict, match="already exists"):
        store.put(document, {}, new=True)
    store.put(document, {}, new=False)
    assert store.tls_files("abc") == {}
    Path(store.places("abc")[0], "meta.json").write_text("{")
    with pytest.raises(Invalid, match="abc"):
        store.get("abc")
    assert store.names() == []
    store.remove("abc", force=False)
    with pytest.raises(NotFound):
        store.remove("abc", force=False)
