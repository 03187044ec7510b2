"""Which verbs there are, where each lives, and how help groups them. No verb's module is imported before its use."""

from __future__ import annotations

from nakagin.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.cli.command import Command

# full name → (module:attribute, summary)
VERBS: dict[str, tuple[str, str]] = {
    "builder history": ("builds:HISTORY", "List the last builds"),
    "builder prune": ("prune:BUILDER", "Remove build cache"),
    "container attach": (
        "start:ATTACH",
        "Attach local standard input, output, and error streams to a running container",
    ),
    "container commit": ("files:COMMIT", "Create a new image from a container's changes"),
    "container cp": ("files:CP", "Copy files/folders between a container and the local filesystem"),
    "container create": ("run:CREATE", "Create a new container"),
    "container diff": ("files:DIFF", "Inspect changes to files or directories on a container's filesystem"),
    "container exec": ("exec:EXEC", "Execute a command in a running container"),
    "container export": ("files:EXPORT", "Export a container's filesystem as a tar archive"),
    "container inspect": ("inspect:CONTAINER", "Display detailed information on one or more containers"),
    "container kill": ("lifecycle:KILL", "Kill one or more running containers"),
    "container logs": ("logs:LOGS", "Fetch the logs of a container"),
    "container ls": ("ps:PS", "List containers"),
    "container pause": ("lifecycle:PAUSE", "Pause all processes within one or more containers"),
    "container port": ("observe:PORT", "List port mappings or a specific mapping for the container"),
    "container prune": ("prune:CONTAINERS", "Remove all stopped containers"),
    "container rename": ("lifecycle:RENAME", "Rename a container"),
    "container restart": ("lifecycle:RESTART", "Restart one or more containers"),
    "container rm": ("lifecycle:RM", "Remove one or more containers"),
    "container run": ("run:RUN", "Create and run a new container from an image"),
    "container start": ("start:START", "Start one or more stopped containers"),
    "container stats": ("stats:STATS", "Display a live stream of container(s) resource usage statistics"),
    "container stop": ("lifecycle:STOP", "Stop one or more running containers"),
    "container top": ("observe:TOP", "Display the running processes of a container"),
    "container unpause": ("lifecycle:UNPAUSE", "Unpause all processes within one or more containers"),
    "container update": ("update:UPDATE", "Update configuration of one or more containers"),
    "container wait": (
        "lifecycle:WAIT",
        "Block until one or more containers stop, then print their exit codes",
    ),
    "context create": ("contexts:CREATE", "Create a context"),
    "context export": ("contexts:EXPORT", "Export a context to a tar archive FILE or a tar stream on STDOUT"),
    "context import": ("contexts:IMPORT", "Import a context from a tar or zip file"),
    "context inspect": ("contexts:INSPECT", "Display detailed information on one or more contexts"),
    "context ls": ("contexts:LS", "List contexts"),
    "context rm": ("contexts:RM", "Remove one or more contexts"),
    "context show": ("contexts:SHOW", "Print the name of the current context"),
    "context update": ("contexts:UPDATE", "Update a context"),
    "context use": ("contexts:USE", "Set the current context"),
    "image build": ("build:BUILD", "Build an image from a Dockerfile"),
    "image bootstrap": ("bootstrap:BOOTSTRAP", "Make an image from Debian packages, without a registry"),
    "image cp": ("copy:CP", "Copy images between engines, over ssh, without a registry"),
    "image attestations": ("attestations:ATTESTATIONS", "Show what is attested of an image"),
    "image history": ("images:HISTORY", "Show the history of an image"),
    "image import": ("archives:IMPORT", "Import the contents from a tarball to create a filesystem image"),
    "image inspect": ("inspect:IMAGE", "Display detailed information on one or more images"),
    "image load": ("archives:LOAD", "Load an image from a tar archive or STDIN"),
    "image ls": ("images:LS", "List images"),
    "image prune": ("prune:IMAGES", "Remove unused images"),
    "image pull": ("pull:PULL", "Download an image from a registry"),
    "image push": ("push:PUSH", "Upload an image to a registry"),
    "image rm": ("images:RM", "Remove one or more images"),
    "image save": (
        "archives:SAVE",
        "Save one or more images to a tar archive (streamed to STDOUT by default)",
    ),
    "image tag": ("images:TAG", "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE"),
    "manifest annotate": ("manifests:ANNOTATE", "Add additional information to an image of a manifest list"),
    "manifest create": (
        "manifests:CREATE",
        "Create a manifest list for annotating and pushing to a registry",
    ),
    "manifest inspect": ("manifests:INSPECT", "Display an image manifest, or manifest list"),
    "manifest push": ("manifests:PUSH", "Push a manifest list to a repository"),
    "manifest rm": ("manifests:RM", "Delete one or more manifest lists"),
    "network connect": ("networks:CONNECT", "Connect a container to a network"),
    "network create": ("networks:CREATE", "Create a network"),
    "network disconnect": ("networks:DISCONNECT", "Disconnect a container from a network"),
    "network inspect": ("inspect:NETWORK", "Display detailed information on one or more networks"),
    "network ls": ("networks:LS", "List networks"),
    "network names": ("names:NAMES", "Show what the name server answered, by container"),
    "network prune": ("prune:NETWORKS", "Remove all unused networks"),
    "network rm": ("networks:RM", "Remove one or more networks"),
    "system df": ("disk:DF", "Show disk usage"),
    "system dial-stdio": (
        "dial:DIAL",
        "Connect standard input and output with the engine (what ssh:// uses)",
    ),
    "system events": ("events:EVENTS", "Get real time events from the server"),
    "system fsck": ("fsck:FSCK", "Check what is stored, and mend what can be mended"),
    "system info": ("info:INFO", "Display system-wide information"),
    "system prune": ("prune:SYSTEM", "Remove unused data"),
    "volume create": ("volumes:CREATE", "Create a volume"),
    "volume inspect": ("inspect:VOLUME", "Display detailed information on one or more volumes"),
    "volume ls": ("volumes:LS", "List volumes"),
    "debug": ("debug:DEBUG", "Bring a shell and tools to a container or image without any"),
    "container recreate": (
        "recreate:RECREATE",
        "Replace a container, keeping its name, address, volumes and log",
    ),
    "volume clone": ("volumes:CLONE", "Make a new volume with the content of another"),
    "volume diff": ("volumes:DIFF", "Show what differs between two volumes"),
    "volume export": ("volumes:EXPORT", "Write a volume's content as a tar archive"),
    "volume import": ("volumes:IMPORT", "Put the content of a tar archive into a volume"),
    "volume rename": ("volumes:RENAME", "Give a volume another name"),
    "volume snapshot": ("volumes:SNAPSHOT", "Keep a volume as it is now in a new one"),
    "volume prune": ("prune:VOLUMES", "Remove unused local volumes"),
    "volume rm": ("volumes:RM", "Remove one or more volumes"),
    "compose": ("compose:COMPOSE", "Define and run applications of many containers"),
    "explain": (
        "explain:EXPLAIN",
        "Explain a container, an image, a network or a start, from the living kernel",
    ),
    "init": ("init:INIT", "Write a Dockerfile and a Compose file for a project"),
    "capacity": ("capacity:CAPACITY", "Tell how many containers of a kind this machine can run"),
    "compare": ("compare:COMPARE", "Measure a container against a virtual machine"),
    "sandbox": ("sandbox:SANDBOX", "Run a command on a copy of this machine, and see what it changes"),
    "engine": ("engine:ENGINE", "Run the engine in the foreground (for services)"),
    "inspect": ("inspect:ANY", "Return low-level information on objects of any kind"),
    "login": ("login:LOGIN", "Authenticate to a registry"),
    "logout": ("login:LOGOUT", "Log out from a registry"),
    "search": ("search:SEARCH", "Search a registry for images"),
    "replicate": (
        "replicate:REPLICATE",
        "Bring a project, its code and images to other hosts and run it there",
    ),
    "registry": ("registry:REGISTRY", "Serve a registry of images, without an engine"),
    "completion": ("completion:COMPLETION", "Print what a shell needs to complete this command line"),
    "version": ("version:VERSION", "Show the version information"),
}

NOUNS: dict[str, str] = {
    "builder": "Manage builds",
    "container": "Manage containers",
    "context": "Manage contexts",
    "image": "Manage images",
    "manifest": "Manage image manifests and manifest lists",
    "network": "Manage networks",
    "system": "Manage the engine",
    "volume": "Manage volumes",
}

# what may stand on the top level → full name
SHORT: dict[str, str] = {
    "run": "container run",
    "exec": "container exec",
    "ps": "container ls",
    "images": "image ls",
    "info": "system info",
    "events": "system events",
    "rmi": "image rm",
    "build": "image build",
    **{
        verb: f"container {verb}"
        for verb in (
            "attach",
            "commit",
            "cp",
            "create",
            "diff",
            "export",
            "kill",
            "logs",
            "pause",
            "port",
            "recreate",
            "rename",
            "restart",
            "rm",
            "start",
            "stats",
            "stop",
            "top",
            "unpause",
            "update",
            "wait",
        )
    },
    **{verb: f"image {verb}" for verb in ("history", "import", "load", "pull", "push", "save", "tag")},
}

ALIASES: dict[str, str] = {
    "container list": "container ls",
    "container ps": "container ls",
    "container remove": "container rm",
    "builder build": "image build",
    "context list": "context ls",
    "context remove": "context rm",
    "image list": "image ls",
    "image remove": "image rm",
    "network list": "network ls",
    "network remove": "network rm",
    "volume list": "volume ls",
    "volume remove": "volume rm",
}

# what a person wants to do → the top-level commands for it
TASKS: dict[str, tuple[str, ...]] = {
    "Run and look": (
        "run", "create", "exec", "ps", "logs", "attach", "debug", "inspect", "stats", "top", "port", "events", "wait",
    ),
    "Stop and change": ("start", "stop", "restart", "kill", "pause", "unpause", "update", "recreate", "rename", "rm"),
    "Move files": ("cp", "diff", "export", "commit"),
    "Images": (
        "build", "images", "pull", "push", "tag", "rmi", "save", "load", "import", "history", "search", "login",
        "logout",
    ),
    "Many containers": ("compose", "replicate"),
    "Begin and learn": ("init", "sandbox", "capacity", "compare", "explain"),
    "Engine": ("info", "version", "engine", "registry", "completion"),
}  # fmt: skip


def find(words: list[str]) -> tuple[str, str, int]:
    """(full name, name as written, number of words) of the verb that the words begin with; NotFound."""
    first = words[0]
    if first in SHORT:
        return SHORT[first], first, 1
    if first in VERBS:
        return first, first, 1
    if first in NOUNS and len(words) > 1:
        written = f"{first} {words[1]}"
        full = ALIASES.get(written, written)
        if full in VERBS:
            return full, written, 2
    written = " ".join(words[: 2 if first in NOUNS else 1])
    raise NotFound(f"unknown command: nakagin {written}", hint=_similar(written))


def load(full: str) -> Command:
    """The verb's table and function."""
    module, _, attribute = VERBS[full][0].partition(":")
    # importlib costs its import; the builtin does the same for a name below this package.
    found: Command = getattr(__import__(f"nakagin.cli.verbs.{module}", fromlist=[attribute]), attribute)
    return found


def _similar(written: str) -> str | None:
    import difflib

    known = [*SHORT, *VERBS, *NOUNS, *ALIASES]
    close = difflib.get_close_matches(written, known, n=1, cutoff=0.6)
    return f"did you mean `nakagin {close[0]}`?" if close else None
