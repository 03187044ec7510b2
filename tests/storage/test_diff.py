"""Round trips: folder -> layer tar -> folder, and what a container changed -> layer -> the same view."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.storage.tars import directory, member, symlink, tar

from nakagin.storage.diff import layer_tar
from nakagin.storage.layers import Layers
from nakagin.storage.snapshots import Snapshots

pytestmark = pytest.mark.root


def diff(upper: str | Path, *lower: str) -> bytes:
    return b"".join(layer_tar(str(upper), lower))


def names_in(text: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(text)) as archive:
        return archive.getnames()


def view(folder: Path) -> list[tuple[object, ...]]:
    """Everything that a tar can carry of a tree."""
    found: list[tuple[object, ...]] = []
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        data = path.read_bytes() if path.is_file() and not path.is_symlink() else None
        target = os.readlink(path) if path.is_symlink() else None
        attributes = {
            name: os.getxattr(path, name, follow_symlinks=False)
            for name in os.listxattr(path, follow_symlinks=False)
        }
        found.append(
            (str(path.relative_to(folder)), status.st_mode, status.st_uid, status.st_gid, int(status.st_mtime),
             status.st_rdev, status.st_nlink if data is not None else 0, data, target, attributes)
        )  # fmt: skip
    return found


def test_a_layer_comes_back_as_it_was(layers: Layers) -> None:
    first = layers.apply(
        io.BytesIO(
            tar(
                directory("d", mode=0o2775, uid=3, mtime=10),
                member("d/f", b"text", mode=0o4711, uid=1, gid=2, mtime=20),
                member("d/n", type=tarfile.CHRTYPE, devmajor=1, devminor=5),
                symlink("d/s", "../x" * 40),
                member("caf\udce9", b"latin"),
                member("x" * 200, b"long", pax_headers={"SCHILY.xattr.user.k": "v"}),
            )
        ),
        None,
    )
    text = diff(layers.path(first))
    second = layers.apply(io.BytesIO(text), first.chain_id)
    assert view(Path(layers.path(second))) == view(Path(layers.path(first)))
    assert diff(layers.path(second)) == text


def test_what_a_container_did(layers: Layers, snapshots: Snapshots, tmp_path: Path) -> None:
    base = layers.apply(
        io.BytesIO(
            tar(directory("a"), member("a/1", b"1"), member("a/2", b"2"), directory("b"), member("b/x", b"x"))
        ),
        None,
    )
    script = (
        "rm a/1; echo 22 > a/2; echo 3 > a/3; ln a/3 a/4; rm -r b; mkdir b; echo y > b/y; mkfifo p; chown 5:6 a/3;"
        "mkdir -p deep/er; touch -h -d @7 deep/er; ln -s nowhere l"
    )
    snapshots.prepare("k", base.chain_id)
    _inside(snapshots, "k", script)
    text = diff(snapshots.upper("k"), *snapshots.lower("k"))
    above = layers.apply(io.BytesIO(text), base.chain_id)
    assert names_in(text) == [
        "a",
        "a/.wh.1",
        "a/2",
        "a/3",
        "a/4",
        "b",
        "b/.wh..wh..opq",
        "b/y",
        "deep",
        "deep/er",
        "l",
        "p",
    ]
    snapshots.prepare("again", above.chain_id)
    listing = "find . -not -name . -printf '%P %M %U %G %n %s %l\\n' | sort; cat a/2 a/4 b/y"
    assert _inside(snapshots, "again", listing) == _inside(snapshots, "k", listing)


def _inside(snapshots: Snapshots, key: str, script: str) -> str:
    cwd, (mount,) = snapshots.mounts(key)
    command = 'mount -t overlay -o "$1" overlay /mnt && cd /mnt && eval "$2"'
    return subprocess.run(
        ["unshare", "-m", "sh", "-ec", command, "sh", ",".join(mount["options"]), script],
        cwd=cwd, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip


def test_sockets_are_left_out(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        assert names_in(diff(tmp_path)) == []


NAME = st.sampled_from(["a", "b", "c", "é", ".x"])
STEP = st.one_of(
    st.tuples(st.just("file"), st.lists(NAME, min_size=1, max_size=3), st.binary(max_size=20)),
    st.tuples(st.just("dir"), st.lists(NAME, min_size=1, max_size=3), st.just(b"")),
    st.tuples(st.just("remove"), st.lists(NAME, min_size=1, max_size=3), st.just(b"")),
    st.tuples(
        st.just("link"), st.lists(NAME, min_size=1, max_size=3), st.sampled_from([b"a", b"../b", b"/c"])
    ),
)


@given(st.lists(STEP, max_size=8), st.lists(STEP, max_size=8))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_history(
    layers: Layers,
    snapshots: Snapshots,
    first: list[tuple[str, list[str], bytes]],
    second: list[tuple[str, list[str], bytes]],
) -> None:
    """Two containers in a row, each become a layer: the third sees what the second left."""
    bottom = layers.apply(io.BytesIO(tar(directory("a"), member("b", b"b"))), None)
    chain = bottom.chain_id
    seen = ""
    listing = "find . -not -name . -printf '%P %M %l %s\\n' | sort"
    for number, steps in enumerate((first, second, [])):
        key = f"k{number}"
        snapshots.remove(key)
        snapshots.prepare(key, chain)
        before = _inside(snapshots, key, listing)
        assert number == 0 or before == seen
        seen = _inside(snapshots, key, "".join(map(_shell, steps)) + listing)
        changed = diff(snapshots.upper(key), *snapshots.lower(key))
        assert diff(snapshots.upper(key), *snapshots.lower(key)) == changed
        chain = layers.apply(io.BytesIO(changed), chain).chain_id


def _shell(step: tuple[str, list[str], bytes]) -> str:
    kind, parts, data = step
    path = "'" + "/".join(parts) + "'"
    commands = {
        "file": f"printf '{data.hex()}' > {path}",
        "dir": f"mkdir -p {path}",
        "remove": f"rm -rf {path}",
        "link": f"ln -s '{data.decode(errors='replace')}' {path}",
    }
    return f"({commands[kind]}) 2>/dev/null || :; "
