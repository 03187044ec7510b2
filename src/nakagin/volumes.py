"""Named volumes: directories that outlive the containers that use them (the "local" driver)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class Volumes:
    """All volumes of one engine; documents are shaped as Docker's Volume."""

    def create(
        self,
        name: str | None = None,
        *,
        driver: str = "local",
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Make it, or return the one of that name; without a name an anonymous one with a 64-hex name.

        Raises Invalid (name, options), Conflict (the same name with other options or driver), NotFound (driver).
        """
        raise NotImplementedError

    def list(self, filters: Mapping[str, Sequence[str]] | None = None) -> list[dict[str, Any]]:
        """The volumes, by name; filters dangling, driver, label, name."""
        raise NotImplementedError

    def inspect(self, name: str) -> dict[str, Any]:
        """The document of GET /volumes/{name}; NotFound."""
        raise NotImplementedError

    def remove(self, name: str, *, force: bool = False) -> None:
        """Remove it with its content; Conflict if a container holds it; with `force` an unknown name is no error."""
        raise NotImplementedError

    def prune(self, filters: Mapping[str, Sequence[str]] | None = None) -> dict[str, Any]:
        """Remove what no container holds; {"VolumesDeleted": [names], "SpaceReclaimed": bytes}.

        Anonymous ones only, unless the filter `all` says otherwise.
        """
        raise NotImplementedError
