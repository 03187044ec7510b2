"""Devices, device limits, ulimits and GPUs of a create request. Pure; ValueError or Invalid on nonsense."""

from __future__ import annotations

from nakagin.cli.quantities import parse_bytes, parse_integer
from nakagin.errors import Invalid
from nakagin.spec.ulimits import ULIMITS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

# Docker's command line leaves the address space out: too small a one would keep the container from starting.
_ULIMITS = ULIMITS - {"as"}


def devices(specifications: Iterable[str]) -> tuple[list[dict[str, str]], list[str]]:
    """(Devices, names of CDI devices such as vendor.com/gpu=0) of all --device values."""
    found: list[dict[str, str]] = []
    qualified: list[str] = []
    for each in specifications:
        if _is_cdi_name(each):
            qualified.append(each)
            continue
        parts = each.split(":")
        source = parts[0]
        # "path:rwm" has no path inside, "path:path" no permissions.
        inside, permissions = source, "rwm"
        if len(parts) == 2 and _permissions(parts[1]):
            permissions = parts[1]
        elif len(parts) in (2, 3):
            inside = parts[1]
            permissions = parts[2] if len(parts) == 3 else permissions
        if len(parts) > 3:
            raise Invalid(f"bad format for path: {each}")
        for path in (source, inside):
            if not path.startswith("/"):
                raise Invalid(f"{path} is not an absolute path")
        if not _permissions(permissions):
            raise Invalid(f"bad mode specified: {permissions}")
        found.append({"PathOnHost": source, "PathInContainer": inside, "CgroupPermissions": permissions})
    return found, qualified


def _permissions(text: str) -> bool:
    return bool(text) and len(set(text)) == len(text) and set(text) <= set("rwm")


def _is_cdi_name(text: str) -> bool:
    """vendor.com/class=name (Container Device Interface)."""
    kind, equals, name = text.partition("=")
    vendor, slash, device_class = kind.partition("/")
    return bool(equals and name and slash and vendor and device_class) and "/" not in device_class


def cgroup_rule(text: str) -> str:
    """A value of --device-cgroup-rule: "c 1:3 rwm"."""
    parts = text.split(" ")
    numbers = parts[1].split(":") if len(parts) == 3 else []
    good = (
        len(numbers) == 2
        and parts[0] in ("a", "b", "c")
        and all(number == "*" or number.isdigit() for number in numbers)
        and 0 < len(parts[2]) <= 3
        and set(parts[2]) <= set("rwm")
    )
    if not good:
        raise ValueError(f"invalid device cgroup format '{text}'")
    return text


def weight_device(text: str) -> dict[str, str | int]:
    """A value of --blkio-weight-device: "/dev/sda:200"."""
    path, number = _device_pair(text)
    if not number.isdigit() or (int(number) and not 10 <= int(number) <= 1000):
        raise ValueError(f"invalid weight for device: {text}")
    return {"Path": path, "Weight": int(number)}


def rate_bytes(text: str) -> dict[str, str | int]:
    """A value of --device-read-bps: "/dev/sda:1mb"."""
    path, number = _device_pair(text)
    try:
        return {"Path": path, "Rate": parse_bytes(number)}
    except ValueError:
        form = (
            "<device-path>:<number>[<unit>]. Number must be a positive integer."
            " Unit is optional and can be kb, mb, or gb"
        )
        raise ValueError(f"invalid rate for device: {text}. The correct format is {form}") from None


def rate_operations(text: str) -> dict[str, str | int]:
    """A value of --device-read-iops: "/dev/sda:1000"."""
    path, number = _device_pair(text)
    if not number.isdigit():
        form = "<device-path>:<number>. Number must be a positive integer"
        raise ValueError(f"invalid rate for device: {text}. The correct format is {form}")
    return {"Path": path, "Rate": int(number)}


def _device_pair(text: str) -> tuple[str, str]:
    path, colon, number = text.partition(":")
    if not colon or not path or ":" in number:
        raise ValueError(f"bad format: {text}")
    if not path.startswith("/dev/"):
        raise ValueError(f"bad format for device path: {text}")
    return path, number


def ulimit(text: str) -> dict[str, str | int]:
    """A value of --ulimit: "nofile=1024:2048" or "core=0"; -1 is no limit."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"invalid ulimit argument: {text}")
    if name not in _ULIMITS:
        raise ValueError(f"invalid ulimit type: {name}")
    soft_text, colon, hard_text = value.partition(":")
    soft = parse_integer(soft_text)
    hard = parse_integer(hard_text) if colon else soft
    if hard != -1 and (soft == -1 or soft > hard):
        raise ValueError(f"ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}")
    return {"Name": name, "Hard": hard, "Soft": soft}


def gpus(text: str) -> dict[str, Any]:
    """A value of --gpus as a DeviceRequest: "all", "2", or CSV of count, device, driver, capabilities, options."""
    import csv

    request: dict[str, Any] = {
        "Driver": "",
        "Count": 0,
        "DeviceIDs": None,
        "Capabilities": [["gpu"]],
        "Options": {},
    }
    seen: set[str] = set()
    for field in next(csv.reader([text])):
        key, equals, value = field.partition("=")
        if not equals:
            key, value = "count", field
        if key in seen:
            raise ValueError(f"gpu request key '{key}' can be specified only once")
        seen.add(key)
        _gpu_field(request, key, value, field)
    if not {"count", "device"} & seen:
        request["Count"] = 1
    return request


def _gpu_field(request: dict[str, Any], key: str, value: str, field: str) -> None:
    if key == "count":
        request["Count"] = _gpu_count(value)
    elif key == "device":
        request["DeviceIDs"] = value.split(",")
    elif key == "driver":
        request["Driver"] = value
    elif key == "capabilities":
        request["Capabilities"] = [[*value.split(","), "gpu"]]
    elif key == "options":
        request["Options"] = {
            name: setting for name, _, setting in (each.partition("=") for each in value.split(","))
        }
    else:
        raise ValueError(f"unexpected key '{key}' in '{field}'")


def _gpu_count(text: str) -> int:
    if text == "all":
        return -1
    try:
        return int(text)
    except ValueError:
        form = 'value must be either "all" or an integer'
        raise ValueError(f"invalid count ({text}): {form}: invalid syntax") from None
