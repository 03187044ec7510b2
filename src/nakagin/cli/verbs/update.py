"""`nakagin update`."""

from __future__ import annotations

from nakagin.cli.command import Call, Command, complain
from nakagin.cli.flags import Flag
from nakagin.cli.request.body import limits, restart_policy
from nakagin.cli.request.ports import published
from nakagin.cli.request.tables import LIMITS
from nakagin.errors import Invalid

FLAGS = (
    *LIMITS,
    Flag("publish-add", "", "list", "Publish a port of the running container (as -p of run)"),
    Flag("publish-rm", "", "list", "Take back a published port: PORT[/PROTO], or as it was published"),
    Flag("restart", "", "string", "Restart policy to apply when a container exits"),
)


def update(call: Call) -> int:
    """Change limits, restart policy and published ports of containers."""
    if not any(call.options.given(flag.name) for flag in FLAGS):
        raise Invalid("you must provide one or more flags when using this command")
    restart = call.options.text("restart")
    policy = restart_policy(restart) if restart else {"Name": "", "MaximumRetryCount": 0}
    # A zero means "leave it"; only what was given is sent.
    changes = {key: value for key, value in limits(call.options).items() if value}
    changes["RestartPolicy"] = policy
    add, remove = published(call.options.many("publish-add")), published(call.options.many("publish-rm"))

    def change(name: str) -> None:
        if add or remove:
            call.client.containers.refer(name).republish(add, remove)
        if len(changes) == 1 and not restart:
            return
        for warning in call.client.containers.refer(name).update(changes):
            complain(warning)

    return call.each(change)


UPDATE = Command(update, "[OPTIONS] CONTAINER [CONTAINER...]", FLAGS, least=1, most=None)
