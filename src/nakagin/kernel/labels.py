"""Which security modules this kernel enforces labels of (AppArmor, SELinux), as their own libraries find out."""

from __future__ import annotations

import os


def has_apparmor(sys: str = "/sys") -> bool:
    """Whether profiles can be applied. The module's parameter is there without securityfs being mounted."""
    try:
        with open(f"{sys}/module/apparmor/parameters/enabled") as file:
            return file.read(1) == "Y"
    except OSError:
        return False


def has_selinux(sys: str = "/sys") -> bool:
    """Whether labels can be applied: its filesystem is mounted."""
    return os.path.exists(f"{sys}/fs/selinux/enforce")
