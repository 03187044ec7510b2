"""`nakagin image bootstrap`: an image from Debian packages, without a registry (not in Docker)."""

from __future__ import annotations

import sys

from nakagin.cli.command import Call, Command
from nakagin.cli.flags import Flag
from nakagin.cli.progress import show_progress

FLAGS = (
    Flag("change", "c", "list", "Apply Dockerfile instruction to the image"),
    Flag("include", "", "strings", "Further packages to install"),
    Flag("mirror", "", "string", "Package archive to take them from (default: the machine's own)"),
    Flag("quiet", "q", "bool", "Suppress progress output"),
    Flag("suite", "", "string", "Debian release, such as bookworm (default: the machine's own)"),
    Flag("tag", "t", "string", "Name of the image (default: the kind's own name)"),
    Flag("variant", "", "string", "Which packages belong to the base: minbase, apt, essential, standard …"),
)


def bootstrap(call: Call) -> int:
    """Make an image of a kind: busybox or debian."""
    options = call.options
    settings = {
        "Changes": options.many("change"),
        "Packages": options.many("include"),
        "Mirror": options.text("mirror"),
        "Suite": options.text("suite"),
        "Reference": options.text("tag"),
        "Variant": options.text("variant"),
    }
    given = {key: value for key, value in settings.items() if value}
    messages = call.client.images.bootstrap(call.arguments[0], given)
    show_progress(messages, sys.stdout, quiet=options.on("quiet"))
    return 0


BOOTSTRAP = Command(bootstrap, "[OPTIONS] busybox|debian", FLAGS, least=1, most=1)
