"""What docker's command line prints of containers and volumes, ours prints in the same words."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.engine_fixture import ScratchEngine, await_until

pytestmark = pytest.mark.root

_OWN = ("-f", "label=of=words")


@pytest.fixture(scope="module")
def crew(engine: ScratchEngine) -> Iterator[ScratchEngine]:
    """Containers in every state, with ports, mounts, networks and sizes; a few volumes."""
    engine.docker("network", "create", "words-net")
    engine.docker("volume", "create", "--label", "of=words", "--label", "b=2", "words-vol")
    engine.docker(
        "volume", "create", "--label", "of=words", "-o", "type=tmpfs", "-o", "device=tmpfs", "words-mem"
    )
    common = ("--label", "of=words", "--init")
    engine.docker(
        "run", "-d", "--name", "words-one", *common, "--label", "b=2", "-p", "127.0.0.1::80", "-p", "127.0.0.1::81/udp",
        "--expose", "90", "--network", "words-net", "-v", "words-vol:/data", "-v", "/etc/hostname:/a/long/name:ro",
        "-m", "64m", "--health-cmd", "true", "--health-interval", "1h", "busybox", "sh", "-c",
        "echo one; echo two >&2; echo x > /new; sleep 1000 # a long command with \"quotes\" in it",
    )  # fmt: skip
    engine.docker(
        "run", "-d", "--name", "words-two", *common, "--network", "none", "busybox", "sleep", "1000"
    )
    engine.docker("pause", "words-two")
    engine.docker(
        "run", "--name", "words-three", "--label", "of=words", "busybox", "sh", "-c", "exit 3", check=3
    )
    engine.docker("create", "--name", "words-four", "--label", "of=words", "-v", "/anon", "busybox", "true")
    await_until(lambda: "two" in engine.docker("logs", "words-one").stderr, "its words")
    made = int(time.time())
    await_until(
        lambda: time.time() >= made + 1, "the next second: docker's `--until 0s` is the beginning of this one"
    )
    yield engine
    engine.docker("rm", "-fv", "words-one", "words-two", "words-three", "words-four")
    engine.docker("volume", "rm", "words-vol", "words-mem")
    engine.docker("network", "rm", "words-net")


def both(engine: ScratchEngine, *words: str) -> tuple[tuple[int, str, str], tuple[int, str, str]]:
    """(exit code, output, errors) of docker's and of ours."""

    def one(run: Callable[..., subprocess.CompletedProcess[str]]) -> tuple[int, str, str]:
        done = run(*words, check=None)
        return done.returncode, even(done.stdout), told(done.stderr)

    with ThreadPoolExecutor(2) as pool:
        theirs, ours = pool.map(one, (engine.docker, engine.nakagin))
    return theirs, ours


def even(text: str) -> str:
    """Ages, the use of resources and the width of columns do not count, nor does the order of maps."""
    text = re.sub(r"(Less than a second|About an? \w+|\d+ (seconds?|minutes?|hours?))( ago)?", "AGE", text)
    text = re.sub(r"\d+(\.\d+)?(%|[kMG]?i?B)", "N", text)
    text = re.sub(r"\b\d\d:\d\d:\d\d\b", "TIME", text)
    return "\n".join(re.sub(r" {2,}", "  ", line).rstrip() for line in text.splitlines())


def told(text: str) -> str:
    """Errors in the same words; how they begin and what they advise is each one's own."""
    return re.sub(r"^(Error response from daemon|Error): ", "", text.strip().partition("\n")[0])[:26].lower()


_PS = "ps -a -f label=of=words "
SAME = {
    "CLI.ps.all": _PS,
    "CLI.ps": "ps -f label=of=words",
    "CLI.ps.no-trunc": _PS + "--no-trunc",
    "CLI.ps.quiet": _PS + "-q",
    "CLI.ps.size": _PS + "-s",
    "CLI.ps.last": "ps -n 2 -f label=of=words --format '{{.Names}}'",
    "CLI.ps.latest": "ps -l -f label=of=words --format '{{.Names}} {{.State}}'",
    "CLI.ps.format": _PS + "--format '{{.ID}}|{{.Image}}|{{.Command}}|{{.RunningFor}}|{{.Ports}}|{{.State}}|{{.Status}}"
    "|{{.Size}}|{{.Names}}|{{.Label \"b\"}}|{{.Mounts}}|{{.LocalVolumes}}|{{.Networks}}'",
    "CLI.ps.format json": _PS + "--format json",
    "CLI.ps.format table": _PS + "--format 'table {{.Names}}\\t{{.Ports}}\\t{{.Mounts}}'",
    "CLI.ps.format functions": _PS + "--format '{{upper .Names}} {{json .Image}} {{truncate .Command 5}} "
    "{{join (split .Names \"-\") \"/\"}} {{len .Names}} {{if eq .State \"running\"}}up{{else}}down{{end}}'",
    "CLI.ps.format bad": _PS + "--format '{{.Nothing}}'",
    "CLI.ps.filter": "ps -a -f label=of=words -f status=exited -f exited=3 --format '{{.Names}}'",
    "CLI.ps.filter name": "ps -a -f name=words-t --format '{{.Names}}'",
    "CLI.ps.filter bad": "ps -f colour=red",
    "CLI.ps.filter worse": "ps -f colour",
    "CLI.container_ls": "container ls -a -f label=of=words --format '{{.Names}}'",
    "CLI.stats.no-stream": "stats --no-stream words-one",
    "CLI.stats.all": "stats --no-stream -a --no-trunc --format '{{.Container}} {{.Name}}' words-one words-three",
    "CLI.stats.format json": "stats --no-stream --format json words-one",
    "CLI.stats nobody": "stats --no-stream nobody",
    "CLI.top": "top words-one",
    "CLI.top columns": "top words-one -o pid,user,comm",
    "CLI.top aux": "top words-one o pid,args",
    "CLI.top stopped": "top words-three",
    "CLI.top nobody": "top nobody",
    "CLI.top bad": "top words-one --nonsense",
    "CLI.port": "port words-one 80",
    "CLI.port all": "port words-one",
    "CLI.port none": "port words-one 99",
    "CLI.port bad": "port words-one 80/nothing",
    "CLI.logs": "logs words-one",
    "CLI.logs.tail": "logs --tail 1 words-one",
    "CLI.logs.details": "logs --details words-one",
    "CLI.logs.timestamps": "logs -t words-three",
    "CLI.logs.since": "logs --since 1s --until 2000-01-01 words-one",
    "CLI.logs.until": "logs --until 2000-01-01T00:00:00Z words-one",
    "CLI.logs bad": "logs --since nonsense words-one",
    "CLI.logs nobody": "logs nobody",
    "CLI.diff": "diff words-one",
    "CLI.inspect": "inspect words-one",
    "CLI.inspect.type": "inspect --type container words-one words-three -f '{{.Name}}'",
    "CLI.inspect.type volume": "inspect --type volume words-vol",
    "CLI.inspect.type bad": "inspect --type nonsense words-one",
    "CLI.inspect.size": "inspect -s -f '{{.SizeRootFs}}' words-three",
    "CLI.inspect.format": "inspect -f '{{.Id}} {{.State.Status}} {{json .Config.Labels}} {{len .Mounts}} "
    "{{index .Config.Cmd 0}} {{range .Mounts}}{{.Destination}}{{end}} {{.HostConfig.Memory}}' words-one",
    "CLI.inspect.format bad": "inspect -f '{{.Nothing}}' words-one",
    "CLI.inspect mixed": "inspect -f '{{.Name}}' words-one nobody words-vol",
    "CLI.container_inspect": "container inspect words-four",
    "CLI.container_inspect.format": "container inspect -f '{{.State.ExitCode}}' words-three",
    "CLI.container_inspect.size": "container inspect -s -f '{{.Name}}' words-three",
    "CLI.volume_ls": "volume ls -f label=of=words",
    "CLI.volume_ls.quiet": "volume ls -q -f label=of=words",
    "CLI.volume_ls.format": "volume ls -f label=of=words --format '{{.Name}}|{{.Driver}}|{{.Scope}}|{{.Mountpoint}}"
    "|{{.Labels}}|{{.Label \"b\"}}|{{.Links}}|{{.Size}}|{{.Availability}}|{{.Group}}|{{.Status}}'",
    "CLI.volume_ls.format json": "volume ls -f label=of=words --format json",
    "CLI.volume_ls.filter": "volume ls -f name=words -f dangling=true -f driver=local",
    "CLI.volume_ls.filter bad": "volume ls -f colour=red",
    "CLI.volume_inspect": "volume inspect words-vol words-mem",
    "CLI.volume_inspect.format": "volume inspect -f '{{.Name}} {{json .Options}} {{.Labels}}' words-mem",
    "CLI.volume_inspect nobody": "volume inspect nobody",
    "CLI.volume_rm bad": "volume rm words-vol",
    "CLI.volume_rm.force": "volume rm -f nobody",
    "CLI.volume_create bad": "volume create -d nonsense/no x",
    "CLI.version.format": "version --format '{{.Server.Os}} {{.Server.Arch}} {{.Server.KernelVersion}}'",
    "CLI.info.format": "info --format '{{.Containers}} {{.OSType}} {{.NCPU}} {{json .Plugins.Volume}}'",
    "CLI.system_info.format": "system info -f '{{.Name}} {{.MemTotal}}'",
    "CLI.kill.signal": "kill -s NONSENSE words-one",
    "CLI.kill stopped": "kill words-three",
    "CLI.pause": "pause words-two",
    "CLI.unpause": "unpause words-one",
    "CLI.stop": "stop words-three",
    "CLI.start": "start words-two",
    "CLI.rename": "rename words-one words-two",
    "CLI.rm": "rm words-one",
    "CLI.rm nobody": "rm nobody",
    "CLI.wait": "wait words-three",
    "CLI.wait nobody": "wait nobody",
    "CLI.exec stopped": "exec words-three true",
    "CLI.exec paused": "exec words-two true",
    "CLI.attach stopped": "attach words-three",
    "CLI.attach paused": "attach words-two",
    "CLI.cp nobody": "cp nobody:/x /tmp",
    "CLI.cp nothing": "cp words-one:/nowhere /tmp",
    "CLI.commit nobody": "commit nobody x",
    "CLI.export nobody": "export nobody",
    "CLI.update bad": "update --memory 1k words-one",
    "CLI.update nothing": "update words-one",
    "CLI.restart nobody": "restart nobody",
    "CLI.events.until": "events --since 1h --until 0s -f container=words-three --format '{{.Type}} {{.Action}}'",
    "CLI.events.format": "events --since 1h --until 0s -f volume=words-vol -f event=create --format '{{json .Actor}}'",
    "CLI.system_events.filter": "system events --since 1h --until 0s -f type=network -f label=of=words",
    "CLI.events bad": "events --since 1h --until 0s -f colour=red",
}  # fmt: skip


@pytest.mark.docker(28)
@pytest.mark.parametrize("row", SAME)
def test_the_same_words(crew: ScratchEngine, row: str) -> None:
    """CLI.inspect.type CLI.stats"""
    words = shlex.split(SAME[row])
    for _ in range(3):  # an age, or the use of something, may become another between two calls
        theirs, ours = both(crew, *words)
        if ours == theirs:
            return
    assert ours == theirs


def test_stats_go_on(crew: ScratchEngine) -> None:
    """CLI.stats CLI.container_stats: each table is docker's, and a new container is in the next one."""
    for argv in (crew.docker_argv, crew.nakagin_argv):
        line = argv("stats", "--format", "{{.Name}} {{.PIDs}}", "words-one")
        with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=crew.environment()) as process:
            assert process.stdout is not None
            lines = (re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", line).split() for line in process.stdout)
            found = [words for words in itertools.islice(lines, 9) if words[:1] == ["words-one"]]
            process.terminate()
        assert len(found) > 1
        assert int(found[-1][1]) >= 2


@pytest.mark.docker(28)
def test_stats_are_dockers_formulae(crew: ScratchEngine) -> None:
    """CLI.stats: the limit of memory, and a busy container's CPU, come out the same."""
    found = []
    for run in (crew.docker, crew.nakagin):
        shown = run("stats", "--no-stream", "--format", "json", "words-one").stdout
        found.append(json.loads(shown))
    assert found[0]["MemUsage"].partition(" / ")[2] == found[1]["MemUsage"].partition(" / ")[2] == "64MiB"
    assert found[0].keys() == found[1].keys()
