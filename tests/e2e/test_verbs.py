"""What operators ask of the register and of the store: what the register believes of keys, and whether the store shows
it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import replace

import pytest

from conftest import new_bucket
from embedded import Bucket
from proxies import Proxy, Settings, config_text, secrets_env
from redis_server import RedisCluster, until
from stores import BINARY, embedded

LAG = 3.0


class Fleet:
    """A store, a register, and a proxy; and commands that read the proxy's own configuration."""

    def __init__(self, directory, store, register: str, settings: Settings = Settings()):
        self.store = store
        self.proxy = Proxy(directory, store, replace(settings, register=register), "verbs")
        self.bucket = Bucket(store, new_bucket(store))
        """The bucket at the store itself: writes to it go around the proxy."""
        self.proxy.skip_quarantine()
        self.proxy.wait_writable(self.bucket.name)
        self.raw = self.proxy.raw()

    def put(self, key: str, body: bytes, **headers: str) -> str:
        answer = self.raw.put(f"/{self.bucket.name}/{key}", body, headers=headers)
        assert answer.status == 200, str(answer)
        return answer.headers["etag"]

    def delete(self, key: str) -> None:
        assert self.raw.request("DELETE", f"/{self.bucket.name}/{key}").status == 204

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.proxy.command(*arguments, "--config", str(self.proxy.config), timeout=60)

    def document(self, *arguments: str, code: int = 0) -> dict:
        done = self.run(*arguments, "--json")
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def inspect(self, key: str, code: int = 0) -> dict:
        return self.document("register", "inspect", f"{self.bucket.name}/{key}", code=code)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = embedded(tmp_path_factory.mktemp("store"))
    yield store
    store.stop()


@pytest.fixture(params=["shared", "exclusive"])
def fleet(request, tmp_path, store, redis_server):
    fleet = Fleet(tmp_path, store, redis_server.new_database(), Settings(writers=request.param))
    yield fleet
    fleet.proxy.stop()


@pytest.fixture
def lagging(tmp_path, redis_server):
    store = embedded(tmp_path / "store", ignore_conditions=True, lag=LAG)
    settings = Settings(writers="exclusive", lag=LAG * 1.2, lease_wait=8)
    fleet = Fleet(tmp_path / "proxy", store, redis_server.new_database(), settings)
    yield fleet
    fleet.proxy.stop()
    store.stop()


# === inspect ===

def test_a_key_that_was_written_through_the_proxy_agrees(fleet):
    etag = fleet.put("a/b", b"one")
    found = fleet.inspect("a/b")
    assert (found["finding"], found["young"]) == ("agrees", False)
    assert (found["register"]["state"], found["register"]["etag"]) == ("present", etag)
    assert (found["store"]["etag"], found["store"]["size_bytes"]) == (etag, 3)
    assert found["register"]["landed_ms_ago"] < 60_000 and found["register"]["generation"]
    done = fleet.run("register", "inspect", f"s3://{fleet.bucket.name}/a/b")
    assert done.returncode == 0 and "The store shows what the register believes." in done.stdout, done.stdout
    assert "generation" in done.stdout and etag in done.stdout


def test_a_write_around_the_proxies_is_told_and_fails(fleet):
    ours = fleet.put("k", b"one")
    theirs = fleet.bucket.put("k", b"two")
    found = fleet.inspect("k", code=1)
    assert (found["finding"], found["register"]["etag"], found["store"]["etag"]) == ("other_etag", ours, theirs)
    assert "Somebody wrote around the proxies" in found["meaning"]
    done = fleet.run("register", "inspect", f"{fleet.bucket.name}/k")
    assert done.returncode == 1 and done.stderr.startswith("ifmatch: the store contradicts"), done.stderr


def test_a_key_that_the_register_does_not_know_is_no_failure(fleet):
    fleet.bucket.put("around", b"one")
    assert fleet.inspect("around")["finding"] == "unknown"
    assert fleet.inspect("absent")["store"]["state"] == "absent"


def test_what_a_lag_looks_like_is_no_failure(lagging):
    lagging.put("k", b"one")
    etag = lagging.put("k", b"two")
    found = lagging.inspect("k")
    assert found["young"] and found["register"]["young_for_ms"] > 0
    assert found["register"]["etag"] == etag
    if found["finding"] != "agrees":
        assert "while the key is young" in found["meaning"]


def test_looking_changes_nothing_in_the_register(fleet, redis_server):
    fleet.put("k", b"one")
    number = int(fleet.proxy.settings.register.rpartition("/")[2])
    client = redis_server.client()
    client.execute_command("SELECT", number)
    [name] = [key for key in client.keys() if key.endswith(b"/k")]
    stored, ends = client.dump(name), client.pexpiretime(name)
    fleet.inspect("k")
    fleet.inspect("never-written")
    assert (client.dump(name), client.pexpiretime(name)) == (stored, ends)
    assert not [key for key in client.keys() if b"never-written" in key]


# === list ===

def listed(fleet: Fleet, target: str, *flags: str) -> list[list[str]]:
    """The columns of each line, and the line below them."""
    done = fleet.run("register", "list", target, *flags)
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]


def test_the_keys_that_the_register_knows_are_listed(fleet):
    names = [f"a/{number}" for number in range(30)] + ["a*", "b[1]", "ü {x}"]
    etags = {}
    for name in names:
        etags[name] = fleet.proxy.boto().put_object(
            Bucket=fleet.bucket.name, Key=name, Body=name.encode())["ETag"]
    fleet.bucket.put("around", b"not through the proxy")
    *rows, summary = listed(fleet, fleet.bucket.name)
    found = {row[0]: row for row in rows}
    assert set(found) == {*names, ".writable"} and summary == ["34 keys"]
    for name in names:
        _, etag, generation, landed, lease = found[name]
        assert (etag, lease) == (etags[name], "none") and generation != "-" and landed.endswith(" ago")
    assert {row[0] for row in listed(fleet, f"{fleet.bucket.name}/a*")[:-1]} == {"a*"}
    assert len(listed(fleet, f"{fleet.bucket.name}/a/")) == 31
    assert listed(fleet, f"{fleet.bucket.name}/b[")[0][0] == "b[1]"
    assert listed(fleet, new_bucket(fleet.store)) == [["0 keys"]]


def test_a_list_is_one_document_too(fleet):
    fleet.put("a", b"one")
    fleet.put("b", b"two")
    fleet.delete("b")
    found = fleet.document("register", "list", fleet.bucket.name)
    assert found["summary"] == {"keys": 3, "incomplete": False} and found["bucket"] == fleet.bucket.name
    assert {key["key"]: key["state"] for key in found["keys"]} == {
        "a": "present", "b": "absent", ".writable": "present"}
    empty = fleet.document("register", "list", f"{fleet.bucket.name}/nothing/")
    assert empty["keys"] == [] and empty["prefix"] == "nothing/"


def test_the_young_keys_are_listed_while_they_are_young(lagging):
    lagging.put("k/1", b"one")
    lagging.put("k/2", b"two")
    *rows, summary = listed(lagging, f"{lagging.bucket.name}/k", "--young")
    assert [row[0] for row in rows] == ["k/1", "k/2"] and summary == ["2 keys"]
    assert all(", young" in row[3] for row in rows)
    time.sleep(LAG * 1.2)
    assert listed(lagging, f"{lagging.bucket.name}/k", "--young") == [["0 keys"]]
    assert len(listed(lagging, f"{lagging.bucket.name}/k")) == 3


def test_no_key_is_young_where_nothing_lags(fleet):
    done = fleet.run("register", "list", fleet.bucket.name, "--young")
    assert done.returncode == 2 and "register.lag is 0s" in done.stderr


@pytest.fixture
def clustered(tmp_path, store):
    cluster = RedisCluster(tmp_path / "cluster")
    settings = Settings(writers="exclusive", failover_lag=2)
    fleet = Fleet(tmp_path / "proxy", store, cluster.new_database(), settings)
    yield fleet
    fleet.proxy.stop()
    cluster.stop()


def test_a_cluster_s_keys_are_those_of_all_its_masters(clustered):
    names = {f"k/{number}" for number in range(50)}
    for name in names:
        clustered.put(name, b"x")
    *rows, summary = listed(clustered, f"{clustered.bucket.name}/k/")
    assert {row[0] for row in rows} == names and summary == ["50 keys"]


# === diff and fsck ===

def at_the_store(fleet: Fleet) -> list[tuple]:
    """All versions of all objects that the store has, with their times."""
    answer = fleet.bucket("list_object_versions")
    return sorted((each["Key"], each.get("ETag", ""), each["VersionId"], str(each["LastModified"]))
                  for each in answer.get("Versions", []) + answer.get("DeleteMarkers", []))


def write_around(fleet: Fleet) -> dict[str, str]:
    """Four keys, three of which are changed around the proxy: what is to be found of each."""
    for key in ("same", "other", "missing", "undeleted"):
        fleet.put(key, key.encode())
    fleet.delete("undeleted")
    fleet.bucket.put("other", b"by another")
    fleet.bucket("delete_object", "missing")
    fleet.bucket.put("undeleted", b"by another")
    return {"other": "other_etag", "missing": "missing", "undeleted": "undeleted"}


def found(document: dict) -> dict[str, str]:
    return {each["key"]: each["finding"] for each in document["differences"]}


def test_a_register_that_agrees_is_clean(fleet):
    for number in range(20):
        fleet.put(f"k/{number}", b"x")
    fleet.delete("k/7")
    for verb in ("diff", "fsck"):
        document = fleet.document("register", verb, fleet.bucket.name)
        assert document["differences"] == [] and document["summary"]["agree"] == 21
    done = fleet.run("register", "diff", fleet.bucket.name)
    assert (done.returncode, done.stdout) == (0, "21 keys: 21 agree, 0 differ\n")


def test_what_was_written_around_the_proxy_is_found_and_mended(fleet):
    expected = write_around(fleet)
    before = at_the_store(fleet)
    for verb in ("diff", "fsck"):
        document = fleet.document("register", verb, fleet.bucket.name, code=1)
        assert found(document) == expected
        assert (document["summary"]["differences"], document["summary"]["mended"]) == (3, 0)
    done = fleet.run("register", "fsck", fleet.bucket.name, "--fix")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("\tmended: unknown") == 3 and "3 differ, 3 mended" in done.stdout, done.stdout
    assert at_the_store(fleet) == before, "the store is not touched"
    again = fleet.document("register", "diff", fleet.bucket.name)
    assert again["differences"] == [] and again["summary"]["unknown"] == 3
    # What is written then is judged by what is there.
    theirs = fleet.bucket("head_object", "other")["ETag"]
    assert fleet.raw.put(f"/{fleet.bucket.name}/other", b"x", headers={"if-match": '"stale"'}).status == 412
    fleet.put("other", b"mine", **{"if-match": theirs})
    fleet.put("missing", b"mine", **{"if-none-match": "*"})
    assert fleet.document("register", "diff", fleet.bucket.name)["summary"]["agree"] == 4


def test_only_the_keys_with_the_prefix_are_compared_and_mended(fleet):
    write_around(fleet)
    document = fleet.document("register", "fsck", f"{fleet.bucket.name}/o", "--fix")
    assert found(document) == {"other": "other_etag"}
    assert set(found(fleet.document("register", "diff", fleet.bucket.name, code=1))) == {"missing", "undeleted"}


def test_what_differs_while_it_is_young_is_no_failure_and_not_mended(lagging):
    for number in range(12):
        lagging.put(f"k/{number}", b"one")
        etag = lagging.put(f"k/{number}", b"two")
    document = lagging.document("register", "fsck", f"{lagging.bucket.name}/k/", "--fix")
    summary = document["summary"]
    assert summary["young_differences"] > 0 and (summary["differences"], summary["mended"]) == (0, 0)
    assert all(each["young"] for each in document["differences"])
    assert lagging.inspect("k/11")["register"]["etag"] == etag
    time.sleep(LAG * 1.2)
    assert lagging.document("register", "diff", f"{lagging.bucket.name}/k/")["summary"]["agree"] == 12


def test_no_record_is_mended_where_the_marker_names_another_register(tmp_path, store, redis_server):
    marked = new_bucket(store)
    fleet = Fleet(tmp_path, store, redis_server.new_database(), Settings(marker=f"{marked}/marker"))
    write_around(fleet)
    marker = Bucket(store, marked)
    until("the marker is written", lambda: marker.keys() == ["marker"])
    assert fleet.run("register", "fsck", f"{fleet.bucket.name}/other", "--fix").returncode == 0
    marker.put("marker", b"ifmatch register " + b"0" * 32 + b"\n")
    refused = fleet.run("register", "fsck", fleet.bucket.name, "--fix")
    assert (refused.returncode, refused.stdout) == (1, ""), refused.stdout
    assert "belongs to another register" in refused.stderr
    assert fleet.run("register", "fsck", fleet.bucket.name).returncode == 1
    fleet.proxy.stop()


def test_a_cluster_is_mended_too(clustered):
    expected = write_around(clustered)
    assert found(clustered.document("register", "fsck", clustered.bucket.name, "--fix")) == expected
    assert clustered.document("register", "diff", clustered.bucket.name)["differences"] == []


# === bucket-info ===

RULES = """
[[rule]]
buckets = ["*"]
prefix = "tables/"
consistency = "guarded"

[[rule]]
buckets = ["*"]
consistency = "guarded"
require = "must-be-conditional"

[[rule]]
buckets = ["another-*"]
mode = "pass"
"""


def facts(fleet: Fleet, required: str = "", code: int = 0) -> dict:
    more = ["--require", required] if required else []
    return fleet.document("bucket-info", fleet.bucket.name, *more, code=code)


def test_a_bucket_is_as_it_is_configured(fleet):
    exclusive = fleet.proxy.settings.writers == "exclusive"
    found = facts(fleet)
    assert (found["writers"], found["register"], found["lag"]) == (fleet.proxy.settings.writers, "redis", "0s")
    assert (found["versioning"], found["rules"], found["guarded"]) == ("never", [], False)
    assert (found["exclusive"], found["versioned"]) == (exclusive, False)
    fleet.bucket.versioned()
    assert facts(fleet, "versioned")["versioning"] == "enabled"
    missing = ["guarded"] if exclusive else ["guarded", "exclusive"]
    assert facts(fleet, "guarded,versioned,exclusive", code=1)["missing"] == missing
    fleet.bucket.versioned("Suspended")
    assert facts(fleet, "versioned", code=1)["versioning"] == "suspended"
    done = fleet.run("bucket-info", fleet.bucket.name, "--require", "guarded,versioned")
    assert done.stderr == "ifmatch: the bucket is not guarded, and not versioned\n", done.stderr
    assert fleet.run("bucket-info", fleet.bucket.name, "--require", "fast").returncode == 2


def test_a_bucket_is_guarded_if_a_rule_guards_all_its_keys(tmp_path, store):
    """The register may be in memory: it is not asked."""
    (tmp_path / "spool").mkdir()
    config = tmp_path / "ifmatch.toml"
    settings = Settings(writers="exclusive", lag=2, spacing=1, rules=RULES)
    config.write_text(config_text(store.url, store.access_key, settings, tmp_path))
    argv = [str(BINARY), "bucket-info", new_bucket(store), "--config", str(config), "--require", "guarded,exclusive"]
    done = subprocess.run(argv, env={**os.environ, **secrets_env(store)}, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    assert [value for name, value in lines if name == "rule"] == [
        'keys with prefix "tables/": mode = "guard", consistency = "guarded"',
        'all keys: mode = "guard", consistency = "guarded", require = "must-be-conditional"']
    assert dict(map(tuple, lines)) | {"lag": "2s", "spacing": "1s", "register": "memory"} == dict(map(tuple, lines))


# === uploads ===

def begun(fleet: Fleet, *keys: str) -> list[str]:
    return [fleet.proxy.boto().create_multipart_upload(Bucket=fleet.bucket.name, Key=key)["UploadId"] for key in keys]


def at_hand(fleet: Fleet) -> set[str]:
    return {each["Key"] for each in fleet.bucket("list_multipart_uploads").get("Uploads", [])}


def test_unfinished_uploads_are_listed_with_their_ages(fleet):
    ids = begun(fleet, "a/1", "a/1", "a/2", "b")
    found = fleet.document("uploads", "list", f"{fleet.bucket.name}/a/")
    assert {each["upload_id"] for each in found["uploads"]} == set(ids[:3])
    assert all(each["age_ms"] < 60_000 and each["aborted"] is None for each in found["uploads"])
    assert fleet.document("uploads", "list", fleet.bucket.name, "--older", "2d")["uploads"] == []
    done = fleet.run("uploads", "list", fleet.bucket.name)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "4 uploads"


def test_as_many_uploads_are_there_as_are_expected(fleet):
    begun(fleet, "a/1", "b")
    for target, count, code in (("", 2, 0), ("/a", 1, 0), ("/c", 0, 0), ("", 1, 1), ("", 3, 1)):
        done = fleet.run("uploads", "expect", f"{fleet.bucket.name}{target}", str(count))
        assert done.returncode == code, done.stdout + done.stderr
        found = fleet.document("uploads", "expect", f"{fleet.bucket.name}{target}", str(count), code=code)
        assert found["expected"] == count and (found["uploads"] == count) == (code == 0), found
    done = fleet.run("uploads", "expect", fleet.bucket.name, "0", "--older", "1h")
    assert (done.returncode, done.stdout) == (0, "0 uploads\n")


def test_old_uploads_are_aborted(fleet):
    begun(fleet, "a/1", "a/2", "b")
    abort = ("uploads", "abort", f"{fleet.bucket.name}/a/")
    nobody = fleet.run(*abort, "--older", "0s")
    assert nobody.returncode == 2 and "--yes" in nobody.stderr, nobody.stderr
    assert fleet.run(*abort, "--yes").returncode == 2, "an age has to be given"
    young = fleet.run(*abort, "--older", "1h", "--yes")
    assert (young.returncode, young.stdout) == (0, "0 of 0 aborted\n")
    done = fleet.run(*abort, "--older", "0s", "--yes")
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [(row[1], row[3]) for row in rows[:-1]] == [("a/1", "aborted"), ("a/2", "aborted")]
    assert rows[-1] == ["2 of 2 aborted"] and at_hand(fleet) == {"b"}


@pytest.mark.parametrize("answer, code, left", [("y", 0, set()), ("n", 1, {"a"}), ("", 1, {"a"})])
def test_at_a_terminal_it_asks_first(fleet, answer, code, left):
    begun(fleet, "a")
    master, terminal = os.openpty()
    os.write(master, f"{answer}\n".encode())
    argv = [str(BINARY), "uploads", "abort", fleet.bucket.name, "--older", "0s", "--config", str(fleet.proxy.config)]
    done = subprocess.run(argv, env={**os.environ, **secrets_env(fleet.store)}, stdin=terminal, capture_output=True,
                          text=True, timeout=30)
    os.close(master)
    os.close(terminal)
    assert "abort 1 uploads that are older than 0s? [y/N]" in done.stderr
    assert (done.returncode, at_hand(fleet)) == (code, left), done.stderr


@pytest.mark.parametrize("name", ["moto", "s3rver"])
def test_other_stores_answer_too(tmp_path, store_named, redis_server, name):
    fleet = Fleet(tmp_path, store_named(name), redis_server.new_database())
    for key in ("a/b", "a+c", "a b/ü&<"):
        fleet.proxy.boto().put_object(Bucket=fleet.bucket.name, Key=key, Body=b"one")
    fleet.put("gone", b"one")
    fleet.delete("gone")
    found = fleet.document("register", "diff", fleet.bucket.name)
    assert (found["differences"], found["summary"]["agree"]) == ([], 5)
    assert facts(fleet)["versioning"] in ("never", "unknown")
    begun(fleet, "u")
    if name == "moto":
        assert fleet.document("uploads", "abort", fleet.bucket.name, "--older", "0s", "--yes")["summary"]["aborted"] == 1
    assert fleet.run("register", "inspect", f"{fleet.bucket.name}/a b/ü&<").returncode == 0
    fleet.proxy.stop()


# === wrong arguments and registers ===

OF_THE_REGISTER = [("register", "inspect", "{bucket}/k"), ("register", "list", "{bucket}"), ("register", "diff", "{bucket}"),
                   ("register", "fsck", "{bucket}", "--fix")]
VERBS = [*OF_THE_REGISTER, ("bucket-info", "{bucket}"), ("uploads", "list", "{bucket}"),
         ("uploads", "abort", "{bucket}", "--older", "0s", "--yes"), ("uploads", "expect", "{bucket}", "0")]


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_a_bucket_that_is_not_there_is_one_sentence(fleet, verb):
    done = fleet.run(*(word.format(bucket="absent-bucket") for word in verb))
    assert (done.returncode, done.stdout) == (1, ""), done.stdout
    assert done.stderr == 'ifmatch: the store has no bucket "absent-bucket"\n'


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_a_wrong_name_is_usage(fleet, verb):
    done = fleet.run(*(word.format(bucket="a..b") for word in verb))
    assert done.returncode == 2 and "no bucket's name" in done.stderr, done.stderr


@pytest.mark.parametrize("verb", OF_THE_REGISTER, ids=" ".join)
def test_a_register_in_memory_cannot_be_read(tmp_path, store, verb):
    (tmp_path / "spool").mkdir()
    config = tmp_path / "ifmatch.toml"
    config.write_text(config_text(store.url, store.access_key, Settings(), tmp_path))
    argv = [str(BINARY), *(word.format(bucket="some-bucket") for word in verb), "--config", str(config)]
    done = subprocess.run(argv, env={**os.environ, **secrets_env(store)}, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and "in the memory of the process that serves" in done.stderr, done.stderr
