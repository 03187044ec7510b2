"""The name server as containers meet it: own names, upstream servers of every character, damage."""

from __future__ import annotations

import os
import random
import socket
import threading
import time

import pytest
from tests.engine_fixture import await_until
from tests.network.nameserver_fixture import Upstream, addressed, failing, readable, scene
from tests.network.sandbox import Host, in_namespace
from tests.network.test_dns import query

from nakagin.kernel import netlink
from nakagin.network import control, dns

pytestmark = pytest.mark.root


def code(reply: bytes) -> int:
    return dns.code_of(reply)


@in_namespace
def test_own_names_need_no_upstream() -> None:
    with scene() as here:
        assert here.find("web") == here.find("WEB") == here.find("alias.net1") == ["10.50.0.2"]
        assert here.find("web", dns.AAAA) == ["fd50::2"]
        assert sorted(here.find("web", dns.ANY)) == ["10.50.0.2", "fd50::2"]
        assert b"\3web\4net1\0" in here.ask("2.0.50.10.in-addr.arpa", dns.PTR)
        reply = here.ask("web", 15)
        assert (code(reply), reply[6:8]) == (dns.NOERROR, b"\0\0")  # known, but no MX
        here.put("c4", ["four"], ["10.50.0.4"])
        reply = here.ask("four", dns.AAAA)
        assert (code(reply), reply[6:8]) == (dns.NOERROR, b"\0\0")
        assert code(here.ask("nobody")) == dns.SERVFAIL
        assert [dns.addresses_in(each)[0][0] for each in here.ask_by_stream("web", "four")] == [
            "10.50.0.2",
            "10.50.0.4",
        ]
        assert here.counters()["c1"]["Local"] == 10


@in_namespace
def test_a_service_has_its_addresses_in_turn() -> None:
    with scene() as here:
        here.put("c2", ["two", "svc"], ["10.50.0.3"])
        here.put("c3", ["three", "svc"], ["10.50.0.4"])
        firsts = [here.find("svc")[0] for _ in range(6)]
        assert sorted(firsts) == ["10.50.0.2"] * 2 + ["10.50.0.3"] * 2 + ["10.50.0.4"] * 2
        for number in range(100):
            here.put(f"m{number}", ["many"], [f"10.50.1.{number}"])
        cut = here.ask("many", size=0)
        assert len(cut) <= 512
        assert cut[2] & 2
        assert len(here.find("many")) == 74
        assert len(dns.addresses_in(here.ask_by_stream("many")[0])) == 100


@in_namespace
def test_changes_are_heard_before_the_next_answer() -> None:
    with scene() as here:
        for number in range(200):
            here.put("c2", ["moving"], [f"10.50.2.{number}"])
            assert here.find("moving") == [f"10.50.2.{number}"]
        here.tell(do="drop", network="n1", id="c2")
        assert code(here.ask("moving")) == dns.SERVFAIL


@in_namespace
def test_the_container_may_have_a_server_of_its_own() -> None:
    with scene() as here:
        with here.client.inside():
            own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            own.bind(("0.0.0.0", 53))
            listener = socket.create_server(("0.0.0.0", 53))
        assert here.find("web") == ["10.50.0.2"]
        assert len(here.ask_by_stream("web")) == 1
        with here.client.open(socket.SOCK_DGRAM) as asking:
            asking.sendto(b"hello", ("127.0.0.1", 53))
            assert own.recv(100) == b"hello"
        own.close()
        listener.close()


@in_namespace
def test_slow_dead_and_lying_servers() -> None:
    released = threading.Event()

    def slowly(asked: bytes) -> bytes:
        released.wait(30)
        time.sleep(1)  # the character of this server
        return addressed("9.9.9.1")(asked)

    def lying(asked: bytes) -> bytes:
        other = query("other", number=int.from_bytes(asked[:2], "big"))
        return addressed("6.6.6.6")(other)

    def forging(asked: bytes) -> bytes:
        return bytes([asked[0] ^ 1]) + addressed("6.6.6.6")(asked)[1:]

    with scene() as here:
        slow = Upstream(here.upstream, "10.60.0.3", slowly)
        good = Upstream(here.upstream, "10.60.0.4", addressed("9.9.9.2"))
        liar = Upstream(here.upstream, "10.60.0.5", lying)
        Upstream(here.upstream, "10.60.0.6", forging)
        here.servers("10.60.0.3", "10.60.0.99", "10.60.0.5", "10.60.0.6", "10.60.0.4")
        assert here.find("outside.example") == ["9.9.9.2"], "while the first server is silent"
        released.set()
        await_until(lambda: slow.asked and liar.asked, "all servers are asked")
        assert slow.asked[0] == good.asked[0] == liar.asked[0] == "outside.example"
        assert good.clients == {"10.50.0.2"}  # asked from the container's own namespace
        here.servers("10.60.0.99", "10.60.0.5", "10.60.0.3")
        assert here.find("outside.example") == ["9.9.9.1"]
        here.servers("10.60.0.99", "10.60.0.6")
        began = time.monotonic()
        assert code(here.ask("nobody.example")) == dns.SERVFAIL
        assert 3 < time.monotonic() - began < 20


@in_namespace
def test_what_counts_as_an_answer() -> None:
    with scene() as here:
        one = Upstream(here.upstream, "10.60.0.3", failing(dns.NXDOMAIN))
        two = Upstream(here.upstream, "10.60.0.4", addressed("9.9.9.2"))
        here.servers("10.60.0.4", "10.60.0.3")
        assert here.find("split.example") == ["9.9.9.2"]  # not the faster "no" of the second
        here.servers("10.60.0.3", "10.60.0.4")
        one.reply, two.reply = failing(dns.SERVFAIL), addressed("9.9.9.3")
        assert here.find("broken.example") == ["9.9.9.3"]
        one.reply = failing(dns.REFUSED)
        two.reply = failing(dns.NXDOMAIN)
        assert code(here.ask("none.example")) == dns.NXDOMAIN
        two.reply = failing(dns.SERVFAIL)
        assert code(here.ask("none.example")) in {dns.REFUSED, dns.SERVFAIL}
        figures = here.counters()["c1"]
        assert (figures["Forwarded"], figures["Failed"]) == (4, 1)


@in_namespace
def test_a_cut_answer_is_asked_for_again_by_tcp() -> None:
    def cut(asked: bytes) -> bytes:
        return dns.answer(
            asked, dns.read_question(asked), dns.addresses_as_records(["1.1.1.1"] * 50), limit=100
        )

    with scene() as here:
        Upstream(here.upstream, "10.60.0.3", cut, stream=addressed(*["9.9.9.9"] * 50))
        here.servers("10.60.0.3", "10.60.0.99")
        assert here.ask("large.example")[2] & 2
        assert len(dns.addresses_in(here.ask_by_stream("large.example")[0])) == 50


@in_namespace
def test_servers_of_the_hosts_loopback_and_of_the_container() -> None:
    with scene() as here:
        local = Upstream(None, "127.0.0.53", addressed("9.9.9.1"))
        own = Upstream(here.upstream, "10.60.0.3", addressed("9.9.9.2"))
        here.servers("127.0.0.53")
        assert here.find("a.example") == ["9.9.9.1"]
        here.look("c1", servers=["10.60.0.3", "127.0.0.11"])
        assert here.find("a.example") == ["9.9.9.2"]
        assert (len(local.asked), len(own.asked)) == (1, 1)


@in_namespace
def test_a_server_that_only_the_host_reaches() -> None:
    with scene() as here:
        with netlink.Socket() as kernel:
            kernel.send([netlink.add_address(1, "lo", "fd60::2/128")])
        Upstream(None, "fd60::2", addressed("9.9.9.6"))
        here.servers("fd60::2")
        assert here.find("six.example") == ["9.9.9.6"]


@in_namespace
def test_internal_networks_do_not_ask_outside() -> None:
    with scene() as here:
        outside = Upstream(None, "127.0.0.53", addressed("9.9.9.1"))
        here.servers("127.0.0.53")
        here.look("c1", outside=False)
        assert here.ask("a.example")[2:4] == b"\x81\x05"  # refused, no recursion
        assert here.find("web") == ["10.50.0.2"]
        assert outside.asked == []
        own = Upstream(here.upstream, "10.60.0.3", addressed("9.9.9.2"))
        here.look("c1", outside=False, servers=["10.60.0.3"])  # one that it reaches by itself
        assert here.find("a.example") == ["9.9.9.2"]
        assert own.asked == ["a.example"]


@in_namespace
def test_guarded_networks_ask_the_engine_first() -> None:
    with scene() as here:
        Upstream(here.upstream, "10.60.0.3", addressed("9.9.9.2"))
        here.servers("10.60.0.3")
        here.look("c1", guarded=True)
        with here.client.open(socket.SOCK_DGRAM) as asking:
            asking.connect(("127.0.0.11", 53))
            asking.send(query("good.example"))
            may = here.hear()
            assert (may["do"], may["id"], may["name"]) == ("may", "c1", "good.example")
            here.tell(do="decided", question=may["question"], allowed=True)
            resolved = here.hear()
            assert (resolved["do"], resolved["addresses"]) == ("resolved", [["9.9.9.2", dns.TTL]])
            assert not readable(asking, 0.1)  # not before the firewall is open
            here.tell(do="decided", question=resolved["question"], allowed=True)
            assert dns.addresses_in(asking.recv(512)) == [("9.9.9.2", dns.TTL)]
            asking.send(query("bad.example"))
            here.tell(do="decided", question=here.hear()["question"], allowed=False)
            assert code(asking.recv(512)) == dns.REFUSED


@in_namespace
def test_damaged_questions() -> None:
    with scene() as here:
        dice = random.Random(5)
        good = query("web", size=1232)
        with here.client.open(socket.SOCK_DGRAM) as asking:
            asking.connect(("127.0.0.11", 53))
            for _ in range(3000):
                damaged = bytearray(good)
                for _ in range(dice.randint(1, 8)):
                    damaged[dice.randrange(len(damaged))] = dice.randrange(256)
                asking.send(bytes(damaged[: dice.randint(0, len(damaged))]))
                asking.send(dice.randbytes(dice.randint(0, 100)))
        for noise in (b"\0", b"\0\0", b"\xff\xff" + dice.randbytes(70000), b"\0\3abc"):
            with here.client.connect("127.0.0.11", 53) as stream:
                try:
                    stream.sendall(noise)
                    stream.settimeout(0.2)
                    stream.recv(100)
                except OSError:
                    pass
        assert here.find("web") == ["10.50.0.2"]
        assert here.process.poll() is None
        assert here.counters()["c1"]["Malformed"] > 500


@in_namespace
def test_a_door_closes_with_its_container() -> None:
    with scene() as here:
        other = Host()
        control.Knock(here.path, "c2", other.pid).opened()
        assert set(here.counters()) == {"c1", "c2"}
        other.close()
        await_until(lambda: set(here.counters()) == {"c1"}, "the door of c2 to close")


@in_namespace
def test_another_engine_tells_everything_anew() -> None:
    with scene() as here:
        here.engine.close()
        assert here.find("web") == ["10.50.0.2"]  # without any engine
        here.engine = control.connect(here.path)
        here.engine.settimeout(10)
        here.tell(do="begin")
        here.put("c1", ["renamed"], ["10.50.0.2"])
        here.look("c1")
        here.tell(do="end")
        assert here.hear() == {"doors": ["c1"]}
        assert here.find("renamed") == ["10.50.0.2"]
        assert code(here.ask("web")) == dns.SERVFAIL
        here.tell(do="begin")
        here.tell(do="end")
        assert here.hear() == {"doors": []}  # its engine does not know it


@in_namespace
def test_a_server_on_a_bridge() -> None:
    with scene() as here:
        Upstream(None, "127.0.0.53", addressed("9.9.9.1"))
        here.servers("127.0.0.53")
        here.tell(do="bridge", device="inner", address="10.50.0.1")
        assert here.hear() == {"open": "bridge inner"}
        for host, answered in ((here.client, True), (here.upstream, False)):
            with host.open(socket.SOCK_DGRAM) as asking:
                asking.sendto(query("a.example"), ("10.50.0.1", 53))
                assert readable(asking, 2 if answered else 0.3) == answered


@in_namespace
def test_many_questions_at_once_do_not_starve_others() -> None:
    with scene() as here:
        here.servers("10.60.0.99")  # nobody there
        with here.client.open(socket.SOCK_DGRAM) as asking:
            asking.connect(("127.0.0.11", 53))
            for number in range(600):
                asking.send(query(f"x{number}.example", number=number))
            began = time.monotonic()
            assert here.find("web") == ["10.50.0.2"]
            assert time.monotonic() - began < 4, "the others are given up after 4.5 seconds"
        assert here.counters()["c1"]["LastError"] == "too many questions at once"
        assert len(os.listdir(f"/proc/{here.process.pid}/fd")) < 400
