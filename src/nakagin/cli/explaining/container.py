"""A living container for people: what isolates it, what limits it, what it is made of. Pure."""

from __future__ import annotations

from nakagin.cli.quantities import human_binary_size, human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nakagin.client.session import Document

_WHY = {
    "user": "who is who: its user ids",
    "cgroup": "what it sees of the limits",
    "ipc": "shared memory and queues",
    "uts": "host name",
    "network": "interfaces, addresses, ports",
    "pid": "process numbers",
    "time": "clocks",
    "mount": "what is mounted where",
}
# cgroup v1 says "no limit" by the largest page-aligned number
_ENDLESS = 1 << 60
_HIDDEN = ("proc", "sysfs", "devpts", "mqueue", "cgroup", "cgroup2")


def text(facts: Document) -> Iterator[str]:
    """The lines."""
    made_of = f"of image {facts['Image']}" if facts["Image"] else "on a folder"
    yield f"container {facts['Name']} ({facts['Id'][:12]}) {made_of}: {facts['Status']}"
    if "Namespaces" in facts:
        yield f"  an ordinary process of this host, pid {facts['Pid']}; pid {facts['Monitor']} is its monitor"
        yield from _section("Processes", _processes(facts))
        yield from _section("Isolated by namespaces", _namespaces(facts))
        yield from _section(f"Limited by cgroup {facts['Cgroup']['Path']}", _limits(facts))
        yield from _section("Privileges", _privileges(facts))
    yield from _section("Root file system, topmost first", _layers(facts))
    if "Mounts" in facts:
        yield from _section("Mounted into it", _mounts(facts))
        yield from _section("The way of a packet to each published port", map(_way, facts["Ports"]))


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    found = list(lines)
    if not found:
        return
    yield ""
    yield f"{title}:"
    yield from (f"  {line}" for line in found)


def _processes(facts: Document) -> Iterator[str]:
    for each in facts["Processes"]:
        yield f"{each['Pid']:>8} here, {each['Inside']:>5} inside   {each['Command']}"


def _namespaces(facts: Document) -> Iterator[str]:
    for each in facts["Namespaces"]:
        whose = "its own" if each["Own"] else "the host's"
        yield f"{each['Kind']:<8} {whose:<11} [{each['Inode']}]  {_WHY[each['Kind']]}"


def _limits(facts: Document) -> Iterator[str]:
    for row in facts["Cgroup"]["Files"]:
        limit, use = _amount(row["Name"], row["Limit"]), _amount(row["Name"], row["Use"])
        told = f"{use} of {limit}" if use and limit else use or limit
        yield f"{row['Name']:<11} {told:<28} {row['File'] or row['UseFile']}"


def _amount(name: str, value: str) -> str:
    if not value:
        return ""
    first, _, period = value.partition(" ")
    if first in {"max", "-1"} or (first.isdigit() and int(first) > _ENDLESS):
        return "no limit"
    if not first.isdigit():
        return value
    if name == "memory":
        return human_binary_size(int(first))
    if name == "cpu time":
        return f"{int(first) / 1e9:.2f} s"
    if name == "cpu quota":
        return f"{int(first) / int(period or 100000):g} CPUs"
    return value


def _privileges(facts: Document) -> Iterator[str]:
    own = facts["Privileges"]
    yield f"user {own['Uid']}:{own['Gid']}"
    names = [name.removeprefix("CAP_").lower() for name in own["Capabilities"]]
    yield f"capabilities: {' '.join(names) or 'none'}"
    yield f"system calls: {'filtered (seccomp)' if own['Seccomp'] == 'filter' else own['Seccomp']}"
    yield f"may gain privileges: {'no' if own['NoNewPrivileges'] else 'yes, by setuid programs'}"
    if own["Label"] and own["Label"] != "unconfined":
        yield f"label: {own['Label']}"
    if own["UidMap"] and own["UidMap"] != ["0 0 4294967295"]:
        yield f"user ids (inside, outside, count): {'; '.join(own['UidMap'])}"


def _layers(facts: Document) -> Iterator[str]:
    for layer in facts["Layers"]:
        size = "" if layer["Size"] is None else f", {human_size(layer['Size'])}"
        yield f"{'writable' if layer['Writable'] else 'shared, read-only'}{size}: {layer['Path']}"


def _mounts(facts: Document) -> Iterator[str]:
    for each in facts["Mounts"]:
        if each["Type"] in _HIDDEN or each["Target"] == "/" or each["Target"].startswith(("/proc/", "/sys/")):
            continue
        source = each["Root"] if each["Root"] != "/" else each["Source"]
        source = f"over {source}" if each["Type"] == "overlay" else source
        writable = "ro" if "ro" in each["Options"].split(",") else "rw"
        yield f"{each['Target']:<24} {writable}  {each['Type']:<8} {_space(each):<18} {source}".rstrip()


def _space(mount: Document) -> str:
    """Of a file its size, of a file system how full it is."""
    size, used = mount["Size"], mount["Used"]
    if size is None:
        return ""
    return human_size(size) if used is None else f"{human_size(used)} of {human_size(size)}"


def ports(network: Document, container: str) -> list[Document]:
    """[{"Port": "127.0.0.1:80/tcp", "Way": ["map ports4 of …", "bridge …", "veth…", "eth0 …:80"], "InKernel"}, …].

    What a packet passes to each published port of a container, in its order; `network` is the network's explanation.
    """
    found = []
    for member in network["Containers"]:
        if member["Id"] != container:
            continue
        link = network["Interface"]
        for port in member["Ports"]:
            outside, within = ends(port)
            first = f"map {port['Map']} of table {network['Table']}" if port["Map"] else "the monitor's proxy"
            bridge = f"{link['Kind']} {link['Name']}" if link else ""
            way = [first, bridge, member["HostInterface"], f"{member['Interface']} {within}"]
            found.append(
                {"Port": outside, "Way": [each for each in way if each], "InKernel": port["InKernel"]}
            )
    return found


def ends(port: Document) -> tuple[str, str]:
    """A published port from outside and inside: "0.0.0.0:8000-8009/tcp", "172.17.0.2:80-89"."""

    def span(first: int) -> str:
        return f"{first}-{first + port['Count'] - 1}" if port["Count"] > 1 else str(first)

    def at(address: str) -> str:
        return f"[{address}]" if ":" in address else address

    outside = f"{at(port['HostIp'])}:{span(port['HostPort'])}/{port['Protocol']}"
    return outside, f"{at(port['Address'])}:{span(port['ContainerPort'])}"


def _way(port: Document) -> str:
    missing = "" if port["InKernel"] else "   MISSING in the kernel"
    return " ─> ".join([port["Port"], *port["Way"]]) + missing
