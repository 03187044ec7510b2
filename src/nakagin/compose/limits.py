"""Limits of a service as the engine's HostConfig has them; `deploy.resources` and the older keys mean the same."""

from __future__ import annotations

from typing import Any

from nakagin.compose.model import Service
from nakagin.compose.parts import BlockIO, DeviceRate, DeviceRequest, Resource, Ulimit

Document = dict[str, Any]


def resources(service: Service) -> Document:
    """The part of HostConfig that Docker calls Resources."""
    parts = service.deploy.resources if service.deploy else None
    limits = (parts.limits if parts else None) or Resource()
    reserved = (parts.reservations if parts else None) or Resource()
    made: Document = {
        "CgroupParent": service.cgroup_parent,
        "Memory": int(service.mem_limit or limits.memory or 0),
        "MemoryReservation": int(service.mem_reservation or reserved.memory or 0),
        "MemorySwap": int(service.memswap_limit or 0),
        "MemorySwappiness": int(service.mem_swappiness) if service.mem_swappiness else None,
        "OomKillDisable": service.oom_kill_disable,
        "NanoCpus": round(float(service.cpus or limits.cpus or 0) * 1e9),
        "CpuPeriod": service.cpu_period,
        "CpuQuota": service.cpu_quota,
        "CpuRealtimePeriod": service.cpu_rt_period,
        "CpuRealtimeRuntime": service.cpu_rt_runtime,
        "CpuShares": service.cpu_shares,
        "CpuPercent": int(service.cpu_percent),
        "CpuCount": service.cpu_count,
        "CpusetCpus": service.cpuset,
        "PidsLimit": service.pids_limit or limits.pids or None,
        "Ulimits": [_ulimit(name, each) for name, each in service.ulimits.items()] or None,
        "Devices": [
            {"PathOnHost": each.source, "PathInContainer": each.target, "CgroupPermissions": each.permissions}
            for each in service.devices
        ]
        or None,
        "DeviceCgroupRules": service.device_cgroup_rules or None,
        "DeviceRequests": [_request(each) for each in reserved.devices]
        + [_request(each, ["gpu"]) for each in service.gpus]
        or None,
    }
    if service.blkio_config is not None:
        made |= _block_io(service.blkio_config)
    return made


def _ulimit(name: str, limit: int | Ulimit) -> Document:
    soft, hard = (limit, limit) if isinstance(limit, int) else (limit.soft, limit.hard)
    return {"Name": name, "Soft": soft, "Hard": hard}


def _request(request: DeviceRequest, more: list[str] | None = None) -> Document:
    return {
        "Capabilities": [
            [*request.capabilities, *(each for each in more or [] if each not in request.capabilities)]
        ],
        "Count": request.count,
        "DeviceIDs": request.device_ids or None,
        "Driver": request.driver,
        "Options": request.options or None,
    }


def _block_io(settings: BlockIO) -> Document:
    def rates(entries: list[DeviceRate]) -> list[Document]:
        return [{"Path": each.path, "Rate": int(each.rate or 0)} for each in entries]

    return {
        "BlkioWeight": settings.weight,
        "BlkioWeightDevice": [{"Path": each.path, "Weight": each.weight} for each in settings.weight_device],
        "BlkioDeviceReadBps": rates(settings.device_read_bps),
        "BlkioDeviceWriteBps": rates(settings.device_write_bps),
        "BlkioDeviceReadIOps": rates(settings.device_read_iops),
        "BlkioDeviceWriteIOps": rates(settings.device_write_iops),
    }
