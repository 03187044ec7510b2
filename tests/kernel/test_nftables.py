from __future__ import annotations

import os
import select
import subprocess
import traceback

import pytest
from tests.network.sandbox import in_namespace

from nakagin.kernel import nftables
from nakagin.kernel.abi import CLONE_NEWPID
from nakagin.kernel.namespaces import unshare

pytestmark = pytest.mark.root


@in_namespace
def test_a_transaction_is_done_whole_or_not_at_all() -> None:
    nftables.run(
        "add table inet t\nadd set inet t s { type inet_service; }\nadd element inet t s { 80, 443 }\n"
    )
    with pytest.raises(OSError, match="nftables: "):
        nftables.run("add element inet t s { 8080 }\nadd element inet t missing { 1 }\n")
    listing = nftables.run("list table inet t")
    assert [item["set"]["elem"] for item in listing["nftables"] if "set" in item] == [[80, 443]]


@in_namespace
def test_errors_carry_their_number() -> None:
    with pytest.raises(FileNotFoundError):
        nftables.run("list table inet nobodys")
    with pytest.raises(OSError, match="syntax error"):
        nftables.run("make me a table")


@in_namespace
def test_only_changes_by_others_to_the_own_table_are_noticed() -> None:
    _notices()


@in_namespace
def test_an_engine_in_a_pid_namespace_knows_its_own_changes() -> None:
    unshare(CLONE_NEWPID)
    pid = os.fork()
    if pid == 0:
        try:
            _notices()
        except BaseException:  # noqa: BLE001 (the outermost frame of a process)
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _notices() -> None:
    def noticed(commands: str, *, by_us: bool) -> bool:
        if by_us:
            nftables.run(commands)
        else:
            subprocess.run(["nft", "-f", "-"], input=commands, text=True, check=True)
        assert select.select([watch], [], [], 5)[0]
        return watch.foreign_change()

    with nftables.Watch("mine") as watch:
        assert not noticed("add table inet mine\n", by_us=True)
        assert not noticed("add table inet other\n", by_us=False)
        assert noticed("add chain inet mine c\n", by_us=False)
        assert not noticed("add chain inet mine d\n", by_us=True)
        assert noticed("flush ruleset\n", by_us=False)
