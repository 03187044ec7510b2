"""Compose files in git repositories: as `-f`, in `include` and `extends`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nakagin.compose.elsewhere import is_elsewhere
from tests.building.servers import Repository, git_server
from tests.compose.corpus import binary
from tests.engine_fixture import CLI


class Remote:
    """A repository behind a server, and a folder of the user's."""

    def __init__(self, repository: Repository, url: str, home: Path) -> None:
        self.repository, self.url, self.home = repository, url, home

    def said(self, argv: list[str], code: int = 0) -> str:
        surroundings = {
            "HOME": str(self.home),
            "PATH": "/usr/bin:/bin",
            "XDG_CACHE_HOME": str(self.home / "cache"),
        }
        done = subprocess.run(
            argv, cwd=self.home, env=surroundings, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stderr if code else done.stdout

    def ours(self, *words: str, code: int = 0) -> str:
        return self.said([sys.executable, "-c", CLI, "compose", *words], code)

    def theirs(self, *words: str) -> str:
        return self.said([binary(), *words])


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    base = tmp_path_factory.mktemp("git")
    repository = Repository(base / "repositories/shop.git")
    repository.commit(
        {
            "compose.yaml": "services: {web: {image: 'web:${TAG:-1}', env_file: web.env, volumes: ['./data:/data']}}\n",
            "compose.override.yaml": "services: {web: {command: over}}\n",
            "web.env": "A=git\n",
            "parts/db.yaml": "services: {db: {image: db, labels: {from: parts}}}\n",
        }
    )
    repository.git("tag", "-a", "v1", "-m", "v1")
    home = base / "home"
    home.mkdir()
    with git_server(base / "repositories") as url:
        yield Remote(repository, f"{url}/shop.git", home)


def config(remote: Remote, *words: str) -> Any:
    return json.loads(remote.ours(*words, "config", "--format", "json"))


def test_a_project_in_a_repository(remote: Remote) -> None:
    found = config(remote, "-f", remote.url)
    theirs = json.loads(remote.theirs("-f", remote.url, "config", "--format", "json"))
    assert found["name"] == "shop", "the repository's name, and not that of a cache"
    web = found["services"]["web"]
    for key in ("image", "environment"):
        assert web[key] == theirs["services"]["web"][key]
    assert web["command"] == ["over"], "with its override file"
    first = remote.repository.git("rev-parse", "HEAD")
    remote.repository.commit({"compose.yaml": "services: {web: {image: second}}\n"})
    assert config(remote, "-f", remote.url)["services"]["web"]["image"] == "second", "what is new is seen"
    for name in ("v1", first):
        assert config(remote, "-f", f"{remote.url}#{name}")["services"]["web"]["image"] == "web:1"
    assert list(config(remote, "-f", f"{remote.url}#main:parts/db.yaml")["services"]) == ["db"]


def test_include_and_extends_reach_there(remote: Remote) -> None:
    (remote.home / "compose.yaml").write_text(
        f"include: ['{remote.url}#v1:parts/db.yaml']\n"
        "services:\n"
        f"  mine: {{extends: {{service: db, file: '{remote.url}#v1:parts/db.yaml'}}, image: mine}}\n"
    )
    services = config(remote)["services"]
    assert services["db"]["image"] == "db"
    assert services["mine"]["image"] == "mine"
    assert services["mine"]["labels"] == {"from": "parts"}


def test_what_is_not_there_is_told(remote: Remote) -> None:
    assert "no such branch or tag" in remote.ours("-f", f"{remote.url}#nothing", "config", code=1)
    assert "no Compose file there" in remote.ours("-f", f"{remote.url}#v1:nowhere", "config", code=1)
    assert "leads out of the repository" in remote.ours("-f", f"{remote.url}#v1:../../..", "config", code=1)
    assert "no branch, tag or commit" in remote.ours("-f", f"{remote.url}#--upload-pack=x", "config", code=1)
    gone = remote.url.replace("shop.git", "gone.git")
    assert f"git {gone}" in remote.ours("-f", gone, "config", code=1)
    assert not list((remote.home / "cache").rglob(".new-*"))


def test_what_is_meant_to_be_elsewhere() -> None:
    for name in (
        "oci://a/b", "https://a/b.git", "https://a/b.git#main:x", "git://a/b", "git@a:b", "ssh://git@a/b.git",
        "github.com/a/b",
    ):  # fmt: skip
        assert is_elsewhere(name), name
    for name in ("compose.yaml", "./a.git", "https/a.git", "dir/x#y", "-", "https://a/b.yaml", "user@host"):
        assert not is_elsewhere(name), name
