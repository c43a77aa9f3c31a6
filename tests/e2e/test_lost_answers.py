"""The store does as it was asked and its answer is lost: nobody waits for what is seen to have
landed, and everybody is told of it in his own words."""

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
    assert time.monotonic() - began < SETTLE, "nobody waits for what has landed"


def test_a_form_is_told_of_its_landing(proxy, store):
    raw = proxy.raw()
    assert raw.request("PUT", "/bucket/key", body=b"0").status == 200
    store.loses = True
    parts = signed("bucket", {"key": "key"}, secret=proxy.user[1], key_id=proxy.user[0])
    answer = post(f"{proxy.url}/bucket", [*parts, FILE])
    assert answer.status == 204, answer
    assert (answer.headers["etag"], answer.headers["x-ifmatch-replayed"]) == ('"e2"', "true")
