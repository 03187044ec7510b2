from __future__ import annotations

from typing import Any

import pytest

from nakagin.errors import Invalid
from nakagin.images.instructions import changed


@pytest.mark.parametrize(
    ("line", "result"),
    [
        ('CMD ["a", "b c"]', {"Cmd": ["a", "b c"]}),
        ("CMD echo $HOME", {"Cmd": ["/bin/sh", "-c", "echo $HOME"]}),
        ('entrypoint ["x"]', {"Entrypoint": ["x"]}),
        ("ENV A=1 B='two words' C=\"x $A\\\"\"", {"Env": ["A=1", "B=two words", 'C=x old"']}),
        ("ENV A hello world", {"Env": ["A=hello world"]}),
        ("ENV A=${A}er", {"Env": ["A=older"]}),
        ("ENV Z=\\$A", {"Env": ["A=old", "Z=$A"]}),
        ("LABEL a=b \"c d\"='e f'", {"Labels": {"a": "b", "c d": "e f"}}),
        ("EXPOSE 80 443/tcp 53/udp 8000-8001", {
            "ExposedPorts": {"80/tcp": {}, "443/tcp": {}, "53/udp": {}, "8000/tcp": {}, "8001/tcp": {}}}),
        ('VOLUME ["/a", "/b"]', {"Volumes": {"/a": {}, "/b": {}}}),
        ("VOLUME /a /b", {"Volumes": {"/a": {}, "/b": {}}}),
        ("WORKDIR /srv", {"WorkingDir": "/srv"}),
        ("USER 1000:1000", {"User": "1000:1000"}),
        ("STOPSIGNAL SIGINT", {"StopSignal": "SIGINT"}),
        ("ONBUILD RUN x", {"OnBuild": ["RUN x"]}),
        ("HEALTHCHECK NONE", {"Healthcheck": {"Test": ["NONE"]}}),
        ("HEALTHCHECK --interval=5s --retries=3 CMD curl -f x", {
            "Healthcheck": {"Interval": 5 * 10**9, "Retries": 3, "Test": ["CMD-SHELL", "curl -f x"]}}),
        ('HEALTHCHECK CMD ["a"]', {"Healthcheck": {"Test": ["CMD", "a"]}}),
        ('SHELL ["/bin/bash", "-c"]', {"Shell": ["/bin/bash", "-c"]}),
    ],
)  # fmt: skip
def test_each(line: str, result: dict[str, Any]) -> None:
    assert changed({"Env": ["A=old"]}, [line]) == {"Env": ["A=old"], **result}


def test_they_build_on_one_another() -> None:
    found = changed({}, ['SHELL ["sh", "-e"]', "CMD ls", "WORKDIR /a", "WORKDIR b", "LABEL x=1", "LABEL y=2"])
    assert found == {
        "Shell": ["sh", "-e"],
        "Cmd": ["sh", "-e", "ls"],
        "WorkingDir": "/a/b",
        "Labels": {"x": "1", "y": "2"},
    }


def test_the_original_is_left_alone() -> None:
    original: Any = {"Labels": {"a": "b"}}
    changed(original, ["LABEL c=d", "ENV X=y"])
    assert original == {"Labels": {"a": "b"}}


@pytest.mark.parametrize(
    "line",
    ["", "RUN x", "CMD", "ENV A", "LABEL a=b c", "EXPOSE http", "EXPOSE 70000", "EXPOSE 90-80", "SHELL sh",
     "HEALTHCHECK x", "HEALTHCHECK --what=1 CMD x", "HEALTHCHECK --interval=5 CMD x", "HEALTHCHECK --retries=no CMD x",
     "ONBUILD FROM x"],
)  # fmt: skip
def test_bad_ones_are_quoted(line: str) -> None:
    with pytest.raises(Invalid) as caught:
        changed({}, [line])
    assert line in str(caught.value)
