from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.storage.tars import directory, link, member, symlink, tar

from nakagin.errors import Damaged, Exhausted
from nakagin.storage.tarread import FILE, SYMLINK, TarReader

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


class Dribble(io.RawIOBase):
    def __init__(self, data: bytes) -> None:
        self._stream = io.BytesIO(data)
        self._turn = 0

    def read(self, size: int = -1, /) -> bytes:
        self._turn += 1
        return self._stream.read(min(size, 1 + self._turn * 37 % 700))


def contents(data: bytes) -> dict[bytes, bytes]:
    reader = TarReader(Dribble(data))
    return {entry.name: b"".join(reader.chunks()) for entry in reader}


@pytest.mark.parametrize("format", FORMATS)
def test_every_format(format: int) -> None:
    data = tar(
        directory("d/", mtime=5),
        member("d/f", b"hello", mode=0o4755, uid=7, gid=8, mtime=9),
        symlink("d/s", "f"),
        link("d/h", "d/f"),
        member("d/c", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
        member("p" * 90 + "/" + "q" * 80, b"long"),
        format=format,
    )
    reader = TarReader(io.BytesIO(data))
    entries = {entry.name: (entry, b"".join(reader.chunks())) for entry in reader}
    file, text = entries[b"d/f"]
    assert (file.mode, file.uid, file.gid, file.mtime_ns, file.size, text) == (
        0o4755,
        7,
        8,
        9 * 10**9,
        5,
        b"hello",
    )
    assert entries[b"d/s"][0].linkname == b"f"
    assert entries[b"d/h"][0].linkname == b"d/f"
    device = entries[b"d/c"][0]
    assert (device.major, device.minor) == (1, 3)
    assert entries[b"p" * 90 + b"/" + b"q" * 80][1] == b"long"


def test_names_are_bytes() -> None:
    latin = "caf\udce9"
    for format in FORMATS:
        assert b"caf\xe9" in contents(tar(member(latin), format=format))
    long = "é" * 600
    assert long.encode() in contents(tar(member(long)))
    assert long.encode() in contents(tar(member(long), format=tarfile.GNU_FORMAT))


def test_pax_records() -> None:
    headers = {
        "SCHILY.xattr.user.x": "bin\udcff\udc80=ary",
        "mtime": "-1.5",
        "uid": "4000000000",
        "atime": "3.000000001",
        "comment": "two\nlines",
    }
    data = tar(member("f", pax_headers=headers))
    (entry,) = TarReader(io.BytesIO(data))
    assert entry.xattrs == {b"user.x": b"bin\xff\x80=ary"}
    assert (entry.mtime_ns, entry.atime_ns, entry.uid) == (-1_500_000_000, 3_000_000_001, 4_000_000_000)


def test_base_256_numbers() -> None:
    (entry,) = TarReader(io.BytesIO(tar(member("f", uid=1 << 40, mtime=-5), format=tarfile.GNU_FORMAT)))
    assert (entry.uid, entry.mtime_ns) == (1 << 40, -5 * 10**9)


@pytest.mark.parametrize(
    "version", ["--format=gnu", "--sparse-version=0.0", "--sparse-version=0.1", "--sparse-version=1.0"]
)
def test_sparse_files(tmp_path: Path, version: str) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        for number in range(40):
            file.seek(number * 65536)
            file.write(b"part%02d" % number)
        file.truncate(5_000_000)
    options = [version] if "gnu" in version else ["--format=pax", version]
    done = subprocess.run(
        ["tar", "-C", tmp_path, "-S", *options, "-cf", "-", "sparse"], stdout=subprocess.PIPE, check=True
    )
    assert len(done.stdout) < 1_000_000
    reader = TarReader(Dribble(done.stdout))
    for entry in reader:
        assert (entry.name, entry.type, entry.size) == (b"sparse", FILE, 5_000_000)
        assert entry.segments is not None
        stored = b"".join(reader.chunks())
        rebuilt = bytearray(entry.size)
        at = 0
        for offset, length in entry.segments:
            rebuilt[offset : offset + length] = stored[at : at + length]
            at += length
        assert bytes(rebuilt) == path.read_bytes()
    assert reader.count == 1


def test_unread_data_is_skipped() -> None:
    data = tar(member("a", b"x" * 3_000_000), member("b", b"y"))
    assert [entry.name for entry in TarReader(io.BytesIO(data))] == [b"a", b"b"]


def test_an_empty_stream_is_an_empty_tar() -> None:
    assert list(TarReader(io.BytesIO(b""))) == []


def test_the_last_file_needs_no_padding() -> None:
    """As the docker command line ends an archive in which it has replaced the Dockerfile."""
    whole = tar(member("f", b"x" * 600))
    assert contents(whole[: 512 + 600]) == contents(whole)


@pytest.mark.parametrize("cut", [100, 512 + 3, 700, 512 + 600 + 1])
def test_cut_off(cut: int) -> None:
    with pytest.raises(Damaged, match="ends in the middle"):
        contents(tar(member("f", b"x" * 600))[:cut])


def test_garbage() -> None:
    with pytest.raises(Damaged, match="wrong checksum"):
        contents(b"garbage!" * 200)


def test_flipped_bit() -> None:
    data = bytearray(tar(member("f", b"x")))
    data[3] ^= 1
    with pytest.raises(Damaged, match="wrong checksum"):
        contents(bytes(data))


def test_a_huge_extension_is_refused() -> None:
    with pytest.raises(Damaged, match="extension header"):
        contents(tar(member("n" * (2 << 20))))


def test_a_bounded_read() -> None:
    reader = TarReader(io.BytesIO(tar(member("f", b"x" * 100))))
    next(iter(reader))
    with pytest.raises(Exhausted):
        reader.read(99)


@given(st.binary(max_size=3000))
def test_noise_never_breaks_it(noise: bytes) -> None:
    try:
        contents(noise)
    except Damaged:
        pass


@given(
    st.lists(
        st.tuples(
            st.text(
                st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1, max_size=150
            ),
            st.binary(max_size=1500),
        ),
        max_size=8,
    ),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_what_the_standard_library_writes(files: list[tuple[str, bytes]], format: int) -> None:
    files = [(name, data) for name, data in files if name not in (".", "..")]
    reader = TarReader(Dribble(tar(*(member(name, data) for name, data in files), format=format)))
    found = [(entry.name.decode(), b"".join(reader.chunks())) for entry in reader]
    assert found == files


def test_the_type_of_a_symlink() -> None:
    (entry,) = TarReader(io.BytesIO(tar(symlink("s", "t" * 300))))
    assert (entry.type, entry.linkname) == (SYMLINK, b"t" * 300)
