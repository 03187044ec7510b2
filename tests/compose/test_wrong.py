"""Files that are wrong: each error says where, what, and what to write instead, at once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from nakagin.compose.environment import gather
from nakagin.compose.loader import load
from nakagin.errors import NakaginError
from tests.compose.corpus import SURROUNDINGS

BOMB = "x-a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"x-{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)

# (what the file holds, what the error must say)
WRONG: list[tuple[str, list[str]]] = [
    ("services:\n  web:\n    imagee: x\n", [":3:5: services.web.imagee", "did you mean image?"]),
    ("services:\n  web:\n    image: [x]\n", [":3:5: services.web.image", "must be a string, not a list"]),
    ("service:\n  web: {image: x}\n", [":1:1: service:", "did you mean services?"]),
    ("services:\n  a b: {image: x}\n", ["services.a b", "not allowed"]),
    ("services:\n  web: {image: x, group_add: [80, 80]}\n", ["services.web.group_add[1]", "twice"]),
    ("services:\n  web: {image: x, ports: ['a:b']}\n", [":2:27: services.web.ports[0]", "TARGET"]),
    ("services:\n  web: {image: x, ports: ['70000']}\n", ["ports[0]", "invalid port range"]),
    ("services:\n  web: {image: x, ports: ['1-2:1-3']}\n", ["ports[0]", "ranges"]),
    ("services:\n  web: {image: x, ports: ['1/xyz']}\n", ["ports[0]", "proto"]),
    ("services:\n  web: {image: x, mem_limit: lots}\n", ["services.web.mem_limit", "invalid size"]),
    ("services:\n  web: {image: x, stop_grace_period: soon}\n", ["stop_grace_period", "invalid duration"]),
    ("services:\n  web: {image: x, privileged: perhaps}\n", ["privileged", "neither true nor false"]),
    ("services:\n  web: {image: x, scale: many}\n", ["scale", "not a whole number"]),
    ("services:\n  web: {image: x, cpu_percent: 101}\n", ["cpu_percent", "at most 100"]),
    ("services:\n  web: {image: x, oom_score_adj: 2000}\n", ["oom_score_adj", "at most 1000"]),
    ("services:\n  web: {image: x, cgroup: hots}\n", ["cgroup", "host, private", "did you mean host?"]),
    ("services:\n  web: {image: x, volumes: ['a::b']}\n", ["volumes[0]", "empty section"]),
    ("services:\n  web: {image: x, volumes: ['./a:/b:O']}\n", [":2:29: services.web.volumes[0]", "written over"]),
    ("services:\n  web: {image: x, volumes: [{source: a, target: b}]}\n", ["volumes[0]", "type is missing"]),
    ("services:\n  web: {image: x, volumes: ['data:/data']}\n", ["undefined volume data"]),
    (
        "services:\n  web: {image: x, networks: [fornt]}\nnetworks: {front: }\n",
        ["undefined network fornt", "did you mean front?"],
    ),
    ("services:\n  web: {image: x, secrets: [s]}\n", ["undefined secret s"]),
    ("services:\n  web: {image: x, configs: [c]}\n", ["undefined config c"]),
    ("services:\n  web: {image: x, depends_on: [dbb]}\n  db: {image: x}\n", ["undefined service 'dbb'", "mean db?"]),
    ("services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, depends_on: [a]}\n", ["a -> b -> a"]),
    ("services:\n  a: {image: x, depends_on: [a]}\n", ["a -> a"]),
    ("services:\n  a: {image: x, depends_on: {b: {condition: ready}}}\n  b: {image: x}\n", ["condition", "one of"]),
    ("services:\n  a: {extends: b}\n  b: {extends: a}\n", ["circular reference", "a extends b extends a"]),
    ("services:\n  a: {extends: nobody}\n", [":2:7: services.a.extends", "'nobody' not found", "it has: a"]),
    ("services:\n  a: {extends: {service: b, file: gone.yaml}}\n", ["gone.yaml", "no such file"]),
    ("include: [gone.yaml]\nservices: {a: {image: x}}\n", [":1:11", "gone.yaml", "no such file"]),
    ("include: [compose.yaml]\nservices: {a: {image: x}}\n", ["include cycle"]),
    ("services:\n  a: {command: x}\n", [":2:3: services.a", "neither an image nor a build"]),
    ("services:\n  a: {image: x, network_mode: host, networks: [n]}\nnetworks: {n: }\n", ["mutually exclusive"]),
    ("services:\n  a: {image: x, container_name: n1, scale: 2}\n", ["container_name", "one container, not 2"]),
    ("services:\n  a: {image: x, mem_limit: 1g, deploy: {resources: {limits: {memory: 2g}}}}\n", ["distinct values"]),
    (
        "services:\n  a: {image: x, env_file: gone.env}\n",
        [":2:17: services.a.env_file", "env file", "gone.env not found", "required: false"],
    ),
    ("services:\n  a: {image: '${NEEDED:?set it in .env}'}\n", [":2:7: services.a.image", "NEEDED", "set it in .env"]),
    ("services:\n  a: {image: '${'}\n", ["invalid interpolation format", "$$"]),
    ("services:\n  a: {image: '${A:x}'}\n", ["invalid interpolation format"]),
    ("services:\n  a:\n    image: x\n    image: y\n", [":4:5", 'mapping key "image" already defined at line 3']),
    ("services:\n  a: {image: x}\n b: [\n", [":3:"]),
    ("services:\n\ta: {image: x}\n", [":2:1"]),
    ("- a\n- b\n", ["top-level object must be a mapping"]),
    ("", ["empty compose file"]),
    ("x-only: 1\n", ["empty compose file"]),
    ("services: {a: {image: *gone}}\n", ["unknown anchor 'gone'"]),
    ("services: {1: {image: x}}\n", ["non-string key in services: 1", "quotes"]),
    ("services: {a: {image: x, <<: 5}}\n", ["map merge requires map"]),
    ("name: Not Good\nservices: {a: {image: x}}\n", ["invalid project name", "notgood"]),
    ("services: {a: {image: x}}\nsecrets: {s: {}}\n", ["secrets.s", "must be set"]),
    ("services: {a: {image: x}}\nconfigs: {c: {file: a, content: b}}\n", ["configs.c", "mutually exclusive"]),
    ("services: {a: {image: x}}\nvolumes: {v: {external: true, driver: d}}\n", ["volumes.v.driver", "external"]),
    ("services: {a: {image: x, devices: ['a:b:c:d']}}\n", ["devices[0]", "long syntax"]),
    ("services: {a: {image: x, extra_hosts: [nowhere]}}\n", ["extra_hosts", "NAME=ADDRESS"]),
    ("services: {a: {image: x, command: \"sh -c 'open\"}}\n", ["command", "not a command line"]),
    ("services: {a: {image: x, ulimits: {nofile: {soft: 1}}}}\n", ["ulimits.nofile", "hard is missing"]),
    ("services: {a: {image: x, healthcheck: {retries: [1]}}}\n", ["healthcheck.retries"]),
    ("services: {a: {image: x, develop: {watch: [{path: ., action: snyc}]}}}\n", ["did you mean sync?"]),
    ("services: {a: {image: x, gpus: [{count: 1, device_ids: ['0']}]}}\n", ["exclusive"]),
    ("services: {a: {build: {context: ., dockerfile: a, dockerfile_inline: b}}}\n", ["mutually exclusive"]),
    (BOMB + "services: {a: {image: x}}\n", ["more than 100000 values", "YAML bomb"]),
    ("x: [" + ",".join(["1" * 15] * 250_000) + "]", ["more than 100000 values"]),
    ("x: &x {" + ",".join(f"k{i}: 1" for i in range(400)) + "}\n" + "".join(
        f"y{i}: {{<<: [*x, *x, *x]}}\n" for i in range(3000)), ["more than 100000 values"]),
    ("services: {a: {image: '" + "y" * 5_000_000 + "'}}\n", ["too many for a Compose file"]),
    ("services: " + "{a: " * 300 + "}" * 300, [":1:"]),
    ("services: {a: {image: \"\\xZZ\"}}\n", [":1:"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), WRONG, ids=[text[:50].strip() for text, _ in WRONG])
def test_a_wrong_file_is_refused_with_its_place(text: str, said: list[str], tmp_path: Path) -> None:
    home = tmp_path / "project"
    home.mkdir()
    (home / "compose.yaml").write_text(text)
    began = time.process_time()
    with pytest.raises(NakaginError) as caught:
        load(gather(working=str(home), surroundings=SURROUNDINGS))
    assert time.process_time() - began < 1
    message = str(caught.value)
    assert [part for part in said if part not in message] == [], message
    assert len(message) < 600


def test_a_large_but_honest_file_loads(tmp_path: Path) -> None:
    services = "".join(f"  s{number}: {{image: x, environment: {{A: {number}}}}}\n" for number in range(200))
    (tmp_path / "compose.yaml").write_text("services:\n" + services)
    assert len(load(gather(working=str(tmp_path), surroundings=SURROUNDINGS)).project.services) == 200


def test_no_file_and_no_such_file_are_told(tmp_path: Path) -> None:
    with pytest.raises(NakaginError, match=r"no configuration file provided.*compose\.yaml"):
        gather(working=str(tmp_path), surroundings=SURROUNDINGS)
    with pytest.raises(NakaginError, match=r"other\.yaml: no such file"):
        gather(files=["other.yaml"], working=str(tmp_path), surroundings=SURROUNDINGS)
    with pytest.raises(NakaginError, match=r"couldn't find env file: .*/e\.env"):
        (tmp_path / "compose.yaml").write_text("services: {a: {image: x}}")
        gather(env_files=["e.env"], working=str(tmp_path), surroundings=SURROUNDINGS)


def test_a_service_that_needs_a_profile_says_which(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(
        "services: {a: {image: x, depends_on: [b]}, b: {image: x, profiles: [debug]}}"
    )
    with pytest.raises(NakaginError, match=r"'b' is required by 'a' but is disabled.*debug"):
        load(gather(working=str(tmp_path), surroundings=SURROUNDINGS))


def test_an_unset_variable_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {a: {image: 'x$UNSET', command: $UNSET}}")
    loaded = load(gather(working=str(tmp_path), surroundings=SURROUNDINGS))
    assert loaded.warnings == ['The "UNSET" variable is not set. Defaulting to a blank string.']
