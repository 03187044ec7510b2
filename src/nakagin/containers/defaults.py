"""What a container gets when nobody asks for anything else: Docker's defaults, as data."""

from __future__ import annotations

from nakagin.cgroups.devices import DEFAULT_RULES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.spec import runtime as oci

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SHM_SIZE = 64 << 20
STOP_TIMEOUT = 10
STOP_SIGNAL = "SIGTERM"
SMALLEST_MEMORY = 6 << 20

# Explicit, never inherited from whoever started the engine: a soft limit that neither starves servers nor makes
# programs that close every descriptor crawl, and a hard limit for those that raise it themselves.
NOFILE = (65536, 524288)

CAPABILITIES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
    "CAP_AUDIT_WRITE",
)  # fmt: skip

MASKED_PATHS = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap",
    "/sys/firmware",
)  # fmt: skip

READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

PROC: oci.Mount = {
    "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"],
}  # fmt: skip
DEV: oci.Mount = {
    "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
    "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
}  # fmt: skip
DEV_PTS: oci.Mount = {
    "destination": "/dev/pts", "type": "devpts", "source": "devpts",
    "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
}  # fmt: skip
DEV_MQUEUE: oci.Mount = {
    "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"],
}  # fmt: skip
SYS: oci.Mount = {
    "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"],
}  # fmt: skip
CGROUP: oci.Mount = {
    "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
    "options": ["nosuid", "noexec", "nodev", "relatime", "ro"],
}  # fmt: skip

# Everything is denied, except what these say: any node may be made, and the harmless ones used.
DEVICE_RULES: tuple[oci.DeviceRule, ...] = ({"allow": False, "access": "rwm"}, *DEFAULT_RULES)
EVERY_DEVICE: oci.DeviceRule = {"allow": True, "access": "rwm"}
