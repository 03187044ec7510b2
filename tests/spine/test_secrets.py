"""`run --secret`: inside it can be read, and outside nothing of it is found."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.engine_fixture import ScratchEngine

pytestmark = pytest.mark.root

VALUE = "s3cret-of-the-test"


def test_files_and_variables(engine: ScratchEngine, name: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(VALUE)
    script = (
        "cat /run/secrets/db; stat -c ' %a %u' /run/secrets/db; echo $TOKEN; mount | grep -c secrets; "
        "touch /run/secrets/db"
    )
    done = subprocess.run(
        engine.nakagin_argv(
            "run", "--name", name, "--secret", f"id=db,src={tmp_path}/password,mode=0400,uid=7",
            "--secret", "id=token,env=FROM,type=env,target=TOKEN", "busybox", "sh", "-c", script,
        ),
        env=engine.environment({"FROM": f"env-{VALUE}"}), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == [f"{VALUE} 400 7", f"env-{VALUE}", "1"], done.stderr
    assert "Read-only" in done.stderr
    # It starts again with them, and nothing on disk or in an answer has them.
    assert engine.nakagin("start", "-a", name, check=None).stdout.startswith(VALUE)
    assert VALUE not in engine.nakagin("inspect", name).stdout
    engine.docker("commit", name, f"committed-{name}")
    found = subprocess.run(
        ["grep", "-rlaF", VALUE, str(engine.data_root)], capture_output=True, text=True, check=False
    ).stdout.split()
    engine.docker("rmi", f"committed-{name}")
    assert [path for path in found if not path.endswith("-json.log")] == []
    engine.docker("rm", name)
    assert not list((engine.exec_root / "secrets").iterdir())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id=a,src=/no/such/file", "cannot be read"),
        ("id=a,env=NO_SUCH_VARIABLE", "no variable NO_SUCH_VARIABLE"),
        ("id=../x,src=/etc/hostname", "invalid name of a secret"),
        ("what", "invalid --secret"),
        ("id=a,src=/etc/hostname,mode=9", "mode=9"),
    ],
)
def test_refusals(engine: ScratchEngine, text: str, words: str) -> None:
    assert words in engine.nakagin("create", "--secret", text, "busybox", check=None).stderr
