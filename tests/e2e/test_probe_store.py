"""`ifmatch probe` against stores that honour conditions, that ignore them, and that misbehave in other ways: what
it finds of each, that it finds nothing wrong through the proxy, and that nothing is left of it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest

from embedded import Bucket
from probe_tables import THROUGH, keep, kept, kept_settings, settings_of, table_of
from processes import Process
from proxies import ACCESS_KEY, CLIENT_SECRET, Settings, config_text, secrets_env
from redis_server import until
from relay import Relay
from stores import BINARY, Store
from test_store_lag import serve
from tiny_store import TinyStore, composed

NAME = "probed"
MATCH = ("If-Match: \"etag\"", "If-Match: etag")
WRITES = ("put", "complete", "copy")
ALL_NODES = "all nodes"
REFUSED = "refused 501"

HONOURED = {
    **{f"{operation}, {form}": "honoured" for operation in WRITES for form in (*MATCH, "If-None-Match: *")},
    **{f"{operation}, If-None-Match: \"etag\"": REFUSED for operation in WRITES},
    **{f"{operation}, {form}": "honoured" for operation in ("delete", "batch delete") for form in MATCH},
    "delete, If-Match: *": "honoured",
    **{f"presigned put, {form}": "honoured" for form in ("If-None-Match: *", MATCH[0])},
}
"""What AWS does."""

IGNORED = {
    **{f"{operation}, {form}": "right: honoured, stale: IGNORED, absent: IGNORED"
       for operation in WRITES for form in MATCH},
    **{f"{operation}, If-None-Match: *": "absent: honoured, present: IGNORED" for operation in WRITES},
    **{f"{operation}, If-None-Match: \"etag\"": "equal: IGNORED, different: honoured" for operation in WRITES},
    **{f"delete, {form}": "right: honoured, stale: IGNORED, absent: 204, nothing to do" for form in MATCH},
    **{f"batch delete, {form}": "right: honoured, stale: IGNORED, absent: 200, nothing to do" for form in MATCH},
    "delete, If-Match: *": "absent: 204, nothing to do, present: honoured",
    "presigned put, If-None-Match: *": "absent: honoured, present: IGNORED",
    f"presigned put, {MATCH[0]}": "right: honoured, stale: IGNORED, absent: IGNORED",
}
"""What a store does that does not look at them."""


def command(directory: Path, store: Store, *arguments: str, settings: Settings = Settings(),
            bucket: str = NAME) -> tuple[list[str], dict[str, str]]:
    """The arguments and the environment of a probe."""
    (directory / "spool").mkdir(parents=True, exist_ok=True)
    path = directory / "ifmatch.toml"
    path.write_text(config_text(store.url, store.access_key, settings, directory, store.empty_segments))
    argv = [str(BINARY), "probe", bucket, "--config", str(path), *arguments]
    return argv, {**os.environ, **secrets_env(store)}


def probed(directory: Path, store: Store, *arguments: str, **more) -> subprocess.CompletedProcess[str]:
    argv, env = command(directory, store, *arguments, **more)
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=180)


def found(directory: Path, store: Store, *arguments: str, status: int | None = 0, **more) -> dict:
    """The document of a probe that ends with this status, where one is given."""
    done = probed(directory, store, "--json", *arguments, **more)
    assert status is None or done.returncode == status, done.stderr
    return json.loads(done.stdout)


def cells(report: dict, group: str, column: int) -> dict[str, str | None]:
    """The texts of a part of the table."""
    return {row["name"]: row["cells"][column] and row["cells"][column]["text"]
            for row in report["rows"] if row["group"] == group}


def commands(report: dict, name: str, group: str = "conditions", column: int = 0) -> list[str]:
    row, = (row for row in report["rows"] if (row["group"], row["name"]) == (group, name))
    return row["cells"][column]["commands"]


@pytest.fixture
def embedded_store(tmp_path):
    """Starts the embedded store with these flags, with an empty bucket."""
    made: list[Store] = []

    def make(*flags: str, versions: bool = False) -> Store:
        directory = tmp_path / f"store{len(made)}"
        store = serve(directory, *flags)
        made.append(store)
        bucket = Bucket(store, NAME)
        until("the bucket is there", lambda: created(bucket))
        if versions:
            bucket.versioned()
        return store

    yield make
    for each in made:
        each.stop()


def created(bucket: Bucket) -> bool:
    """A store that fails on purpose may fail here."""
    try:
        bucket("create_bucket")
    except bucket.s3.exceptions.BucketAlreadyOwnedByYou:
        return True
    except Exception as error:
        return "InternalError" not in str(error) and "BucketAlready" in str(error)
    return True


@pytest.fixture
def tiny():
    made: list[TinyStore] = []

    def make(*how: str, **more) -> TinyStore:
        made.append(TinyStore(*how, **more))
        return made[-1]

    yield make
    for each in made:
        each.stop()


def left(store: Store) -> list[str]:
    """What is left in the bucket: keys, versions, uploads."""
    bucket = Bucket(store, NAME)
    answer = bucket("list_object_versions") if store.versions else {"Versions": bucket("list_objects_v2").get("Contents", [])}
    keys = [each["Key"] for kind in ("Versions", "DeleteMarkers") for each in answer.get(kind, [])]
    uploads = [] if "abort" in store.lacks else bucket("list_multipart_uploads").get("Uploads", [])
    return keys + [each["Key"] for each in uploads]


def test_each_store_does_what_it_did(store_name, store_named, tmp_path):
    store = store_named(store_name)
    Bucket(store, NAME)("create_bucket")
    aborts = "abort" not in store.lacks
    report = found(tmp_path, store, "--rounds", "1", status=0 if aborts else 1)
    table = table_of(report)
    if os.environ.get("E2E_KEEP_PROBE_TABLES"):
        keep(store_name, table, settings_of(report))
    assert table == kept(store_name)
    assert settings_of(report) == kept_settings(store_name)
    assert cells(report, "conditions", THROUGH) == HONOURED
    assert left(store) == []
    if aborts:
        assert report["not_deleted"] == []
    else:
        assert re.match(r"uploads that were begun: \d+: .*405 MethodNotAllowed", report["not_deleted"][0])


def test_what_was_found_of_the_store_in_this_program_is_what_aws_does():
    conditions = {name: alone for part, name, alone, _ in kept("embedded") if part == "conditions"}
    assert conditions == HONOURED
    ignoring = {name: alone for part, name, alone, _ in kept("embedded-ignoring") if part == "conditions"}
    assert ignoring == IGNORED


def test_writers_at_the_same_time_are_seen_to_win_once_through_the_proxy(embedded_store, tmp_path):
    report = found(tmp_path, embedded_store("--ignore-conditions"), "--rounds", "2")
    kinds = ["put, If-None-Match: *", 'put, If-Match: "etag"', "complete, If-None-Match: *", "copy, If-None-Match: *"]
    assert cells(report, "at the same time", 1) == {kind: "no race in 2" for kind in kinds}
    assert cells(report, "at the same time", 0) == {kind: None for kind in kinds}


@pytest.mark.parametrize("flags", [("--fail", "0.05", "--seed", "3"), ("--slow", "5ms"), ("--clock-skew", "300")],
                         ids=lambda flags: flags[0])
def test_what_else_a_store_does_wrong_hides_no_condition(embedded_store, tmp_path, flags):
    store = embedded_store(*flags)
    report = found(tmp_path, store, "--alone", "--rounds", "1", status=None)
    assert cells(report, "conditions", 0) == HONOURED


def test_a_store_that_lags_is_read_again_after_its_lag(embedded_store, tmp_path):
    store = embedded_store("--ignore-conditions", "--lag", "100ms")
    settings = Settings(writers="exclusive", lag=0.15)
    report = found(tmp_path, store, "--alone", "--rounds", "1", settings=settings)
    assert set(cells(report, "keys", 0).values()) == {"kept apart", "taken"}
    texts = cells(report, "conditions", 0)
    assert texts["put, If-None-Match: *"] == "absent: honoured, present: IGNORED"
    assert texts['delete, If-Match: "etag"'] == IGNORED['delete, If-Match: "etag"']


def test_what_is_refused_and_done_all_the_same_is_found(tiny, tmp_path):
    store = tiny("half")
    report = found(tmp_path, store.store, "--rounds", "1")
    half = cells(report, "conditions", 0)
    assert half["put, If-None-Match: *"] == "absent: honoured, present: HALF: 412 and done"
    assert half['put, If-Match: "etag"'] == "right: honoured, stale: HALF: 412 and done, absent: HALF: 404 and done"
    assert half['delete, If-Match: "etag"'] == "right: honoured, stale: HALF: 412 and done, absent: honoured"
    assert half["copy, If-None-Match: *"].endswith("HALF: 412 and done")
    assert cells(report, "conditions", 1) == HONOURED
    assert store.objects == {}


def test_a_store_that_checks_first_and_writes_then_is_seen_to_race(tiny, tmp_path):
    store = tiny("racy")
    report = found(tmp_path, store.store, "--rounds", "2")
    assert cells(report, "conditions", 0) == HONOURED
    alone, through = (cells(report, "at the same time", column) for column in (0, 1))
    assert all(text.startswith("RACE: up to ") for text in alone.values()), alone
    assert set(through.values()) == {"no race in 2"}
    assert store.objects == {}


def test_nodes_that_are_atomic_alone_are_seen_to_race_together(tmp_path):
    first = TinyStore("racy-together")
    second = TinyStore("racy-together", beside=first)
    nodes = Settings(nodes=(first.store.url, second.store.url))
    report = found(tmp_path, first.store, "--alone", "--rounds", "2", settings=nodes, status=None)
    each, other, together = (cells(report, "at the same time", column) for column in range(3))
    assert set(each.values()) == set(other.values()) == {"no race in 2"}
    assert together["put, If-None-Match: *"].startswith("RACE: up to "), together
    command_, = [line for line in commands(report, "put, If-None-Match: *", "at the same time", 2) if "writer in" in line]
    assert first.store.url in command_ and second.store.url in command_
    for store in (first, second):
        store.stop()
    assert first.objects == {}


def test_nodes_that_differ_give_each_setting_once(tmp_path):
    first = TinyStore()
    second = TinyStore("no-crc64", fold=FOLDS["a//b and a/b"], beside=first)
    nodes = Settings(nodes=(first.store.url, second.store.url))
    done = probed(tmp_path, first.store, "--alone", "--rounds", "1", settings=nodes)
    block = done.stdout.split("[backend]\n")[1].split()
    assert [block.count(key) for key in ("empty_segments", "checksums")] == [1, 1], done.stdout
    assert 'empty_segments = "refuse"' in done.stdout and 'checksums = "drop"' in done.stdout
    for store in (first, second):
        store.stop()


def test_an_upload_whose_begin_had_no_answer_is_found_and_aborted(tiny, tmp_path):
    store = tiny("lost-begin")
    report = found(tmp_path, store.store, "--alone", "--rounds", "1", status=None)
    assert report["not_deleted"] == []
    assert store.uploads == {} and store.objects == {}


def test_an_answer_that_says_nothing_is_no_verdict(tiny, tmp_path):
    report = found(tmp_path, tiny("busy-heads").store, "--alone", "--rounds", "1", status=None)
    told = cells(report, "answers", 0)
    assert [told[f"ETag of a {write}"] for write in WRITES] == ["as the HEAD says"] * 3


def test_what_has_no_clear_answer_is_not_known(tiny, tmp_path):
    store = tiny("no-lists")
    report = found(tmp_path, store.store, "--alone", "--rounds", "1", status=None)
    assert set(cells(report, "listings", 0).values()) == {"not known"}
    assert any("whether something is left there is not known" in each for each in report["not_deleted"])


def test_what_is_denied_although_it_holds_is_told_from_what_is_honoured(tiny, tmp_path):
    report = found(tmp_path, tiny("quoted-denied").store, "--rounds", "1")
    denied = cells(report, "conditions", 0)
    assert denied['put, If-Match: "etag"'] == "right: DENIED 412, stale: honoured, absent: honoured"
    assert denied["put, If-Match: etag"] == "honoured"
    assert cells(report, "conditions", 1) == HONOURED


def test_what_is_refused_is_safe_and_named_with_its_status(tiny, tmp_path):
    report = found(tmp_path, tiny("unsupported").store, "--rounds", "1")
    assert set(cells(report, "conditions", 0).values()) == {REFUSED}
    assert cells(report, "conditions", 1) == HONOURED


def test_a_write_that_is_acknowledged_and_not_done_is_found(tiny, tmp_path):
    report = found(tmp_path, tiny("bodyless").store, "--alone", "--rounds", "1")
    assert cells(report, "conditions", 0)["put, If-None-Match: *"] == "absent: NOT DONE: 200, present: honoured"


FOLDS = {
    "a//b and a/b": lambda key: re.sub("/+", "/", key),
    "a/./b and a/b": lambda key: key.replace("/./", "/"),
    "a/../b and b": lambda key: re.sub("/[^/]+/\\.\\./", "/", key),
    "a/ and a": lambda key: key.rstrip("/"),
    "A and a": str.lower,
    "é composed and not": composed,
    "a+b and a b": lambda key: key.replace("+", " "),
    "a%41 and aA": unquote,
}


@pytest.mark.parametrize("pair", FOLDS)
def test_keys_that_are_one_object_are_found(tiny, tmp_path, pair):
    report = found(tmp_path, tiny(fold=FOLDS[pair]).store, "--alone", "--rounds", "1", status=None)
    texts = cells(report, "keys", 0)
    assert texts.pop(pair) == "ONE OBJECT"
    del texts["a key of 1024 bytes"]
    assert set(texts.values()) == {"kept apart"}, texts
    advised = {each["key"]: each["value"] for each in report["settings"]}
    assert advised["empty_segments"] == ('"refuse"' if pair == "a//b and a/b" else '"keep"')
    assert advised["dot_segments"] == ('"refuse"' if pair in ("a/./b and a/b", "a/../b and b") else '"keep"')


def test_what_the_configuration_trusts_a_store_with_is_contradicted(tiny, tmp_path):
    store = tiny(fold=FOLDS["a//b and a/b"]).store
    done = probed(tmp_path, store, "--alone", "--rounds", "1")
    assert done.returncode == 1 and "backend.empty_segments is \"keep\", and the store" in done.stderr, done.stderr
    careful = Store(store.name, store.url, store.access_key, store.secret_key, empty_segments="refuse")
    done = probed(tmp_path, careful, "--alone", "--rounds", "1")
    assert done.returncode == 0, done.stderr
    assert re.search(r'^    \[backend\]\n(    .*\n)*    empty_segments = "refuse"$', done.stdout, re.MULTILINE), done.stdout


def test_the_commands_of_a_red_cell_show_it_again(embedded_store, tmp_path):
    store = embedded_store("--ignore-conditions")
    report = found(tmp_path, store, "--alone")
    function = report["columns"][0]["function"]
    for name in ("put, If-None-Match: *", 'put, If-Match: "etag"', "complete, If-Match: etag",
                 "copy, If-None-Match: *", 'batch delete, If-Match: "etag"'):
        script = "\n".join([function, *commands(report, name)])
        assert store.secret_key not in script
        env = {"PATH": os.environ["PATH"], "AWS_ACCESS_KEY_ID": store.access_key,
               "AWS_SECRET_ACCESS_KEY": store.secret_key}
        done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, timeout=60)
        answers = re.findall(r"HTTP/1\.1 (\d+) ", done.stdout)
        shown = "404" if "delete" in name else "200"
        assert answers == ["200", shown], done.stdout + done.stderr


def test_the_table_has_both_columns_and_says_what_it_is_worth(embedded_store, tmp_path):
    done = probed(tmp_path, embedded_store("--ignore-conditions"))
    assert done.returncode == 0, done.stderr
    head, *_ = done.stdout.splitlines()
    assert head.split("   ")[-2:] == ["the store alone", "through ifmatch"] or \
        head.split() == ["the", "store", "alone", "through", "ifmatch"], head
    assert "never its absence" in done.stdout and "loses what they wrote" in done.stdout
    assert done.stderr.startswith("scratch objects: probed/.ifmatch-probe/")


def test_a_proxy_that_serves_can_be_asked(embedded_store, tmp_path):
    store = embedded_store("--ignore-conditions")
    argv, env = command(tmp_path, store)
    serving = Process("proxy", [str(BINARY), "serve", *argv[3:], "--listen", "127.0.0.1:0"], env=env)
    try:
        url = serving.wait_for_line(r"listening on (http://[\w.:]+)")[1]
        done = probed(tmp_path, store, "--json", "--rounds", "1", "--proxy", url)
        assert done.returncode == 0, done.stdout + done.stderr
        report = json.loads(done.stdout)
        assert cells(report, "conditions", 1) == HONOURED
        assert ACCESS_KEY not in done.stdout and CLIENT_SECRET not in done.stdout
    finally:
        serving.stop()


def test_each_node_has_a_column(embedded_store, tmp_path):
    store = embedded_store()
    nodes = [Relay(store.url) for _ in range(2)]
    report = found(tmp_path, store, "--rounds", "1", settings=Settings(nodes=tuple(node.url for node in nodes)))
    assert [column["name"] for column in report["columns"]] == [nodes[0].url, nodes[1].url, ALL_NODES, "ifmatch"]
    for column in (0, 1, 3):
        assert cells(report, "conditions", column) == HONOURED
    assert set(cells(report, "conditions", 2).values()) == {None}
    for column in range(4):
        assert set(cells(report, "at the same time", column).values()) == {"no race in 1"}
    for node in nodes:
        node.close()
    assert left(store) == []


def test_the_versions_of_a_bucket_that_keeps_them_are_deleted(embedded_store, tmp_path):
    store = embedded_store(versions=True)
    report = found(tmp_path, store, "--rounds", "1")
    assert report["versions_deleted"] > 50
    assert left(store) == []


def test_while_versioning_is_suspended_no_delete_marker_is_left(embedded_store, tmp_path):
    store = embedded_store(versions=True)
    Bucket(store, NAME).versioned("Suspended")
    found(tmp_path, store, "--rounds", "1")
    assert left(store) == []


def test_where_the_second_place_has_no_such_bucket_nothing_is_left_in_the_first(embedded_store, tmp_path):
    store, other = embedded_store(), serve(tmp_path / "other")
    argv, env = command(tmp_path / "other-config", other)
    serving = Process("proxy", [str(BINARY), "serve", *argv[3:], "--listen", "127.0.0.1:0"], env=env)
    try:
        url = serving.wait_for_line(r"listening on (http://[\w.:]+)")[1]
        done = probed(tmp_path, store, "--rounds", "1", "--proxy", url)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.splitlines()[-1] == f'ifmatch: the store has no bucket "{NAME}"'
    finally:
        serving.stop()
        other.stop()
    assert left(store) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("versions", [False, True], ids=["", "versions"])
def test_told_to_stop_it_cleans_up(embedded_store, tmp_path, number, versions):
    store = embedded_store(versions=versions)
    argv, env = command(tmp_path, store, "--rounds", "1000")
    process = Process("probe", argv, env=env)
    process.wait_for_line(r"scratch objects: probed/\.ifmatch-probe/\S+/$")
    until("races are on", lambda: any("race-" in key for key in left(store)))
    process.signal(number)
    assert process.child.wait(60) == 1, process.tail()
    # What it has said may be read a moment after it has ended.
    until("it says so", lambda: any("told to stop before the end" in line for line in process.lines))
    assert process.stdout == []
    assert left(store) == []


def test_a_failure_is_one_sentence(embedded_store, tmp_path):
    store = embedded_store()
    absent = probed(tmp_path, store, bucket="absent-bucket")
    assert (absent.returncode, absent.stdout) == (1, "")
    assert absent.stderr.splitlines()[1:] == ['ifmatch: the store has no bucket "absent-bucket"']
    for arguments, said in ((["--proxy", "ftp://x"], "--proxy"), (["--alone", "--proxy", "http://x"], "--alone"),
                            (["--consistency", "--alone"], "--alone")):
        refused = probed(tmp_path, store, *arguments)
        assert refused.returncode == 2 and said in refused.stderr, refused.stderr
