"""`cp` and the archive API: docker's rules of names, volumes, read-only places, and attacks from inside."""

from __future__ import annotations

import io
import os
import secrets
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker import DockerClient
from docker.errors import APIError, NotFound
from tests.engine_fixture import ScratchEngine
from tests.spine.conftest import Cli

pytestmark = pytest.mark.root

TREE = "mkdir -p /d/sub; echo text > /d/f; echo deep > /d/sub/g; ln -s f /d/l; ln -s /d /dl; ln /d/f /d/hard"


@pytest.fixture(scope="module")
def box(engine: ScratchEngine) -> Iterator[str]:
    """A running container with a small tree in it."""
    name = f"box-{secrets.token_hex(4)}"
    engine.docker(
        "run", "-d", "--name", name, "busybox", "sh", "-c", f"{TREE}; touch /ready; exec sleep 1000"
    )
    engine.docker("exec", name, "sh", "-c", "until test -e /ready; do :; done")
    yield name
    engine.docker("rm", "-fv", name)


@pytest.fixture(scope="module")
def stopped(engine: ScratchEngine) -> Iterator[str]:
    """One that has written its tree and ended."""
    name = f"stopped-{secrets.token_hex(4)}"
    engine.docker("run", "--name", name, "busybox", "sh", "-c", TREE)
    yield name
    engine.docker("rm", "-fv", name)


def tree(folder: Path) -> dict[str, str]:
    """Relative path -> content, "-> target" or "/"."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[str(path.relative_to(folder))] = f"-> {os.readlink(path)}"
        else:
            found[str(path.relative_to(folder))] = "/" if path.is_dir() else path.read_text().strip()
    return found


D = {"f": "text", "hard": "text", "l": "-> f", "sub": "/", "sub/g": "deep"}


def under(name: str, files: dict[str, str]) -> dict[str, str]:
    return {name: "/", **{f"{name}/{path}": content for path, content in files.items()}}


OUT = [
    ("/d", "old", under("d", D)),
    ("/d/", "old", under("d", D)),
    ("/d/.", "old", D),
    ("/d", "new", D),
    ("/d/.", "new", D),
    ("/d", "new/", D),
    ("d/f", "old", {"f": "text"}),
    ("/d/f", "new", "text"),
    ("/d/f", "old/file", "text"),
    ("/d/l", "old", {"l": "-> f"}),
    ("/dl", "old", {"dl": "-> /d"}),
    ("/dl/", "old", under("dl", D)),
    ("/dl/.", "old", D),
    ("/d/sub/../f", "old", {"f": "text"}),
]


@pytest.mark.parametrize(("command", "state"), [("docker", "box"), ("nakagin", "stopped")])
def test_names_on_the_way_out(
    engine: ScratchEngine, command: str, state: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    cli: Cli = getattr(engine, command)
    container = request.getfixturevalue(state)
    for number, (source, target, expected) in enumerate(OUT):
        here = tmp_path / str(number)
        (here / "old").mkdir(parents=True)
        cli("cp", f"{container}:{source}", f"{here}/{target}")
        place = here / target
        found = place.read_text().strip() if place.is_file() else tree(place)
        assert found == expected, (source, target)


SRC = {"a": "1", "deep": "/", "deep/b": "2"}
IN = [
    ("src", "old", {"old": "/", **under("old/src", SRC)}),
    ("src/", "old", {"old": "/", **under("old/src", SRC)}),
    ("src/.", "old", under("old", SRC)),
    ("src", "new", under("new", SRC)),
    ("src/.", "new", under("new", SRC)),
    ("src", "new/", under("new", SRC)),
    ("src/a", "old", {"old": "/", "old/a": "1"}),
    ("src/a", "old/", {"old": "/", "old/a": "1"}),
    ("src/a", "old/other", {"old": "/", "old/other": "1"}),
    ("src/a", "file", {"file": "1"}),
    ("src/a", "tofile", {"old": "/", "old/there": "1", "tofile": "-> old/there"}),
    ("src/a", "tonew", {"new": "1", "tonew": "-> new"}),
    ("link", "old", {"old": "/", "old/link": "-> src"}),
    ("link/", "old", {"old": "/", **under("old/link", SRC)}),
    ("src/a", "tofolder", {"old": "/", "old/a": "1", "tofolder": "-> old"}),
]
SETUP = {
    "old": "mkdir old",
    "file": "echo x > file",
    "tofile": "mkdir old; echo x > old/there; ln -s old/there tofile",
    "tonew": "ln -s new tonew",
    "tofolder": "mkdir old; ln -s old tofolder",
}


def test_names_on_the_way_in(cli: Cli, engine: ScratchEngine, box: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "src/deep").mkdir(parents=True)
    (tmp_path / "src/a").write_text("1")
    (tmp_path / "src/deep/b").write_text("2")
    (tmp_path / "link").symlink_to("src")
    setup = [
        f"mkdir -p /{name}/{at}; cd /{name}/{at}; {SETUP.get(each[1].split('/')[0], ':')}"
        for at, each in enumerate(IN)
    ]
    engine.docker("exec", box, "sh", "-c", "; ".join(setup))
    for number, (source, target, _) in enumerate(IN):
        cli("cp", f"{tmp_path}/{source}", f"{box}:/{name}/{number}/{target}")
    engine.docker("cp", f"{box}:/{name}", str(tmp_path / "out"))
    for number, (source, target, expected) in enumerate(IN):
        assert tree(tmp_path / "out" / str(number)) == expected, (source, target)


REFUSED = [
    ("{box}:/nope", "{here}", "Could not find the file /nope in container"),
    ("{box}:/d", "{here}/no/such", "does not exist"),
    ("{box}:/d", "{here}/file", "cannot copy directory"),
    ("{box}:/d/f", "{here}/new/", "no such directory"),
    ("{here}/file", "{box}:/new/", "no such directory"),
    ("{here}/file", "{box}:/no/such", "Could not find the file /no in container"),
    ("{here}", "{box}:/d/f", "cannot copy directory"),
    ("{here}/file", "{box}:/d/f/x", "not a directory"),
    ("{here}/missing", "{box}:/d", "no such file or directory"),
    ("{here}/file", "{here}", "must specify at least one container source"),
    ("{here}/file", "nobody-there:/d", "No such container"),
    ("nobody-there:/d", "{here}", "No such container"),
]


@pytest.mark.docker(23)
def test_refusals_name_the_thing(cli: Cli, box: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for source, target, words in REFUSED:
        places = [each.format(box=box, here=tmp_path) for each in (source, target)]
        assert words.lower() in cli("cp", *places, check=1).stderr.lower(), places
    assert sorted(os.listdir(tmp_path)) == ["file"]


def test_streams(cli: Cli, engine: ScratchEngine, box: str, tmp_path: Path) -> None:
    argv = engine.docker_argv if cli == engine.docker else engine.nakagin_argv
    out = subprocess.run(
        argv("cp", f"{box}:/d", "-"), capture_output=True, check=True, env=engine.environment()
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(out)) as archive:
        members = {each.name: each for each in archive}
    assert set(members) == {"d", *(f"d/{name}" for name in D)}
    assert members["d/hard"].islnk()
    subprocess.run(argv("cp", "-", f"{box}:/tmp"), input=out, check=True, env=engine.environment())
    assert engine.docker("exec", box, "cat", "/tmp/d/sub/g").stdout == "deep\n"
    done = subprocess.run(
        argv("cp", "-", f"{box}:/d/f"), input=out, check=False, capture_output=True, env=engine.environment()
    )
    assert done.returncode == 1
    assert b"must be a directory" in done.stderr


def test_links_are_followed_when_asked(cli: Cli, engine: ScratchEngine, box: str, tmp_path: Path) -> None:
    cli("cp", "-L", f"{box}:/dl", str(tmp_path))
    assert tree(tmp_path) == under("dl", D)
    (tmp_path / "to").symlink_to(tmp_path / "dl/f")
    cli("cp", "-L", f"{tmp_path}/to", f"{box}:/tmp")
    assert engine.docker("exec", box, "cat", "/tmp/to").stdout == "text\n"


def test_owners_and_modes(cli: Cli, engine: ScratchEngine, box: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    os.chown(tmp_path / "f", 1234, 2345)
    os.chmod(tmp_path / "f", 0o4750)
    os.utime(tmp_path / "f", (1000, 2000))
    cli("cp", f"{tmp_path}/f", f"{box}:/tmp/f")
    assert engine.docker("exec", box, "stat", "-c", "%u:%g %a %Y", "/tmp/f").stdout == "1234:2345 4750 2000\n"


def test_archive_mode_gives_files_to_the_user_of_the_container(
    cli: Cli, engine: ScratchEngine, name: str, tmp_path: Path
) -> None:
    (tmp_path / "f").write_text("x")
    engine.docker("run", "-d", "--name", name, "--user", "7:8", "busybox", "sleep", "1000")
    try:
        cli("cp", "-a", f"{tmp_path}/f", f"{name}:/tmp/f")
        assert engine.docker("exec", name, "stat", "-c", "%u:%g", "/tmp/f").stdout == "7:8\n"
    finally:
        engine.docker("rm", "-f", name)


def test_between_containers(engine: ScratchEngine, box: str, stopped: str) -> None:
    engine.nakagin("cp", f"{box}:/d", f"{stopped}:/copied")
    engine.nakagin("cp", f"{stopped}:/copied/sub", f"{box}:/tmp")
    assert engine.docker("exec", box, "cat", "/tmp/sub/g").stdout == "deep\n"
    engine.nakagin("cp", f"{stopped}:/copied/f", f"{box}:/tmp/renamed")
    assert engine.docker("exec", box, "cat", "/tmp/renamed").stdout == "text\n"


@pytest.mark.parametrize("running", [True, False])
def test_volumes_and_binds_of_the_container(
    cli: Cli, engine: ScratchEngine, name: str, tmp_path: Path, running: bool
) -> None:
    host = tmp_path / "host"
    host.mkdir()
    (tmp_path / "f").write_text("kept")
    volumes = ["-v", f"{name}:/vol", "-v", f"{host}:/bind", "-v", f"{host}:/ro:ro"]
    engine.docker("create", "--name", name, *volumes, "--read-only", "busybox", "sleep", "1000")
    try:
        if running:
            engine.docker("start", name)
        cli("cp", f"{tmp_path}/f", f"{name}:/vol/in")
        cli("cp", f"{tmp_path}/f", f"{name}:/bind/in")
        assert (host / "in").read_text() == "kept"
        cli("cp", f"{name}:/vol/in", str(tmp_path / "out"))
        assert (tmp_path / "out").read_text() == "kept"
        assert "marked read-only" in cli("cp", f"{tmp_path}/f", f"{name}:/ro/x", check=1).stderr
        assert "rootfs is marked read-only" in cli("cp", f"{tmp_path}/f", f"{name}:/etc/x", check=1).stderr
        assert os.listdir(host) == ["in"]
    finally:
        engine.docker("rm", "-fv", name)
        engine.docker("volume", "rm", name)


def test_a_file_that_is_mounted_gets_new_content(engine: ScratchEngine, name: str, tmp_path: Path) -> None:
    (tmp_path / "mounted").write_text("before, and longer")
    (tmp_path / "new").write_text("after")
    engine.docker("run", "-d", "--name", name, "-v", f"{tmp_path}/mounted:/etc/m", "busybox", "sleep", "1000")
    try:
        engine.docker("cp", f"{tmp_path}/new", f"{name}:/etc/m")
        assert (tmp_path / "mounted").read_text() == "after"
    finally:
        engine.docker("rm", "-f", name)


@pytest.mark.parametrize("link", ["", "../usr/share/zoneinfo/Etc/UTC"])
def test_the_time_zone_by_a_file(cli: Cli, engine: ScratchEngine, name: str, link: str) -> None:
    """Also where /etc/localtime is a link to a zone that the image has not."""
    zone = Path("/usr/share/zoneinfo/Asia/Shanghai")
    if not zone.exists():
        pytest.skip("no tzdata on this machine")
    before = Path("/usr/share/zoneinfo/Etc/UTC").read_bytes()
    script = f"ln -sf {link} /etc/localtime; exec sleep 1000" if link else "exec sleep 1000"
    engine.docker("run", "-d", "--name", name, "busybox", "sh", "-c", script)
    try:
        if link:
            engine.docker("exec", name, "sh", "-c", "until test -L /etc/localtime; do :; done")
        cli("cp", str(zone.resolve()), f"{name}:/etc/localtime")
        assert engine.docker("exec", name, "date", "+%z").stdout == "+0800\n"
        assert Path("/usr/share/zoneinfo/Etc/UTC").read_bytes() == before
    finally:
        engine.docker("rm", "-f", name)


@pytest.mark.parametrize("link", [True, False])
def test_the_time_zone_by_a_flag(engine: ScratchEngine, name: str, link: bool) -> None:
    """The image has no zones; with `link`, its /etc/localtime leads to one that is not there."""
    image = "busybox"
    if link:
        engine.docker(
            "run", "--name", name, "busybox", "ln", "-s", "/usr/share/zoneinfo/Etc/UTC", "/etc/localtime"
        )
        image = f"zone-{name}"
        engine.docker("commit", name, image)
        engine.docker("rm", name)
    for wanted, shown in (("Asia/Shanghai", "+0800"), ("local", subprocess.getoutput("date +%z"))):
        script = "date +%z; test ! -L /etc/localtime"
        done = engine.nakagin("run", "--rm", "--read-only", "--tz", wanted, image, "sh", "-c", script)
        assert done.stdout.strip() == shown
    wrong = engine.nakagin("run", "--rm", "--tz", "Asia/Shangai", image, "date", check=125)
    assert "did you mean Asia/Shanghai?" in wrong.stderr
    assert (
        "invalid time zone"
        in engine.nakagin("run", "--tz", "../../etc/passwd", image, "date", check=125).stderr
    )
    if link:
        engine.docker("rmi", image)


def packed(*members: tuple[str, bytes, str]) -> bytes:
    """A tar of (name, type, link target or content)."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path, kind, text in members:
            info = tarfile.TarInfo(path)
            info.type = kind
            if kind == tarfile.REGTYPE:
                info.size = len(text)
                archive.addfile(info, io.BytesIO(text.encode()))
            else:
                info.linkname = text
                archive.addfile(info)
    return stream.getvalue()


def test_no_archive_leads_out_of_the_root(api: DockerClient, box: str, tmp_path: Path) -> None:
    """CVE-2018-15664, by links in the archive and by dots."""
    container = api.containers.get(box)
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in (str(outside), f"../../../../../../../..{outside}"):
        container.put_archive(
            "/tmp", packed(("out", tarfile.SYMTYPE, name), ("out/evil", tarfile.REGTYPE, "evil"))
        )
    for path in ("../../evil", "a/../../../evil"):
        with pytest.raises(APIError, match="outside of"):
            container.put_archive("/tmp", packed((path, tarfile.REGTYPE, "evil")))
    with pytest.raises(APIError, match="outside of"):
        container.put_archive("/tmp", packed(("hard", tarfile.LNKTYPE, "../../etc/passwd")))
    assert not os.listdir(outside)
    assert not os.path.exists("/evil")


def test_a_container_that_swaps_directories_for_links_gets_nothing(
    engine: ScratchEngine, api: DockerClient, name: str, tmp_path: Path
) -> None:
    """CVE-2018-15664 as it was: the container swaps a directory with a link to the host's while we copy."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "file").write_text("the host's")
    swap = (
        f"mkdir -p /x/d{secret} /y; echo inside > /x/d/file; ln -s {secret} /x/link; touch /ready; "
        "while :; do mv /x/d /x/t; mv /x/link /x/d; mv /x/d /x/link; mv /x/t /x/d; done"
    )
    engine.docker("run", "-d", "--name", name, "busybox", "sh", "-c", swap)
    try:
        container = api.containers.get(name)
        engine.docker("exec", name, "sh", "-c", "until test -e /ready; do :; done")
        for _ in range(60):
            for path in ("/x/d/file", "/x/d", "/x"):
                try:
                    pieces, _ = container.get_archive(path)
                    content = b"".join(pieces)
                except (NotFound, APIError):
                    continue
                assert b"the host's" not in content
            try:
                container.put_archive("/x/d", packed(("written", tarfile.REGTYPE, "evil")))
            except (NotFound, APIError):
                continue
        assert os.listdir(secret) == ["file"]
    finally:
        engine.docker("rm", "-f", name)


def test_a_link_to_the_hosts_files_shows_the_containers(
    engine: ScratchEngine, cli: Cli, box: str, stopped: str, tmp_path: Path
) -> None:
    """CVE-2019-14271 loaded code of the container into the copying process; here only descriptors are used."""
    (tmp_path / "secret").write_text("the host's")
    engine.docker("exec", box, "ln", "-sf", f"{tmp_path}/secret", "/leak")
    cli("cp", "-L", f"{box}:/leak", f"{tmp_path}/out", check=None)
    assert not (tmp_path / "out").is_file() or (tmp_path / "out").is_symlink()  # at most the link itself
    for place in ("/proc/1/root/etc", "/proc/self/root"):
        cli("cp", f"{box}:{place}", f"{tmp_path}/out", check=1)
    done = cli("cp", f"{tmp_path}/secret", f"{box}:/proc/sys/kernel/hostname", check=1)
    assert done.stderr
    assert engine.docker("exec", box, "hostname").stdout.strip() != "the host's"


def test_broken_archives_are_refused_with_words(api: DockerClient, box: str) -> None:
    container = api.containers.get(box)
    whole = packed(("f", tarfile.REGTYPE, "x" * 5000))
    for data in (b"no tar at all" * 100, whole[:700]):
        with pytest.raises(APIError) as refused:
            container.put_archive("/tmp", data)
        assert refused.value.status_code == 400
    assert container.put_archive("/tmp", b"")
    with pytest.raises(APIError, match="extraction point is not a directory"):
        container.put_archive("/d/f", whole)
    with pytest.raises(APIError, match="Not a directory"):
        container.get_archive("/d/f/")


def test_nothing_stays_mounted_and_the_container_can_start_meanwhile(
    engine: ScratchEngine, api: DockerClient, stopped: str
) -> None:
    container = api.containers.get(stopped)
    pieces, _ = container.get_archive("/")
    next(pieces)  # a slow reader
    engine.docker("start", stopped)
    container.wait()
    assert sum(len(piece) for piece in pieces) > 100_000
    assert str(engine.root) not in Path("/proc/self/mountinfo").read_text()


def test_events_tell_of_it(engine: ScratchEngine, api: DockerClient, box: str, tmp_path: Path) -> None:
    engine.docker("cp", f"{box}:/d", str(tmp_path))
    engine.docker("cp", str(tmp_path / "d"), f"{box}:/tmp")
    for action in ("archive-path", "extract-to-dir"):
        told = api.events(since=1, decode=True, filters={"container": box, "event": action})
        assert next(told)["Action"] == action
        told.close()
