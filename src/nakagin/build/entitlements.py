"""What steps may do beyond their walls, and only where the one who builds says so (`--allow`). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nakagin.dockerfile.fault import DockerfileError, nearest
from nakagin.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nakagin.dockerfile.instructions import Run

NETWORK, SECURITY, DEVICE = "network.host", "security.insecure", "device"
_KNOWN = (NETWORK, SECURITY, DEVICE)


class Entitlements:
    """Those of one build."""

    def __init__(self, allowed: Iterable[str]) -> None:
        """Raises Invalid for what is no entitlement."""
        self._allowed: set[str] = set()
        """Names, and `device=NAME` for single devices."""
        for each in allowed:
            name = each.partition("=")[0]
            if name not in _KNOWN:
                raise Invalid(
                    f"unknown entitlement {each!r}",
                    hint=nearest(name, _KNOWN) or f"known are {', '.join(_KNOWN)}",
                )
            self._allowed.add(each if name == DEVICE else name)

    def check(self, it: Run) -> None:
        """Raises DockerfileError where a RUN asks for what is not allowed."""
        if it.network == "host":
            self._need(NETWORK, "RUN --network=host")
        if it.security == "insecure":
            self._need(SECURITY, "RUN --security=insecure")
        for device in it.devices:
            if not {f"{DEVICE}={device.name}", f"{DEVICE}={device.name.partition('=')[0]}"} & self._allowed:
                self._need(DEVICE, "RUN --device")

    def _need(self, name: str, what: str) -> None:
        if name not in self._allowed:
            raise DockerfileError(f"{what} is not allowed", hint=f"build with --allow {name}")
