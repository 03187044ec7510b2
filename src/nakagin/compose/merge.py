"""How a later file changes an earlier one, and a service the one that it extends.

Maps are merged key by key, lists are joined, all else is replaced; the exceptions stand in `_RULES`. Afterwards lists
whose items have an identity (a port, a mount's target, a variable's name) keep the last of each: `enforce_unicity`.
"""

from __future__ import annotations

from collections.abc import Callable

from nakagin.compose.short import mount_target, pairs_as_list
from nakagin.compose.tree import Mapping, Mark, Path, Sequence, Value, dotted
from nakagin.errors import Invalid

Rule = Callable[[Value, Value, Path], Value]


def merge(base: Value, over: Value, path: Path = ()) -> Value:
    """`over` upon `base`; both are used up. Nothing (null) changes nothing. Raises Invalid."""
    if base is None:
        return over
    if over is None:
        return base
    if rule := _rule(path):
        return rule(base, over, path)
    if isinstance(base, Mapping) and isinstance(over, Mapping):
        return _maps(base, over, path)
    if isinstance(base, Sequence) and isinstance(over, Sequence):
        return _joined(base, over)
    if isinstance(base, Mapping | Sequence) or isinstance(over, Mapping | Sequence):
        mark = over.mark if isinstance(over, Mapping | Sequence) else None
        raise Invalid(
            f"cannot override {dotted(path)}: one file has a {_word(base)}, the other a {_word(over)}",
            where=str(mark) if mark else None,
        )
    return over


def _word(value: Value) -> str:
    return "map" if isinstance(value, Mapping) else "list" if isinstance(value, Sequence) else "single value"


def _maps(base: Mapping, over: Mapping, path: Path) -> Mapping:
    for key, value in over.items():
        before = base.get(key)
        base.put(key, merge(before, value, (*path, key)), over.marks.get(key))
    return base


def _joined(base: Sequence, over: Sequence) -> Sequence:
    for index, value in enumerate(over):
        base.add(value, over.mark_of(index))
    return base


def _replace(base: Value, over: Value, path: Path) -> Value:
    return over


def _as_list(base: Value, over: Value, path: Path) -> Value:
    return _joined(pairs_as_list(base), pairs_as_list(over))


def _hosts(base: Value, over: Value, path: Path) -> Value:
    before, after = pairs_as_list(base), pairs_as_list(over)
    new = [(each, after.mark_of(index)) for index, each in enumerate(after) if each not in before]
    for each, mark in new:
        before.add(each, mark)
    return before


def _as_map(value: Value, make: Callable[[str], Value]) -> Mapping:
    """A list of names as a map."""
    if isinstance(value, Sequence):
        made = Mapping(mark=value.mark)
        for index, name in enumerate(value):
            made.put(str(name), make(str(name)), value.mark_of(index))
        return made
    return value if isinstance(value, Mapping) else Mapping()


def dependency(_: str = "") -> Mapping:
    """What a name alone means under depends_on."""
    return Mapping([("condition", "service_started"), ("required", True)])


def _dependencies(base: Value, over: Value, path: Path) -> Value:
    return _maps(_as_map(base, dependency), _as_map(over, dependency), path)


def _named(base: Value, over: Value, path: Path) -> Value:
    return _maps(_as_map(base, lambda _: None), _as_map(over, lambda _: None), path)


def _build(base: Value, over: Value, path: Path) -> Value:
    def long(value: Value) -> Mapping:
        return value if isinstance(value, Mapping) else Mapping([("context", value)])

    return _maps(long(base), long(over), path)


def _logging(base: Value, over: Value, path: Path) -> Value:
    if not isinstance(base, Mapping) or not isinstance(over, Mapping):
        return over
    before, after = base.get("driver"), over.get("driver")
    return _maps(base, over, path) if before == after or before is None or after is None else over


def _limit(base: Value, over: Value, path: Path) -> Value:
    if isinstance(base, Mapping) and isinstance(over, Mapping):
        return _maps(base, over, path)
    return over


def _pools(base: Value, over: Value, path: Path) -> Value:
    if not isinstance(base, Sequence) or not isinstance(over, Sequence):
        return over
    for each in over:
        for index, known in enumerate(base):
            if (
                isinstance(known, Mapping)
                and isinstance(each, Mapping)
                and known.get("subnet") == each.get("subnet")
            ):
                base[index] = _maps(known, each, (*path, index))
                break
        else:
            base.add(each, None)
    return base


_SERVICE_RULES: dict[str, Rule] = {
    **dict.fromkeys(
        (
            "annotations", "build.args", "build.additional_contexts", "build.labels", "deploy.labels", "dns",
            "dns_opt", "dns_search", "env_file", "label_file", "environment", "labels", "sysctls", "tmpfs",
        ),
        _as_list,
    ),
    **dict.fromkeys(("command", "entrypoint", "healthcheck.test"), _replace),
    "build": _build,
    "build.extra_hosts": _hosts,
    "extra_hosts": _hosts,
    "depends_on": _dependencies,
    "logging": _logging,
    "networks": _named,
    "models": _named,
    "ulimits.*": _limit,
}  # fmt: skip
_RULES: dict[str, Rule] = {
    "networks.*.ipam.config": _pools,
    "networks.*.labels": _as_list,
    "volumes.*.labels": _as_list,
    **{f"services.*.{key}": rule for key, rule in _SERVICE_RULES.items()},
}


def _rule(path: Path) -> Rule | None:
    if len(path) < 3:
        return None
    words = [str(part) for part in path]
    words[1] = "*"
    if len(words) == 4 and words[2] == "ulimits":
        words[3] = "*"
    return _RULES.get(".".join(words))


def _name(item: Value) -> str:
    return str(item).partition("=")[0]


def _whole(item: Value) -> str:
    return str(item)


def _mounted(folder: str) -> Callable[[Value], str]:
    def key(item: Value) -> str:
        if isinstance(item, Mapping):
            target = item.get("target")
            return str(target) if target else f"{folder}/{item.get('source')}"
        return f"{folder}/{item}"

    return key


def _device(item: Value) -> str:
    if isinstance(item, Mapping):
        return str(item.get("target"))
    parts = str(item).split(":")
    return parts[1] if len(parts) > 1 else parts[0]


def _env_file(item: Value) -> str:
    return str(item.get("path")) if isinstance(item, Mapping) else str(item)


def _port(item: Value) -> str:
    if not isinstance(item, Mapping):
        return str(item)
    published, target = item.get("published"), item.get("target")
    return f"{item.get('host_ip') or ''}:{published or ''}:{target}/{item.get('protocol') or 'tcp'}"


_IDENTITIES: dict[str, Callable[[Value], str]] = {
    **dict.fromkeys(
        (
            "annotations", "build.args", "build.additional_contexts", "build.platform", "build.tags", "build.labels",
            "cap_add", "cap_drop", "deploy.labels", "dns", "dns_opt", "dns_search", "environment", "labels", "links",
            "networks.*.aliases", "networks.*.link_local_ips", "profiles", "sysctls", "tmpfs",
        ),
        _name,
    ),
    "configs": _mounted(""),
    "secrets": _mounted("/run/secrets"),
    "devices": _device,
    "env_file": _env_file,
    "expose": _whole,
    "ports": _port,
    "volumes": mount_target,
}  # fmt: skip


def enforce_unicity(root: Mapping) -> None:
    """Of list items that stand for the same thing keep the last, at the first one's place."""
    for group in ("networks", "volumes"):
        for each in _maps_of(root.get(group)):
            _unify(each, "labels", _name)
    for service in _maps_of(root.get("services")):
        for key, identity in _IDENTITIES.items():
            for holder, last in _holders(service, key.split(".")):
                _unify(holder, last, identity)


def _maps_of(value: Value) -> list[Mapping]:
    return (
        [each for each in value.values() if isinstance(each, Mapping)] if isinstance(value, Mapping) else []
    )


def _holders(node: Mapping, words: list[str]) -> list[tuple[Mapping, str]]:
    if len(words) == 1:
        return [(node, words[0])]
    below = _maps_of(node) if words[0] == "*" else [node.get(words[0])]
    return [found for each in below if isinstance(each, Mapping) for found in _holders(each, words[1:])]


def _unify(holder: Mapping, key: str, identity: Callable[[Value], str]) -> None:
    items = holder.get(key)
    if not isinstance(items, Sequence):
        return
    places: dict[str, int] = {}
    kept: list[tuple[Value, Mark | None]] = []
    for index, item in enumerate(items):
        name = identity(item)
        if name in places:
            kept[places[name]] = (item, items.mark_of(index))
        else:
            places[name] = len(kept)
            kept.append((item, items.mark_of(index)))
    holder[key] = Sequence((item for item, _ in kept), items.mark, (mark for _, mark in kept))
