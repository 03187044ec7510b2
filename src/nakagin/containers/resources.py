"""Limits: Docker's resource fields checked (with its words) and turned into OCI resources. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from nakagin.containers.defaults import DEVICE_RULES, EVERY_DEVICE, NOFILE, SMALLEST_MEMORY
from nakagin.errors import Invalid
from nakagin.spec.docker import Resources
from nakagin.spec.ulimits import ULIMITS

if TYPE_CHECKING:
    from nakagin.spec import docker
    from nakagin.spec import runtime as oci

_RULE = re.compile(r"([acb]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})")
_CPU_PERIOD = 100_000


class HostLimits(NamedTuple):
    """What the machine has: online CPUs as a set of numbers, memory nodes, bytes of memory."""

    cpus: frozenset[int]
    nodes: frozenset[int]
    memory: int = 0


def check(wanted: docker.Resources, host: HostLimits) -> list[str]:
    """Warnings; raises Invalid with Docker's words for what cannot be."""
    _check_memory(wanted)
    _check_cpu(wanted, host)
    if wanted.blkio_weight and not 10 <= wanted.blkio_weight <= 1000:
        raise Invalid("Range of blkio weight is from 10 to 1000")
    for rule in wanted.device_cgroup_rules:
        device_rule(rule)
    for limit in wanted.ulimits:
        check_ulimit(limit)
    return _warnings(wanted)


def _check_memory(wanted: docker.Resources) -> None:
    memory, swap, reservation = wanted.memory, wanted.memory_swap, wanted.memory_reservation
    if memory and memory < SMALLEST_MEMORY:
        raise Invalid("Minimum memory limit allowed is 6MB")
    if memory > 0 and 0 < swap < memory:
        raise Invalid("Minimum memoryswap limit should be larger than memory limit, see usage")
    if memory == 0 and swap > 0:
        raise Invalid("You should always set the Memory limit when using Memoryswap limit, see usage")
    swappiness = wanted.memory_swappiness
    if swappiness is not None and not -1 <= swappiness <= 100:
        raise Invalid(f"Invalid value: {swappiness}, valid memory swappiness range is 0-100")
    if reservation and reservation < SMALLEST_MEMORY:
        raise Invalid("Minimum memory reservation allowed is 6MB")
    if 0 < memory < reservation:
        raise Invalid("Minimum memory limit can not be less than memory reservation limit, see usage")


def _check_cpu(wanted: docker.Resources, host: HostLimits) -> None:
    if wanted.nano_cpus and wanted.cpu_period:
        raise Invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set")
    if wanted.nano_cpus and wanted.cpu_quota:
        raise Invalid("Conflicting options: Nano CPUs and CPU Quota cannot both be set")
    count = len(host.cpus)
    if wanted.nano_cpus < 0 or wanted.nano_cpus > count * 1_000_000_000:
        raise Invalid(f"range of CPUs is from 0.01 to {count}.00, as there are only {count} CPUs available")
    if wanted.cpu_shares < 0:
        raise Invalid(f"invalid CPU shares ({wanted.cpu_shares}): value must be a positive integer")
    if wanted.cpu_period and not 1_000 <= wanted.cpu_period <= 1_000_000:
        raise Invalid("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
    if 0 < wanted.cpu_quota < 1_000:
        raise Invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    _check_set(wanted.cpuset_cpus, host.cpus, "cpuset cpus", "CPUs")
    _check_set(wanted.cpuset_mems, host.nodes, "cpuset mems", "memory nodes")


def _check_set(text: str, available: frozenset[int], field: str, what: str) -> None:
    if not text:
        return
    try:
        wanted = parse_list(text)
    except ValueError:
        raise Invalid(f"Invalid value {text} for {field}") from None
    if not wanted <= available:
        have = ",".join(map(str, sorted(available)))
        raise Invalid(f"Requested {what} are not available - requested {text}, available: {have}")


def parse_list(text: str) -> set[int]:
    """The numbers of a kernel list like "0-3,7"; ValueError where it is none."""
    numbers: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        numbers.update(range(int(first), int(last if dash else first) + 1))
    return numbers


def _warnings(wanted: docker.Resources) -> list[str]:
    warnings = []
    if wanted.kernel_memory or wanted.kernel_memory_tcp:
        warnings.append("Kernel memory limits are no longer supported by the kernel. Discarded.")
    if wanted.oom_kill_disable and not wanted.memory:
        warnings.append(
            "OOM killer is disabled for the container, but no memory limit is set, this can result in the system "
            "running out of resources."
        )
    return warnings


def check_ulimit(limit: docker.Ulimit) -> None:
    """Invalid for an unknown name or a soft limit above the hard one."""
    if limit.name not in ULIMITS:
        raise Invalid(f"invalid ulimit type: {limit.name}", hint=f"one of {', '.join(sorted(ULIMITS))}")
    if limit.hard != -1 and (limit.soft > limit.hard or limit.soft == -1):
        raise Invalid(
            f"ulimit soft limit must be less than or equal to hard limit: {limit.soft} > {limit.hard}"
        )


def rlimits(
    wanted: Sequence[docker.Ulimit], standard: Sequence[docker.Ulimit], most_files: int
) -> list[oci.Rlimit]:
    """The request's limits over the engine's defaults over our own nofile limit; -1 is unlimited.

    `most_files` is what this machine allows at most; only our own default is cut to it here.
    """
    chosen: dict[str, tuple[int, int]] = {"nofile": (min(NOFILE[0], most_files), min(NOFILE[1], most_files))}
    for limit in (*standard, *wanted):
        chosen[limit.name] = (limit.soft, limit.hard)
    return [
        {"type": f"RLIMIT_{name.upper()}", "soft": _unlimited(soft), "hard": _unlimited(hard)}
        for name, (soft, hard) in sorted(chosen.items())
    ]


def _unlimited(value: int) -> int:
    return (1 << 64) - 1 if value == -1 else value


def device_rule(text: str) -> oci.DeviceRule:
    """The rule that "c 42:* rmw" means; Invalid where it is none."""
    match = _RULE.fullmatch(text)
    if not match:
        raise Invalid(f"invalid device cgroup rule format: '{text}'", hint="as in 'c 42:* rmw'")
    kind, major, minor, access = match.groups()
    rule: oci.DeviceRule = {"allow": True, "type": kind, "access": access}
    if major != "*":
        rule["major"] = int(major)
    if minor != "*":
        rule["minor"] = int(minor)
    return rule


def device_rules(
    privileged: bool, devices: Iterable[tuple[oci.Device, str]], rules: Iterable[str]
) -> list[oci.DeviceRule]:
    """Who may use which device: `devices` are those of the request with their permissions."""
    if privileged:
        return [EVERY_DEVICE]
    own: list[oci.DeviceRule] = [
        {
            "allow": True,
            "type": device["type"],
            "major": device["major"],
            "minor": device["minor"],
            "access": access,
        }
        for device, access in devices
        if device["type"] in {"b", "c"}
    ]
    return [*DEVICE_RULES, *own, *(device_rule(rule) for rule in rules)]


def limits(wanted: docker.Resources, numbers: dict[str, tuple[int, int]] | None = None) -> oci.Resources:
    """The OCI resources without devices; `numbers` maps each device path in it to (major, minor)."""
    found: oci.Resources = {}
    if memory := _memory(wanted):
        found["memory"] = memory
    if cpu := _cpu(wanted):
        found["cpu"] = cpu
    if wanted.pids_limit is not None and wanted.pids_limit != 0:
        found["pids"] = {"limit": max(wanted.pids_limit, -1)}
    if block := _block_io(wanted, numbers or {}):
        found["blockIO"] = block
    return found


# Docker's field -> the specification's key, where a number or text is passed on as it is, unless it is zero or empty.
_MEMORY = {"memory": "limit", "memory_reservation": "reservation", "memory_swap": "swap"}
_CPU = {
    "cpu_shares": "shares", "cpu_period": "period", "cpu_quota": "quota", "cpu_realtime_period": "realtimePeriod",
    "cpu_realtime_runtime": "realtimeRuntime", "cpuset_cpus": "cpus", "cpuset_mems": "mems",
}  # fmt: skip
_THROTTLES = {
    "blkio_device_read_bps": "throttleReadBpsDevice", "blkio_device_write_bps": "throttleWriteBpsDevice",
    "blkio_device_read_iops": "throttleReadIOPSDevice", "blkio_device_write_iops": "throttleWriteIOPSDevice",
}  # fmt: skip


def _passed_on(wanted: docker.Resources, fields: dict[str, str]) -> dict[str, Any]:
    return {key: value for field, key in fields.items() if (value := getattr(wanted, field))}


def _memory(wanted: docker.Resources) -> oci.Memory:
    memory: oci.Memory = _passed_on(wanted, _MEMORY)  # type: ignore[assignment]
    if wanted.memory_swappiness is not None and wanted.memory_swappiness >= 0:
        memory["swappiness"] = wanted.memory_swappiness
    if wanted.oom_kill_disable:
        memory["disableOOMKiller"] = True
    return memory


def _cpu(wanted: docker.Resources) -> oci.CPU:
    cpu: oci.CPU = _passed_on(wanted, _CPU)  # type: ignore[assignment]
    if wanted.nano_cpus:  # excludes period and quota
        cpu["period"] = _CPU_PERIOD
        cpu["quota"] = wanted.nano_cpus * _CPU_PERIOD // 1_000_000_000
    return cpu


def block_devices(wanted: docker.Resources) -> set[str]:
    """The paths of the block devices whose numbers `limits` needs."""
    devices = [
        *wanted.blkio_weight_device,
        *(each for field in _THROTTLES for each in getattr(wanted, field)),
    ]
    return {device.path for device in devices}


def _block_io(wanted: docker.Resources, numbers: dict[str, tuple[int, int]]) -> oci.BlockIO:
    block: oci.BlockIO = {}
    if wanted.blkio_weight:
        block["weight"] = wanted.blkio_weight
    if wanted.blkio_weight_device:
        block["weightDevice"] = [
            {"major": numbers[each.path][0], "minor": numbers[each.path][1], "weight": each.weight}
            for each in wanted.blkio_weight_device
        ]
    for key, devices in _passed_on(wanted, _THROTTLES).items():
        block[key] = _throttles(devices, numbers)  # type: ignore[literal-required]
    return block


def _throttles(
    devices: Iterable[docker.ThrottleDevice], numbers: dict[str, tuple[int, int]]
) -> list[oci.ThrottleDevice]:
    return [
        {"major": numbers[each.path][0], "minor": numbers[each.path][1], "rate": each.rate}
        for each in devices
    ]


def updated(host: docker.HostConfig, change: docker.UpdateRequest) -> docker.HostConfig:
    """The host half after `docker update`: what the change leaves at zero or None stays as it is. Raises Invalid."""
    fields = {
        name: value
        for name in Resources.__struct_fields__
        if (value := getattr(change, name)) not in _UNSET and name not in _NOT_UPDATED
    }
    if change.restart_policy.name:
        fields["restart_policy"] = change.restart_policy
    # Docker's words for limits that exclude each other across requests.
    if change.nano_cpus and (host.cpu_quota or host.cpu_period):
        raise Invalid(
            "Conflicting options: Nano CPUs cannot be updated as CPU Period or Quota has already been set"
        )
    if (change.cpu_quota or change.cpu_period) and host.nano_cpus:
        raise Invalid(
            "Conflicting options: CPU Quota or Period cannot be updated as NanoCPUs has already been set"
        )
    if change.memory > 0 and not change.memory_swap and 0 < host.memory_swap < change.memory:
        raise Invalid(
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
        )
    return msgspec.structs.replace(host, **fields)


_UNSET: tuple[object, ...] = (0, "", None, ())
_NOT_UPDATED = frozenset({"cgroup_parent", "devices", "device_cgroup_rules", "device_requests", "ulimits"})
