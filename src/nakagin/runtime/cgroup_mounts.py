"""How a config's mount of type "cgroup" becomes mounts, for this machine's hierarchies. Pure.

    cgroup v2, own cgroup namespace      one cgroup2 filesystem (its root is the container's group)
    cgroup v2, the host's namespace      a bind of the container's group
    cgroup v1 and hybrid                 a tmpfs with one directory per hierarchy, each as above,
                                         links for controllers that share one ("cpu" -> "cpu,cpuacct")

CVE-2022-0492: all of it is read-only unless the config says "rw", and the namespace hides the root's
release_agent.
"""

from __future__ import annotations

from nakagin.kernel import abi
from nakagin.runtime.steps import BindMount, MakeLink, MountFilesystem, SealMount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.cgroups.layout import Layout
    from nakagin.runtime.options import MountOptions
    from nakagin.runtime.steps import Step


def cgroup_steps(
    target: str, options: MountOptions, layout: Layout, group: str, own_namespace: bool
) -> list[Step]:
    """The steps for the mount at `target`; `group` is the container's logical path ("/nakagin/ab12")."""
    attributes = options.add
    if layout.mode == "v2":
        return [_hierarchy(target, layout.v2, [], attributes, group, own_namespace)]
    steps: list[Step] = [
        MountFilesystem(
            "tmpfs", target, source="tmpfs", data=["mode=755"], attributes=attributes & ~_READ_ONLY
        )
    ]
    for mount_point, controllers in _hierarchies(layout).items():
        name = mount_point.rpartition("/")[2]
        place = f"{target}/{name}"
        steps.append(_hierarchy(place, mount_point, controllers, attributes, group, own_namespace))
        steps += [MakeLink(f"{target}/{each}", name) for each in controllers if each != name]
    if layout.v2 and own_namespace:
        steps.append(_hierarchy(f"{target}/unified", layout.v2, [], attributes, group, own_namespace))
    if attributes & _READ_ONLY:
        steps.append(SealMount(target))
    return steps


_READ_ONLY = abi.MOUNT_ATTR_RDONLY


def _hierarchies(layout: Layout) -> dict[str, list[str]]:
    """Mount point -> controllers, v1 only."""
    found: dict[str, list[str]] = {}
    for controller, mount_point in layout.v1.items():
        found.setdefault(mount_point, []).append(controller)
    return found


def _hierarchy(
    target: str, mount_point: str, controllers: list[str], attributes: int, group: str, own_namespace: bool
) -> Step:
    """One hierarchy; v2 has no `controllers`."""
    if not own_namespace:
        return BindMount(mount_point + group, target, add=attributes)
    fstype = "cgroup" if controllers else "cgroup2"
    return MountFilesystem(fstype, target, source="cgroup", data=controllers, attributes=attributes)
