"""examples/README.md: each of its commands runs, and each file of examples/ is run by a test."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import new_bucket
from endpoint import Endpoint
from processes import ROOT, Process
from proxies import ACCESS_KEY, CLIENT_SECRET
from recipes import languages
from recipes.scene import EXAMPLES

README = (EXAMPLES / "README.md").read_text()
COMMANDS = re.search(r"```sh\n(.*?)```", README, re.DOTALL)[1].splitlines()
TESTS = Path(__file__).parent
NEEDED = {
    "javascript/package.json": "node_modules examples/javascript",
    "javascript/package-lock.json": "node_modules examples/javascript",
    "javascript/upload/upload.mjs": "test_the_page_creates_and_never_overwrites",
    "javascript/upload/page.html": "test_the_page_creates_and_never_overwrites",
    "python/requirements.txt": "test_the_versions_are_those_that_are_tested",
    "python/requirements-s3fs.txt": "test_the_versions_are_those_that_are_tested",
    "rust/Cargo.toml": "def rust(",
    "rust/Cargo.lock": "def rust(",
    "terraform/main.tf": "test_a_second_run_is_refused_while_locked",
}
"""Files that no command names, and where the tests use them."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A copy of examples/, for what the commands leave behind."""
    copy = tmp_path_factory.mktemp("recipes") / "examples"
    shutil.copytree(EXAMPLES, copy, ignore=shutil.ignore_patterns("node_modules", "target", ".terraform", "venv*"))
    (copy / "javascript" / "node_modules").symlink_to(EXAMPLES / "javascript" / "node_modules")
    (copy / "venv-s3fs").symlink_to(ROOT / ".venv-s3fs")
    return copy


@pytest.fixture(scope="module")
def env(plain_front, tmp_path_factory) -> dict[str, str]:
    """One proxy, with the register in its memory."""
    endpoint = Endpoint(plain_front.proxy.url, ACCESS_KEY, CLIENT_SECRET, new_bucket(plain_front.store))
    return {**os.environ, **endpoint.env, "AWS_ALLOW_HTTP": "true", "CHECKPOINT_DISABLE": "1",
            "TF_CLI_CONFIG_FILE": os.devnull, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def marked(command: str):
    return pytest.param(command, marks=[pytest.mark.full, pytest.mark.timeout(1800)] if "rust/" in command else [])


@pytest.mark.parametrize("command", [marked(command) for command in COMMANDS])
def test_a_command_runs(folder, env, command):
    if "terraform " in command and not shutil.which("terraform"):
        pytest.skip("terraform is not here, nor in a package registry")
    if command.startswith("rust/"):
        [built] = languages.rust(Path(command.split()[0]).name)
        command = f"{built} {command.partition(' ')[2]}"
    if "server.mjs" in command:
        # It serves until it is ended, at a port that the kernel chooses.
        server = Process("upload", ["bash", "-c", "exec " + command.replace("8080", "0")], env=env, cwd=folder)
        server.wait_for_line(r"listening on http://\S+")
        server.stop()
        return
    done = subprocess.run(["bash", "-c", command], cwd=folder, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "."], cwd=EXAMPLES,
                            capture_output=True, text=True, check=True)
    return listed.stdout.split()


def test_each_file_is_run_by_a_test():
    tests = "\n".join(path.read_text() for path in [*TESTS.glob("test_recipes_*.py"), *TESTS.glob("recipes/*.py"),
                                                    ROOT / "scripts" / "setup"])
    files = [name for name in tracked() if name != "README.md"]
    assert len(files) > 20, files

    def run(name: str) -> bool:
        if name in NEEDED:
            return NEEDED[name] in tests
        if name.startswith("rust/src/bin/"):
            name = f"rust/target/release/{Path(name).stem}"
        return any(name in command for command in COMMANDS)

    assert not [name for name in files if not run(name)]
    assert not set(NEEDED) - set(files)


def test_each_file_is_in_the_table():
    programs = [name for name in tracked() if Path(name).suffix in (".py", ".mjs", ".sh", ".rs", ".tf", ".html")]
    assert not [name for name in programs if f"({name})" not in README]


def pins(path: Path) -> set[str]:
    return {line for line in path.read_text().splitlines() if "==" in line and not line.startswith("#")}


def test_the_versions_are_those_that_are_tested():
    assert pins(EXAMPLES / "python" / "requirements.txt") <= pins(ROOT / "tests" / "requirements.txt")
    assert pins(EXAMPLES / "python" / "requirements-s3fs.txt") <= pins(ROOT / "tests" / "requirements-s3fs.txt")
