"""The arithmetic of capacity, and how it is shown."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from nakagin.capacity.measure import free_processors
from nakagin.capacity.model import UNLIMITED, Amounts, Demand, Host, answer, bounded
from nakagin.capacity.picture import shown, svg, text
from nakagin.capacity.verify import like, parse_budget
from nakagin.cli.quantities import parse_bytes

GIB = 1024**3
MACHINE = Host(
    Amounts(8, 16 * GIB, 100 * GIB, 1e9, 32768, 1e6, 128, 65533),
    Amounts(6, 8 * GIB, 50 * GIB, 1e9, 30000, 9e5, 128, 65000),
    frozenset({"network"}),
)


def test_the_scarcest_factor_binds() -> None:
    found = answer(MACHINE, Demand(Amounts(cpu=0.25, memory=GIB, pids=10), {"cpu": "your limit"}))
    assert (found.fits, found.binding) == (8, "memory")
    assert [row.factor for row in found.rows[:3]] == ["memory", "cpu", "pids"]
    assert found.headroom(found.rows[0]) == 0
    assert found.headroom(found.rows[1]) == pytest.approx(1 - 8 * 0.25 / 6)


def test_a_busy_machine_has_a_share_left() -> None:
    assert free_processors(2, 0.0, 0.0) == 2
    assert free_processors(2, 0.5, 0.1) == pytest.approx(1.6)
    assert free_processors(2, 2.0, 2.0) == 1
    assert free_processors(2, 2.0, 6.0) == 0.5
    assert free_processors(8, 1.0, 40.0) == 7


def test_what_can_be_shared_only_slows_down() -> None:
    """Processors bind at full speed, and something else ends it."""
    found = answer(MACHINE, Demand(Amounts(cpu=2, memory=GIB, network=1.0), {}))
    assert (found.fits, found.binding, found.sharing, found.ends) == (3, "cpu", 8, "memory")
    shown = "\n".join(text(found, MACHINE.unknown))
    assert (
        "3 copies can run at full speed; CPU binds.\nMore share it and are slower; memory ends that at 8 copies."
        in shown
    )
    only = answer(MACHINE, Demand(Amounts(cpu=2), {}))
    assert (only.fits, only.sharing, only.ends) == (3, UNLIMITED, "")
    assert "ends that" not in "\n".join(text(only, MACHINE.unknown))


def test_what_is_unknown_or_takes_nothing_does_not_bind() -> None:
    found = answer(MACHINE, Demand(Amounts(network=1e9), {}))
    assert (found.fits, found.binding) == (UNLIMITED, "")
    assert "Nothing that a copy takes is bounded" in "\n".join(text(found, MACHINE.unknown))


def test_a_budget_is_a_smaller_machine() -> None:
    small = bounded(MACHINE, {"memory": 2 * GIB, "network": 1e8})
    found = answer(small, Demand(Amounts(memory=GIB, network=2e7), {}))
    assert (found.fits, found.binding) == (2, "memory")
    assert next(row for row in found.rows if row.factor == "network").fits == 5
    assert bounded(MACHINE, {"memory": 99 * GIB}).free.memory == 8 * GIB


def test_nothing_fits() -> None:
    found = answer(MACHINE, Demand(Amounts(memory=9 * GIB), {}))
    assert found.fits == 0
    assert "0 copies can run; memory binds." in "\n".join(text(found, MACHINE.unknown))


def test_it_is_shown_to_people() -> None:
    found = answer(MACHINE, Demand(Amounts(cpu=0.25, memory=64 * 1024**2, network=1e6), {}))
    lines = "\n".join(text(found, MACHINE.unknown))
    assert lines.startswith("24 copies can run at full speed; CPU binds.")
    assert "network           unknown" in lines
    assert lines.endswith("To run more: lower --cpus, or let copies share: an idle one takes none.")
    assert shown("memory", 64 * 1024**2) == "64 MiB"
    assert shown("network", 12.5e6) == "12.5 Mbit/s"
    assert shown("network", 1e9) == "1,000 Mbit/s"


def test_the_picture_is_sound() -> None:
    drawn = svg(answer(MACHINE, Demand(Amounts(cpu=0.25, memory=GIB), {})), "a <b>")
    tree = ET.fromstring(drawn)
    assert "a <b>" in [node.text for node in tree.iter() if node.text]
    assert len([node for node in tree.iter() if node.get("rx")]) == 2


def test_budgets() -> None:
    assert parse_budget("memory=2g,pids=50", parse_bytes) == {"memory": 2 * GIB, "pids": 50}
    with pytest.raises(ValueError, match="unknown factor ram"):
        parse_budget("ram=1g", parse_bytes)


def test_a_copy_has_no_name_address_or_port_of_the_original() -> None:
    body = like(
        {
            "Config": {"Image": "x", "Cmd": ["y"], "Hostname": "abc", "Labels": {"a": "b"}},
            "HostConfig": {
                "Memory": 5,
                "PortBindings": {"80/tcp": [{}]},
                "RestartPolicy": {"Name": "always"},
            },
        }
    )
    assert body["HostConfig"]["Memory"] == 5
    assert body["HostConfig"]["PortBindings"] == {}
    assert body["HostConfig"]["RestartPolicy"] == {"Name": "no"}
    assert "Hostname" not in body
