"""`backend.probe_at_start`: a process asks the store, before it serves, whether it does what is configured; it says
what the store does otherwise, or refuses to serve; and nothing is left of it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
from dataclasses import dataclass, field, replace
from html import unescape
from pathlib import Path
from typing import Callable

import pytest

from embedded import Bucket
from processes import Process, message_of
from proxies import Proxy, Settings, config_text, secrets_env
from redis_server import until
from relay import Relay
from scripted import ScriptedStore
from stores import BINARY, Store
from test_probe_store import FOLDS, left
from test_store_lag import serve
from tiny_store import TinyStore, error

PASS = '[[rule]]\nmode = "pass"\nbuckets = ["logs"]\n'
OTHERWISE = "nothing otherwise than configured"


@dataclass
class Case:
    """A store, and settings of which the first trust it with too much and the second do not."""

    store: Callable[[Path], "TinyStore | Store"]
    trusting: Settings
    careful: Settings
    said: str
    remedy: str
    careful_store: dict = field(default_factory=dict)


def tiny(*how: str, **more):
    return lambda _: TinyStore(*how, **more)


def embedded(*flags: str, named: bool = False):
    """`named`: by a name, as a bucket in the host needs one."""
    def start(directory: Path) -> Store:
        store = serve(directory / "store", *flags)
        Bucket(store, "probed")("create_bucket")
        if named:
            store.url = store.url.replace("127.0.0.1", "localhost")
        return store
    return start


CASES = {
    "empty_segments": Case(
        tiny(fold=FOLDS["a//b and a/b"]), Settings(), Settings(), 'backend.empty_segments is "keep"',
        'write empty_segments = "refuse" in [backend]', {"empty_segments": "refuse"}),
    "dot_segments": Case(
        tiny(fold=FOLDS["a/../b and b"]), Settings(dot_segments="keep"), Settings(), 'backend.dot_segments is "keep"',
        'write dot_segments = "refuse" in [backend]'),
    "checksums": Case(
        tiny("no-crc64"), Settings(), Settings(checksums="drop"), 'backend.checksums is "send"',
        'write checksums = "drop" in [backend]'),
    "subresources": Case(
        embedded(), Settings(subresources=["acl", "restore", "tagging"]),
        Settings(subresources=["restore", "tagging"]), "backend.subresources has acl,",
        'write subresources = ["restore", "tagging"] in [backend]'),
    "reserved": Case(
        tiny("admin"), Settings(reserved=["minio"]), Settings(reserved=["minio", "admin"]),
        "backend.reserved leaves out admin,", 'write reserved = ["minio", "admin"] in [backend]'),
    "write_ids": Case(
        tiny(), Settings(write_ids=True), Settings(), "backend.write_ids is true",
        "write write_ids = false in [backend]"),
    "strong_headers": Case(
        tiny("no-strong"), Settings(strong_headers=("x-newest: true",)), Settings(),
        "backend.strong_headers is set", "write strong_headers = [] in [backend]"),
    "addressing": Case(
        embedded(named=True), Settings(addressing="virtual-host"), Settings(), 'backend.addressing is "virtual-host"',
        'write addressing = "path" in [backend]'),
    "lag": Case(
        embedded("--lag", "200ms"), Settings(), Settings(writers="exclusive", lag=0.4), "register.lag is 0s",
        "write lag in [register]"),
    "pass": Case(
        embedded("--ignore-conditions"), Settings(rules=PASS), Settings(), 'a [[rule]] has mode = "pass"',
        'write mode = "guard" there'),
}
"""What is trusted and contradicted, by its setting."""

TRUSTED = {
    "all that it does": (embedded(), Settings(dot_segments="keep", subresources=["tagging"], write_ids=True,
                                              rules=PASS, strong_headers=("x-newest: true",))),
    "a lag that is known": (embedded("--lag", "100ms"), Settings(writers="exclusive", lag=0.5, dot_segments="keep", rules=PASS,
                                                                         probe_timeout=3)),
}
"""What is trusted and holds."""


@pytest.fixture
def opened(tmp_path):
    """A store that ends with the test."""
    made: list = []

    def open_(start) -> TinyStore | Store:
        made.append(start(tmp_path))
        return made[-1]

    yield open_
    for each in made:
        each.stop()


def store_of(opened: TinyStore | Store) -> Store:
    return opened.store if isinstance(opened, TinyStore) else opened


def is_clean(opened: TinyStore | Store) -> bool:
    return opened.objects == {} and opened.uploads == {} if isinstance(opened, TinyStore) else left(opened) == []


def served(directory: Path, store: Store, settings: Settings) -> Proxy:
    return Proxy(directory, store, replace(settings, admin="127.0.0.1:0"))


def warnings(process: Process) -> list[dict]:
    lines = [json.loads(line) for line in process.lines if line.startswith("{")]
    return [line for line in lines if line["level"] == "WARN"]


def refused(directory: Path, store: Store, settings: Settings, *arguments: str) -> str:
    """Why a process does not serve."""
    (directory / "spool").mkdir(parents=True, exist_ok=True)
    path = directory / "ifmatch.toml"
    path.write_text(config_text(store.url, store.access_key, settings, directory, store.empty_segments))
    argv = [str(BINARY), "serve", "--config", str(path), *arguments]
    done = subprocess.run(argv, env={**os.environ, **secrets_env(store)}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "listening" not in done.stdout, done.stderr
    return message_of(done.stderr.splitlines()[-1])


@pytest.mark.parametrize("name", CASES)
def test_what_the_store_does_otherwise_is_told_or_refused(opened, tmp_path, name):
    case = CASES[name]
    there = opened(case.store)
    store = store_of(there)
    proxy = served(tmp_path / "warn", store, replace(case.trusting, probe_at_start="warn"))
    said = [line for line in warnings(proxy.process) if "remedy" in line]
    assert len(said) == (2 if name == "pass" else 1), proxy.process.tail()
    assert all(case.said in line["message"] and case.remedy in line["remedy"] for line in said), said
    assert proxy.metric("ifmatch_backend_contradictions") == len(said)
    assert {line["nodes"] for line in said} == {store.url}
    asked = Asked(*proxy.admin_address)
    status = json.loads(asked("/status.json")[1])
    found = status["store"]["probe_at_start"]["contradictions"]
    assert sorted((each["sentence"], each["remedy"], each["nodes"]) for each in found) == \
        sorted((line["message"], line["remedy"], [store.url]) for line in said)
    assert "IfmatchStoreContradicts" in {alarm["name"] for alarm in status["standing_alarms"]}
    page = unescape(asked("/")[1])
    assert all(line["message"] in page for line in said)
    proxy.stop()
    why = refused(tmp_path / "refuse", store, replace(case.trusting, probe_at_start="refuse"))
    assert why.startswith(f"the store does otherwise than it is configured to: {case.said}") and case.remedy in why, why
    assert why.endswith('(backend.probe_at_start is "refuse")')
    until("nothing is left", lambda: is_clean(there))


@pytest.mark.parametrize("name", CASES)
def test_a_store_that_is_trusted_with_less_is_not_contradicted(opened, tmp_path, name):
    case = CASES[name]
    there = opened(case.store)
    store = replace(store_of(there), **case.careful_store)
    proxy = served(tmp_path / "refuse", store, replace(case.careful, probe_at_start="refuse"))
    proxy.process.wait_for_line(OTHERWISE)
    assert proxy.metric("ifmatch_backend_contradictions") == 0
    status = json.loads(Asked(*proxy.admin_address)("/status.json")[1])
    found = status["store"]["probe_at_start"]
    assert (found["asked"], found["contradictions"]) == ([store.url], [])
    assert "IfmatchStoreContradicts" not in {alarm["name"] for alarm in status["standing_alarms"]}
    proxy.stop()
    until("nothing is left", lambda: is_clean(there))


@pytest.mark.parametrize("name", TRUSTED)
def test_a_store_that_does_what_is_configured_is_not_contradicted(opened, tmp_path, name):
    start, settings = TRUSTED[name]
    there = opened(start)
    proxy = served(tmp_path / "refuse", store_of(there), replace(settings, probe_at_start="refuse"))
    proxy.process.wait_for_line(OTHERWISE)
    proxy.stop()
    until("nothing is left", lambda: is_clean(there))


def test_nodes_whose_clocks_differ_by_more_than_configured_are_told(tmp_path):
    first = TinyStore()
    second = TinyStore(ahead_s=90, beside=first)
    nodes = Settings(nodes=(first.store.url, second.store.url), probe_at_start="refuse")
    why = refused(tmp_path, first.store, nodes)
    assert re.search(r"backend.clock_skew is 50ms, and the clocks of .* differ by at least 8\d s", why), why
    proxy = served(tmp_path, first.store, replace(nodes, clock_skew=0))
    proxy.process.wait_for_line(OTHERWISE)
    proxy.stop()
    for each in (first, second):
        each.stop()
    assert first.objects == {}


def test_what_one_node_does_otherwise_is_told_of_that_one(tmp_path):
    first = TinyStore()
    second = TinyStore("no-crc64", beside=first)
    nodes = Settings(nodes=(first.store.url, second.store.url), clock_skew=0)
    proxy = served(tmp_path / "warn", first.store, replace(nodes, probe_at_start="warn"))
    said = [line["nodes"] for line in warnings(proxy.process) if "remedy" in line]
    assert said == [second.store.url], proxy.process.tail()
    proxy.stop()
    why = refused(tmp_path / "refuse", first.store, replace(nodes, probe_at_start="refuse"))
    assert f'write checksums = "drop" in [backend] ({second.store.url})' in why, why
    for each in (first, second):
        each.stop()


def test_a_node_that_is_down_refuses_nothing(tmp_path):
    node = TinyStore()
    gone = Relay(node.store.url)
    gone.refuse()
    nodes = Settings(nodes=(node.store.url, gone.url), probe_at_start="refuse")
    proxy = served(tmp_path, node.store, nodes)
    unasked = [line["nodes"] for line in warnings(proxy.process) if "was not asked" in line["message"]]
    assert unasked == [gone.url], proxy.process.tail()
    proxy.stop()
    gone.close()
    node.stop()


def busy(request):
    return error(503, "SlowDown") if request.method == "PUT" else (200, {"ETag": '"e"'}, b"")


def forbidden(request):
    return error(403, "AccessDenied") if request.method == "PUT" else (200, {"ETag": '"e"'}, b"")


@pytest.mark.parametrize("answer, why", [
    (busy, "the store gives no usable answer to PUT of probed/.* 503 SlowDown"),
    (forbidden, "the store refuses PUT of probed/.* 403 AccessDenied"),
    (None, "the store has no bucket \"absent\""),
], ids=["busy", "forbidden", "no bucket"])
def test_a_store_that_cannot_be_asked_is_told_or_refused(opened, tmp_path, answer, why):
    if answer:
        scripted = opened(lambda _: ScriptedStore())
        scripted.answer, store, bucket = answer, scripted.store, "probed"
    else:
        store, bucket = opened(embedded()), "absent"
    settings = Settings(probe_bucket=bucket)
    proxy = served(tmp_path / "warn", store, replace(settings, probe_at_start="warn"))
    proxy.process.wait_for_line("the store was not asked whether it does what is configured")
    assert any(re.search(why, line.get("why", "")) for line in warnings(proxy.process)), proxy.process.tail()
    proxy.stop()
    said = refused(tmp_path / "refuse", store, replace(settings, probe_at_start="refuse"))
    assert said.startswith("the store could not be asked whether it does") and re.search(why, said), said


def test_a_store_that_stands_still_is_waited_for_so_long(opened, tmp_path):
    store = opened(embedded())
    relay = Relay(store.url)
    relay.hold_requests(b"PUT /probed/")
    there = replace(store, url=relay.url, processes=[])
    said = refused(tmp_path, there, Settings(probe_at_start="refuse", probe_timeout=0.3))
    assert "it took longer than 300ms (backend.probe_timeout)" in said, said
    relay.close()


def test_nothing_is_written_unless_it_is_configured(tmp_path):
    store = ScriptedStore()
    proxy = Proxy(tmp_path, store.store)
    assert [request.method for request in store.take() if request.method in ("PUT", "POST", "DELETE")] == []
    proxy.stop()
    store.stop()


@pytest.fixture
def held(opened, tmp_path):
    """A process whose probe waits for the store: its first object is there, and is not deleted yet."""
    store = opened(embedded())
    relay = Relay(store.url)
    relay.hold_requests(b"DELETE /probed/")
    settings = Settings(probe_at_start="warn", probe_timeout=60, admin="127.0.0.1:0")
    (tmp_path / "spool").mkdir()
    path = tmp_path / "ifmatch.toml"
    path.write_text(config_text(relay.url, store.access_key, settings, tmp_path))
    process = Process("ifmatch", [str(BINARY), "serve", "--config", str(path)], env=secrets_env(store))
    until("the first object is there", lambda: left(store))
    yield process, relay, store
    process.stop()
    relay.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_told_to_stop_meanwhile_it_deletes_what_it_wrote(held, number):
    process, relay, store = held
    process.signal(number)
    process.wait_for_line("told to stop; deleting the scratch objects")
    relay.release()
    assert process.child.wait(60) == 0, process.tail()
    assert not any("listening on" in line for line in process.stdout)
    assert left(store) == []


def test_meanwhile_the_process_is_not_ready_and_then_it_is(held):
    process, relay, _ = held
    found = process.wait_for_line(r'the admin listener serves".*"listen":"([^"]+):(\d+)"')
    asked = Asked(found[1], int(found[2]))
    assert asked("/readyz")[0] == 503 and asked("/livez")[0] == 200
    assert not any("listening on" in line for line in process.lines)
    relay.release()
    process.wait_for_line("^listening on ")
    assert asked("/readyz")[0] == 200


class Asked:
    """The admin listener."""

    def __init__(self, host: str, port: int):
        self.host, self.port = host, port

    def __call__(self, target: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        connection.request("GET", target)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text


def test_a_reload_asks_nothing(tmp_path):
    store = TinyStore()
    proxy = served(tmp_path, store.store, Settings(probe_at_start="warn"))
    store._scripted.take()
    since = len(proxy.process.lines)
    proxy.process.signal(signal.SIGHUP)
    proxy.process.wait_for_line("reload", since=since)
    assert [request.method for request in store._scripted.take() if request.method == "PUT"] == []
    proxy.stop()
    store.stop()


def test_a_successor_that_refuses_leaves_the_one_before_serving(tmp_path, redis_server):
    store = TinyStore("no-crc64")
    settings = Settings(register=redis_server.new_database(), upgrade_socket=tmp_path / "upgrade.sock")
    first = Proxy(tmp_path / "first", store.store, settings)
    said = refused(tmp_path / "next", store.store, replace(settings, probe_at_start="refuse"), "--upgrade")
    assert 'backend.checksums is "send"' in said
    assert first.process.running()
    first.skip_quarantine()
    first.wait_writable("probed")
    next_one = Proxy(tmp_path / "last", store.store,
                     replace(settings, probe_at_start="refuse", checksums="drop"), arguments=("--upgrade",))
    assert first.process.child.wait(60) == 0
    next_one.stop()
    store.stop()
