"""What a client asks of a build: the parameters of POST /build, read into one value."""

from __future__ import annotations

import msgspec

from nakagin.build.attestations import Wanted
from nakagin.build.outputs import OutputSpec
from nakagin.spec.docker import HostConfig


class BuildRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`dockerfile` is a path in the context; `arguments` with None take nothing (the client had no such variable).

    `host` has the limits, the network and the hosts entries of the steps' containers. `remote` is a git repository
    or URL instead of a context that the client has. `contexts` are named ones: a URL, `docker-image://…`, `local:`.
    """

    dockerfile: str = "Dockerfile"
    text: str | None = None
    """The Dockerfile itself, where it does not lie in the context."""
    ignore: str | None = None
    """With `text`: the .dockerignore that counts ("" for none); None: look in the context."""
    remote: str = ""
    names: tuple[str, ...] = ()
    target: str = ""
    arguments: dict[str, str | None] = {}
    labels: dict[str, str] = {}
    host: HostConfig = HostConfig()
    platforms: tuple[str, ...] = ()
    annotations: tuple[str, ...] = ()
    attestations: Wanted = Wanted()
    vcs: dict[str, str] = {}
    """What the client says of the repository that its folder belongs to: "source", "revision"."""
    squash: bool = False
    outputs: tuple[OutputSpec, ...] = ()
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()
    allow: frozenset[str] = frozenset()
    """What steps may do beyond their walls: network.host, security.insecure, device."""
    on_error: str = ""
    """ "shell": let the client into the failed state."""
    call: str = ""
    """Only tell of the Dockerfile (check, outline, targets); build nothing."""
    explain: bool = False
    """Tell of each step why it was or was not cached."""
    no_cache: bool = False
    no_cache_stages: frozenset[str] = frozenset()
    pull: bool = False
    contexts: dict[str, str] = {}

    @property
    def given(self) -> dict[str, str]:
        """The build arguments that have a value."""
        return {name: value for name, value in self.arguments.items() if value is not None}
