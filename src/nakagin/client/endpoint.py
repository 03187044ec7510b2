"""Where the engine is: DOCKER_HOST-like addresses, contexts and TLS material, as plain data. Opens no socket.

Precedence: an explicit host or context, NAKAGIN_HOST, DOCKER_HOST, DOCKER_CONTEXT, what `nakagin context use` chose,
the default socket.
A `currentContext` of Docker's configuration is not followed: it says where *docker* shall go.
"""

from __future__ import annotations

import os

from nakagin.errors import Invalid, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_SOCKET = "/run/nakagin/nakagin.sock"
#: The file in Docker's folder of contexts that says which one is used here.
CURRENT_CONTEXT = "nakagin-current"


class TLS:
    """Paths of PEM files and whether the server's certificate is verified."""

    __slots__ = ("ca", "certificate", "key", "verify")

    def __init__(self, *, ca: str | None, certificate: str | None, key: str | None, verify: bool) -> None:
        self.ca = ca
        self.certificate = certificate
        self.key = key
        self.verify = verify


class Endpoint:
    """A socket address: `path` for a unix socket, else `host` and `port`; `prefix` is a path before all URLs.

    Behind ssh (`ssh` is true) `far_path` is the socket over there ("": its default); port 0 and user "" are ssh's
    own choice.

    `default` is true where nobody named an address: then the command line may start an engine.
    """

    __slots__ = ("default", "far_path", "host", "path", "port", "prefix", "ssh", "tls", "url", "user")

    def __init__(self, url: str, *, tls: TLS | None = None, default: bool = False) -> None:
        self.url = url
        self.tls = tls
        self.default = default
        self.path: str | None = None
        self.host, self.port, self.prefix = "", 0, ""
        self.ssh, self.user, self.far_path = False, "", ""
        scheme, separator, rest = url.partition("://")
        if not separator:
            raise Invalid(
                f"unable to parse docker host `{url}`", hint="write unix:///path or tcp://host:port"
            )
        if scheme == "unix":
            self.path = rest or DEFAULT_SOCKET
        elif scheme in ("tcp", "http", "https"):
            self._network_address(rest, scheme)
        elif scheme == "ssh":
            self._ssh_address(rest)
        else:
            raise Unsupported(
                f"the scheme {scheme}:// of {url} is not supported", hint="use unix://, tcp:// or ssh://"
            )

    def _ssh_address(self, rest: str) -> None:
        self.ssh = True
        address, slash, path = rest.partition("/")
        self.far_path = (slash + path).rstrip("/")
        self.user, _, address = address.rpartition("@")
        host, colon, port = address.rpartition(":")
        if not colon or address.endswith("]"):
            host, port = address, "0"
        self.host = host.strip("[]")
        if not self.host or not port.isdigit() or int(port) > 65535 or ":" in self.user:
            raise Invalid(
                f"not an address behind ssh: {self.url}", hint="write ssh://user@host[:port][/socket]"
            )
        # ssh would take it for an option (CVE-2017-1000117 and its kin).
        if self.host.startswith("-") or self.user.startswith("-"):
            raise Invalid(f"a host or user may not begin with a dash: {self.url}")
        self.port = int(port)

    def _network_address(self, rest: str, scheme: str) -> None:
        address, slash, prefix = rest.partition("/")
        self.prefix = (slash + prefix).rstrip("/")
        if scheme == "https" and self.tls is None:
            self.tls = TLS(ca=None, certificate=None, key=None, verify=True)
        host, colon, port = address.rpartition(":")
        if not colon or address.endswith("]"):
            host, port = address, "2376" if self.tls else "2375"
        self.host = host.strip("[]") or "127.0.0.1"
        if not port.isdigit() or not 0 < int(port) < 65536:
            raise Invalid(f"not a port in {self.url}: {port!r}")
        self.port = int(port)

    @property
    def host_header(self) -> str:
        """What the Host header says; Docker's own clients say a fixed name on a unix socket."""
        if self.path is not None or self.ssh:
            return "docker"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"Endpoint({self.url!r})"


def resolve(
    environment: Mapping[str, str],
    *,
    host: str | None = None,
    context: str | None = None,
    config: str | None = None,
    tls: TLS | None = None,
) -> Endpoint:
    """The endpoint that is meant; NotFound for an unknown context, Invalid for a bad address, or for both at once."""
    if host and context:
        raise Invalid(
            "conflicting options: cannot specify both --host and --context", hint="leave out one of them"
        )
    folder = config or docker_folder(environment)
    if not host and not context:
        host = environment.get("NAKAGIN_HOST") or environment.get("DOCKER_HOST")
        context = None if host else environment.get("DOCKER_CONTEXT")
    if host:
        return Endpoint(complete(host), tls=tls or _environment_tls(environment, folder))
    if not context:
        context = in_use(folder)
    if context and context != "default":
        return _from_context(context, folder)
    return Endpoint(f"unix://{DEFAULT_SOCKET}", default=True)


def docker_folder(environment: Mapping[str, str]) -> str:
    """Where Docker's clients keep their configuration, contexts and certificates."""
    return environment.get("DOCKER_CONFIG") or os.path.join(environment.get("HOME", "/"), ".docker")


def complete(host: str) -> str:
    """An address as people write it, with its scheme: "/x.sock" → "unix:///x.sock", "box:2375" → "tcp://box:2375"."""
    if "://" in host:
        return host
    return f"unix://{host}" if host.startswith("/") else f"tcp://{host}"


def _environment_tls(environment: Mapping[str, str], folder: str) -> TLS | None:
    verify = bool(environment.get("DOCKER_TLS_VERIFY"))
    if not verify and not environment.get("DOCKER_TLS"):
        return None
    return material(environment.get("DOCKER_CERT_PATH") or folder, verify=verify)


def material(folder: str, *, verify: bool) -> TLS:
    """The TLS files of a folder under Docker's names; those that do not exist are left out."""
    paths = {name: os.path.join(folder, f"{name}.pem") for name in ("ca", "cert", "key")}
    found = {name: path if os.path.exists(path) else None for name, path in paths.items()}
    return TLS(ca=found["ca"], certificate=found["cert"], key=found["key"], verify=verify)


def in_use(folder: str) -> str:
    """What `nakagin context use` chose; "" for nothing."""
    try:
        with open(os.path.join(folder, "contexts", CURRENT_CONTEXT), encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""


def _from_context(name: str, folder: str) -> Endpoint:
    """The address that Docker's store of contexts has under that name."""
    from nakagin.client.contexts import Contexts

    store = Contexts(folder)
    docker = store.get(name).get("Endpoints", {}).get("docker", {})
    certificates = os.path.join(store.places(name)[1], "docker")
    tls = (
        material(certificates, verify=not docker.get("SkipTLSVerify"))
        if os.path.isdir(certificates)
        else None
    )
    return Endpoint(complete(docker.get("Host") or DEFAULT_SOCKET), tls=tls)
