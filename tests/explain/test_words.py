"""How explanations are worded and drawn. Pure."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from nakagin.cli.explaining import container, image, plan, tower
from nakagin.cli.explaining.tower import Capsule

WEB = Capsule(
    "web <1>", "nginx", 12, 2, 32, 64, ("pid",), ("user",), ("back", "front"), ("80→80/tcp",), (), False
)
ROOT = Capsule("root", "busybox", 13, 1, 10, 0, (), ("user", "pid"), (), (), (), True)


def test_every_step_of_a_plan_is_told_once_with_its_reason() -> None:
    steps = ["mask /proc/acpi", "mask /proc/keys", "execute sh", "unheard of"]
    asked = {"Steps": [{"Stage": "container", "Step": each} for each in steps], "Warnings": ["hot"]}
    shown = list(plan.text(plan.reasoned(asked)))
    assert [line.split("#")[0].strip() for line in shown[2:6]] == [
        f"{n}. {s}" for n, s in enumerate(steps, 1)
    ]
    assert "CVE-2022-0492" in shown[2]
    assert "#" not in shown[3]
    assert "ordinary process" in shown[4]
    assert "WARNING: hot" in shown
    assert shown[-1] == "Nothing of this was done."


def test_an_image_shows_what_is_its_own_and_what_is_wasted() -> None:
    steps = [
        {"CreatedBy": "", "Comment": "Bootstrapped", "Size": 700, "DiffId": "d1", "Shared": 2, "Hidden": []},
        {"CreatedBy": "/bin/sh -c #(nop)  ENV A=b", "Comment": "", "Size": 0, "DiffId": "", "Shared": 0, "Hidden": []},
        {
            "CreatedBy": "RUN /bin/sh -c apt-get install -y x # buildkit", "Comment": "", "Size": 300, "DiffId": "d2",
            "Shared": 0, "Hidden": [{"By": 3, "Bytes": 200}],
        },
        {"CreatedBy": "/bin/sh -c rm -rf /big", "Comment": "", "Size": 0, "DiffId": "d3", "Shared": 0, "Hidden": []},
    ]  # fmt: skip
    shown = list(image.text({"Name": "x:1", "Id": "sha256:a", "Size": 1000, "Steps": steps}))
    assert shown[0] == "image x:1: 1kB in 3 layers"
    assert [" ".join(line.split()) for line in shown[2:7]] == [
        "4 0B RUN rm -rf /big",
        "3 300B ██████ RUN apt-get install -y x",
        "200B of it wasted: replaced or deleted by step 4, RUN rm -rf /big",
        "2 - ENV A=b",
        "1 700B ██████████████ (Bootstrapped) shared with 2 more",
    ]
    assert "Only this image needs 300B of it; 700B is shared." in shown
    assert "Nobody sees 200B (20%): later steps replaced or deleted it." in shown
    assert any("leaves its package lists behind" in line for line in shown)
    assert any("frees nothing" in line for line in shown)
    drawn = image.picture({"Name": "x:1", "Id": "sha256:a", "Size": 1000, "Steps": steps})
    words = [node.text for node in ET.fromstring(drawn).iter() if node.text]
    assert {"Image x:1: 1kB", "step 4", "300B, 200B of it wasted", "700B, shared with 2 more"} <= set(words)
    assert "step 2" not in words


def test_the_way_to_a_port() -> None:
    port = {
        "Protocol": "tcp", "HostIp": "::", "HostPort": 80, "Count": 3, "Address": "fd00::2", "ContainerPort": 8080,
        "Map": "ports6", "InKernel": True,
    }  # fmt: skip
    carried = port | {"Map": "", "InKernel": False, "Count": 1}
    members = [
        {"Id": "1", "Interface": "eth0", "HostInterface": "veth1", "Ports": [port, carried]},
        {"Id": "2", "Interface": "eth0", "HostInterface": "veth2", "Ports": [port]},
    ]
    network = {"Containers": members, "Table": "inet t", "Interface": {"Kind": "bridge", "Name": "br"}}
    found = container.ports(network, "1")
    assert found == [
        {
            "Port": "[::]:80-82/tcp", "InKernel": True,
            "Way": ["map ports6 of table inet t", "bridge br", "veth1", "eth0 [fd00::2]:8080-8082"],
        },
        {
            "Port": "[::]:80/tcp", "InKernel": False,
            "Way": ["the monitor's proxy", "bridge br", "veth1", "eth0 [fd00::2]:8080"],
        },
    ]  # fmt: skip


def test_the_tower_is_sound_and_has_every_capsule() -> None:
    tree = ET.fromstring(tower.svg("Host <x>", [WEB, ROOT]))
    words = [node.text for node in tree.iter() if node.text]
    assert {"Host <x>", "web <1>", "root", "door 80→80", "network back", "network front"} <= set(words)
    assert any("32B of 64B" in word for word in words)
    assert any("10B, no limit" in word for word in words)
    many = WEB._replace(
        name="n" * 60, ports=tuple(f"{18000 + each}→80/tcp" for each in range(9)), networks=("back",)
    )
    tree = ET.fromstring(tower.svg("Host", [many, WEB]))
    words = [node.text or "" for node in tree.iter()]
    assert any(each.startswith("nnn") and each.endswith("…") and len(each) < 30 for each in words)
    assert "door 18000→80 18001→80 and 7 more" not in words, "it would stand out of its capsule"
    assert "door 18000→80 and 8 more" in words
    risers = {node.get("stroke") for node in tree.iter() if node.tag.endswith("line")}
    assert len(risers) == len({"back", "front"}), "each network has its colour"
    info = {"Name": "h", "OperatingSystem": "Debian", "KernelVersion": "6", "NCPU": 2}
    assert "web <1>" in "\n".join(tower.text(info, [WEB, ROOT]))
    assert "no capsule is inhabited" in "\n".join(tower.text(info, []))
