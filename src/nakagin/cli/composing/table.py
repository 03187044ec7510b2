"""The Compose verbs: where each lives, and its line of help. No verb's module is imported before its use."""

from __future__ import annotations

VERBS: dict[str, tuple[str, str]] = {
    "attach": (
        "living:ATTACH",
        "Attach standard input, output and error streams to a service's running container",
    ),
    "bridge convert": (
        "bridge:CONVERT",
        "Convert the project to Kubernetes manifests, or by a transformation",
    ),
    "bridge transformations create": ("bridge:CREATE", "Create a new transformation"),
    "bridge transformations list": ("bridge:LIST", "List available transformations"),
    "build": ("making:BUILD", "Build or rebuild services"),
    "commit": ("files:COMMIT", "Create a new image from a service container's changes"),
    "config": ("config:CONFIG", "Parse, resolve and render compose file in canonical format"),
    "cp": ("files:CP", "Copy files/folders between a service container and the local filesystem"),
    "create": ("up:CREATE", "Creates containers for a service"),
    "down": ("down:DOWN", "Stop and remove containers, networks"),
    "export": ("files:EXPORT", "Export a service container's filesystem as a tar archive"),
    "exec": ("inside:EXEC", "Execute a command in a running container"),
    "generate": ("generate:GENERATE", "Generate a Compose file from existing containers"),
    "images": ("inside:IMAGES", "List images used by the created containers"),
    "events": ("events:EVENTS", "Receive real time events from containers"),
    "kill": ("life:KILL", "Force stop service containers"),
    "logs": ("logs:LOGS", "View output from containers"),
    "ls": ("ls:LS", "List running compose projects"),
    "pause": ("life:PAUSE", "Pause services"),
    "port": ("inside:PORT", "Print the public port for a port binding"),
    "ps": ("ps:PS", "List containers"),
    "publish": ("publish:PUBLISH", "Publish compose application"),
    "pull": ("making:PULL", "Pull service images"),
    "push": ("making:PUSH", "Push service images"),
    "restart": ("life:RESTART", "Restart service containers"),
    "rm": ("life:RM", "Removes stopped service containers"),
    "run": ("run:RUN", "Run a one-off command on a service"),
    "scale": ("making:SCALE", "Scale services"),
    "start": ("life:START", "Start services"),
    "stop": ("life:STOP", "Stop services"),
    "top": ("inside:TOP", "Display the running processes"),
    "unpause": ("life:UNPAUSE", "Unpause services"),
    "stats": ("living:STATS", "Display a live stream of container(s) resource usage statistics"),
    "up": ("up:UP", "Create and start containers"),
    "version": ("version:VERSION", "Show the Docker Compose version information"),
    "viz": ("viz:VIZ", "Show the services and their dependencies as a graph (Graphviz)"),
    "volumes": ("volumes:VOLUMES", "List volumes"),
    "watch": ("watch:WATCH", "Watch files of services, and refresh or rebuild them when they change"),
    "wait": ("living:WAIT", "Block until containers of all (or specified) services stop."),
}
ALIASES = {"convert": "config", "bridge transformations ls": "bridge transformations list"}
#: Words before several verbs, with their line in the list of all.
GROUPS = {
    "bridge": "Convert the project into another form: Kubernetes manifests, or what a transformation makes"
}
