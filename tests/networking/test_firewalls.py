"""Our table beside those of others, and after somebody else's flush."""

from __future__ import annotations

import pytest

from tests.engine_fixture import await_until
from tests.network_fixture import CLIENT, CLIENT6, HOST, NetworkedEngine, says
from tests.networking.conftest import Make, Run

pytestmark = pytest.mark.root


def test_a_foreign_table_has_the_last_word(net: NetworkedEngine, network: Make, run: Run) -> None:
    one = run("--network", network(), "-p", "8160:80")
    net.on_host("nft", "add table inet theirs")
    try:
        net.on_host("nft", "add chain inet theirs forward { type filter hook forward priority 10; }")
        net.on_host("nft", f"add rule inet theirs forward ip daddr {CLIENT} drop")
        assert says(one, CLIENT, 80, seconds=0.3) == "", "what it drops stays dropped"
        assert says(one, "10.99.0.4", 8160, seconds=0.2) == ""
        run("--network", network(), "-p", "8161:80")
        assert f"ip daddr {CLIENT} drop" in net.rules(), "and it is never touched"
    finally:
        net.on_host("nft", "delete table inet theirs")
    assert says(one, CLIENT, 80).startswith("client 80")
    assert says(net.lan.client, HOST, 8160) == f"{one.name} 80 {CLIENT}"


@pytest.mark.parametrize(
    "harm",
    [
        "flush ruleset",
        "delete table inet TABLE",
        "flush chain inet TABLE forward",
        "flush map inet TABLE ports4",
        "insert rule inet TABLE forward drop",
        "add element inet TABLE ports4 { tcp . 1 : 10.0.0.1 . 1 }",
    ],
)
def test_whatever_is_done_to_the_table_is_undone(
    net: NetworkedEngine, network: Make, run: Run, harm: str
) -> None:
    name = network("--ipv6")
    one = run("--network", name, "-p", "8162:80")
    before = net.rules()
    net.on_host("nft", harm.replace("TABLE", f"nakagin_{net.instance}"))
    await_until(lambda: _counted(net.rules()) == _counted(before), f"the table to be as before {harm}", 5)
    assert says(net.lan.client, HOST, 8162) == f"{one.name} 80 {CLIENT}"
    assert says(one, CLIENT6, 80).startswith("client 80")
    assert net.nakagin("explain", name).stdout.endswith("The kernel is as recorded.\n")


def _counted(rules: str) -> list[str]:
    """The rules without what counts up, and without the order in which nft lists hashed elements."""
    words = rules.replace(",", " ").split()
    skipped = [place for place, word in enumerate(words) if word in {"packets", "bytes"}]
    return sorted(word for place, word in enumerate(words) if place - 1 not in skipped)


def test_the_last_network_takes_the_table_along(net: NetworkedEngine) -> None:
    engine = NetworkedEngine()
    try:
        engine.start()
        assert "nakagin" not in engine.rules()
        for name in ("one", "two"):
            engine.docker("network", "create", name)
        assert engine.rules().count("table inet nakagin") == 1
        engine.docker("network", "rm", "one")
        assert "table inet nakagin" in engine.rules()
        engine.docker("network", "rm", "two")
        assert "nakagin" not in engine.rules()
        assert set(engine.links()) == {"lo", "eth0"}
    finally:
        assert not engine.close()


def test_explain_tells_what_is_wrong(net: NetworkedEngine, network: Make, run: Run) -> None:
    name = network("--ipv6")
    one = run("--network", name, "-p", "8163:80")
    shown = net.nakagin("explain", name).stdout
    for words in (
        name,
        one.name,
        "default route of IPv4 and IPv6",
        "0.0.0.0:8163/tcp",
        f" ─>  {one.name}  ",
        "bridge nk-",
        "table inet nakagin",
        "passes; this host's address is seen",
    ):
        assert words in shown, words
    veth = next(each for each in shown.split() if each.startswith("veth"))
    assert f"── {veth} ──┐\n" in shown
    assert "chain forward" in net.nakagin("explain", "--rules", name).stdout
    assert net.nakagin("network", "inspect", "--draw", name).stdout == shown
    # what is dropped is counted
    address = net.place(one.name, name)["IPAddress"]
    says(run("--network", network()), address, 80, seconds=0.3)
    assert "(1 packet dropped)" in net.nakagin("explain", name).stdout
    facts = net.nakagin("explain", "--format", "json", name).stdout
    assert '"Problems": []' in facts
    net.on_host("ip", "link", "set", veth, "down")
    assert (
        f"PROBLEM: interface {veth} of container {one.name} is down"
        in net.nakagin("explain", name, check=1).stdout
    )
    net.on_host("ip", "link", "set", veth, "up")
    assert "as any process of this host" in net.nakagin("explain", "host").stdout
    assert "No such container, image or network: nowhere" in net.nakagin("explain", "nowhere", check=1).stderr
