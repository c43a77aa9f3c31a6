"""The store does as it was asked and its answer is lost: no client waits for a write that is seen to have
landed, and every client gets the answer in the form of its own request."""

from __future__ import annotations

import base64
import hashlib
import time

import pytest

from proxies import Settings, in_front_of
from scripted import ScriptedStore
from test_forms import FILE, post, signed

SETTLE = 20
BATCH = (b"<Delete><Object><Key>key</Key></Object></Delete>")


class OneObject:
    """A store of one object, which loses the answer to each write once: it says 500 instead."""

    def __init__(self):
        self.scripted = ScriptedStore()
        self.scripted.answer = self.answer
        self.metadata: dict[str, str] | None = None
        """The object's; None while there is none."""
        self.version = 0
        self.loses = False

    def answer(self, request):
        path = request.target.partition("?")[0]
        if path.rstrip("/").count("/") < 2 and not (request.method == "POST"):
            return 200, {}, b""
        if request.method in ("GET", "HEAD"):
            if self.metadata is None:
                return 404, {}, b""
            return 200, {"ETag": f'"e{self.version}"', **self.metadata}, b""
        deletes = request.method == "DELETE" or request.target.endswith(("?delete", "?delete="))
        self.version += 1
        self.metadata = None if deletes else {
            name: value for name, value in request.headers.items()
            if name.startswith("x-amz-meta-")}
        if self.loses:
            self.loses = False
            return 500, {}, b""
        if "x-amz-copy-source" in request.headers:
            return 200, {}, f"<CopyObjectResult><ETag>e{self.version}</ETag></CopyObjectResult>".encode()
        return (204, {}, b"") if deletes else (200, {"ETag": f'"e{self.version}"'}, b"")


@pytest.fixture
def store():
    store = OneObject()
    yield store
    store.scripted.stop()


@pytest.fixture(params=["resign", "passthrough"])
def proxy(store, redis_server, tmp_path, request):
    settings = Settings(register=redis_server.new_database(), writers="exclusive", signatures=request.param, settle=SETTLE,
                        settle_long=SETTLE, lease_wait=2)
    proxy = in_front_of(store.scripted.store, "bucket", tmp_path, settings)
    store.version = 0
    yield proxy
    proxy.stop()


def test_a_landing_that_is_seen_is_told_at_once(proxy, store):
    raw, began = proxy.raw(), time.monotonic()
    # What stood there before must be known.
    assert raw.request("PUT", "/bucket/key", body=b"0").status == 200
    store.loses = True
    put = raw.request("PUT", "/bucket/key", body=b"1")
    assert (put.status, put.headers["etag"]) == (200, '"e2"')
    assert put.headers["x-ifmatch-replayed"] == "true"
    store.loses = True
    gone = raw.request("DELETE", "/bucket/key")
    assert (gone.status, gone.headers["x-ifmatch-replayed"]) == (204, "true")
    assert raw.request("PUT", "/bucket/key", body=b"2").status == 200
    store.loses = True
    batch = raw.request("POST", "/bucket?delete=", body=BATCH,
                        headers={"content-md5": base64.b64encode(hashlib.md5(BATCH).digest()).decode()})
    assert batch.status == 200 and b"<Deleted><Key>key</Key>" in batch.body, batch
    assert time.monotonic() - began < SETTLE, "no client waits for a write that has landed"


def test_a_form_is_told_of_its_landing(proxy, store):
    raw = proxy.raw()
    assert raw.request("PUT", "/bucket/key", body=b"0").status == 200
    store.loses = True
    parts = signed("bucket", {"key": "key"}, secret=proxy.user[1], key_id=proxy.user[0])
    answer = post(f"{proxy.url}/bucket", [*parts, FILE])
    assert answer.status == 204, answer
    assert (answer.headers["etag"], answer.headers["x-ifmatch-replayed"]) == ('"e2"', "true")


# === write ids ===

ID = "x-amz-meta-ifmatch-id"


@pytest.fixture
def with_ids(store, redis_server, tmp_path):
    """Where others write around it: only an id tells whose an object is."""
    settings = Settings(register=redis_server.new_database(), write_ids=True, settle=SETTLE,
                        settle_long=SETTLE, lease_wait=2)
    proxy = in_front_of(store.scripted.store, "bucket", tmp_path, settings)
    store.version, store.metadata = 0, None
    yield proxy
    proxy.stop()


def test_an_id_on_the_object_tells_a_landing_where_others_write(with_ids, store):
    store.loses = True
    began = time.monotonic()
    create = with_ids.raw().put("/bucket/key", b"1", headers={"if-none-match": "*"})
    assert (create.status, create.headers["x-ifmatch-replayed"]) == (200, "true"), create
    assert time.monotonic() - began < SETTLE


def test_a_retry_finds_its_landing_by_its_id_when_redis_has_lost_all(with_ids, store, redis_server):
    sent = {"if-none-match": "*", "amz-sdk-invocation-id": "b1946ac9-2e6d-4c1e-8a53-7d1b2f0a6c11"}
    raw = with_ids.raw()
    first = raw.put("/bucket/key", b"1", headers={**sent, "amz-sdk-request": "attempt=1; max=3"})
    assert first.status == 200
    redis_server.client().flushall()
    with_ids.skip_quarantine()
    again = raw.put("/bucket/key", b"1", headers={**sent, "amz-sdk-request": "attempt=2; max=3"})
    assert (again.status, again.headers["x-ifmatch-replayed"]) == (200, "true"), again
    assert again.headers["etag"] == first.headers["etag"]
    other = raw.put("/bucket/key", b"1", headers={"if-none-match": "*"})
    assert other.code == "PreconditionFailed", other


def test_no_client_sets_an_id_or_sees_one(with_ids, store):
    raw = with_ids.raw()
    forged = {ID: "forged", "x-amz-meta-own": "kept"}
    assert raw.put("/bucket/key", b"1", headers=forged).status == 200
    assert store.metadata[ID] != "forged" and store.metadata["x-amz-meta-own"] == "kept"
    raw.request("POST", "/bucket/key?uploads=", headers=forged)
    [create] = [each for each in store.scripted.take() if "?uploads" in each.target]
    assert ID not in create.headers and create.headers["x-amz-meta-own"] == "kept"
    parts = signed("bucket", {"key": "key"}, secret=with_ids.user[1], key_id=with_ids.user[0])
    assert post(f"{with_ids.url}/bucket", [*parts, FILE]).status == 204
    assert ID in store.metadata
    for method in ("GET", "HEAD"):
        read = raw.request(method, "/bucket/key")
        assert (read.status, read.headers["etag"]) == (200, f'"e{store.version}"')
        assert ID not in read.headers, f"{method}: {read}"


def test_a_copy_that_takes_its_source_s_metadata_along_is_not_taken_for_its_own(with_ids, store):
    raw = with_ids.raw()
    source = {"x-amz-copy-source": "/bucket/other"}
    store.metadata = {}
    for directive, carries_ids in [({}, False), ({"x-amz-metadata-directive": "COPY"}, False),
                                 ({"x-amz-metadata-directive": "REPLACE"}, True)]:
        store.scripted.take()
        assert raw.put("/bucket/key", headers={**source, **directive}).status == 200
        [copy] = [each for each in store.scripted.take() if each.method == "PUT"]
        assert (ID in copy.headers) == carries_ids, directive
