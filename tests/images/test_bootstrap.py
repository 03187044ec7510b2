from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from nakagin.errors import Invalid, StepFailed, Unavailable
from nakagin.images import aptsources, debian
from nakagin.images.aptsources import Source
from nakagin.images.bootstrap import Binary, bootstrap, file_of_package, is_static, tree_of
from nakagin.images.debian import Recipe
from nakagin.images.library import Images

STATIC = next((path for path in ("/bin/busybox", "/usr/bin/busybox") if os.path.exists(path)), "")
needs_busybox = pytest.mark.skipif(not STATIC, reason="busybox-static is not installed")


@pytest.mark.root
@needs_busybox
def test_a_busybox_that_runs(images: Images, tmp_path: Path) -> None:
    said: list[str] = []
    image = bootstrap(images, "busybox", changes=['ENTRYPOINT ["ls"]'], progress=said.append)
    assert image.repo_tags == ("busybox:latest",)
    assert (image.cmd, image.entrypoint) == (["sh"], ["ls"])
    root = images.inspect("busybox")["GraphDriver"]["Data"]["UpperDir"]
    done = subprocess.run(
        ["chroot", root, "/bin/sh", "-c", "id -un; stat -c %a /tmp /root"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["root", "1777", "700"]
    assert said == [f"using {STATIC}"]


@pytest.mark.root
@needs_busybox
def test_the_same_twice(images: Images) -> None:
    first = bootstrap(images, "busybox", reference="one")
    second = bootstrap(images, "busybox", reference="two")
    assert first.id == second.id
    assert second.repo_tags == ("one:latest", "two:latest")
    assert bootstrap(images, "busybox", source_date_epoch=1).created == "1970-01-01T00:00:01Z"


def test_bad_requests(images: Images) -> None:
    with pytest.raises(Invalid, match="cannot bootstrap 'arch'"):
        bootstrap(images, "arch")
    with pytest.raises(Invalid, match="has no packages"):
        bootstrap(images, "busybox", packages=["nginx"])
    for words in (
        {"packages": ["--evil"]},
        {"packages": ["Nginx"]},
        {"suite": "../etc"},
        {"variant": "huge"},
    ):
        with pytest.raises(Invalid):
            bootstrap(images, "debian", source_date_epoch=0, **words)


def test_the_tree_is_a_function_of_its_input() -> None:
    binary = Binary(b"\x7fELF", 5, ("bin/sh", "usr/bin/awk", "opt/odd", "bin/busybox"))
    text = tree_of(binary, 7)
    assert tree_of(binary, 7) == text
    with tarfile.open(fileobj=io.BytesIO(text)) as archive:
        members = {each.name: each for each in archive.getmembers()}
    assert {each.mtime for each in members.values()} == {7}
    assert members["usr/bin/awk"].linkname == "bin/busybox"
    assert "opt/odd" not in members
    assert members["tmp"].mode == 0o1777


@needs_busybox
def test_static_programs() -> None:
    assert is_static(Path(STATIC).read_bytes())
    assert not is_static(Path(shutil.which("python3") or "/bin/sh").resolve().read_bytes())
    assert not is_static(b"#!/bin/sh\n")
    assert not is_static(b"\x7fELF\x02" + b"\xff" * 100)


def test_a_file_of_a_package(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    (folder / "DEBIAN").mkdir(parents=True)
    (folder / "DEBIAN" / "control").write_text(
        "Package: p\nVersion: 1\nArchitecture: all\nMaintainer: me <me@example.org>\nDescription: p\n"
    )
    (folder / "bin").mkdir()
    (folder / "bin" / "busybox").write_text("text")
    os.utime(folder / "bin" / "busybox", (99, 99))
    path = tmp_path / "p.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", folder, path], capture_output=True, check=True)
    with path.open("rb") as package:
        assert file_of_package(package, b"bin/busybox") == (b"text", 99)
    with path.open("rb") as package, pytest.raises(Invalid, match="has no bin/other"):
        file_of_package(package, b"bin/other")
    with pytest.raises(Invalid, match="not a Debian package"):
        file_of_package(io.BufferedReader(io.BytesIO(b"x" * 100)), b"x")


LINES = """\
# a comment
deb http://mirror.example/debian bookworm main contrib # more
deb-src http://mirror.example/debian bookworm main
deb [arch=amd64 signed-by=/k.gpg] http://sec.example/ bookworm-security main
deb https://other.example/apt nodistro main
"""
STANZAS = """\
Types: deb deb-src
URIs: http://a.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

# off
Types: deb
URIs: http://b.example/debian
Suites: bookworm
Components: main
Enabled: no

Types: deb
URIs: http://c.example/debian
Suites: trixie
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
"""


def test_sources_of_this_machine() -> None:
    lines = aptsources.parse_lines(LINES)
    assert [source.suite for source in lines] == ["bookworm", "bookworm-security", "nodistro"]
    assert lines[1] == Source("http://sec.example/", "bookworm-security", ("main",), "/k.gpg")
    stanzas = aptsources.parse_stanzas(STANZAS)
    assert [(source.uri, source.suite) for source in stanzas] == [
        ("http://a.example/debian", "bookworm"),
        ("http://a.example/debian", "bookworm-updates"),
        ("http://c.example/debian", "trixie"),
    ]
    assert stanzas[2].signed_by == ""
    chosen = aptsources.of_suite(lines + stanzas, "bookworm")
    assert [source.line() for source in chosen] == [
        "deb http://mirror.example/debian bookworm main",
        "deb [signed-by=/k.gpg] http://sec.example/ bookworm-security main",
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://a.example/debian bookworm-updates main",
    ]
    assert aptsources.of_suite(lines, "sid") == []


def test_the_command_line() -> None:
    recipe = Recipe(
        "bookworm", "minbase", ("curl", "nginx-light"), (Source("http://a", "bookworm", ("main",)),), 5
    )
    words = debian.command(recipe, "/hook")
    assert words[0] == "mmdebstrap"
    assert "--include=curl,nginx-light" in words
    assert words[-3:] == ["bookworm", "-", "deb http://a bookworm main"]


def test_the_date_of_a_release() -> None:
    text = "Origin: Debian\nDate: Sat, 17 May 2025 09:10:26 UTC\nMD5Sum:\n"
    assert debian.date_of_release(text) == 1747473026
    assert debian.date_of_release("") == 0


def test_without_mmdebstrap(images: Images, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="mmdebstrap is not installed"):
        bootstrap(images, "debian", source_date_epoch=0)


@pytest.mark.root
@pytest.mark.parametrize(
    ("complaint", "hint"),
    [
        ("E: apt-get update failed: Could not resolve 'mirror.example'", "out of reach"),
        ("E: Unable to locate package nonesuch", "has no such package"),
    ],
)
def test_a_failed_run_is_explained_and_leaves_nothing(
    images: Images, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, complaint: str, hint: str
) -> None:
    tool = tmp_path / "bin" / "mmdebstrap"
    tool.parent.mkdir()
    tool.write_text(
        f'#!/bin/sh\necho "I: start" >&2\nhead -c 2000 /dev/zero\necho "{complaint}" >&2\nexit 25\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    with pytest.raises(StepFailed, match=r"exit code 25") as caught:
        bootstrap(images, "debian", source_date_epoch=0)
    assert caught.value.hint
    assert hint in caught.value.hint
    assert images.list() == []


def test_a_suite_that_apt_does_not_have_needs_a_mirror() -> None:
    with pytest.raises(Unavailable, match="do not have nosuchsuite") as raised:
        debian.recipe([], "nosuchsuite", "minbase", None)
    assert "--mirror" in str(raised.value)
