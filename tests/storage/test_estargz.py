"""Layers whose files can be had one by one."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import tarfile
import zlib
from typing import Any

from tests.storage.tars import member, symlink, tar

from nakagin.storage.estargz import CHUNK, write


def packed(data: bytes) -> tuple[bytes, dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """The layer, its table by names, and all rows: found by the footer alone, as a lazy reader does."""
    out = io.BytesIO()
    written = write(io.BytesIO(data), out.write)
    layer = out.getvalue()
    footer = layer[-51:]
    assert gzip.decompress(footer) == b""
    assert footer[12:16] == b"SG\x16\x00"
    assert footer[32:38] == b"STARGZ"
    begin = int(footer[16:32], 16)
    plain = gzip.decompress(layer)
    assert written.diff_id == f"sha256:{hashlib.sha256(plain).hexdigest()}"
    assert written.length == len(plain)
    with tarfile.open(fileobj=io.BytesIO(layer[begin:]), mode="r:gz") as archive:
        (info,) = archive.getmembers()
        assert info.name == "stargz.index.json"
        file = archive.extractfile(info)
        assert file is not None
        table = file.read()
    assert written.table == f"sha256:{hashlib.sha256(table).hexdigest()}"
    document = json.loads(table)
    assert document["version"] == 1
    rows = document["entries"]
    return layer, {row["name"]: row for row in rows if row["type"] != "chunk"}, rows


def test_each_file_is_found_by_its_offset() -> None:
    big = os.urandom(CHUNK + 1000)
    data = tar(
        member("d/", mode=0o750, type=tarfile.DIRTYPE),
        member("d/small", b"hello", mode=0o640, uid=7, gid=8),
        member("d/empty", b""),
        member("big", big),
        symlink("link", "d/small"),
        member("again", type=tarfile.LNKTYPE, linkname="big"),
    )
    layer, table, rows = packed(data)
    assert [row["name"] for row in rows] == ["d/", "d/small", "d/empty", "big", "big", "link", "again"]
    small = table["d/small"]
    assert (small["mode"], small["uid"], small["gid"], small["size"]) == (0o640, 7, 8, 5)
    assert zlib.decompressobj(31).decompress(layer[small["offset"] :], 5) == b"hello"
    assert small["digest"] == small["chunkDigest"] == f"sha256:{hashlib.sha256(b'hello').hexdigest()}"
    assert table["d/empty"]["digest"] == f"sha256:{hashlib.sha256(b'').hexdigest()}"
    assert "offset" not in table["d/empty"]
    first, rest = (row for row in rows if row["name"] == "big")
    assert (first["chunkSize"], rest["type"], rest["chunkOffset"]) == (CHUNK, "chunk", CHUNK)
    found = b"".join(
        zlib.decompressobj(31).decompress(layer[row["offset"] :], size)
        for row, size in ((first, CHUNK), (rest, 1000))
    )
    assert found == big
    assert first["digest"] == f"sha256:{hashlib.sha256(big).hexdigest()}"
    assert table["link"]["linkName"] == "d/small"
    assert (table["again"]["type"], table["again"]["linkName"]) == ("hardlink", "big")
    with tarfile.open(fileobj=io.BytesIO(layer), mode="r:gz") as archive:
        file = archive.extractfile("big")
        assert file is not None
        assert file.read() == big


def test_made_again_it_is_the_same() -> None:
    once, _, _ = packed(tar(member("f", b"f")))
    again, _, _ = packed(gzip.decompress(once))
    assert again == once


def test_attributes_are_in_the_table() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("f")
        info.pax_headers = {"SCHILY.xattr.user.note": "kept"}
        archive.addfile(info)
    _, table, _ = packed(buffer.getvalue())
    assert base64.b64decode(table["f"]["xattrs"]["user.note"]) == b"kept"
