"""The value of `RUN --device`: `NAME`, `NAME,required`, `name=NAME,required=true` (BuildKit's labs syntax)."""

from __future__ import annotations

import csv
import re

from nakagin.dockerfile.fault import DockerfileError
from nakagin.dockerfile.instructions import DeviceWish

_KIND = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*/[A-Za-z][A-Za-z0-9_.-]*")
_TRUTH = {"true": True, "1": True, "false": False, "0": False}


def parse_device(text: str) -> DeviceWish:
    """One `--device`: a CDI name (vendor.com/class=name; without a name the first, with * all of the class), or as
    an extension of ours the path of a device node. Raises DockerfileError."""
    name, required = "", False
    fields = next(csv.reader([text]), [])
    for field in fields:
        key, equals, value = field.partition("=")
        if key.lower() == "name":
            name = value
        elif key.lower() == "required":
            required = _truth(value) if equals else True
        elif not name:
            name = field
        else:
            raise DockerfileError(
                f"unexpected key {key!r} in --device={text}", hint="NAME[,required]", needle=field
            )
    if not name:
        raise DockerfileError("--device needs a name", hint="vendor.com/class=name, or /dev/NODE")
    if not name.startswith("/") and not _KIND.fullmatch(name.partition("=")[0]):
        raise DockerfileError(
            f"invalid device {name!r}", hint="vendor.com/class=name, or /dev/NODE", needle=name
        )
    return DeviceWish(name, required)


def _truth(value: str) -> bool:
    if value.lower() not in _TRUTH:
        raise DockerfileError(f"invalid boolean {value!r} in --device", needle=value)
    return _TRUTH[value.lower()]
