from __future__ import annotations

from nakagin.network.model import PortMapping, PortRequest
from nakagin.network.republish import split

RANGE = PortMapping("tcp", "0.0.0.0", 8000, 80, 5)


def test_a_range_is_split_where_a_port_goes() -> None:
    kept, gone = split(RANGE, [PortRequest(82)])
    assert kept == [PortMapping("tcp", "0.0.0.0", 8000, 80, 2), PortMapping("tcp", "0.0.0.0", 8003, 83, 2)]
    assert gone == [PortMapping("tcp", "0.0.0.0", 8002, 82, 1)]


def test_only_what_is_meant_goes() -> None:
    for other in (
        PortRequest(80, "udp"),
        PortRequest(80, "tcp", "127.0.0.1"),
        PortRequest(80, "tcp", "", 9000, 9000),
        PortRequest(79),
    ):
        assert split(RANGE, [other]) == ([RANGE], [])
    assert split(RANGE, [PortRequest(80, "tcp", "0.0.0.0", 8000, 8000)])[1][0].count == 1
    assert split(RANGE, [PortRequest(80 + number) for number in range(5)]) == ([], [RANGE])
