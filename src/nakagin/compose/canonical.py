"""Short forms to long ones, in place: afterwards each thing is written in one way, as Compose's JSON has it.

May run again on its own result: each file is brought to this form before the next one is merged upon it.
"""

from __future__ import annotations

from collections.abc import Callable

from nakagin.compose.merge import dependency
from nakagin.compose.short import device, mount, pairs, ports, text_of
from nakagin.compose.tree import Mapping, Mark, Path, Sequence, Value, section, services, wrong
from nakagin.errors import Invalid

Converter = Callable[[Value], Value]


def canonical(root: Mapping, *, lenient: bool = False) -> None:
    """Raises Invalid with the place of what cannot be read; `lenient` leaves it: a variable may stand there."""
    long = _Canonical(root, lenient)
    for name, service in services(root):
        long.service(service, ("services", name))
    for group in ("networks", "volumes", "secrets", "configs"):
        for name, each in section(root, group).items():
            if isinstance(each, Mapping):
                long.resource(each, (group, name))
    for key, each in section(root, "networks").items():
        if isinstance(each, Mapping) and isinstance(each.get("ipam"), Mapping):
            long.pools(each["ipam"], ("networks", key, "ipam"))


class _Canonical:
    def __init__(self, root: Mapping, lenient: bool) -> None:
        self._root = root
        self._lenient = lenient

    def service(self, service: Mapping, path: Path) -> None:
        for key, convert in _KEYS.items():
            self._key(service, key, convert, path)
        for key, convert in _ITEMS.items():
            self._items(service, key, convert, path)
        for key, form in (("ports", ports), ("volumes", _mounts)):
            self._many(service, key, form, path)
        if isinstance(build := service.get("build"), Mapping):
            self.build(build, (*path, "build"))
        if isinstance(deploy := service.get("deploy"), Mapping):
            self._key(deploy, "labels", pairs, (*path, "deploy"))
            self._devices(deploy)
        self._development(section(service, "develop"), path)
        for hook in [*_maps(service.get("post_start")), *_maps(service.get("pre_stop"))]:
            self._key(hook, "environment", pairs, path)
        for each in _maps(service.get("volumes")):
            self._key(section(each, "volume"), "labels", pairs, path)
        if service.get("gpus") == "all":
            service["gpus"] = Sequence([Mapping([("count", -1)])])
        for request in _maps(service.get("gpus")):
            _counted(request)
        options = section(section(service, "provider"), "options")
        for key, value in options.items():
            options[key] = Sequence(text_of(each) for each in _listed(value))

    def _development(self, develop: Mapping, path: Path) -> None:
        for trigger in _maps(develop.get("watch")):
            self._key(trigger, "ignore", _listed, path)
            self._key(trigger, "include", _listed, path)
            self._key(section(trigger, "exec"), "environment", pairs, path)

    def build(self, build: Mapping, path: Path) -> None:
        for key in ("args", "labels", "additional_contexts"):
            self._key(build, key, pairs, path)
        self._key(build, "ssh", _ssh, path)
        self._key(build, "extra_hosts", _hosts, path)
        self._items(build, "secrets", _reference, path)

    def resource(self, resource: Mapping, path: Path) -> None:
        self._key(resource, "labels", pairs, path)
        external = resource.get("external")
        if isinstance(external, Mapping):
            if external.get("name") is not None:
                if resource.get("name") not in (None, external["name"]):
                    raise wrong(
                        self._root, (*path, "name"), "set in two ways: name and the deprecated external.name"
                    )
                resource["name"] = external["name"]
            resource["external"] = True

    def pools(self, ipam: Value, path: Path) -> None:
        if isinstance(ipam, Mapping):
            ipam.pop("options", None)

    def _devices(self, deploy: Mapping) -> None:
        reserved = section(section(deploy, "resources"), "reservations")
        for request in _maps(reserved.get("devices")):
            _counted(request)

    def _key(self, holder: Mapping, key: str, convert: Converter, path: Path) -> None:
        if self._lenient and convert in (pairs, _hosts):
            return  # Compose shows lists of pairs as they stand while there are variables in them
        if key in holder and holder[key] is not None:
            holder[key] = self._try(convert, holder[key], (*path, key))

    def _items(self, holder: Mapping, key: str, convert: Converter, path: Path) -> None:
        if isinstance(items := holder.get(key), Sequence):
            for index, item in enumerate(items):
                items[index] = self._try(convert, item, (*path, key, index))

    def _many(self, holder: Mapping, key: str, form: Callable[[str], list[Mapping]], path: Path) -> None:
        items = holder.get(key)
        if not isinstance(items, Sequence):
            return
        made = Sequence(mark=items.mark)
        for index, item in enumerate(items):
            if isinstance(item, Mapping):
                made.add(item, items.mark_of(index))
                continue
            try:
                if self._lenient and key == "ports" and "$" in text_of(item):
                    raise Invalid("a variable stands in it")
                for each in form(text_of(item)):
                    made.add(each, items.mark_of(index))
            except Invalid as error:
                if not self._lenient:
                    raise wrong(self._root, (*path, key, index), error.message, error.hint) from None
                if key == "ports":
                    return  # one that cannot be read leaves them all as they are
                made.add(item, items.mark_of(index))
        holder[key] = made

    def _try(self, convert: Converter, value: Value, path: Path) -> Value:
        try:
            return convert(value)
        except Invalid as error:
            if self._lenient:
                return value
            raise wrong(self._root, path, error.message, error.hint) from None


def _maps(value: Value) -> list[Mapping]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, Sequence) else []


def _mounts(text: str) -> list[Mapping]:
    return [mount(text)]


def _listed(value: Value) -> Sequence:
    return value if isinstance(value, Sequence) else Sequence([value])


def _keyed(key: str) -> Converter:
    """A lone text under `key`."""
    return lambda value: value if isinstance(value, Mapping) else Mapping([(key, value)])


_reference = _keyed("source")


def _named(value: Value) -> Value:
    """A list of names as a map of nothing."""
    if not isinstance(value, Sequence):
        return value
    made = Mapping(mark=value.mark)
    for index, name in enumerate(value):
        made.put(str(name), None, value.mark_of(index))
    return made


def _dependencies(value: Value) -> Value:
    if isinstance(value, Sequence):
        made = Mapping(mark=value.mark)
        for index, name in enumerate(value):
            made.put(str(name), dependency(), value.mark_of(index))
        return made
    if isinstance(value, Mapping):
        for each in value.values():
            if isinstance(each, Mapping):
                each.setdefault("required", True)
    return value


def _env_files(value: Value) -> Value:
    made = Sequence(mark=value.mark if isinstance(value, Sequence) else None)
    items = value if isinstance(value, Sequence) else Sequence([value])
    for index, item in enumerate(items):
        entry = item if isinstance(item, Mapping) else Mapping([("path", item)])
        entry.setdefault("required", True)
        made.add(entry, items.mark_of(index))
    return made


def _hosts(value: Value) -> Value:
    """name=address, however it was written, sorted, each once; several addresses of a name are several entries."""
    found: list[tuple[str, str, Mark | None]] = []
    if isinstance(value, Mapping):
        for name, addresses in value.items():
            found += [(name, text_of(each), value.marks.get(name)) for each in _listed(addresses)]
    elif isinstance(value, Sequence):
        for index, each in enumerate(value):
            text = str(each)
            name, given, address = text.partition("=")
            if not given:
                name, given, address = text.partition(":")
            if not given or not name:
                raise Invalid(f"bad host name mapping {text!r}", hint="write NAME=ADDRESS")
            found.append((name, address, value.mark_of(index)))
    lines = {f"{name}={_bare(address)}": mark for name, address, mark in found}
    return Sequence(sorted(lines), None, (lines[line] for line in sorted(lines)))


def _bare(address: str) -> str:
    return address[1:-1] if address.startswith("[") and address.endswith("]") else address


def _ssh(value: Value) -> Value:
    """id or id=path, as a list."""
    if isinstance(value, Mapping):
        return Sequence(key if each is None else f"{key}={text_of(each)}" for key, each in value.items())
    return value


def _counted(request: Mapping) -> None:
    if ("count" not in request and "device_ids" not in request) or str(request.get("count")).lower() == "all":
        request["count"] = -1
    if isinstance(options := request.get("options"), Mapping | Sequence):
        request["options"] = pairs(options)


_KEYS: dict[str, Converter] = {
    **dict.fromkeys(("annotations", "environment", "labels", "sysctls"), pairs),
    **dict.fromkeys(("dns", "dns_search", "tmpfs", "label_file"), _listed),
    **dict.fromkeys(("networks", "models"), _named),
    "build": _keyed("context"),
    "depends_on": _dependencies,
    "env_file": _env_files,
    "extra_hosts": _hosts,
}
_ITEMS: dict[str, Converter] = {
    "configs": _reference,
    "secrets": _reference,
    "devices": lambda value: value if isinstance(value, Mapping) else device(str(value)),
}
