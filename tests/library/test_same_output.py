"""What docker's command line prints of images, ours prints in the same words: tables, JSON, Go templates, filters."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator

import pytest
from tests.conftest import running_engine
from tests.engine_fixture import ScratchEngine
from tests.storage.tars import member, tar

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def shelf(pytestconfig: pytest.Config) -> Iterator[ScratchEngine]:
    """An engine with a few images under sieve/, one of them used by a container, one without a name; and no others:
    images of one second have no order of their own in docker's lists."""
    made = [("sieve/app:1", "1"), ("sieve/app:2", "2"), ("sieve/tool:latest", "3"), ("sieve/app:lost", "4")]
    with running_engine(pytestconfig) as engine:
        for name, number in made:
            changes = ("-c", f"LABEL number={number}", "-c", f"ENV N={number}", "-c", 'LABEL odd="<a&b>"')
            subprocess.run(
                engine.docker_argv("import", *changes, "-m", "made", "-", name), check=True, capture_output=True,
                input=tar(member("file", number.encode() * 5000)), env=engine.environment(),
            )  # fmt: skip
        engine.docker("tag", "sieve/tool", "sieve/app:lost")
        engine.docker("create", "--name", "sieve-user", "sieve/app:2", "/file")
        yield engine
        engine.docker("rm", "sieve-user")


def both(engine: ScratchEngine, *words: str) -> tuple[tuple[int, str], tuple[int, str]]:
    """(exit code, output) of docker's and of ours."""
    found = []
    for run in (engine.docker, engine.nakagin):
        done = run(*words, check=None)
        found.append((done.returncode, even(done.stdout)))
    return found[0], found[1]


def even(text: str) -> str:
    """Times and columns do not count, nor does the order: docker takes the names of an image in any."""
    text = re.sub(r"(Less than a second|About an? \w+|\d+ (seconds?|minutes?|hours?)) ago", "T ago", text)
    text = re.sub(r" {2,}", "  ", text)
    return "\n".join(sorted(line.rstrip() for line in text.splitlines()))


SAME = {
    "CLI.images": "images",
    "CLI.images.all": "images -a",
    "CLI.images.digests": "images --digests",
    "CLI.images.no-trunc": "images --no-trunc",
    "CLI.images.quiet": "images -q --no-trunc",
    "CLI.images.format": "images --format '{{.ID}} {{.Repository}} {{.Tag}} {{.Digest}} {{.CreatedAt}} {{.Size}}'",
    "CLI.images.format json": "images --format json",
    "CLI.images.format table": "images --format 'table {{.Repository}}:{{.Tag}}\\t{{.ID}}'",
    "CLI.images.format functions": "images --format '{{upper .Repository}}|{{json .Tag}}|{{printf \"%.3s\" .ID}}'",
    "CLI.images.format bad": "images --format '{{.Nothing}}'",
    "CLI.images.filter reference": "images -f reference=sieve/*",
    "CLI.images.filter label": "images -f label=number=2",
    "CLI.images.filter since": "images -f since=sieve/app:1 --format '{{.Repository}}:{{.Tag}}'",
    "CLI.images.filter before": "images -f before=sieve/app:2 --format '{{.Repository}}:{{.Tag}}'",
    "CLI.images.filter dangling": "images -f dangling=true",
    "CLI.images.filter until": "images -f until=1h",
    "CLI.images.filter bad": "images -f colour=red",
    "CLI.image_ls": "image ls sieve/app",
    "CLI.image_ls.quiet": "image ls -q sieve/app:1",
    "CLI.image_ls.all": "image list -a sieve/app",
    "CLI.image_ls.digests": "image ls --digests sieve/app",
    "CLI.image_ls.filter": "image ls --filter reference=sieve/tool --filter dangling=false",
    "CLI.image_ls.format": "image ls --format table",
    "CLI.image_ls.no-trunc": "image ls --no-trunc sieve/tool",
    "CLI.history": "history sieve/app:1",
    "CLI.history.no-trunc": "history --no-trunc sieve/app:1",
    "CLI.history.quiet": "history -q busybox",
    "CLI.history.human": "history -H=false busybox",
    "CLI.history.format": "history --format '{{.ID}}|{{.CreatedBy}}|{{.Size}}|{{.Comment}}' sieve/app:1",
    "CLI.history.format json": "history --format json sieve/app:1",
    "CLI.history.platform": "history --platform linux/amd64 -q busybox",
    "CLI.image_history": "image history nobody",
    "CLI.image_history.format": "image history --format 'table {{.CreatedAt}} {{.CreatedSince}}' busybox",
    "CLI.image_history.human": "image history --human=false --no-trunc busybox",
    "CLI.image_history.no-trunc": "image history --no-trunc --quiet busybox",
    "CLI.image_history.platform": "image history --platform linux/s390x busybox",
    "CLI.image_history.quiet": "image history -q sieve/app:2",
    "CLI.image_inspect": "image inspect sieve/app:1 busybox",
    "CLI.image_inspect.format": "image inspect -f '{{.Id}} {{json .Config.Labels}} {{len .RootFS.Layers}}' sieve/app:1",
    "CLI.image_inspect.platform": "image inspect --platform linux/amd64 -f '{{.Os}}/{{.Architecture}}' busybox",
    "CLI.image_inspect.format json": "image inspect -f '{{json .Config.Labels.odd}}|{{.Config.Labels}}' sieve/app:1",
    "CLI.image_inspect missing": "image inspect busybox nobody -f '{{.Os}}'",
    "CLI.system_df": "system df",
    "CLI.system_df.verbose": "system df -v",
    "CLI.system_df.format": "system df --format '{{.Type}}:{{.TotalCount}}:{{.Active}}:{{.Size}}:{{.Reclaimable}}'",
    "CLI.system_df.format json": "system df --format json",
    "CLI.system_df.format table": "system df --format 'table {{.Type}}\\t{{.Size}}'",
    "CLI.diff": "diff sieve-user",
    "CLI.tag bad": "tag nobody x",
    "CLI.tag worse": "tag busybox BAD",
    "CLI.rmi bad": "rmi nobody",
    "CLI.rmi used": "rmi sieve/app:2",
    "CLI.image_rm.platform": "image rm --platform linux/s390x sieve/app:2",
    "CLI.save nobody": "save -o /dev/null nobody",
    "CLI.load bad": "load -i /nowhere",
    "CLI.push nobody": "push 127.0.0.1:1/nobody:1",
    "CLI.push.all-tags nobody": "push -a 127.0.0.1:1/nobody",
    "CLI.pull bad": "pull UPPER",
    "CLI.pull.all-tags bad": "pull -a x:1",
    "CLI.image_push.all-tags bad": "image push -a x:1",
}


@pytest.mark.docker(28)
@pytest.mark.parametrize("row", SAME)
def test_the_same_words(shelf: ScratchEngine, row: str) -> None:
    words = shlex.split(SAME[row])
    for _ in range(3):  # an age or a size may become another between two calls
        theirs, ours = both(shelf, *words)
        if ours == theirs:
            return
    assert ours == theirs
