"""Caches in object stores and in GitHub's cache service."""

from __future__ import annotations

import base64
import calendar
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.building.by_command import build
from tests.building.stores import ActionsServer, AzureServer, S3Server, Server
from tests.engine_fixture import ScratchEngine

from nakagin.build.depots.signing import S3
from nakagin.cli.building.values import caches

_TEXT = """
FROM busybox AS tool
RUN cat /proc/sys/kernel/random/uuid > /tool
FROM busybox
RUN --mount=type=cache,id=depot,target=/c echo kept > /c/k; cat /proc/sys/kernel/random/uuid > /n
COPY --from=tool /tool /t
"""
_KEY = base64.b64encode(b"secret").decode()


@contextmanager
def depot(kind: str) -> Iterator[tuple[Server, str, str]]:
    """The server, the cache as a flag has it, and the same for somebody who is not let in."""
    server = {"gha": ActionsServer, "s3": S3Server, "azblob": AzureServer}[kind]()
    with server:
        keys = "bucket=bkt,region=eu-west-1,access_key_id=AKID,secret_access_key"
        where = {
            "gha": f"url_v2={server.url}/,token",
            "s3": f"endpoint_url={server.url},use_path_style=true,prefix=p/,name=app,{keys}",
            "azblob": f"account_url={server.url}/account,container=cached,secret_access_key",
        }[kind]
        right = {"gha": "letmein", "s3": "SECRET", "azblob": _KEY}[kind]
        yield server, f"type={kind},{where}={right}", f"type={kind},{where}=bm9ib2R5"


@pytest.mark.root
@pytest.mark.parametrize("kind", ["gha", "s3", "azblob"])
def test_a_cache_travels(engine: ScratchEngine, folder: Path, kind: str) -> None:
    """DF.cache.gha DF.cache.s3-azblob"""
    with depot(kind) as (server, right, wrong):
        assert "there is none yet" in build(engine, folder, _TEXT, "--cache-from", right)
        said = build(engine, folder, _TEXT, "--no-cache", "--cache-to", f"{right},mode=max,mounts=1")
        assert f"exporting the cache to {kind}:" in said
        assert not server.refused
        engine.nakagin("builder", "prune", "-af")
        said = build(
            engine,
            folder,
            f"{_TEXT}RUN --mount=type=cache,id=depot,target=/c cat /c/k\n",
            "--cache-from",
            right,
        )
        assert said.count("CACHED") == 3
        assert " kept\n" in said, "the files of the cache mount came along"
        build(engine, folder, _TEXT.replace("kept", "again"), "--cache-to", f"{right},mode=max")
        engine.nakagin("builder", "prune", "-af")
        said = build(engine, folder, _TEXT.replace("kept", "again"), "--cache-from", right)
        assert said.count("CACHED") == 3, "a cache that is written again is the newer one"
        assert "can not be used" in build(engine, folder, _TEXT, "--cache-from", wrong)
        assert "status 403" in build(engine, folder, _TEXT, "--cache-to", wrong, check=1)
        assert server.refused
        build(engine, folder, _TEXT, "--cache-to", f"{wrong},ignore-error=true")
        secret = right.rpartition("=")[2] if kind != "azblob" else _KEY
        assert secret not in said
        if kind != "gha":
            nowhere = right.replace("bkt", "none").replace("=cached", "=none")
            assert "no such bucket" in build(
                engine, folder, _TEXT, "--no-cache", "--cache-to", nowhere, check=1
            )


@pytest.mark.root
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("type=s3,bucket=x", "needs region and access_key_id and secret_access_key"),
        ("type=azblob,account_url=https://a.example.org,secret_access_key=?", "not base64"),
        ("type=azblob,account_url=a,secret_access_key=YQ==", "invalid account_url"),
        ("type=gha", "needs url_v2 and token (inside a GitHub action"),
        ("type=s4", "unknown cache type"),
    ],
)
def test_what_is_missing_is_told(engine: ScratchEngine, folder: Path, text: str, words: str) -> None:
    assert words in build(engine, folder, "FROM busybox\n", "--cache-to", text, check=1)


def test_what_the_environment_knows_is_filled_in() -> None:
    known = {
        "ACTIONS_RESULTS_URL": "https://r/", "ACTIONS_RUNTIME_TOKEN": "t", "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "key", "AWS_DEFAULT_REGION": "here", "AZURE_STORAGE_KEY": "YQ==",
    }  # fmt: skip
    told, _ = caches(
        ["type=gha,scope=s", "type=s3,bucket=b,region=there", "type=azblob,account_url=u", "name"],
        "to",
        known,
    )
    assert told == [
        "type=gha,scope=s,url_v2=https://r/,token=t",
        "type=s3,bucket=b,region=there,access_key_id=id,secret_access_key=key",
        "type=azblob,account_url=u,secret_access_key=YQ==",
        "name",
    ]


def test_the_signature_is_that_of_amazons_own_client() -> None:
    """The marks were made by botocore for the same requests at the same moment."""
    attributes = {
        "bucket": "bkt",
        "region": "eu-west-1",
        "access_key_id": "AKID",
        "secret_access_key": "SECRET",
    }

    def now() -> float:
        return calendar.timegm((2026, 12, 1, 4, 5, 6))

    found = S3(attributes, now).signed("GET", "pre/manifests/a b.nakagin")
    assert str(found.url) == "https://bkt.s3.eu-west-1.amazonaws.com/pre/manifests/a%20b.nakagin"
    assert found.headers["Authorization"].endswith(
        "=4e5aa0a5d3ba089d290f13cfdda4ea216aba8c77fb5739a402aab30b26c58fe0"
    )
    more = {"session_token": "tok", "endpoint_url": "http://127.0.0.1:9000", "use_path_style": "true"}
    digest = hashlib.sha256(b"hello").hexdigest()
    found = S3({**attributes, **more}, now).signed("PUT", "blobs/sha256:abc", size=5, digest=digest)
    assert found.headers["Authorization"].endswith(
        "=8a04d1209ef0851915b3952b0ffcc54da5f3c0ea08481bf0a7652fbdd9507124"
    )
