from __future__ import annotations

from typing import Any

import pytest

from nakagin.dockerfile import instructions as i
from nakagin.dockerfile.apply import ConfigEditor
from nakagin.dockerfile.fault import DockerfileError
from nakagin.dockerfile.fill import fill
from nakagin.dockerfile.mounts import parse_mount
from nakagin.dockerfile.scope import Globals, Scope
from nakagin.dockerfile.stages import read


def one(line: str) -> Any:
    """The single instruction of a stage."""
    return read(f"FROM x\n{line}").stages[0].instructions[0]


def test_stages_are_found_by_name_and_number() -> None:
    file = read("ARG V=1\nFROM a:$V AS One\nRUN x\nFROM one as two\nFROM --platform=$BUILDPLATFORM two\n")
    assert [stage.name for stage in file.stages] == ["one", "two", "2"]
    assert file.stage("ONE") is file.stages[0]
    assert file.stage("1") is file.stages[1]
    assert file.stage("two", before=1) is None
    assert file.target("") is file.stages[2]
    assert file.stages[2].base.platform == "$BUILDPLATFORM"
    assert file.arguments[0].arguments == (("V", "1"),)


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        pytest.param("FROM a\nRUNN b", 2, "unknown instruction: RUNN", "mean RUN?", id="DF.syntax.unknown-instruction"),
        pytest.param("RUN a", 1, "no build stage", "begin with FROM IMAGE", id="DF.syntax.first-from"),
        ("ARG a", 0, "file with no FROM", "begin with FROM"),
        ("FROM a b", 1, "FROM requires either one or three arguments", "FROM IMAGE AS NAME"),
        ("FROM a AS 1x", 1, "invalid name for build stage: '1x'", "a letter first"),
        ("FROM --plattform=x a", 1, "unknown flag: --plattform", "did you mean --platform?"),
        ("FROM a\nCOPY a", 2, "COPY requires at least two arguments", ""),
        ("FROM a\nCOPY --link=maybe a b", 2, "expecting boolean value for flag --link, not: maybe", ""),
        ("FROM a\nCOPY --chown=a --chown=b a b", 2, "duplicate flag specified: --chown", ""),
        ("FROM a\nCOPY --from a b", 2, "missing a value on flag: --from", "--from=VALUE"),
        ("FROM a\nUSER", 2, "USER requires exactly one argument", ""),
        ("FROM a\nSHELL sh -c", 2, "SHELL requires the arguments to be in JSON form", ""),
        pytest.param("FROM a\nONBUILD ONBUILD RUN x", 2, "Chaining ONBUILD", "", id="DF.onbuild.no-chain"),
        ("FROM a\nONBUILD FROM x", 2, "FROM isn't allowed as an ONBUILD trigger", ""),
        ("FROM a\nHEALTHCHECK CDM x", 2, "unknown type 'CDM'", "did you mean CMD?"),
        ("FROM a\nHEALTHCHECK --interval=5 CMD x", 2, "invalid duration", "30s"),
        ("FROM a\nRUN --network=hots x", 2, "invalid value 'hots'", "did you mean host?"),
        ("FROM a\nRUN --mount=type=cahce,target=/x x", 2, "unsupported mount type 'cahce'", "did you mean cache?"),
        ("FROM a\nRUN --mount=target=/x,sized=3 x", 2, "unexpected key 'sized'", "bind takes"),
        pytest.param("FROM a\nRUN --mount=type=cache x", 2, "cache mount needs a target", "", id="DF.run.mount.target"),
        ("FROM a\nENV =x", 2, "ENV names can not be blank", ""),
        ("FROM a\nCOPY <<EOF <<F\nEOF\nF\n", 2, "COPY cannot accept a heredoc as a destination", ""),
    ],
)  # fmt: skip
def test_mistakes(text: str, line: int, message: str, hint: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        read(text)
    assert caught.value.start == line
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")


def test_a_target_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(DockerfileError, match=r"did you mean release\?"):
        read("FROM a AS release").target("relaese")


def test_copy_and_add() -> None:
    copy = one(
        "COPY --from=build --chown=a:b --chmod=u=rwX --link --parents --exclude=*.o --exclude=x a b /c/"
    )
    assert (copy.origin, copy.chown, copy.chmod, copy.link, copy.parents) == (
        "build",
        "a:b",
        "u=rwX",
        True,
        True,
    )
    assert (copy.sources, copy.destination, copy.exclude) == (("a", "b"), "/c/", ("*.o", "x"))
    add = one("ADD --checksum=sha256:1 --keep-git-dir --unpack=false https://x/y /c")
    assert (add.checksum, add.keep_git_dir, add.unpack) == ("sha256:1", True, False)


def test_inline_documents_are_no_sources() -> None:
    copy = one("COPY <<A plain <<'B' /dir/\n$x\nA\n$y\nB\n")
    assert copy.sources == ("plain",)
    filled, unset = fill(copy, {"x": "1"})
    assert [(each.name, each.body) for each in filled.documents] == [("A", "1\n"), ("B", "$y\n")]
    assert unset == frozenset()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("target=/x", {"kind": "bind", "target": "/x"}, id="DF.run.mount.bind"),
        pytest.param("dst=/x,source=/y,rw", {"source": "/y", "read_only": False}, id="DF.run.mount.bind.rw"),
        pytest.param("dst=/x,from=z,ro", {"origin": "z", "read_only": True}, id="DF.run.mount.bind.from"),
        pytest.param("type=cache,target=/x,id=i", {"id": "i", "sharing": "shared"}, id="DF.run.mount.cache.id"),
        pytest.param("type=cache,target=/x,mode=0700,uid=1", {"mode": 448, "uid": 1}, id="DF.run.mount.cache.mode"),
        pytest.param("type=tmpfs,target=/x,size=1m", {"size": 1 << 20}, id="DF.run.mount.tmpfs.size"),
        pytest.param("type=secret,id=s,env=S,required", {"variable": "S"}, id="DF.run.mount.secret.env"),
        pytest.param("type=ssh,required=false", {"kind": "ssh", "required": False}, id="DF.run.mount.ssh"),
        ('"target=/a,b",type=bind', {"target": "/a,b"}),
    ],
)  # fmt: skip
def test_mounts(text: str, expected: dict[str, object]) -> None:
    mount = parse_mount(text)
    assert {name: getattr(mount, name) for name in expected} == expected


def test_variables_in_mounts_can_not_add_fields() -> None:
    mount = parse_mount("type=cache,target=$T,from=$F", lambda text: text.replace("$T", "/x,id=evil"))
    assert (mount.target, mount.id, mount.origin) == ("/x,id=evil", "", "$F")


def test_scopes_of_arguments() -> None:
    file = read(
        "ARG VERSION=1\nARG FULL=${VERSION}.0\nFROM a:$FULL\n"
        "ARG VERSION\nARG OTHER=x$VERSION\nENV OTHER=env\nARG LATE\n"
    )
    outer = Globals(
        file.arguments,
        {"VERSION": "2", "LATE": "l", "http_proxy": "p", "NOBODY": "n"},
        {"TARGETARCH": "amd64"},
    )
    assert outer.values == {"TARGETARCH": "amd64", "VERSION": "2", "FULL": "2.0"}
    scope = Scope(outer, {"PATH": "/bin"})
    seen = []
    for instruction in file.stages[0].instructions:
        filled, _ = fill(instruction, scope.variables)
        assert isinstance(filled, i.Arg | i.Env)
        scope.enter(filled)
        seen.append({key: scope.variables[key] for key in scope.variables if key != "PATH"})
    assert seen == [
        {"VERSION": "2"},
        {"VERSION": "2", "OTHER": "x2"},
        {"VERSION": "2", "OTHER": "env"},
        {"VERSION": "2", "OTHER": "env", "LATE": "l"},
    ]
    assert outer.unused() == {"NOBODY"}
    assert scope.proxies() == {"http_proxy": "p"}


@pytest.mark.parametrize(
    ("line", "environment", "unset"),
    [
        ("COPY $A $B /x", {"A": "1"}, {"B"}),
        ("RUN echo $A", {}, set()),
        ("CMD echo $A", {}, set()),
        ("EXPOSE $A", {"A": "80 81"}, set()),
        ("WORKDIR ${A:-x}", {}, set()),
    ],
)
def test_undefined_names_are_gathered(line: str, environment: dict[str, str], unset: set[str]) -> None:
    assert fill(one(line), environment)[1] == unset


def test_all_substitutions_see_the_environment_before_the_instruction() -> None:
    """DF.var.same-instruction"""
    filled, _ = fill(one("ENV A=2 B=$A"), {"A": "1"})
    assert filled.pairs == (("A", "2"), ("B", "1"))


def test_the_config_of_an_image() -> None:
    editor = ConfigEditor({"Cmd": ["old"], "Env": ["A=1", "B=2"], "WorkingDir": "/w"})
    lines = (
        'ENTRYPOINT ["e"]\nENV A=3 C=4\nWORKDIR ../x/./y\nSHELL ["bash", "-c"]\nCMD hi $A\nEXPOSE 80 53/UDP 7-8\n'
        "LABEL a=b\nMAINTAINER me\nUSER u:g\nSTOPSIGNAL 9\nVOLUME /a /b\nONBUILD RUN --network=none x  y\n"
        "HEALTHCHECK --interval=1s CMD c\n"
    )
    for instruction in read(f"FROM x\n{lines}").stages[0].instructions:
        assert editor.apply(fill(instruction, editor.environment)[0])
    assert editor.author == "me"
    assert editor.config == {
        "Entrypoint": ["e"],
        "Cmd": ["bash", "-c", "hi $A"],
        "Env": ["A=3", "B=2", "C=4"],
        "WorkingDir": "/x/y",
        "Shell": ["bash", "-c"],
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}, "7/tcp": {}, "8/tcp": {}},
        "Labels": {"a": "b"},
        "User": "u:g",
        "StopSignal": "9",
        "Volumes": {"/a": {}, "/b": {}},
        "OnBuild": ["RUN --network=none x  y"],
        "Healthcheck": {"Test": ["CMD-SHELL", "c"], "Interval": 10**9},
    }


def test_an_entry_point_of_our_own_ends_the_command_of_the_base() -> None:
    """DF.cmd.reset"""
    editor = ConfigEditor({"Cmd": ["old"]})
    editor.apply(one('ENTRYPOINT ["e"]'))
    assert "Cmd" not in editor.config
    assert not editor.apply(one("RUN x"))
    assert isinstance(one("RUN x"), i.Run)
