"""Where files come from: URLs, git repositories, archives, named contexts."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from tests.building.conftest import Site
from tests.building.servers import Repository, Web, git_server
from tests.engine_fixture import ScratchEngine
from tests.storage.tars import member, tar

pytestmark = [
    pytest.mark.root,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    yield server
    server.close()


class Git(NamedTuple):
    url: str
    first: str
    second: str
    repository: Repository


@pytest.fixture(scope="module")
def git(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Git]:
    base = tmp_path_factory.mktemp("git")
    other = Repository(base / "part.git")
    other.commit({"in-part": "part"})
    repository = Repository(base / "all.git")
    first = repository.commit(
        {"a.txt": "one", "sub/Dockerfile": "FROM busybox\nCOPY . /s\n", "sub/x.sh": "#!"}
    )
    repository.git("tag", "v1")
    with git_server(base) as url:
        repository.git(
            "-c", "protocol.file.allow=always", "submodule", "add", "-q", f"{url}/part.git", "part"
        )
        second = repository.commit({"a.txt": "two", "Dockerfile": "FROM busybox\nCOPY . /c\n"})
        yield Git(f"{url}/all.git", first, second, repository)


# --- ADD from URLs


def test_add_takes_a_file_from_a_url(build: Site, web: Web) -> None:
    """DF.add.url DF.add.checksum-http DF.add.url-no-extract DF.add.chown DF.add.chmod"""
    web.files = {"/d/file.txt": b"fetched", "/some.tar": tar(member("inside", b"x"))}
    digest = hashlib.sha256(b"fetched").hexdigest()
    found = build(f"""
FROM busybox
ARG AT={web.url}
ADD $AT/d/file.txt /to/
ADD --checksum=sha256:{digest} --chown=3:4 --chmod=644 {web.url}/d/file.txt /named
ADD {web.url}/some.tar /tars/
""")
    shown = build.shell(
        found, "cat /to/file.txt; stat -c '%a %u %Y' /to/file.txt; stat -c '%a %u:%g' /named; ls /tars"
    )
    assert shown == "fetched600 0 981173106\n644 3:4\nsome.tar\n"


def test_a_url_is_unpacked_only_when_that_is_said(build: Site, web: Web) -> None:
    """DF.add.unpack-true DF.add.tar DF.add.unpack-false"""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        info = tarfile.TarInfo("in/deep")
        info.size, info.uid, info.mode = 3, 9, 0o640
        archive.addfile(info, io.BytesIO(b"abc"))
    web.files = {"/x": packed.getvalue()}
    files: dict[str, bytes | str] = {"named.anything": packed.getvalue(), "plain.tar": b"no tar at all"}
    found = build(
        f"FROM busybox\nADD --unpack=true {web.url}/x /u\nADD named.anything plain.tar /l/\n"
        "ADD --unpack=false named.anything /n/\n",
        files,
    )
    shown = build.shell(found, "stat -c '%u %a' /u/in/deep; cat /l/in/deep; ls /l /n")
    assert shown == "9 640\nabc/l:\nin\nplain.tar\n\n/n:\nnamed.anything\n"


@pytest.mark.parametrize("kind", ["", "gz", "bz2", "xz"])
def test_add_unpacks_every_kind_of_archive(build: Site, kind: str) -> None:
    """DF.add.tar"""
    packed = io.BytesIO()
    mode: Any = f"w:{kind}"
    with tarfile.open(fileobj=packed, mode=mode) as archive:
        info = tarfile.TarInfo("f")
        info.size = 1
        archive.addfile(info, io.BytesIO(b"f"))
    assert build.shell(build("FROM busybox\nADD a /d/\n", {"a": packed.getvalue()}), "cat /d/f") == "f"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ADD {url}/nothing /x", ["/nothing", "no such file"]),
        ("ADD --checksum=sha256:" + "0" * 64 + " {url}/file /x", ["digest mismatch", "/file"]),
        ("ADD {url}/ /x/", ["cannot determine filename"]),
        ("ADD ftp://127.0.0.1/x /x", ["unsupported scheme ftp"]),
    ],
)
def test_what_can_not_be_fetched_is_told(build: Site, web: Web, line: str, words: list[str]) -> None:
    web.files = {"/file": b"f", "/": b"index"}
    found = build("FROM busybox\n" + line.format(url=web.url))
    assert found.image is None
    assert all(word in found.error for word in words), found.error


# --- git


def test_add_takes_a_repository(build: Site, git: Git) -> None:
    """DF.add.git DF.add.git-query DF.add.keep-git-dir DF.add.checksum-git"""
    found = build(f"""
FROM busybox
ADD {git.url} /all
ADD {git.url}#v1:sub /sub
ADD {git.url}?ref=main&subdir=sub /query
ADD --checksum={git.first[:12]} {git.url}#{git.first} /first
ADD --keep-git-dir=true {git.url}#main /kept
""")
    shown = build.shell(
        found,
        "ls -A /all /sub; cat /all/part/in-part /first/a.txt; stat -c '%a %Y' /query/x.sh; test -d /kept/.git",
    )
    assert shown == (
        "/all:\n.gitmodules\nDockerfile\na.txt\npart\nsub\n\n/sub:\nDockerfile\nx.sh\npartone755 1000000000\n"
    )


@pytest.mark.parametrize(
    ("fragment", "words"),
    [("#no-such-branch", "no-such-branch"), ("#main:nowhere", "nowhere"), ("#main:../..", "leads out")],
)
def test_what_a_repository_has_not_is_told(build: Site, git: Git, fragment: str, words: str) -> None:
    found = build(f"FROM busybox\nADD {git.url}{fragment} /x\n")
    assert found.image is None
    assert words in found.error
    wrong = build(f"FROM busybox\nADD --checksum={'0' * 40} {git.url} /x\n")
    assert "expected checksum to match" in wrong.error


def test_a_server_that_gives_only_whole_branches(build: Site, git: Git, web: Web) -> None:
    """Plain files over HTTP: git's dumb protocol has no shallow fetches."""
    git.repository.git("update-server-info")
    inside = git.repository.folder / ".git"
    web.files = {
        f"/r.git/{path.relative_to(inside)}": path.read_bytes()
        for path in inside.rglob("*")
        if path.is_file()
    }
    found = build(f"FROM busybox\nADD {web.url}/r.git?ref=v1&submodules=false /r\n")
    assert build.shell(found, "cat /r/a.txt") == "one"


def test_a_context_from_git(engine: ScratchEngine, git: Git) -> None:
    """DF.syntax.git-context"""
    for which in ("nakagin", "docker"):
        for where, command, expected in (
            (f"{git.url}#main", "ls /c", "Dockerfile\na.txt\npart\nsub\n"),
            (f"{git.url}#v1:sub", "ls -A /s; stat -c %a /s/x.sh", "Dockerfile\nx.sh\n755\n"),
        ):
            name = f"from-git-{which}"
            run = engine.nakagin if which == "nakagin" else engine.docker
            run("build", "-q", "-t", name, where)
            assert engine.nakagin("run", "--rm", name, "sh", "-c", command).stdout == expected
            engine.nakagin("rmi", "-f", name)


def test_a_context_from_a_url(engine: ScratchEngine, web: Web) -> None:
    """DF.syntax.http-context"""
    web.files = {
        "/Dockerfile": b"FROM busybox\nRUN echo text > /t\n",
        "/context.tar": tar(member("Dockerfile", b"FROM busybox\nCOPY f /t\n"), member("f", b"tarred\n")),
    }
    for path, expected in (("/Dockerfile", "text\n"), ("/context.tar", "tarred\n")):
        engine.nakagin("build", "-q", "-t", "from-url", web.url + path)
        assert engine.nakagin("run", "--rm", "from-url", "cat", "/t").stdout == expected
        engine.nakagin("rmi", "-f", "from-url")


def test_a_pax_archive_is_one_too(build: Site) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("f")
        info.size, info.mtime = 1, 1.5
        archive.addfile(info, io.BytesIO(b"f"))
    assert build.shell(build("FROM busybox\nADD a /d/\n", {"a": packed.getvalue()}), "cat /d/f") == "f"


def test_a_file_with_a_checksum_is_fetched_once(build: Site, web: Web) -> None:
    """DF.add.checksum-http"""
    web.files = {"/once": b"fetched once"}
    digest = hashlib.sha256(b"fetched once").hexdigest()
    text = f"FROM busybox\nADD --checksum=sha256:{digest} {web.url}/once /x\n"
    assert build.shell(build(text), "cat /x; stat -c %Y /x") == "fetched once981173106\n"
    again = build(text)
    assert "Using cache" in again.text
    assert [path for path, _ in web.seen] == ["/once"]
