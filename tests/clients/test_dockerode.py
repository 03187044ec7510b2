"""dockerode (npm), which testcontainers for Node stands on."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.engine_fixture import ScratchEngine

pytestmark = pytest.mark.root

KEPT = Path("/var/tmp/nakagin-test-images/node")
SCRIPT = """
const Docker = require('dockerode');
const docker = new Docker({socketPath: process.argv[2]});
const {Writable} = require('stream');
function sink(parts) { return new Writable({write(piece, _, done) { parts.push(piece.toString()); done(); }}); }
(async () => {
  const out = [];
  const command = ['sh', '-c', 'echo out; exit 3'];
  const [status] = await docker.run('busybox', command, sink(out), {HostConfig: {AutoRemove: true}});
  console.log(out.join('').trim(), status.StatusCode);
  const box = await docker.createContainer({Image: 'busybox', Cmd: ['sleep', '1000'], HostConfig: {Init: true}});
  await box.start();
  const exec = await box.exec({Cmd: ['sh', '-c', 'echo one; echo two >&2'], AttachStdout: true, AttachStderr: true});
  const stream = await exec.start({hijack: true, stdin: false});
  const one = [], two = [];
  docker.modem.demuxStream(stream, sink(one), sink(two));
  await new Promise(done => stream.on('end', done));
  console.log(one.join('').trim(), two.join('').trim(), (await exec.inspect()).ExitCode);
  const events = await docker.getEvents({filters: {container: [box.id], event: ['die']}});
  const told = new Promise(done => events.on('data', piece => done(JSON.parse(piece).Action)));
  const archive = await box.getArchive({path: '/etc/passwd'});
  let size = 0;
  for await (const piece of archive) size += piece.length;
  console.log(size % 512, size > 0);
  await box.kill();
  console.log(await told);
  events.destroy();
  await box.remove({v: true});
  try { await docker.getContainer('nobody').inspect(); } catch (error) { console.log(error.statusCode); }
})().catch(error => { console.error(error); process.exit(1); });
"""


def test_a_walk_through_it(engine: ScratchEngine, tmp_path: Path) -> None:
    if shutil.which("node") is None:
        pytest.skip("no node on this machine")
    if not KEPT.exists():
        if not os.environ.get("NAKAGIN_CLIENTS"):
            pytest.skip("dockerode is not here: `make clients` fetches it")
        KEPT.mkdir(parents=True)
        subprocess.run(["npm", "install", "--prefix", KEPT, "dockerode"], check=True, capture_output=True)
    done = subprocess.run(
        ["node", "-e", SCRIPT, "x", str(engine.socket)], capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "NODE_PATH": str(KEPT / "node_modules")},
    )  # fmt: skip
    assert done.stdout.splitlines() == ["out 3", "one two 0", "0 true", "die", "404"], done.stderr
