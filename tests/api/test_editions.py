"""Old and new API versions: which fields they have."""

from __future__ import annotations

import pytest

from nakagin.api import editions
from nakagin.errors import Invalid

CONTAINER = {
    "Id": "0123456789abcdef",
    "Driver": "overlay2",
    "NetworkSettings": {
        "SandboxID": "s",
        "IPAddress": "10.0.0.2",
        "Networks": {
            "mine": {"Aliases": None, "DNSNames": ["c", "0123456789ab"]},
            "bridge": {"Aliases": None, "DNSNames": None},
        },
    },
}
USAGE = {
    "LayersSize": 100,
    "Images": [
        {"Size": 60, "SharedSize": 20, "Containers": 1},
        {"Size": 60, "SharedSize": 20, "Containers": 0},
    ],
    "Containers": [{"State": "running", "SizeRw": 5}, {"State": "exited", "SizeRw": 7}],
    "Volumes": [{"UsageData": {"Size": 11, "RefCount": 1}}, {"UsageData": {"Size": 13, "RefCount": 0}}],
    "BuildCache": [{"Size": 3, "InUse": True}, {"Size": 4, "InUse": False}],
    "BuilderSize": 7,
}


def test_the_short_id_is_an_alias_before_1_45() -> None:
    old = editions.container(CONTAINER, (1, 44))["NetworkSettings"]["Networks"]
    assert (old["mine"]["Aliases"], old["bridge"]["Aliases"]) == (["0123456789ab"], None)
    new = editions.container(CONTAINER, (1, 45))["NetworkSettings"]["Networks"]
    assert new["mine"]["Aliases"] is None


def test_the_default_bridge_has_no_second_place_from_1_52_on() -> None:
    assert editions.container(CONTAINER, (1, 51)) == CONTAINER
    new = editions.container(CONTAINER, (1, 52))
    assert sorted(new["NetworkSettings"]) == ["Networks", "SandboxID"]
    assert new["Storage"] == {"RootFS": {"Snapshot": {"Name": "overlay2"}}}


def test_summaries_have_their_health_from_1_52_on() -> None:
    summary = {"Id": "x", "Health": {"Status": "none"}}
    assert editions.container_summary(summary, (1, 52)) == summary
    assert editions.container_summary(summary, (1, 51)) == {"Id": "x"}


def test_images() -> None:
    shown = {
        "Size": 5,
        "Config": {"Cmd": ["a"]},
        "Parent": "",
        "DockerVersion": "",
        "Comment": "",
        "Author": "me",
    }
    oldest = editions.image(shown, (1, 24))
    assert (oldest["VirtualSize"], oldest["Container"], oldest["Config"]["Tty"]) == (5, "", False)
    assert oldest["ContainerConfig"]["Cmd"] == ["a"]
    assert editions.image(shown, (1, 50)) == shown
    old = editions.image(shown, (1, 56), "docker-compose/1.29.2 docker-py/5.0.3 Linux/6.1")
    assert old["ContainerConfig"]["Cmd"] == ["a"], "where it looks for volumes"
    assert editions.image(shown, (1, 52)) == {"Size": 5, "Config": {"Cmd": ["a"]}, "Author": "me"}


def test_others() -> None:
    assert "BridgeNfIptables" in editions.info({}, (1, 49))
    assert editions.info({}, (1, 50)) == {}
    assert (editions.stats({}, (1, 51)), editions.stats({}, (1, 52))) == ({}, {"os_type": "linux"})
    event = {"Type": "container", "status": "start", "id": "x", "from": "y"}
    assert (editions.event(event, (1, 51)), editions.event(event, (1, 52))) == (event, {"Type": "container"})


@pytest.mark.parametrize(
    ("accept", "version", "kind"),
    [
        ("application/x-ndjson", (1, 51), "application/json"),
        ("", (1, 52), "application/jsonl"),
        ("text/html, application/json-seq;q=0.5", (1, 52), "application/json-seq"),
        ("application/x-ndjson", (1, 56), "application/x-ndjson"),
    ],
)
def test_the_type_of_events(accept: str, version: tuple[int, int], kind: str) -> None:
    assert editions.event_stream_type(accept, version) == kind


def test_disk_usage_in_lists() -> None:
    old = editions.disk_usage(USAGE, (1, 41), set(), verbose=False)
    assert old["BuilderSize"] == 7
    assert [each["VirtualSize"] for each in old["Images"]] == [60, 60]
    some = editions.disk_usage(USAGE, (1, 50), {"volume"}, verbose=False)
    assert some == {"Volumes": USAGE["Volumes"]}
    with pytest.raises(Invalid, match="unknown object type: x"):
        editions.disk_usage(USAGE, (1, 50), {"x"}, verbose=False)


def test_disk_usage_in_sums() -> None:
    new = editions.disk_usage(USAGE, (1, 52), set(), verbose=False)
    assert new == {
        "ImageUsage": {"ActiveCount": 1, "TotalCount": 2, "TotalSize": 100, "Reclaimable": 60},
        "ContainerUsage": {"ActiveCount": 1, "TotalCount": 2, "TotalSize": 12, "Reclaimable": 7},
        "VolumeUsage": {"ActiveCount": 1, "TotalCount": 2, "TotalSize": 24, "Reclaimable": 13},
        "BuildCacheUsage": {"ActiveCount": 1, "TotalCount": 2, "TotalSize": 7, "Reclaimable": 4},
    }
    one = editions.disk_usage(USAGE, (1, 52), {"volume"}, verbose=True)
    assert one["VolumeUsage"]["Items"] == USAGE["Volumes"]
    assert list(one) == ["VolumeUsage"]
