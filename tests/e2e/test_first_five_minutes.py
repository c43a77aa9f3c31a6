"""What a new user does first: serve --embedded, the printed commands, demo, check-config."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from clients import boto, code_of
from processes import NotReady, Process, free_ports
from proxies import Proxy, Settings, config_text, secrets_env
from stores import BINARY, Store

COMMAND = re.compile(r"^\s*(?:\$ )?((?:curl|aws|python3?) .*)$")


class Embedded:
    """`ifmatch serve --embedded`, and what it printed."""

    def __init__(self, directory):
        self.process = Process("embedded", [str(BINARY), "serve", "--embedded", str(directory),
                                            "--listen", "127.0.0.1:0"])
        self.url = self.process.wait_for_line(r"listening on (http://\S+)")[1]
        self.process.wait_for_line(r"(?i)secret[ _]access[ _]key\W+\S")
        deadline = time.monotonic() + 10
        while len(self.commands) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)

    @property
    def text(self) -> str:
        return "\n".join(self.process.stdout)

    @property
    def commands(self) -> list[str]:
        """The commands, those continued with a backslash in one piece."""
        joined = self.text.replace("\\\n", " ")
        return [match[1] for line in joined.splitlines() if (match := COMMAND.match(line))]

    @property
    def exports(self) -> dict[str, str]:
        """The variables that the user is told to set before."""
        return dict(re.findall(r"^\s*export (\w+)=(\S+)$", self.text, re.MULTILINE))

    def printed(self, name: str) -> str:
        found = re.search(name.replace("_", "[ _]") + r"\W+(\S+)", self.text, re.IGNORECASE)
        assert found, f"{name} is not printed:\n{self.text}"
        return found[1].strip("'\"")

    def boto(self):
        return boto(self.url, self.printed("access_key_id"), self.printed("secret_access_key"))


@pytest.fixture
def embedded(tmp_path):
    running = Embedded(tmp_path / "data")
    yield running
    running.process.stop()


def test_the_printed_commands_work_as_printed(embedded):
    assert len(embedded.commands) == 3, embedded.text
    tools = Path(sys.executable).parent  # the virtualenv has an aws command line
    env = {**os.environ, **embedded.exports, "PATH": f"{tools}:{os.environ['PATH']}"}
    said = []
    for command in embedded.commands:
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60,
                              env=env)
        said.append((done.returncode, done.stdout + done.stderr))
    (first, _), (second, _), (third, refusal) = said
    assert (first, second) == (0, 0), said
    assert third != 0 and "PreconditionFailed" in refusal, said


def test_an_unmodified_boto3_script_works_against_it(embedded):
    s3 = embedded.boto()
    buckets = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    bucket = buckets[0] if buckets else "my-bucket"
    if not buckets:
        s3.create_bucket(Bucket=bucket)
    etag = s3.put_object(Bucket=bucket, Key="hello", Body=b"1", IfNoneMatch="*")["ETag"]
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key="hello", Body=b"2", IfNoneMatch="*")
    assert code_of(refused.value) == (412, "PreconditionFailed")
    s3.put_object(Bucket=bucket, Key="hello", Body=b"2", IfMatch=etag)
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key="hello", Body=b"3", IfMatch=etag)
    assert code_of(refused.value) == (412, "PreconditionFailed")
    assert s3.get_object(Bucket=bucket, Key="hello")["Body"].read() == b"2"


def test_objects_survive_a_clean_restart_and_writes_go_on_at_once(tmp_path):
    first = Embedded(tmp_path / "data")
    s3 = first.boto()
    if "my-bucket" not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket="my-bucket")
    etag = s3.put_object(Bucket="my-bucket", Key="kept", Body=b"1")["ETag"]
    assert first.process.stop() == 0, first.process.tail()
    second = Embedded(tmp_path / "data")
    try:
        again = second.boto()
        assert again.get_object(Bucket="my-bucket", Key="kept")["Body"].read() == b"1"
        again.put_object(Bucket="my-bucket", Key="kept", Body=b"2", IfMatch=etag)
    finally:
        second.process.stop()


def run(*arguments: str, env=None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(BINARY), *arguments], capture_output=True, text=True, timeout=120,
                          env={**os.environ, **(env or {})})


def test_demo_shows_the_lost_update_and_its_cure():
    done = run("demo")
    assert done.returncode == 0, done.stdout + done.stderr
    table = done.stdout.lower()
    assert "lost" in table and "412" in table, done.stdout
    assert len(done.stdout.strip().splitlines()) >= 4, done.stdout


def test_demo_shows_what_a_store_that_lags_does_and_its_cure():
    done = run("demo", "--lag", "1s")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.rsplit(maxsplit=3) for line in done.stdout.splitlines() if re.search(r"\d +\d+ +\d+$", line)]
    counts = {name.strip(): [int(each) for each in columns] for name, *columns in rows}
    assert len(counts) == 4 and all(told == 0 for _, _, told in counts.values()), done.stdout
    assert counts["second creates that succeeded"][1] > 0, done.stdout
    assert counts["reads that showed something older"][0] > 0, done.stdout


def test_help_names_every_command():
    text = run("--help").stdout
    for command in ("serve", "demo", "check-config", "probe", "register"):
        assert command in text


def test_the_version_names_the_commit_and_the_compiler():
    assert re.fullmatch(r"ifmatch \d+\.\d+\.\d+\n"
                        r"commit ([0-9a-f]{40}( with changes)?|unknown)\n"
                        r"built by rustc \d\S+ .*\n", run("--version").stdout)
    assert re.fullmatch(r"ifmatch \d+\.\d+\.\d+\n", run("-V").stdout)


def test_bash_completes_commands_and_flags(tmp_path):
    script = tmp_path / "ifmatch.bash"
    script.write_text(run("completions", "bash").stdout)
    for line, wanted in (("ifmatch check-c", "check-config"), ("ifmatch serve --up", "--upgrade")):
        *_, before, word = line.split()
        asked = (f"source {script}; COMP_WORDS=({line}); COMP_CWORD={len(line.split()) - 1}; "
                 f"_ifmatch ifmatch '{word}' '{before}'; echo ${{COMPREPLY[@]}}")
        done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, timeout=30)
        assert done.stdout.split() == [wanted], done.stdout + done.stderr


def test_each_command_has_a_manual_page(tmp_path):
    assert run("man").stdout.startswith((".ie", ".TH"))
    assert run("man", str(tmp_path)).returncode == 0
    pages = {page.name for page in tmp_path.iterdir()}
    assert {"ifmatch.1", "ifmatch-serve.1", "ifmatch-register-status.1"} <= pages
    assert "\\-\\-upgrade" in (tmp_path / "ifmatch-serve.1").read_text()
    refused = run("man", str(tmp_path / "absent"))
    assert refused.returncode == 1 and "absent: No such file" in refused.stderr


# --- check-config and the refusals at start ---

@pytest.fixture
def written(tmp_path):
    """Writes a configuration, changed by (old, new) pairs; returns its path and environment."""
    def write(*changes: tuple[str, str]):
        store = Store("none", "http://127.0.0.1:9", "storekey", "store-secret-0123456789")
        text = config_text(store.url, store.access_key, Settings(), tmp_path)
        (tmp_path / "spool").mkdir(exist_ok=True)
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "ifmatch.toml"
        path.write_text(text)
        return str(path), secrets_env(store)
    return write


def test_check_config_accepts_a_good_file_and_masks_secrets(written):
    path, env = written()
    done = run("check-config", "--config", path, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    for secret in env.values():
        assert secret not in done.stdout + done.stderr


def test_check_config_says_what_serve_embedded_would_use_and_creates_nothing(tmp_path):
    directory = tmp_path / "data"
    first = run("check-config", "--embedded", str(directory))
    assert first.returncode == 0, first.stdout + first.stderr
    for line in ('# url = "memory:"', 'writers = "exclusive"', 'access_key_id = "ifmatch"'):
        assert line in first.stdout
    assert "made at the first start" in first.stdout
    assert not directory.exists()
    served = Embedded(directory)
    secret = served.printed("secret_access_key")
    assert served.process.stop() == 0, served.process.tail()
    again = run("check-config", "--embedded", str(directory))
    assert again.returncode == 0 and secret not in again.stdout + again.stderr
    assert "made at the first start" not in again.stdout


def test_check_config_refuses_what_serve_embedded_refuses(tmp_path, written):
    path, env = written()
    both = run("check-config", "--embedded", str(tmp_path / "data"), "--config", path, env=env)
    assert both.returncode == 2 and "contradicts --embedded" in both.stderr
    file = run("check-config", "--embedded", path)
    assert file.returncode == 2 and f"{path} cannot hold the store" in file.stderr


@pytest.mark.parametrize("old, new, said", [
    ("lease_wait", "leese_wait", "lease_wait"),
    ('writers = "shared"', 'writers = "sharde"', "shared"),
    ('lease = "2000ms"', 'lease = "soon"', "lease"),
    ('url = "memory:"', 'url = "memcached://x"', "register"),
    ("E2E_BACKEND_SECRET", "E2E_IS_NOT_SET", "E2E_IS_NOT_SET"),
    ('access_key_id = "readerkey"', 'access_key_id = "clientkey"', "clientkey"),
])
def test_a_faulty_file_is_refused_with_a_sentence(written, old, new, said):
    path, env = written((old, new))
    done = run("check-config", "--config", path, env=env)
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stdout + done.stderr
    assert "panicked" not in done.stderr


def test_an_unreachable_backend_is_refused_at_start(written):
    path, env = written(("http://127.0.0.1:9", f"http://127.0.0.1:{free_ports(1)[0]}"))
    process = Process("unreachable", [str(BINARY), "serve", "--config", path], env=env)
    with pytest.raises(NotReady):
        process.wait_for_line(r"listening on", 30)
    assert process.stop() not in (0, -9), process.tail()
    assert "backend" in process.tail()


def test_sigterm_ends_it_with_0(plain_front, tmp_path):
    proxy = Proxy(tmp_path, plain_front.store, Settings())
    assert proxy.raw().get(f"/{plain_front.bucket}?list-type=2").status == 200
    assert proxy.stop() == 0, proxy.process.tail()


def test_register_status_says_where_the_quarantine_stands(front_on):
    front = front_on("embedded", "redis", "shared")
    done = front.proxy.command("register", "status", "--config", str(front.proxy.config))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()


def test_a_store_and_a_proxy_are_started_from_one_shell(tmp_path):
    """What the one command needs in the environment is no fault to the other."""
    of_the_store = {"IFMATCH_STORE_ACCESS_KEY_ID": "storekey", "IFMATCH_STORE_SECRET_ACCESS_KEY": "storesecret"}
    store = Store("embedded", "http://127.0.0.1:9", "storekey", "storesecret")
    (tmp_path / "spool").mkdir()
    config = tmp_path / "ifmatch.toml"
    config.write_text(config_text(store.url, store.access_key, Settings(), tmp_path))
    done = subprocess.run([str(BINARY), "check-config", "--config", str(config)], capture_output=True, text=True,
                          env={**os.environ, **secrets_env(store), **of_the_store}, timeout=30)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("verb", ["serve", "check-config", "probe some-bucket", "register status", "health"])
def test_a_verb_without_a_file_says_so_first(verb):
    ours = {name: value for name, value in os.environ.items() if not name.startswith("IFMATCH_")}
    done = subprocess.run([str(BINARY), *verb.split()], capture_output=True, text=True, env=ours, timeout=30)
    assert done.returncode == 2
    faults = done.stderr.splitlines()
    assert faults[1].strip().startswith("--config: no file was named"), faults
