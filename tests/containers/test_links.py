from __future__ import annotations

from nakagin.containers.links import variables


def test_variables_of_a_link() -> None:
    found = variables(
        "web", "my-db", "10.0.0.2", ["80/udp", "9000/tcp", "443/tcp"], ["A=1=2", "HOME=/x", "PATH=y"]
    )
    assert found == [
        "MY_DB_PORT=udp://10.0.0.2:80",
        "MY_DB_PORT_80_UDP=udp://10.0.0.2:80",
        "MY_DB_PORT_80_UDP_ADDR=10.0.0.2",
        "MY_DB_PORT_80_UDP_PORT=80",
        "MY_DB_PORT_80_UDP_PROTO=udp",
        "MY_DB_PORT_443_TCP=tcp://10.0.0.2:443",
        "MY_DB_PORT_443_TCP_ADDR=10.0.0.2",
        "MY_DB_PORT_443_TCP_PORT=443",
        "MY_DB_PORT_443_TCP_PROTO=tcp",
        "MY_DB_PORT_9000_TCP=tcp://10.0.0.2:9000",
        "MY_DB_PORT_9000_TCP_ADDR=10.0.0.2",
        "MY_DB_PORT_9000_TCP_PORT=9000",
        "MY_DB_PORT_9000_TCP_PROTO=tcp",
        "MY_DB_NAME=/web/my-db",
        "MY_DB_ENV_A=1=2",
    ]


def test_a_target_without_ports() -> None:
    assert variables("web", "db", "10.0.0.2", [], []) == ["DB_NAME=/web/db"]
