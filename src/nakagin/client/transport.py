"""The sync transport: one connection, its timeouts and its errors. Sockets are opened here and nowhere else.

A timeout is an error (Unavailable), never an end of stream; a lost connection is one too.
"""

from __future__ import annotations

import _socket
import os

from nakagin.client.endpoint import DEFAULT_SOCKET
from nakagin.errors import Denied, Invalid, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

    from nakagin.client.endpoint import TLS, Endpoint
    from nakagin.client.ssh import Tunnel

RECEIVE = 256 * 1024


class Connection:
    """A connected socket and its owner; `timeout` (seconds, None is for ever) bounds each send and receive."""

    __slots__ = ("_tunnel", "endpoint", "socket")

    def __init__(self, endpoint: Endpoint, timeout: float | None) -> None:
        self.endpoint = endpoint
        self._tunnel: Tunnel | None = None
        if endpoint.ssh:
            from nakagin.client.ssh import Tunnel

            self._tunnel = Tunnel(endpoint, timeout)
        self.socket: _socket.socket = self._tunnel.socket if self._tunnel else _connect(endpoint, timeout)

    def send(self, data: bytes) -> None:
        """All of `data`; Unavailable on a timeout, BrokenPipeError where the engine reads no more."""
        try:
            self.socket.sendall(data)
        except TimeoutError:
            raise self._silent("did not accept data") from None

    def receive(self) -> bytes:
        """Some bytes, or b"" at the end of the connection; Unavailable on a timeout or a reset."""
        try:
            received = self.socket.recv(RECEIVE)
        except TimeoutError:
            raise self._silent("did not answer") from None
        except OSError as error:
            if self._tunnel is not None and (failure := self._tunnel.failure()):
                raise failure from None
            raise Unavailable(
                f"lost the connection to the engine at {self.endpoint.url}: {error.strerror}"
            ) from None

        if not received and self._tunnel is not None and (failure := self._tunnel.failure()):
            raise failure
        return received

    def _silent(self, what: str) -> Unavailable:
        seconds = self.socket.gettimeout() or 0
        return Unavailable(f"the engine at {self.endpoint.url} {what} within {seconds:g} seconds")

    def stale(self) -> bool:
        """The engine has closed this idle connection (or said something nobody asked for)."""
        try:
            self.socket.settimeout(0)
            self.socket.recv(1, 0 if self.endpoint.tls else _socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            # An idle TLS socket answers with SSLWantReadError, which is its way to say "nothing there".
            return type(error).__name__ != "SSLWantReadError"
        return True

    def shut(self) -> None:
        """Shut the socket down, so that whoever waits for it in another thread wakes up."""
        try:
            self.socket.shutdown(_socket.SHUT_RDWR)
        except OSError:
            return  # it is gone already

    def close(self) -> None:
        """Close the socket; again is no error."""
        self.socket.close()
        if self._tunnel is not None:
            self._tunnel.close()


def _connect(endpoint: Endpoint, timeout: float | None) -> _socket.socket:
    # The C module: the import of `socket` costs as much as all of `ps`, and a unix socket needs nothing of it.
    try:
        if endpoint.path is None:
            return _connect_network(endpoint, timeout)
        connected = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        connected.settimeout(timeout)
        try:
            connected.connect(endpoint.path)
        except OSError:
            connected.close()
            raise
    except OSError as error:
        raise unreachable(endpoint, error) from error
    return connected


def _connect_network(endpoint: Endpoint, timeout: float | None) -> _socket.socket:
    import socket

    connected = socket.create_connection((endpoint.host, endpoint.port), timeout)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Docker's hijacked connections may be silent for hours; a lost peer is still noticed.
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return _secure(connected, endpoint.tls, endpoint.host) if endpoint.tls else connected


def unreachable(endpoint: Endpoint, error: OSError) -> Unavailable | Denied:
    """The error for an address where no engine answers, with the next thing to try."""
    if isinstance(error, PermissionError):
        return Denied(
            f"permission denied while trying to connect to the engine socket at {endpoint.url}",
            hint="run as root or as a member of the group that owns the socket",
        )
    cause = error.strerror or str(error)
    hint = (
        "is it running? `nakagin engine` starts one" if endpoint.path == DEFAULT_SOCKET else "is it running?"
    )
    return Unavailable(f"Cannot connect to the engine at {endpoint.url}: {cause}", hint=hint)


def _secure(plain: socket.socket, tls: TLS, host: str) -> socket.socket:
    import ssl

    for path in filter(None, (tls.ca, tls.certificate, tls.key)):
        if not os.access(path, os.R_OK):  # ssl would not say which
            plain.close()
            words = "cannot be read" if os.path.lexists(path) else "does not exist"
            raise Invalid(f"the TLS file {path} {words}", hint="check --tlscacert, --tlscert, --tlskey")
    try:
        context = ssl.create_default_context(cafile=tls.ca)
        if not tls.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if tls.certificate:
            context.load_cert_chain(tls.certificate, tls.key)
        return context.wrap_socket(plain, server_hostname=host)
    except ssl.SSLError as error:
        plain.close()
        raise Invalid(
            f"TLS with {host} failed: {error.reason or error}", hint="check --tlscacert, --tlscert, --tlskey"
        ) from error
