"""What a layer's tar becomes, and what a hostile one does not reach."""

from __future__ import annotations

import gzip
import io
import os
import stat
import struct
import tarfile
from pathlib import Path

import pytest
from tests.storage.tars import directory, link, member, symlink, tar

from nakagin.errors import Damaged, Exhausted, Invalid, NakaginError
from nakagin.storage.layers import Layer, Layers
from nakagin.storage.records import Records
from nakagin.storage.unpack import Bounds

pytestmark = pytest.mark.root


def apply(layers: Layers, *members: tuple[tarfile.TarInfo, bytes], on: Layer | None = None) -> Layer:
    return layers.apply(io.BytesIO(tar(*members)), on.chain_id if on else None)


def at(layers: Layers, layer: Layer, path: str = "") -> Path:
    return Path(layers.path(layer)) / path


def is_whiteout(path: Path) -> bool:
    status = path.lstat()
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(path: Path) -> bool:
    try:
        return os.getxattr(path, "trusted.overlay.opaque") == b"y"
    except OSError:
        return False


# --- What an entry becomes


def test_attributes(layers: Layers) -> None:
    capability = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
    headers = {"SCHILY.xattr.security.capability": capability.decode("utf-8", "surrogateescape")}
    layer = apply(
        layers,
        directory("d", mode=0o2750, uid=10, gid=20, mtime=1000),
        member("d/suid", b"x", mode=0o4755, uid=5, gid=6, mtime=2000),
        member("d/ping", b"x", mode=0o755, uid=1, pax_headers=headers),
        member("d/fine", b"", pax_headers={"mtime": "3000.123456789"}),
        symlink("d/l", "../nowhere", uid=3, gid=4, mtime=500),
        member("d/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666),
        member("d/pipe", type=tarfile.FIFOTYPE, mode=0o600),
    )
    folder = at(layers, layer, "d").stat()
    assert (folder.st_mode & 0o7777, folder.st_uid, folder.st_gid, folder.st_mtime) == (0o2750, 10, 20, 1000)
    suid = at(layers, layer, "d/suid").stat()
    assert (suid.st_mode & 0o7777, suid.st_uid, suid.st_gid, suid.st_mtime) == (0o4755, 5, 6, 2000)
    assert os.getxattr(at(layers, layer, "d/ping"), "security.capability") == capability
    assert at(layers, layer, "d/fine").stat().st_mtime_ns == 3000_123_456_789
    symbolic = at(layers, layer, "d/l").lstat()
    assert (symbolic.st_uid, symbolic.st_gid, symbolic.st_mtime) == (3, 4, 500)
    assert at(layers, layer, "d/null").stat().st_rdev == os.makedev(1, 3)
    assert stat.S_ISFIFO(at(layers, layer, "d/pipe").stat().st_mode)


def test_the_root_takes_attributes_too(layers: Layers) -> None:
    first = apply(layers, directory("./", mode=0o711, uid=3))
    second = apply(layers, member("f", b"x"), on=first)
    for layer in (first, second):
        status = at(layers, layer).stat()
        assert (status.st_mode & 0o7777, status.st_uid) == (0o711, 3)


def test_names_of_any_kind(layers: Layers) -> None:
    layer = apply(layers, member("caf\udce9"), member("./日本/x"), member("/abs/y"), member("a/../b//./c"))
    names = {os.fsencode(path.relative_to(at(layers, layer))) for path in at(layers, layer).rglob("*")}
    assert names == {b"caf\xe9", "日本".encode(), "日本/x".encode(), b"abs", b"abs/y", b"b", b"b/c"}


def test_hard_links(layers: Layers) -> None:
    layer = apply(
        layers, member("a", b"text"), link("b", "a"), link("d/c", "/b"), symlink("s", "a"), link("t", "s")
    )
    assert at(layers, layer, "a").stat().st_ino == at(layers, layer, "d/c").stat().st_ino
    assert at(layers, layer, "t").readlink() == Path("a")
    assert layer.size == 4


def test_a_hard_link_to_a_lower_layer_copies_up(layers: Layers) -> None:
    first = apply(layers, directory("d", mode=0o700), member("d/a", b"text", mode=0o4750, uid=9, mtime=77))
    second = apply(layers, link("b", "d/a"), on=first)
    for name in ("b", "d/a"):
        status = at(layers, second, name).stat()
        assert (status.st_mode & 0o7777, status.st_uid, status.st_mtime, status.st_nlink) == (
            0o4750,
            9,
            77,
            2,
        )
    assert at(layers, second, "d").stat().st_mode & 0o7777 == 0o700
    assert at(layers, first, "d/a").stat().st_nlink == 1


def test_the_last_of_duplicates_counts(layers: Layers) -> None:
    layer = apply(
        layers,
        member("a", b"1"), member("a", b"22"),
        member("b", b"file"), directory("b"), member("b/x", b"in b"),
        directory("c"), member("c/deep/x", b"1"), member("c", b"now a file"),
        symlink("d", "b"), member("d/y", b"through d"), directory("d"), member("d/z", b"in d"),
    )  # fmt: skip
    assert at(layers, layer, "a").read_text() == "22"
    assert at(layers, layer, "b/x").read_text() == "in b"
    assert at(layers, layer, "c").read_text() == "now a file"
    assert at(layers, layer, "b/y").read_text() == "through d"
    assert os.listdir(at(layers, layer, "d")) == ["z"]


def test_sparse_files_stay_sparse(layers: Layers) -> None:
    headers = {"GNU.sparse.major": "0", "GNU.sparse.map": "0,4,1000000,4", "GNU.sparse.size": "2000000"}
    layer = apply(layers, member("f", b"headtail", pax_headers=headers))
    path = at(layers, layer, "f")
    data = path.read_bytes()
    assert (len(data), data[:4], data[1000000:1000004], data.count(0)) == (2000000, b"head", b"tail", 1999992)
    assert path.stat().st_blocks * 512 < 1_000_000


def test_attributes_that_steer_overlayfs_are_ignored(layers: Layers) -> None:
    headers = {"SCHILY.xattr.trusted.overlay.redirect": "/etc", "SCHILY.xattr.user.mine": "kept"}
    layer = apply(layers, directory("d", pax_headers=headers), member("f", pax_headers=headers))
    for name in ("d", "f"):
        attributes = [each for each in os.listxattr(at(layers, layer, name)) if each != "security.selinux"]
        assert attributes == ["user.mine"]


def test_an_access_control_list(layers: Layers) -> None:
    entries = [(1, 6, -1), (2, 4, 1000), (4, 4, -1), (16, 6, -1), (32, 0, -1)]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *each) for each in entries)
    headers = {"SCHILY.xattr.system.posix_acl_access": acl.decode("utf-8", "surrogateescape")}
    layer = apply(layers, member("f", mode=0o660, pax_headers=headers))
    assert os.getxattr(at(layers, layer, "f"), "system.posix_acl_access") == acl


# --- Deletions


@pytest.fixture
def base(layers: Layers) -> Layer:
    return apply(
        layers,
        directory("d", mode=0o1777, uid=4), member("d/a", b"a"), member("d/b", b"b"),
        directory("e"), member("e/x", b"x"), member("f", b"f"), symlink("lib", "usr/lib"), directory("usr/lib"),
    )  # fmt: skip


def test_whiteouts(layers: Layers, base: Layer) -> None:
    layer = apply(layers, member("d/.wh.a"), member(".wh.f"), member(".wh.nothing"), on=base)
    assert is_whiteout(at(layers, layer, "d/a"))
    assert is_whiteout(at(layers, layer, "f"))
    assert not at(layers, layer, "nothing").exists()
    assert at(layers, layer, "d").stat().st_mode & 0o7777 == 0o1777


def test_opaque_directories(layers: Layers, base: Layer) -> None:
    layer = apply(layers, member("d/.wh.a"), member("d/.wh..wh..opq"), member("d/new", b""), on=base)
    assert is_opaque(at(layers, layer, "d"))
    assert os.listdir(at(layers, layer, "d")) == ["new"]


@pytest.mark.parametrize("whiteout_first", [True, False])
def test_a_whiteout_is_about_the_layers_below_only(layers: Layers, base: Layer, whiteout_first: bool) -> None:
    mark, made = [member(".wh.d")], [directory("d"), member("d/new", b"new")]
    layer = apply(layers, *(mark + made if whiteout_first else made + mark), on=base)
    assert at(layers, layer, "d/new").read_text() == "new"
    assert is_opaque(at(layers, layer, "d"))
    mark, made = [member(".wh.f")], [member("f", b"new")]
    layer = apply(layers, *(mark + made if whiteout_first else made + mark), on=base)
    assert at(layers, layer, "f").read_text() == "new"


def test_a_directory_implied_over_a_whiteout_is_opaque(layers: Layers, base: Layer) -> None:
    layer = apply(layers, member(".wh.d"), member("d/new", b"new"), on=base)
    assert is_opaque(at(layers, layer, "d"))


def test_an_opaque_root(layers: Layers, base: Layer) -> None:
    layer = apply(layers, member(".wh..wh..opq"), directory("d"), member("d/n", b""), on=base)
    assert is_opaque(at(layers, layer, "d"))
    for name in ("e", "f", "lib", "usr"):
        assert is_whiteout(at(layers, layer, name))


def test_a_bottom_layer_deletes_nothing(layers: Layers) -> None:
    layer = apply(layers, member(".wh.a"), directory("d"), member("d/.wh..wh..opq"), member("d/.wh..wh.plnk"))
    assert [str(path.relative_to(at(layers, layer))) for path in at(layers, layer).rglob("*")] == ["d"]


def test_parents_are_found_in_the_layers_below(layers: Layers, base: Layer) -> None:
    """A tar that does not mention `d` and `lib` must neither change the one nor replace the other."""
    layer = apply(layers, member("d/new", b""), member("lib/so", b"so"), on=base)
    status = at(layers, layer, "d").stat()
    assert (status.st_mode & 0o7777, status.st_uid) == (0o1777, 4)
    assert at(layers, layer, "usr/lib/so").read_text() == "so"
    assert not os.path.lexists(at(layers, layer, "lib"))


# --- Attacks


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "outside"
    path.mkdir()
    (path / "secret").write_text("secret")
    return path


def untouched(outside: Path) -> bool:
    return os.listdir(outside) == ["secret"] and (outside / "secret").read_text() == "secret"


@pytest.mark.parametrize("name", ["../x", "a/../../x", "..", "/../x", "a/./../../x"])
def test_climbing_names_are_refused(layers: Layers, tmp_path: Path, name: str) -> None:
    with pytest.raises(Invalid, match="leads out of the layer"):
        apply(layers, member(name, b"x"))
    with pytest.raises(Invalid, match="leads out of the layer"):
        apply(layers, member("f", b""), link("l", name))
    nothing_left(layers, tmp_path)


def nothing_left(layers: Layers, tmp_path: Path) -> None:
    assert layers.all() == []
    assert os.listdir(tmp_path / "layers") == []
    assert os.listdir(tmp_path / "tmp") == []


@pytest.mark.parametrize("up", ["", "../../../../../../.."])
def test_writing_through_a_symlink_stays_inside(layers: Layers, outside: Path, up: str) -> None:
    """CVE-2018-15664, CVE-2021-41190 and kin: a parent that is a symlink is resolved inside the layer."""
    target = f"{up}{outside}"
    layer = apply(
        layers,
        symlink("evil", target), member("evil/planted", b"x"), directory("evil/d"), symlink("evil/s", "x"),
        member("evil/.wh.secret"), member("evil/.wh..wh..opq"), link("evil/h", "evil/planted"),
    )  # fmt: skip
    assert untouched(outside)
    assert at(layers, layer, f"{str(outside)[1:]}/planted").read_text() == "x"


def test_writing_through_a_symlink_of_a_lower_layer_stays_inside(layers: Layers, outside: Path) -> None:
    first = apply(layers, symlink("evil", str(outside)), symlink("rel", "../../../../.." + str(outside)))
    apply(layers, member("evil/planted", b"x"), member("rel/too", b""), member("evil/.wh.secret"), on=first)
    assert untouched(outside)


def test_replacing_a_file_that_is_a_symlink(layers: Layers, outside: Path) -> None:
    layer = apply(layers, symlink("f", str(outside / "secret")), member("f", b"mine"))
    assert untouched(outside)
    assert at(layers, layer, "f").read_text() == "mine"
    assert not at(layers, layer, "f").is_symlink()


def test_a_hard_link_cannot_reach_out(layers: Layers, outside: Path) -> None:
    """A link to a symlink is a link to the symlink; one through a symlink stays inside."""
    layer = apply(layers, symlink("s", str(outside / "secret")), link("h", "s"))
    assert at(layers, layer, "h").is_symlink()
    with pytest.raises(Invalid, match="which is not there"):
        apply(layers, link("h", str(outside / "secret")))
    with pytest.raises(Invalid, match="which is not there"):
        apply(layers, symlink("d", str(outside)), link("h", "d/secret"))
    assert (outside / "secret").stat().st_nlink == 1


def test_attributes_do_not_follow_symlinks(layers: Layers, outside: Path) -> None:
    before = (outside / "secret").stat()
    apply(layers, symlink("s", str(outside / "secret"), uid=7, mode=0o7777, mtime=1))
    after = (outside / "secret").stat()
    assert (before.st_uid, before.st_mode, before.st_mtime) == (after.st_uid, after.st_mode, after.st_mtime)


@pytest.mark.parametrize("mark", [".wh.", ".wh..", ".wh..."])
def test_whiteouts_of_nothing_nameable(layers: Layers, mark: str) -> None:
    with pytest.raises(Invalid, match="a whiteout without a name"):
        apply(layers, member(f"d/{mark}"))


def test_symlink_loops(layers: Layers) -> None:
    with pytest.raises(Invalid, match="impossible entry"):
        apply(layers, symlink("a", "b"), symlink("b", "a"), member("a/x"))


def test_a_file_as_parent(layers: Layers) -> None:
    with pytest.raises(Invalid, match="impossible entry"):
        apply(layers, member("f", b""), member("f/x"))
    first = apply(layers, member("f", b""))
    with pytest.raises(Invalid, match="impossible entry"):
        apply(layers, member("f/x"), on=first)


@pytest.mark.parametrize(
    "entry",
    [
        member("n" * 300),
        member("/".join("d" * 1000)),
        member("a/" * 2100 + "f"),
        symlink("s", ""),
        link("h", "."),
        link("h", "missing"),
        member("odd", type=b"Z"),
        member("owner", uid=2**32 - 1),
    ],
    ids=lambda entry: entry[0].name[:10],
)
def test_impossible_entries(layers: Layers, tmp_path: Path, entry: tuple[tarfile.TarInfo, bytes]) -> None:
    with pytest.raises(NakaginError) as caught:
        apply(layers, member("fine", b"x"), entry)
    assert isinstance(caught.value, Invalid)
    nothing_left(layers, tmp_path)


def test_extreme_times(layers: Layers) -> None:
    layer = apply(
        layers, member("f", pax_headers={"mtime": "99999999999999999999"}), member("g", mtime=-(2**40))
    )
    assert {path.name for path in at(layers, layer).iterdir()} == {"f", "g"}


def test_a_bomb(tmp_path: Path, records: Records) -> None:
    """A small stream that would fill the disk."""
    layers = Layers(str(tmp_path), records, Bounds(size=1 << 20))
    bomb = gzip.compress(tar(member("zeros", bytes(8 << 20))))
    assert len(bomb) < 20_000
    with pytest.raises(Exhausted):
        layers.apply(io.BytesIO(bomb), None)
    headers = {"GNU.sparse.major": "0", "GNU.sparse.map": "0,0", "GNU.sparse.size": str(1 << 40)}
    with pytest.raises(Exhausted):
        layers.apply(io.BytesIO(tar(member("hole", pax_headers=headers))), None)
    nothing_left(layers, tmp_path)


def test_too_many_entries(tmp_path: Path, records: Records) -> None:
    layers = Layers(str(tmp_path), records, Bounds(entries=10))
    with pytest.raises(Exhausted):
        apply(layers, *(member(str(number)) for number in range(11)))


def test_many_directories_do_not_use_up_descriptors(layers: Layers) -> None:
    before = len(os.listdir("/proc/self/fd"))
    layer = apply(layers, *(member(f"d{number}/sub/f", b"x") for number in range(600)))
    assert len(os.listdir(at(layers, layer))) == 600
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_wrong_diff_id(layers: Layers, tmp_path: Path) -> None:
    with pytest.raises(Damaged, match="the layer has the diff ID"):
        layers.apply(io.BytesIO(tar(member("f", b"x"))), None, "sha256:" + "0" * 64)
    nothing_left(layers, tmp_path)


def test_a_cut_tar(layers: Layers, tmp_path: Path) -> None:
    with pytest.raises(Damaged):
        layers.apply(io.BytesIO(tar(member("f", b"x" * 5000))[:2000]), None)
    nothing_left(layers, tmp_path)
