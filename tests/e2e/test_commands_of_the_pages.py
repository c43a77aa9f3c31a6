"""README.md and docs/*.md: each command in a block of code runs here as it stands, or one list says why it does not;
each block of settings has only keys that there are."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from embedded import Bucket
from processes import ROOT, Process
from proxies import Proxy, Settings, secrets_env
from stores import BINARY
from test_first_five_minutes import Embedded
from test_store_lag import serve

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BUCKET, KEY = "documented", "key"


@dataclass(frozen=True)
class Block:
    page: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def blocks_of(page: Path) -> list[Block]:
    """What stands between fences, and what is indented by four after an empty line, or by two more in a list."""
    found, block, fenced, before = [], [], False, ""
    for line in [*page.read_text().splitlines(), ""]:
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or (line.startswith("    ") and (block or not before.strip())):
            block.append(line)
            before = line
            continue
        elif not line.strip() and block:
            block.append("")
            before = line
            continue
        if block:
            found += [Block(page.name, tuple(part)) for part in parts(trimmed(block))]
        block, before = [], line
    return found


def parts(lines: list[str]) -> list[list[str]]:
    """Settings and commands, with an empty line between them, are two blocks."""
    all_ = [[]]
    for before, line in zip(["", *lines], lines):
        if all_[-1] and not before.strip() and (SETTINGS.match(line) or COMMANDS.match(line)):
            all_.append([])
        all_[-1].append(line)
    return [trimmed(part) for part in all_]


def trimmed(lines: list[str]) -> list[str]:
    while lines and not lines[-1].strip():
        lines = lines[:-1]
    indent = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    return [line[indent:] for line in lines]


OTHER = {
    "writes acknowledged": "what `ifmatch demo` prints: test_demo_shows_the_lost_update_and_its_cure",
    "ifmatch ───": "a drawing",
    'document    = [ declaration ]': "a grammar: test_documents.py",
    "A *delete that is answered": "a paragraph of a list",
    "register: {url:": "values of the Helm chart: test_the_manifests_are_the_golden_ones",
    "ACL SETUSER": "a command of Redis: tests/register.rs gives a user these rights",
    "rule_files:": "a file of Prometheus",
    "/var/log/ifmatch/access.log {": "a file of logrotate: test_requests_have_a_file_of_their_own_that_is_opened_again_on_sighup",
}
"""Blocks that are neither commands nor settings, by their beginning or a part of it, and what they are."""

BUILDS = "builds the program: `make` and the tests of packaging do, before any test"
INSTALLS = "changes the machine: test_the_life_of_an_installation, in a booted Debian"
RUNS_FOR_LONG = "takes minutes, and is run by `make` itself: tests/e2e/histories is run for seconds, too"
NEEDS_DOCKER = "needs Docker: test_the_program_serves_as_the_image_runs_it"
NEEDS_KUBERNETES = "needs a cluster: test_the_program_accepts_what_its_pods_get"
MEASURES = "measures for minutes, and is no promise"

NOT_RUN = {
    "make run": "builds a release, and runs what test_the_printed_commands_work_as_printed does",
    "make test": "is what runs this test",
    "make full": "is what runs this test",
    "make build": BUILDS,
    "packaging/debian/build target/release/ifmatch .": BUILDS,
    "cargo build --release --features otel": BUILDS,
    "apt install ./ifmatch_0.1.0-1_amd64.deb": INSTALLS,
    "editor /etc/ifmatch/ifmatch.toml": "needs a person",
    "install -m 600 /dev/stdin /etc/ifmatch/secrets/backend": INSTALLS,
    "install -m 600 /dev/stdin /etc/ifmatch/secrets/app": INSTALLS,
    "systemctl enable --now ifmatch": INSTALLS,
    "journalctl -u ifmatch": INSTALLS,
    "groupadd --system ifmatch-files": INSTALLS,
    "install -d /etc/ifmatch/tls": INSTALLS,
    "install -m 644 tls.crt /etc/ifmatch/tls/": INSTALLS,
    "install -m 640 -g ifmatch-files tls.key /etc/ifmatch/tls/": INSTALLS,
    "systemctl edit ifmatch": "needs a person",
    'docker build -f packaging/container/Containerfile --build-arg COMMIT="$(git rev-parse HEAD)" -t ifmatch .':
        NEEDS_DOCKER,
    "docker run --read-only": NEEDS_DOCKER,
    "kubectl create secret generic ifmatch --from-literal=backend=... --from-literal=app=...": NEEDS_KUBERNETES,
    "helm install store packaging/helm/ifmatch --values values.yaml": NEEDS_KUBERNETES,
    "make histories": RUNS_FOR_LONG,
    "cd tests/e2e && ../../.venv/bin/python -m histories": RUNS_FOR_LONG,
    "benches/store.py": MEASURES,
    "ifmatch serve --config /etc/ifmatch.toml --upgrade": "test_upgrade.py starts it for each of its tests",
}
"""Commands that do not run here, by their beginning, and why; a test that is named does."""

COMMANDS = re.compile(r"^(\w+=\S+ )*(make|aws|ifmatch|packaging/|benches/|apt|editor|install|systemctl|journalctl|groupadd|docker"
                      r"|kubectl|helm|kill|openssl|cargo|cd|curl) ?")
SETTINGS = re.compile(r"\[\[?\w+\]\]?$|\w+ = ")
COMMENT = re.compile(r"\s{2,}# .*$")


def commands_of(block: Block) -> list[str]:
    """Each with the lines that continue it, without its comment."""
    joined = re.sub(r"\\\n\s*", "", block.text)
    return [line for line in joined.splitlines() if line.strip()]


def is_of_commands(block: Block) -> bool:
    return bool(COMMANDS.match(block.lines[0]))


def is_of_settings(block: Block) -> bool:
    return bool(SETTINGS.match(block.lines[0]))


def is_other(block: Block) -> bool:
    return any(part in block.text for part in OTHER)


ALL = [block for page in PAGES for block in blocks_of(page)]
SHOWN = [(block.page, command) for block in ALL if is_of_commands(block) for command in commands_of(block)]


def bare(command: str) -> str:
    return COMMENT.sub("", command)


def reason(command: str) -> str | None:
    return next((why for start, why in NOT_RUN.items() if bare(command).startswith(start)), None)


RUN = list(dict.fromkeys(command for _, command in SHOWN if not reason(command)))


def test_each_block_is_known():
    kinds = [(is_of_commands(block), is_of_settings(block), is_other(block)) for block in ALL]
    unknown = [block for block, kind in zip(ALL, kinds) if sum(kind) != 1]
    assert not unknown, "\n\n".join(f"{block.page}:\n{block.text}" for block in unknown)
    assert len(ALL) > 40 and len(RUN) > 15, (len(ALL), RUN)


def test_the_lists_name_nothing_that_is_not_there():
    names = {name for path in (ROOT / "tests").rglob("*.py") for name in re.findall(r"def (test_\w+)", path.read_text())}
    names |= {path.name for path in (ROOT / "tests").rglob("*") if path.suffix in (".py", ".rs")}
    for start, why in NOT_RUN.items():
        assert any(bare(command).startswith(start) for _, command in SHOWN), f"no such command: {start}"
        assert set(re.findall(r"test_[\w.]+\b", why)) <= names, why
    for part, what in OTHER.items():
        assert any(part in block.text for block in ALL), f"no such block: {part}"
        assert set(re.findall(r"test_[\w.]+\b", what)) <= names, what


def keys_of(schema: dict, settings: dict, path: str = "") -> list[str]:
    """The keys that there are not."""
    wrong = []
    for key, value in settings.items():
        known = schema.get("properties", {}).get(key)
        if known is None:
            wrong.append(f"{path}{key}")
        elif isinstance(value, dict):
            wrong += keys_of(known, value, f"{path}{key}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for each in value:
                wrong += keys_of(known["items"], each, f"{path}{key}.")
    return wrong


@pytest.mark.parametrize("block", [block for block in ALL if is_of_settings(block)],
                         ids=lambda block: f"{block.page}-{block.lines[0]}")
def test_settings_have_keys_that_there_are(block):
    schema = json.loads((ROOT / "config" / "ifmatch.schema.json").read_text())
    assert keys_of(schema, tomllib.loads(block.text)) == []


# === commands that run ===

@pytest.fixture(scope="module")
def bin_directory(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("bin")
    (directory / "ifmatch").symlink_to(BINARY.resolve())
    return directory


@pytest.fixture(scope="module")
def place(tmp_path_factory, redis_server, bin_directory):
    """A directory with `ifmatch.toml`, of a proxy that serves a bucket with a key, before a store of its own."""
    directory = tmp_path_factory.mktemp("place")
    store = serve(directory / "store")
    settings = Settings(register=redis_server.new_database(), writers="exclusive", lag=0.05,
                        rules=f'[[rule]]\nbuckets = ["{BUCKET}"]\nconsistency = "guarded"\n')
    proxy = Proxy(directory, store, settings)
    proxy.skip_quarantine()
    Bucket(store, BUCKET)("create_bucket")
    proxy.wait_writable(BUCKET)
    proxy.boto().put_object(Bucket=BUCKET, Key=KEY, Body=b"x")
    env = {**os.environ, **secrets_env(store), "PATH": f"{bin_directory}:{os.environ['PATH']}"}
    yield proxy, env
    proxy.stop()
    store.stop()


SAYS_NO = "--require"
"""The bucket keeps no versions."""
NEEDS_A_YES = "uploads abort"
"""It asks at a terminal, and here there is none; with `--yes` it asks nobody."""


def spelled_out(command: str) -> list[str]:
    """With all that is in brackets, and without; with names for what is written in capitals."""
    command = re.sub(r"\bBUCKET\b", BUCKET, bare(command))
    command = re.sub(r"\bKEY\b", KEY, command)
    command = re.sub(r"\[/PREFIX\]", "[/k]", command)
    command = re.sub(r" N ", " 0 ", command)
    full, least = re.sub(r"[\[\]]", "", command), re.sub(r" ?\[[^\]]*\]", "", command)
    return list(dict.fromkeys([full, least]))


@pytest.mark.parametrize("command", [command for command in RUN if command.startswith("ifmatch ")])
def test_a_command_for_operators_runs(place, command):
    proxy, env = place
    for each in spelled_out(command):
        is_refused = SAYS_NO in each or NEEDS_A_YES in each and "--yes" not in each
        done = subprocess.run(["bash", "-c", each], cwd=proxy.directory, env=env, capture_output=True, text=True,
                              timeout=240, stdin=subprocess.DEVNULL)
        assert (done.returncode != 0) == is_refused, f"{each}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("command", [command for command in RUN if command.startswith("kill ")])
def test_a_signal_does_what_is_said(place, command):
    proxy, env = place
    since = len(proxy.process.lines)
    subprocess.run(["bash", "-c", bare(command).replace("PID", str(proxy.process.child.pid))], check=True, env=env)
    proxy.process.wait_for_line("the configuration was reloaded|nothing has changed|reload", since=since)


def test_the_commands_of_the_first_minute_get_the_answers_that_are_shown(tmp_path):
    shown = [command for page, command in SHOWN if page == "README.md" and command.startswith("aws ")]
    assert len(shown) == 4
    running = Embedded(tmp_path / "data")
    try:
        env = {**os.environ, **running.exports, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        for command in shown:
            wanted = re.search(r"# (\d+) ?(\w*)", command)
            done = subprocess.run(["bash", "-c", bare(command)], env=env, capture_output=True, text=True, timeout=60)
            is_refused = wanted is not None and wanted[1] == "412"
            assert (done.returncode != 0) == is_refused, command + done.stderr
            assert not is_refused or wanted[2] in done.stderr
    finally:
        running.process.stop()


@pytest.mark.parametrize("block", [block for block in ALL if block.lines[0].startswith("openssl ")], ids=lambda it: it.page)
def test_certificates_for_a_trial_are_made(tmp_path, block):
    for command in commands_of(block):
        done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} >= {"ca.pem", "tls.crt", "tls.key"}


@pytest.mark.parametrize("command", [command for command in RUN if " ifmatch store " in command])
def test_a_store_is_started(tmp_path, bin_directory, command):
    command = bare(command).replace("=...", "=a-secret-of-a-test").replace(":9001", ":0")
    env = {"PATH": f"{bin_directory}:{os.environ['PATH']}"}
    process = Process("store", ["bash", "-c", f"exec env {command}"], env=env, cwd=tmp_path)
    process.wait_for_line(r"listening on http://")
    process.signal(signal.SIGTERM)
    assert process.child.wait(30) == 0, process.tail()


def test_each_command_that_runs_has_its_test():
    kinds = ("ifmatch ", "kill ", "aws ", "openssl ")
    left = [command for command in RUN if not command.startswith(kinds) and " ifmatch store " not in command]
    assert left == [], "a command without a test, and without a reason in NOT_RUN"
