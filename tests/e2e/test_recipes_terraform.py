"""Terraform's lock in the store: a second run is refused while the first is at work, and after it was killed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from endpoint import Endpoint
from recipes.scene import EXAMPLES, Witness, awaited
from relay import Relay

PROGRAM = shutil.which("tofu") or shutil.which("terraform")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="neither terraform nor tofu is here, nor in a package registry")
KEY = "terraform/demo.tfstate"
REFUSED = 3


class Run:
    """A working directory of its own, as that of another colleague."""

    def __init__(self, endpoint: Endpoint, directory: Path, made: Path | None = None):
        self.endpoint, self.directory = endpoint, directory
        if made:
            shutil.copytree(made, directory)
        else:
            directory.mkdir()
            shutil.copy(EXAMPLES / "terraform" / "main.tf", directory)
            done = self("init", f"-backend-config=bucket={endpoint.bucket}",
                        f'-backend-config=endpoints={{s3="{endpoint.url}"}}')
            assert done.returncode == 0, done.stdout + done.stderr

    def start(self, *arguments: str, command: str = "true") -> subprocess.Popen:
        env = {**self.endpoint.env, "TF_VAR_command": command, "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1",
               "TF_CLI_CONFIG_FILE": "/dev/null", "HOME": str(self.directory), "PATH": "/usr/bin:/bin"}
        return subprocess.Popen([PROGRAM, *arguments[:1], "-no-color", *arguments[1:]], cwd=self.directory, env=env,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                start_new_session=True)

    def __call__(self, *arguments: str, command: str = "true") -> subprocess.CompletedProcess:
        child = self.start(*arguments, command=command)
        told = child.communicate(timeout=120)
        return subprocess.CompletedProcess(arguments, child.returncode, *told)


def test_a_second_run_is_refused_while_locked(pair, tmp_path):
    witness = Witness(tmp_path / "witness")
    first = Run(pair.endpoint(0), tmp_path / "first")
    others = [Run(pair.endpoint(0), tmp_path / f"other{n}", first.directory) for n in range(REFUSED)]
    work = f'echo held >>{witness.log}; read -r _ <{witness.directory}/never'
    applying = first.start("apply", "-auto-approve", command=work)
    try:
        awaited(witness.lines, "the first run is at work")
        lock = json.loads(pair.body(f"{KEY}.tflock"))["ID"]
        children = [each.start("apply", "-auto-approve") for each in others]
        for child in children:
            said = "".join(child.communicate(timeout=120))
            assert child.returncode == 1 and "Error acquiring the state lock" in said, said
            assert re.search(rf"ID:\s+{lock}", said), said
        os.killpg(applying.pid, signal.SIGKILL)
    finally:
        applying.kill()
        applying.communicate()
    assert others[0]("apply", "-auto-approve").returncode == 1, "the lock of a run that was killed stays"
    unlocked = others[0]("force-unlock", "-force", lock)
    assert unlocked.returncode == 0, unlocked.stderr
    done = others[0]("apply", "-auto-approve")
    assert done.returncode == 0, done.stderr
    assert json.loads(pair.body(KEY))["resources"], "the state is written"


def test_a_run_whose_lock_was_not_answered_has_it(pair, tmp_path):
    """The client tries again, and Terraform does not take its own lock for another's."""
    endpoint = pair.endpoint()
    relay = Relay(endpoint.url)
    try:
        run = Run(endpoint.at(relay.url), tmp_path / "run")
        relay.hold_answers(f"PUT /{pair.bucket}/{KEY}.tflock".encode())
        applying = run.start("apply", "-auto-approve")
        assert relay.held.wait(60)
        endpoint.boto().get_waiter("object_exists").wait(
            Bucket=pair.bucket, Key=f"{KEY}.tflock", WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        relay.cut()
        said = "".join(applying.communicate(timeout=120))
        assert applying.returncode == 0, said
    finally:
        relay.close()
