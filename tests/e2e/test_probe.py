"""`ifmatch probe --consistency` against stores that lag, that do not, and that go away: what it finds, what it
advises, and that nothing is left of it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
import urllib3

from embedded import Bucket
from processes import Process
from proxies import Settings, config_text, secrets_env
from redis_server import until
from relay import Relay
from stores import BINARY, embedded
from test_store_lag import serve

LAG = 1.0
TOLERANCE_MS = 100
"""Ages are of when a read was sent, so that a busy machine makes none longer than the lag."""
NAME = "probed"


class Probed:
    """A store with an empty bucket, and probes of it."""

    def __init__(self, directory: Path, *flags: str, versions: bool = False):
        self.directory = directory
        # Of what stood there before it was started, a store that lags knows no earlier state.
        store = embedded(directory / "store")
        bucket = Bucket(store, NAME)
        bucket("create_bucket")
        if versions:
            bucket.versioned()
        if flags:
            store.stop()
            store = serve(directory / "store", *flags)
        self.store = store

    @property
    def bucket(self) -> Bucket:
        return Bucket(self.store, NAME)

    def command(self, *arguments: str, settings: Settings = Settings(), bucket: str = NAME,
                secret: str | None = None) -> tuple[list[str], dict[str, str]]:
        """The arguments and the environment of a probe."""
        (self.directory / "spool").mkdir(exist_ok=True)
        path = self.directory / "ifmatch.toml"
        path.write_text(config_text(self.store.url, self.store.access_key, settings, self.directory))
        env = secrets_env(self.store) | ({"E2E_BACKEND_SECRET": secret} if secret else {})
        argv = [str(BINARY), "probe", "--consistency", bucket, "--config", str(path), *arguments]
        return argv, env

    def run(self, *arguments: str, **more) -> subprocess.CompletedProcess[str]:
        argv, env = self.command(*arguments, **more)
        return subprocess.run(argv, env={**os.environ, **env}, capture_output=True, text=True, timeout=120)

    def begun(self, *arguments: str, **more) -> Process:
        """A probe that has written something already."""
        argv, env = self.command(*arguments, **more)
        process = Process("probe", argv, env=env)
        process.wait_for_line(r"scratch objects: probed/\.ifmatch-probe/\S+/$")
        until("an object is there", lambda: bool(self.bucket.keys()))
        return process

    def left(self) -> list[tuple[str, str]]:
        """Keys and versions that are there, by a store that has forgotten what was there before."""
        self.store.stop()
        self.store = embedded(self.directory / "store")
        answer = self.bucket("list_object_versions")
        listed = answer.get("Versions", []) + answer.get("DeleteMarkers", [])
        return [(each["Key"], each["VersionId"]) for each in listed]


@pytest.fixture
def probed(tmp_path):
    made: list[Probed] = []

    def make(*flags: str, **more) -> Probed:
        made.append(Probed(tmp_path / str(len(made)), *flags, **more))
        return made[-1]

    yield make
    for each in made:
        each.store.stop()


def ended(process: Process) -> int:
    return process.child.wait(60)


def pasted(text: str) -> str | None:
    """The lag in the lines to paste."""
    found = re.search(r'^    \[register\]\n    lag = "(\w+)"$', text, re.MULTILINE)
    return found[1] if found else None


def test_a_store_that_lags_is_found_out_and_left_clean(probed):
    it = probed("--lag", f"{LAG:.0f}s")
    done = it.run("--rounds", "3")
    assert done.returncode == 1, done.stdout + done.stderr
    chaos = json.loads(urllib3.PoolManager().request("GET", f"{it.store.url}/-/chaos").data)
    assert chaos["lagging_reads"] > 0 and chaos["lagging_listings"] > 0
    rows = re.findall(r"^  (?:create|overwrite|delete) .*$", done.stdout, re.MULTILINE)
    cells = [int(ms) for row in rows for ms in re.findall(r"(\d+)ms \([1-3] of 3\)", row)]
    assert len(rows) == 3 and cells, done.stdout
    assert all(0 < cell <= LAG * 1000 + TOLERANCE_MS for cell in cells), done.stdout
    assert re.search(r"The store goes back: in \d+ of 27 cases", done.stdout), done.stdout
    number, unit = re.fullmatch(r"(\d+)(ms|s)", pasted(done.stdout)).groups()
    assert int(number) * {"ms": 1, "s": 1000}[unit] >= 2 * max(cells), done.stdout
    assert f"ifmatch: the store lags by {max(cells)}ms, and register.lag is 0s" in done.stderr
    assert it.left() == []


def test_a_store_that_lags_as_it_was_said_to_is_consistent(probed):
    settings = Settings(writers="exclusive", lag=LAG + TOLERANCE_MS / 1000)
    done = probed("--lag", f"{LAG:.0f}s").run("--rounds", "2", "--json", settings=settings)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["consistent_as_configured"] and found["configured_lag_ms"] == LAG * 1000 + TOLERANCE_MS
    assert 0 < found["longest_lag_ms"] <= found["configured_lag_ms"] and found["cases_unfinished"] == 0


def test_a_consistent_store_shows_nothing_old(probed):
    it = probed()
    done = it.run("--rounds", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert pasted(done.stdout) == "0s" and "never its absence" in done.stdout
    assert done.stdout.count("none of 2") == 9, done.stdout
    assert it.left() == []


def test_the_document_has_the_same_facts(probed):
    it = probed()
    done = it.run("--rounds", "2", "--prefix", "some where/", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert (found["bucket"], found["rounds"], found["patience_ms"]) == (NAME, 2, 30_000)
    assert re.fullmatch(r"some where/[0-9a-f]{16}/", found["prefix"])
    assert (found["longest_lag_ms"], found["advised_lag"], found["not_deleted"]) == (0, "0s", [])
    kinds = {(pair["write"], pair["read"]) for pair in found["pairs"]}
    assert kinds == {(write, read) for write in ("create", "overwrite", "delete")
                     for read in ("GET", "HEAD", "LIST")}
    assert all(pair["rounds"] == 2 and pair["reads"] > 2 and pair["rounds_old"] == 0
               for pair in found["pairs"])
    assert it.left() == []


def test_each_node_is_written_and_read_at_on_its_own(probed):
    it = probed()
    nodes = [Relay(it.store.url) for _ in range(2)]
    settings = Settings(nodes=tuple(node.url for node in nodes))
    done = it.run("--rounds", "1", "--json", settings=settings)
    assert done.returncode == 0, done.stdout + done.stderr
    pairs = [(pair["written_at"], pair["read_at"]) for pair in json.loads(done.stdout)["pairs"]]
    assert {pair: pairs.count(pair) for pair in pairs} == {
        (written.url, read.url): 9 for written in nodes for read in nodes}
    assert all(node.connections > 0 for node in nodes)
    for node in nodes:
        node.close()
    assert it.left() == []


def test_what_is_not_shown_in_time_gives_no_advice(probed):
    it = probed("--lag", "1h")
    done = it.run("--rounds", "1", "--patience", "300ms")
    assert done.returncode == 1, done.stdout + done.stderr
    assert pasted(done.stdout) is None and "longer --patience" in " ".join(done.stdout.split()), done.stdout
    assert "over " in done.stdout and done.stdout.count("not looked at") >= 3, done.stdout
    assert "is not known" in done.stderr
    assert it.left() == []


def test_what_gets_no_answer_is_asked_again(probed):
    it = probed("--fail", "0.05", "--seed", "7")
    done = it.run("--rounds", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^[1-9]\d* of \d+ reads got no answer\.$", done.stdout, re.MULTILINE), done.stdout
    assert it.left() == []


def test_the_versions_of_a_bucket_that_keeps_them_are_deleted(probed):
    it = probed(versions=True)
    done = it.run("--rounds", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The bucket keeps versions: 6 versions and delete markers" in done.stdout, done.stdout
    assert it.left() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("versions", [False, True], ids=["", "versions"])
def test_told_to_stop_it_cleans_up(probed, number, versions):
    it = probed(versions=versions)
    process = it.begun("--rounds", "1000")
    process.signal(number)
    assert ended(process) == 1, process.tail()
    assert any("told to stop before the end" in line for line in process.lines), process.tail()
    assert process.stdout == []
    assert it.left() == []


def test_what_cannot_be_deleted_is_named(probed):
    it = probed()
    process = it.begun("--rounds", "1000", "--patience", "2s")
    it.store.processes[0].kill9()
    assert ended(process) == 1, process.tail()
    assert any(re.match(r"not deleted: probed/\.ifmatch-probe/\w+/\d+-1: the store gives no usable answer", line)
               for line in process.lines), process.tail()
    assert process.lines[-1].startswith("ifmatch: the store gives no usable answer to "), process.tail()


def test_a_failure_is_one_sentence_without_secrets(probed):
    it = probed()
    absent = it.run(bucket="absent-bucket")
    assert (absent.returncode, absent.stdout) == (1, "")
    assert absent.stderr.splitlines()[1:] == ['ifmatch: the store has no bucket "absent-bucket"']
    wrong = it.run(secret="another-secret-123")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert re.fullmatch(r"ifmatch: the store at \S+ cannot be used: it refuses our credential with "
                        r"SignatureDoesNotMatch\. Check .*\n", wrong.stderr)
    assert "another-secret-123" not in wrong.stderr
    it.store.stop()
    gone = it.run()
    assert (gone.returncode, gone.stdout) == (1, "")
    assert re.fullmatch(r"ifmatch: the store at \S+ cannot be used: .*\n", gone.stderr)


def test_wrong_arguments_are_usage(probed):
    it = probed()
    for arguments, said in ((["--rounds", "0"], "rounds"), (["--patience", "0s"], "longer than 0s"),
                            (["--prefix", "a/../"], "--prefix")):
        refused = it.run(*arguments)
        assert refused.returncode == 2 and said in refused.stderr, refused.stderr
    refused = it.run(bucket="a..b")
    assert refused.returncode == 2 and "no bucket's name" in refused.stderr, refused.stderr
