"""`nakagin debug`: tools where there are none: beside a running container, or on an image (not in Docker)."""

from __future__ import annotations

import sys

from nakagin.cli.command import Call, Command, complain
from nakagin.cli.flags import Flag, parse
from nakagin.errors import Conflict, NotFound

FLAGS = (
    Flag("image", "", "string", "The image with the tools", "busybox"),
    Flag("volumes", "", "bool", "Its volumes and binds at their places", True),
)
ROOT = "/proc/1/root"


def debug(call: Call) -> int:
    """Run a shell, or a command, in the namespaces of a container, or with an image at /target."""
    from nakagin.cli.request.tables import RUN_FLAGS
    from nakagin.cli.verbs.run import run

    target, *command = call.arguments
    words = ["--rm", "--interactive"]
    words += ["--tty"] if sys.stdin.isatty() and sys.stdout.isatty() else []
    words += _beside(call, target)
    options, arguments = parse(
        RUN_FLAGS, [*words, call.options.text("image"), *(command or ["sh"])], interspersed=False
    )
    return run(Call(call.name, options, arguments, lambda: call.client))


def _beside(call: Call, target: str) -> list[str]:
    """The flags of `run` for a container of this name, else for an image."""
    try:
        found = call.client.containers.refer(target).inspect()
    except NotFound:
        image = call.client.images.get(target)
        complain(f"The files of {target} are at /target, to be read.")
        return [f"--mount=type=image,source={image['Id']},target=/target", "--workdir=/target"]
    if not found["State"]["Running"]:
        raise Conflict(
            f"container {target} is not running",
            hint=f"`nakagin debug {found['Config']['Image']}` shows its image",
        )
    id = found["Id"]
    complain(f"The files of {target} are at {ROOT}; its processes, network and volumes are here.")
    words = [
        f"--pid=container:{id}",
        f"--network=container:{id}",
        "--cap-add=SYS_PTRACE",
        "--env=ROOT=" + ROOT,
    ]
    return words + ([f"--volumes-from={id}"] if call.options.on("volumes") else [])


DEBUG = Command(
    debug, "[OPTIONS] CONTAINER|IMAGE [COMMAND] [ARG...]", FLAGS, least=1, most=None, interspersed=False
)
