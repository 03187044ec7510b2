"""A request merged with its image, and what is refused."""

from __future__ import annotations

import pytest

from nakagin.containers import request
from nakagin.errors import Invalid
from nakagin.images.model import Image, ImageRecord
from nakagin.spec.docker import ContainerConfig, ContainerCreate, Healthcheck


def image(**defaults: object) -> Image:
    config = {"config": defaults, "rootfs": {"type": "layers", "diff_ids": []}}
    return Image("sha256:0", config, ImageRecord((), ""), 0, None)  # type: ignore[arg-type]


def merged(made: Image, **body: object) -> ContainerConfig:
    return request.merge_with_image(ContainerCreate(**body), made)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, (("ep",), ("cmd",))),
        ({"cmd": ("x",)}, (("ep",), ("x",))),
        ({"cmd": ()}, (("ep",), ("cmd",))),
        ({"entrypoint": ("e",)}, (("e",), None)),
        ({"entrypoint": ("e",), "cmd": ("x",)}, (("e",), ("x",))),
        ({"entrypoint": ()}, (None, ("cmd",))),
        ({"entrypoint": ("",), "cmd": ("x",)}, (None, ("x",))),
    ],
)
def test_command(body: dict[str, object], expected: tuple[object, object]) -> None:
    config = merged(image(Entrypoint=["ep"], Cmd=["cmd"]), **body)
    assert (config.entrypoint, config.cmd) == expected


def test_the_rest_of_an_image() -> None:
    made = image(
        Env=["A=1", "B=2"], User="web", WorkingDir="/srv", Labels={"a": "1", "b": "2"}, Volumes={"/v": {}},
        ExposedPorts={"80/tcp": {}}, StopSignal="SIGQUIT",
        Healthcheck={"Test": ["CMD", "check"], "Interval": 5, "Retries": 2},
    )  # fmt: skip
    config = merged(made, env=("B=3",), labels={"b": "9"}, healthcheck=Healthcheck(interval=7))
    assert config.env == ("A=1", "B=3")
    assert (config.user, config.working_dir, config.stop_signal) == ("web", "/srv", "SIGQUIT")
    assert config.labels == {"a": "1", "b": "9"}
    assert (list(config.volumes), list(config.exposed_ports)) == (["/v"], ["80/tcp"])
    assert config.healthcheck == Healthcheck(test=("CMD", "check"), interval=7, retries=2)
    off = merged(made, healthcheck=Healthcheck(test=("NONE",)))
    assert off.healthcheck == Healthcheck(test=("NONE",))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [("80", (80, 80, "tcp")), ("53/udp", (53, 53, "udp")), ("8000-8010/tcp", (8000, 8010, "tcp"))],
)
def test_ports(spec: str, expected: tuple[int, int, str]) -> None:
    assert request.parse_port(spec) == expected


@pytest.mark.parametrize("spec", ["", "0", "99999", "9-1", "80/icmp", "a"])
def test_bad_ports(spec: str) -> None:
    with pytest.raises(Invalid, match="invalid port specification"):
        request.parse_port(spec)
