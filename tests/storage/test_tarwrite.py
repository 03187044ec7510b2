from __future__ import annotations

import io
import tarfile

from hypothesis import given
from hypothesis import strategies as st

from nakagin.storage.tarread import CHARACTER, DIRECTORY, FILE, SYMLINK, Entry, TarReader
from nakagin.storage.tarwrite import END, header, padding

NAMES = st.binary(min_size=1, max_size=300).filter(lambda name: b"\0" not in name and not name.endswith(b"/"))


def packed(entry: Entry, data: bytes = b"") -> bytes:
    entry.size = len(data)
    return header(entry) + data + padding(len(data)) + END


@given(
    NAMES,
    st.binary(max_size=1100),
    st.integers(0, 0o7777),
    st.integers(0, 2**32 - 2),
    st.integers(-(2**31), 2**40),
    st.dictionaries(
        st.sampled_from([b"user.a", b"user.b", b"security.capability"]), st.binary(max_size=40), max_size=3
    ),
)
def test_our_reader_gets_it_back(
    name: bytes, data: bytes, mode: int, owner: int, seconds: int, xattrs: dict[bytes, bytes]
) -> None:
    entry = Entry(name, FILE, mode)
    entry.uid, entry.gid, entry.mtime_ns, entry.xattrs = owner, owner // 2, seconds * 10**9, xattrs
    text = packed(entry, data)
    reader = TarReader(io.BytesIO(text))
    found = next(iter(reader))
    assert b"".join(reader.chunks()) == data
    assert (found.name, found.mode, found.uid, found.gid) == (name, mode, owner, owner // 2)
    assert (found.mtime_ns, found.xattrs) == (seconds * 10**9, xattrs)
    assert packed(entry, data) == text


def test_the_standard_library_gets_it_back() -> None:
    directory = Entry(b"d", DIRECTORY, 0o1777)
    link = Entry(b"d/" + b"l" * 120, SYMLINK, 0o777)
    link.linkname = b"t" * 150
    device = Entry(b"null", CHARACTER, 0o666)
    device.major, device.minor = 1, 3
    accented = Entry("é".encode(), FILE)
    text = b"".join(header(entry) for entry in (directory, link, device, accented)) + END
    with tarfile.open(fileobj=io.BytesIO(text)) as archive:
        found = archive.getmembers()
    assert [each.name for each in found] == ["d", "d/" + "l" * 120, "null", "é"]
    assert found[0].isdir()
    assert found[0].mode == 0o1777
    assert found[1].linkname == "t" * 150
    assert (found[2].ischr(), found[2].devmajor, found[2].devminor) == (True, 1, 3)


def test_plain_entries_need_no_extension() -> None:
    assert len(header(Entry(b"usr/bin/env"))) == 512
    assert len(header(Entry(b"a" * 90 + b"/" + b"b" * 90))) == 512
