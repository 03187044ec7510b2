"""Links of the default bridge, as Docker has had them from its beginning: hosts entries and variables.

On other networks a link is a name in DNS and belongs to the endpoint. A link is kept as "ID:ALIAS", so that it
outlives the target's rename.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from nakagin.containers.request import parse_port
from nakagin.errors import Conflict, Invalid, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nakagin.containers.model import Container
    from nakagin.containers.shelf import Shelf
    from nakagin.containers.surroundings import Surroundings

# What every container has of its own says nothing about the other one.
_NOT_SHARED = {"HOME", "PATH"}


def settle(shelf: Shelf, links: Iterable[str]) -> tuple[str, ...]:
    """The links of a request ("name", "name:alias", "/name:/own/alias") as they are recorded. Raises Invalid."""
    found = []
    for text in links:
        name, _, alias = text.partition(":")
        name, alias = name.removeprefix("/"), alias.rpartition("/")[2] or name.removeprefix("/")
        if not name or ":" in alias:
            raise Invalid(f"bad format for links: {text}", hint="NAME[:ALIAS]")
        try:
            target = shelf.find(name)
        except NotFound:
            raise Invalid(f"could not get container for {name}: No such container: {name}") from None
        found.append(f"{target.id}:{alias}")
    return tuple(found)


def targets(shelf: Shelf, record: Container) -> list[tuple[Container, str]]:
    """(container, alias) of each link whose target still exists."""
    pairs = (each.partition(":")[::2] for each in record.host_config.links)
    capsules = [(shelf.get(key), alias) for key, alias in pairs]
    return [(capsule.record, alias) for capsule, alias in capsules if capsule is not None]


def shown(shelf: Shelf, record: Container) -> list[str] | None:
    """Links as inspect shows them: "/target:/container/alias"."""
    return [f"/{other.name}:/{record.name}/{alias}" for other, alias in targets(shelf, record)] or None


def aliases(shelf: Shelf) -> dict[str, list[str]]:
    """The further names that containers have by the links of others: id -> ["/container/alias"]."""
    found: dict[str, list[str]] = {}
    for capsule in shelf:
        for other, alias in targets(shelf, capsule.record):
            found.setdefault(other.id, []).append(f"/{capsule.record.name}/{alias}")
    return found


def remove(shelf: Shelf, reference: str) -> None:
    """Take a link "/container/alias" away; its target stays. NotFound where there is none."""
    name, _, alias = reference.strip("/").partition("/")
    capsule = shelf.find(name)
    wanted = capsule.record.host_config
    kept = tuple(each for each in wanted.links if each.partition(":")[2] != alias)
    if kept == wanted.links:
        raise NotFound(f"No such link: {reference}")
    changed = msgspec.structs.replace(wanted, links=kept)
    shelf.save(capsule, msgspec.structs.replace(capsule.record, host_config=changed))


def require_running(shelf: Shelf, record: Container) -> None:
    """Raise Conflict where a container starts before the one that it is linked to."""
    for other, alias in targets(shelf, record):
        if not other.running:
            raise Conflict(
                f"Cannot link to a non running container: /{other.name} AS /{record.name}/{alias}",
                hint=f"start {other.name} first",
            )


def _address(around: Surroundings, other: Container) -> str:
    """The target's IPv4 address on the default bridge, else its first; "" without any."""
    addresses = [
        address.partition("/")[0]
        for endpoint in around.networks.endpoints(other.id)
        for address in endpoint.addresses
    ]
    return next((each for each in addresses if ":" not in each), addresses[0] if addresses else "")


def _names(other: Container, alias: str) -> str:
    words = (alias, other.config.hostname or other.id[:12], other.name)
    return " ".join(dict.fromkeys(words))


def hosts_lines(shelf: Shelf, around: Surroundings, record: Container) -> str:
    """What /etc/hosts says of the link targets."""
    found = ((_address(around, other), _names(other, alias)) for other, alias in targets(shelf, record))
    return "".join(f"{address}\t{names}\n" for address, names in found if address)


def refresh(shelf: Shelf, around: Surroundings, started: Container) -> None:
    """A container has a new address: correct the hosts files of the running ones that are linked to it.

    Only the lines that begin with one of their aliases for it; the rest of the file may be the user's by now.
    """
    for capsule in shelf:
        names = [alias for other, alias in targets(shelf, capsule.record) if other.id == started.id]
        if names and capsule.record.running:
            path = os.path.join(around.run_dir(capsule.id), "hosts")
            _rewrite(path, names, started, _address(around, started))


def _rewrite(path: str, names: Sequence[str], target: Container, address: str) -> None:
    try:
        # In place: the file is mounted into the container.
        with open(path, "r+", encoding="utf-8", errors="surrogateescape") as file:
            old = file.read()
            new = "".join(
                f"{address}\t{_names(target, words[1])}\n" if words[1:2] and words[1] in names else line
                for line in old.splitlines(keepends=True)
                for words in [line.split()]
            )
            if new != old:
                file.seek(0)
                file.write(new)
                file.truncate()
    except OSError:
        pass  # it has ended meanwhile


def environment(shelf: Shelf, around: Surroundings, record: Container) -> list[str]:
    """The variables that tell a container of its link targets: ALIAS_PORT…, ALIAS_ENV_… (Docker's legacy links)."""
    found: list[str] = []
    for other, alias in targets(shelf, record):
        if address := _address(around, other):
            found += variables(record.name, alias, address, other.config.exposed_ports, other.config.env)
    return found


def variables(own: str, alias: str, address: str, exposed: Iterable[str], env: Iterable[str]) -> list[str]:
    """The variables of one link, for a container called `own`. Pure."""
    word = alias.upper().replace("-", "_")
    ports = sorted(
        (port, protocol != "tcp", protocol)
        for first, last, protocol in map(parse_port, exposed)
        for port in range(first, last + 1)
    )
    found = []
    if ports:
        port, _, protocol = ports[0]
        found.append(f"{word}_PORT={protocol}://{address}:{port}")
    for port, _, protocol in ports:
        stem = f"{word}_PORT_{port}_{protocol.upper()}"
        found += [
            f"{stem}={protocol}://{address}:{port}", f"{stem}_ADDR={address}", f"{stem}_PORT={port}",
            f"{stem}_PROTO={protocol}",
        ]  # fmt: skip
    found.append(f"{word}_NAME=/{own}/{alias}")
    pairs = (each.partition("=") for each in env)
    found += [f"{word}_ENV_{name}={value}" for name, _, value in pairs if name not in _NOT_SHARED]
    return found
