"""The plan of a start for people: every step with one sentence why. Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from nakagin.client.session import Document

_STAGES = {
    "engine": "The engine decides",
    "monitor": "A monitor is born",
    "cgroup": "The cgroup limits",
    "container": "The container's first process furnishes its room, then becomes the program",
}
# what a step begins with → why it is done; the first that fits
_WHY = (
    ("take image", "its layers are the walls, shared by all containers of the image"),
    ("reserve", "whatever comes after can be undone as a whole"),
    ("take or make volume", "its data outlives the container"),
    ("attach", "so that it is reached, and reaches others, by an address of its own"),
    ("publish", "so that the port is reached from outside"),
    ("fork", "the engine may die without the container noticing"),
    ("make cgroup", "the kernel counts and limits what is in it, and kills it as a whole"),
    ("write devices", "only known devices can be used"),
    ("write memory", "more than this it does not get"),
    ("write cpu", "its share of the processors"),
    ("write pids", "a fork bomb stops here"),
    ("write blkio", "so fast it reads and writes at most, or its share of that"),
    ("write io", "so fast it reads and writes at most, or its share of that"),
    ("write hugetlb", "so many huge pages it gets at most"),
    ("write rdma", "so much of an RDMA device it gets at most"),
    ("write net_", "its packets are marked for this host's traffic control"),
    ("write ", "as was asked"),
    ("device program", "only known devices can be used"),
    ("make namespaces", "it sees its own processes, mounts, network and names only"),
    ("join", "it shares this one, as was asked"),
    ("set hostname", "its own name, seen by nobody else"),
    ("take /", "all paths are below this folder; pivot_root makes the way back vanish"),
    ("mount proc", "its own processes, by its own pid namespace"),
    ("mount sysfs", "the kernel's devices, read-only"),
    ("mount overlay", "writes go to its own layer, the image stays as it is"),
    ("mount tmpfs", "memory that is gone with it"),
    ("mount devpts", "terminals of its own"),
    ("mount mqueue", "message queues of its own"),
    ("mount cgroup", "what it may see of its limits"),
    ("bind the terminal", "what reads and writes /dev/console is at its terminal"),
    ("bind", "a file or folder of the host, shown inside"),
    ("rbind", "a file or folder of the host, shown inside"),
    ("mask", "what is below tells of the host, or changes it (CVE-2022-0492 and others)"),
    ("make device", "the few devices that every program expects"),
    ("make directory", "a place to mount on"),
    ("make /", "settings of the kernel that are not its business"),
    ("link", "names that programs expect"),
    ("limit", "so much of a resource for each process"),
    ("keep capabilities", "root inside is not root: everything else is given up"),
    ("filter", "some 60 system calls that no ordinary program needs are refused"),
    ("give up", "setuid programs gain nothing"),
    ("become user", "who the program is"),
    ("execute", "from here on it is an ordinary process"),
    ("set ", "as was asked"),
)


def why(step: str) -> str:
    """The sentence; "" for a step that nothing is known of."""
    return next((reason for start, reason in _WHY if step.startswith(start)), "")


def reasoned(plan: Document) -> Document:
    """The engine's plan with "Why" in every step."""
    return plan | {"Steps": [step | {"Why": why(step["Step"])} for step in plan["Steps"]]}


def text(plan: Document) -> Iterator[str]:
    """The lines of a reasoned plan; steps of the same kind in a row get their reason once."""
    stage, reason = "", ""
    for number, each in enumerate(plan["Steps"], 1):
        if each["Stage"] != stage:
            stage, reason = each["Stage"], ""
            yield ""
            yield f"{_STAGES[stage]}:"
        told = each["Why"]
        shown = f"   # {told}" if told and told != reason else ""
        reason = told
        yield f"  {number:>3}. {each['Step']}{shown}"
    for warning in plan["Warnings"]:
        yield ""
        yield f"WARNING: {warning}"
    yield ""
    yield "Nothing of this was done."
