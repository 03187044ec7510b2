"""python-on-whales (PyPI): the docker command line from Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine_fixture import ScratchEngine, docker_cli

whales = pytest.importorskip("python_on_whales")

pytestmark = pytest.mark.root


def test_a_walk_through_it(
    engine: ScratchEngine, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(engine.root / "config"))
    docker = whales.DockerClient(host=engine.host, client_call=[docker_cli()])
    assert docker.run("busybox", ["echo", "hi"], remove=True) == "hi"
    volume = docker.volume.create(name)
    network = docker.network.create(name)
    with docker.run(
        "busybox",
        ["sleep", "1000"],
        name=name,
        detach=True,
        networks=[name],
        volumes=[(volume, "/v")],
        init=True,
    ) as container:
        assert container.state.running
        assert docker.execute(container, ["hostname"]) == container.id[:12]
        (tmp_path / "f").write_text("copied")
        docker.copy(tmp_path / "f", (container, "/v/f"))
        docker.copy((container, "/v/f"), tmp_path / "back")
        assert (tmp_path / "back").read_text() == "copied"
        assert [each.id for each in docker.ps(filters=[("name", name)])] == [container.id]
        assert docker.volume.inspect(name).name == name
        docker.pause(container)
        container.reload()
        assert container.state.paused
        docker.unpause(container)
        assert docker.container.stats()[0].container_name
        container.kill()
    assert not docker.container.exists(name)
    network.remove()
    volume.remove()
    assert docker.image.exists("busybox")
    with pytest.raises(whales.exceptions.NoSuchContainer):
        docker.container.inspect("no-such-container")
