"""What is said of an image when it is built: where it comes from, and what is in it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from docker import DockerClient
from tests.building.by_command import build
from tests.building.servers import Repository, git_server
from tests.engine_fixture import ScratchEngine
from tests.registry.faulty import FaultyRegistry

from nakagin.build.attestations import wanted
from nakagin.build.context import Context
from nakagin.build.inventory import packages_of, system_of
from nakagin.errors import Invalid

_SPDX, _SLSA = "https://spdx.dev/Document", "https://slsa.dev/provenance/v0.2"
_DPKG = """Package: libc6
Status: install ok installed
Maintainer: GNU Libc Maintainers <debian-glibc@lists.debian.org>
Architecture: amd64
Version: 1:2.36-9+deb12u10
Description: GNU C Library
 several lines

Package: gone
Status: deinstall ok config-files
Version: 1
"""
_APK = "C:Q1abc=\nP:musl\nV:1.2.5-r0\nA:x86_64\nL:MIT\n\nP:\nV:\n"


def get(api: DockerClient, path: str, **query: str) -> Any:
    answer = api.api.get(api.api._url(path), params=query, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def statements(api: DockerClient, name: str, **query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = get(api, f"/images/{name}/attestations", **query)
    return found


@pytest.mark.root
def test_an_image_with_its_papers(engine: ScratchEngine, api: DockerClient, folder: Path) -> None:
    """DF.output.sbom DF.output.provenance API.ImageAttestations API.ImageAttestations.type
    API.ImageAttestations.statement API.ImageAttestations.platform"""
    (folder / "status").write_text(_DPKG)
    text = (
        "FROM busybox AS base\nARG TOKEN\nRUN --mount=type=secret,id=key echo $TOKEN > /t\n"
        "FROM base\nCOPY status /var/lib/dpkg/status\n"
    )
    with FaultyRegistry() as registry:
        name = f"{registry.host}/papers:1"
        options = ("--build-arg", "TOKEN=told", "--label", "l=v", "-t", name, "--sbom=true")
        build(engine, folder, text, *options, "--provenance=mode=max,builder-id=here", "--push")
        shown = statements(api, name, statement="1")
        assert [each["PredicateType"] for each in shown] == [_SPDX, _SLSA]
        assert "Statement" not in statements(api, name)[0]
        assert [each["PredicateType"] for each in statements(api, name, type=_SLSA)] == [_SLSA]
        assert statements(api, "busybox") == []
        bill, provenance = (each["Statement"] for each in shown)
        assert bill["subject"] == provenance["subject"]
        (subject,) = bill["subject"]
        assert (
            subject["name"] == f"pkg:docker/{quote(registry.host, safe='')}/papers@1?platform=linux%2Famd64"
        )
        (package,) = (each for each in bill["predicate"]["packages"] if each["name"] == "libc6")
        assert package["versionInfo"] == "1:2.36-9+deb12u10"
        said = provenance["predicate"]
        assert said["builder"] == {"id": "here"}
        assert said["invocation"]["parameters"]["args"] == {"build-arg:TOKEN": "told", "label:l": "v"}
        assert said["invocation"]["parameters"]["secrets"] == [{"id": "key", "optional": True}]
        (material,) = said["materials"]
        assert material["uri"] == "pkg:docker/busybox@latest?platform=linux%2Famd64"
        source = said["metadata"]["https://mobyproject.org/buildkit@v1#metadata"]["source"]
        assert base64.b64decode(source["infos"][0]["data"]).decode() == text
        assert source["locations"]["step2"]["locations"][0]["ranges"][0]["start"] == {"line": 3}
        assert not said["metadata"]["https://mobyproject.org/buildkit@v1#hermetic"]

        index = json.loads(registry.manifests["papers", "1"][1])
        image, attestation = index["manifests"]
        assert attestation["platform"] == {"architecture": "unknown", "os": "unknown"}
        assert attestation["annotations"] == {
            "vnd.docker.reference.digest": image["digest"], "vnd.docker.reference.type": "attestation-manifest",
        }  # fmt: skip
        assert subject["digest"]["sha256"] == image["digest"].removeprefix("sha256:")
        listed = get(api, f"/images/{name}/json", manifests="1")["Manifests"]
        assert [each["Kind"] for each in listed] == ["image", "attestation"]
        assert listed[1]["AttestationData"] == {"For": image["digest"]}

        assert engine.nakagin("run", "--rm", name, "cat", "/t").stdout == "told\n"
        whole = json.loads(engine.nakagin("image", "attestations", name).stdout)
        assert whole == [bill, provenance]
        only = engine.nakagin(
            "image", "attestations", "--type", "sbom", "--platform", "linux/amd64", name
        ).stdout
        assert json.loads(only) == bill["predicate"]
        none = engine.nakagin("image", "attestations", "busybox", check=1).stderr
        assert "has no attestations (build it with --provenance=true --sbom=true)" in none
        archive = folder.parent / "saved.tar"
        engine.nakagin("save", "-o", str(archive), name)
        engine.nakagin("rmi", name)
        engine.nakagin("load", "-i", str(archive))
        assert len(statements(api, name)) == 2
        engine.nakagin("rmi", name)


@pytest.mark.root
def test_little_is_said_unless_much_is_asked(engine: ScratchEngine, folder: Path, tmp_path: Path) -> None:
    """DF.output.provenance: of the files in a folder; in version 1; from a repository; nothing of what was given."""
    out = tmp_path / "out"
    repository = Repository(tmp_path / "git" / "r.git")
    commit = repository.commit({"Dockerfile": "ARG A\nFROM scratch\nCOPY Dockerfile /f\n"})
    flags = ("build", "--build-arg", "A=private", "-o", str(out))
    with git_server(tmp_path / "git") as url:
        engine.nakagin(*flags, "--provenance=version=v1,reproducible=true", f"{url}/r.git#main")
    found = json.loads((out / "provenance.json").read_text())
    assert [each["name"] for each in found["subject"]] == ["f"]
    definition = found["predicate"]["buildDefinition"]
    source = {"uri": f"{url}/r.git#main", "digest": {"sha1": commit}}
    assert definition["externalParameters"]["configSource"] == {**source, "path": "Dockerfile"}
    assert definition["resolvedDependencies"] == [source]
    metadata = found["predicate"]["runDetails"]["metadata"]
    assert metadata["buildkit_hermetic"]
    assert metadata["buildkit_reproducible"]
    assert metadata["buildkit_completeness"] == {"request": False, "resolvedDependencies": True}
    assert "private" not in json.dumps(found)
    assert not (out / "sbom.spdx.json").exists()

    repository.git("remote", "add", "origin", "https://me:secret@example.org/r.git")
    (repository.folder / "new").write_text("")
    engine.nakagin(*flags, "--attest", "type=provenance", "--sbom=1", str(repository.folder))
    found = json.loads((out / "provenance.json").read_text())
    vcs = found["predicate"]["metadata"]["https://mobyproject.org/buildkit@v1#metadata"]["vcs"]
    assert vcs == {"revision": f"{commit}-dirty", "source": "https://example.org/r.git"}
    assert json.loads((out / "sbom.spdx.json").read_text())["predicateType"] == _SPDX


@pytest.mark.root
def test_none_where_none_is_wanted(engine: ScratchEngine, api: DockerClient, folder: Path) -> None:
    build(engine, folder, "FROM busybox\n", "--sbom=false", "--provenance=false", "-t", "plain-papers")
    assert statements(api, "plain-papers") == []
    engine.nakagin("rmi", "plain-papers")
    for flag, words in (
        ("--attest=mode=max", "has no type"),
        ("--attest=type=sbmo", "did you mean sbom?"),
        ("--provenance=mode=all", "min or max"),
        ("--provenance=verison=v1", "did you mean version?"),
    ):
        assert words in build(engine, folder, "FROM busybox\n", flag, check=1)


def test_what_buildkits_clients_say() -> None:
    assert not wanted({"provenance": {"mode": "min", "inline-only": "true"}, "sbom": {"disabled": "true"}})
    assert wanted({"sbom": {"sbom": "true"}}, strict=False).bill
    with pytest.raises(Invalid):
        wanted({"sbom": {"sbom": "true"}})


def test_the_inventory(tmp_path: Path) -> None:
    """Each package manager's own book, and nothing that is written elsewhere."""
    module = (
        b"0" * 16
        + b"path\texample.org/me\nmod\texample.org/me\tv1.2.3\th1:\ndep\tgolang.org/x/sys\tv0.1.0\n"
        + b"0" * 16
    )
    program = b"\x7fELF" + bytes(300_000) + b"\xff Go buildinf:\x08\x02" + bytes(16)
    program += bytes([8]) + b"go1.22.1" + bytes([0x80 | len(module) & 0x7F, len(module) >> 7]) + module
    files = {
        b"etc/os-release": b'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
        b"var/lib/dpkg/status": _DPKG.encode(),
        b"var/lib/dpkg/status.d/tzdata": b"Package: tzdata\nVersion: 2024a\nArchitecture: all\n",
        b"lib/apk/db/installed": _APK.encode(),
        b"usr/lib/python3/Flask_Cors-1.0.dist-info/METADATA": b"Name: Flask_Cors\nVersion: 1.0\nLicense: BSD\n\nbody",
        b"app/node_modules/@me/tool/package.json": b'{"name": "@me/tool", "version": "2.0.0", "license": "ISC"}',
        b"app/node_modules/broken/package.json": b"{",
        b"app/package.json": b'{"name": "app", "version": "9.9.9"}',
        b"usr/bin/tool": program,
    }  # fmt: skip
    context = Context.empty(str(tmp_path), files)
    context.look(b"usr/bin/tool").entry.mode = 0o755  # type: ignore[union-attr]
    assert system_of(context).name == "Debian GNU/Linux 12 (bookworm)"
    found = {each.purl: each for each in packages_of(context)}
    context.close()
    assert list(found) == [
        "pkg:apk/debian/musl@1.2.5-r0?arch=x86_64&distro=debian-12",
        "pkg:deb/debian/libc6@1%3A2.36-9%2Bdeb12u10?arch=amd64&distro=debian-12",
        "pkg:deb/debian/tzdata@2024a?arch=all&distro=debian-12",
        "pkg:golang/example.org/me@v1.2.3",
        "pkg:golang/golang.org/x/sys@v0.1.0",
        "pkg:npm/%40me/tool@2.0.0",
        "pkg:pypi/flask-cors@1.0",
    ]
    assert found["pkg:pypi/flask-cors@1.0"].license == "BSD"
    assert found["pkg:golang/example.org/me@v1.2.3"].found == "/usr/bin/tool"
