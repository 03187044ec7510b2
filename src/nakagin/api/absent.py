"""What this engine does not have: swarm, plugins, the builder; answered as dockerd without them would."""

from __future__ import annotations

from aiohttp import web

from nakagin.api.answers import answer
from nakagin.api.call import Call
from nakagin.errors import NotFound, Unavailable, Unsupported

_NOT_A_MANAGER = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" '
    "to connect this node to swarm and try again."
)


async def no_swarm(call: Call) -> web.StreamResponse:
    """What needs a swarm."""
    raise Unavailable(_NOT_A_MANAGER)


async def no_swarm_mode(call: Call) -> web.StreamResponse:
    """Making or joining a swarm."""
    raise Unsupported("swarm mode is not part of Nakagin", hint="for many machines, use it under Kubernetes")


async def leave_swarm(call: Call) -> web.StreamResponse:
    """POST /swarm/leave."""
    raise Unavailable("This node is not part of a swarm")


async def no_plugins(call: Call) -> web.StreamResponse:
    """GET /plugins."""
    return answer([])


async def no_plugin(call: Call) -> web.StreamResponse:
    """One plugin by name."""
    raise NotFound(f'plugin "{call.name}" not found')


async def no_plugin_install(call: Call) -> web.StreamResponse:
    """Getting a plugin."""
    raise Unsupported("managed plugins are not part of Nakagin")


DEEDS = {
    "GET /plugins": no_plugins,
    "GET /plugins/privileges": no_plugin_install,
    "POST /plugins/pull": no_plugin_install,
    "POST /plugins/create": no_plugin_install,
    "GET /plugins/*/json": no_plugin,
    "DELETE /plugins/*": no_plugin,
    **{f"POST /plugins/*/{verb}": no_plugin for verb in ("enable", "disable", "upgrade", "push", "set")},
    "PUT /volumes/*": no_swarm,
    "GET /swarm": no_swarm,
    "GET /swarm/unlockkey": no_swarm,
    "POST /swarm/init": no_swarm_mode,
    "POST /swarm/join": no_swarm_mode,
    "POST /swarm/leave": leave_swarm,
    "POST /swarm/update": no_swarm,
    "POST /swarm/unlock": no_swarm,
    "GET /tasks": no_swarm,
    "GET /tasks/*": no_swarm,
    "GET /tasks/*/logs": no_swarm,
    "GET /services/*/logs": no_swarm,
    "DELETE /nodes/*": no_swarm,
    "GET /nodes": no_swarm,
    "GET /nodes/*": no_swarm,
    "POST /nodes/*/update": no_swarm,
    **{
        f"{method} /{noun}{rest}": no_swarm
        for noun in ("services", "secrets", "configs")
        for method, rest in (
            ("GET", ""),
            ("POST", "/create"),
            ("GET", "/*"),
            ("DELETE", "/*"),
            ("POST", "/*/update"),
        )
    },
}
