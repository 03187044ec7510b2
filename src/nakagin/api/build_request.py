"""The parameters of a build, as POST /build has them in its query and POST /nakagin/build in a form, as one value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from nakagin.build.attestations import wanted
from nakagin.build.outputs import OutputSpec
from nakagin.build.request import BuildRequest
from nakagin.errors import Invalid
from nakagin.spec.docker import HostConfig, Ulimit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nakagin.api.call import Call

_Texts = tuple[str, ...]


class _Output(msgspec.Struct, frozen=True, rename="pascal"):
    """As Docker's API writes an output."""

    type: str = ""
    attrs: dict[str, str] = {}


def build_request(call: Call) -> BuildRequest:
    """Read every parameter. Raises Invalid, naming the one that is wrong."""
    return BuildRequest(
        dockerfile=call.text("dockerfile") or "Dockerfile",
        text=call.query.get("text"),
        ignore=call.query.get("ignore"),
        remote=call.text("remote"),
        names=tuple(call.texts("t")),
        target=call.text("target"),
        arguments=_decoded(call, "buildargs", dict[str, str | None], {}),
        labels=_decoded(call, "labels", dict[str, str], {}),
        annotations=_decoded(call, "annotations", _Texts, ()),
        host=_host(call),
        platforms=tuple(each for value in call.texts("platform") for each in value.split(",") if each),
        no_cache=call.flag("nocache"),
        no_cache_stages=frozenset(name.lower() for name in _decoded(call, "nocachefilter", _Texts, ())),
        pull=call.flag("pull"),
        attestations=wanted(_decoded(call, "attestations", dict[str, dict[str, str]], {})),
        vcs=_decoded(call, "vcs", dict[str, str], {}),
        squash=call.flag("squash"),
        contexts={
            name.lower(): where for name, where in _decoded(call, "contexts", dict[str, str], {}).items()
        },
        outputs=tuple(
            OutputSpec(each.type, each.attrs) for each in _decoded(call, "outputs", tuple[_Output, ...], ())
        ),
        cache_from=_decoded(call, "cachefrom", _Texts, ()),
        cache_to=_decoded(call, "cacheto", _Texts, ()),
        allow=frozenset(_decoded(call, "allow", _Texts, ())),
        on_error=call.text("onerror"),
        call=call.text("call"),
        explain=call.flag("explain"),
    )


def secrets_and_agents(call: Call) -> tuple[frozenset[str], frozenset[str]]:
    """The names of the secrets and ssh agents that the client can be asked for."""
    return frozenset(_decoded(call, "secrets", _Texts, ())), frozenset(_decoded(call, "ssh", _Texts, ()))


def _host(call: Call) -> HostConfig:
    return HostConfig(
        memory=call.number("memory") or 0, memory_swap=call.number("memswap") or 0,
        cpu_shares=call.number("cpushares") or 0, cpu_period=call.number("cpuperiod") or 0,
        cpu_quota=call.number("cpuquota") or 0, cpuset_cpus=call.text("cpusetcpus"),
        cpuset_mems=call.text("cpusetmems"), shm_size=call.number("shmsize") or 0,
        cgroup_parent=call.text("cgroupparent"), network_mode=call.text("networkmode"),
        extra_hosts=tuple(_hosts(call)), ulimits=_decoded(call, "ulimits", tuple[Ulimit, ...], ()),
    )  # fmt: skip


def _hosts(call: Call) -> Iterator[str]:
    for value in call.texts("extrahosts"):
        yield from value.split(",")


def _decoded(call: Call, key: str, kind: Any, default: Any) -> Any:
    text = call.text(key)
    if not text or text == "null":
        return default
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError as error:
        raise Invalid(f"invalid {key}: {error}") from None
