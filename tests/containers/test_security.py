"""Capabilities, security options and the choice of the seccomp filter."""

from __future__ import annotations

import pytest

from nakagin.containers import security
from nakagin.containers.defaults import CAPABILITIES
from nakagin.errors import Invalid
from nakagin.spec.docker import HostConfig

KNOWN = frozenset({*CAPABILITIES, "CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_SYS_RESOURCE"})


def caps(add: tuple[str, ...] = (), drop: tuple[str, ...] = (), *, privileged: bool = False) -> set[str]:
    return set(security.capabilities(privileged, add, drop, KNOWN, KNOWN - {"CAP_SYS_RESOURCE"}))


def test_capabilities() -> None:
    assert caps() == set(CAPABILITIES)
    assert caps(add=("net_admin",), drop=("CAP_CHOWN",)) == set(CAPABILITIES) - {"CAP_CHOWN"} | {
        "CAP_NET_ADMIN"
    }
    assert caps(drop=("all",)) == set()
    assert caps(add=("KILL",), drop=("ALL",)) == {"CAP_KILL"}
    assert caps(add=("ALL",), drop=("SYS_ADMIN",)) == KNOWN - {"CAP_SYS_ADMIN", "CAP_SYS_RESOURCE"}
    assert caps(privileged=True) == KNOWN - {"CAP_SYS_RESOURCE"}, "all, as far as the engine holds them"
    with pytest.raises(Invalid, match='invalid capability: "fly"'):
        caps(add=("fly",))


def test_security_options() -> None:
    parsed = security.parse_options(
        ["no-new-privileges", "apparmor=off", "label=disable", "seccomp:unconfined"]
    )
    assert parsed == security.SecurityOptions("unconfined", True, "off", ("disable",))
    assert (
        security.parse_options(["no-new-privileges:false"], no_new_privileges=True).no_new_privileges is False
    )
    for wrong in ("colour=red", "no-new-privileges=perhaps", "label=odd", "seccomp={"):
        with pytest.raises(Invalid):
            security.parse_options([wrong])


def test_what_this_machine_cannot_apply_is_said() -> None:
    def said(*options: str, has_apparmor: bool = False) -> str:
        return " ".join(security.unapplied(security.parse_options(options), has_apparmor=has_apparmor))

    assert "profile strict is not applied" in said("apparmor=strict")
    assert said("apparmor=strict", has_apparmor=True) == said("apparmor=unconfined") == said() == ""
    assert "SELinux labels are not applied" in said("label=type:svirt_t")
    assert said("label=disable") == ""


def test_seccomp_filter_follows_capabilities_and_is_made_once() -> None:
    def chosen(
        option: str = "", *, privileged: bool = False, standard: str = "", names: tuple[str, ...] = ()
    ) -> object:
        return security.seccomp_filter(
            security.SecurityOptions(option), privileged, standard, names, "x86_64", "6.1.0"
        )

    assert chosen() is chosen()
    assert chosen("unconfined") is chosen(privileged=True) is chosen(standard="unconfined") is None
    assert chosen(names=("CAP_SYS_ADMIN",)) != chosen()
    own = '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}'
    assert chosen(own, privileged=True) == chosen(standard=own) != chosen()


def test_paths() -> None:
    assert "/proc/kcore" in security.masked_paths(HostConfig())
    assert (
        security.masked_paths(HostConfig(masked_paths=()))
        == security.readonly_paths(HostConfig(privileged=True))
        == []
    )
