"""Deletes that race at the store. s3rver removes a directory with its last entry, and answers 500 where
two deletes race for that, or where the directory is gone already."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import new_bucket
from proxies import Proxy, Settings, in_front_of
from scripted import ScriptedStore

KEYS = 200


@pytest.fixture(scope="module", params=["shared", "exclusive"])
def racing(request, store_named, tmp_path_factory):
    store = store_named("s3rver")
    bucket = new_bucket(store)
    # A settle and a wait as most have them: a delete in doubt would cost ten seconds.
    settings = Settings(writers=request.param, lease=6, grace=3, settle=10, settle_long=30,
                        lease_wait=10)
    proxy = in_front_of(store, bucket, tmp_path_factory.mktemp("racing"), settings)
    yield proxy, bucket
    proxy.stop()


@pytest.mark.parametrize("number", range(4))
def test_a_batch_of_one_directory_is_deleted_without_an_error(racing, number):
    proxy, bucket = racing
    keys = [f"directory-{number}/of/{index}" for index in range(KEYS)]
    raw = proxy.raw()
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda key: raw.put(f"/{bucket}/{key}", b"x").status, keys))
    assert set(made) == {200}
    began = time.monotonic()
    deleted = proxy.boto().delete_objects(
        Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys]})
    took = time.monotonic() - began
    assert "Errors" not in deleted, deleted["Errors"]
    assert len(deleted["Deleted"]) == KEYS
    assert took < 8, f"{took:.1f} s"
    assert proxy.boto().list_objects_v2(Bucket=bucket, Prefix=f"directory-{number}/").get(
        "Contents", []) == []


def test_a_delete_of_what_is_not_there_is_a_success(racing):
    """s3rver: 500 where the directory is not there."""
    proxy, bucket = racing
    began = time.monotonic()
    answer = proxy.raw().delete(f"/{bucket}/no/such/directory/key")
    assert answer.status == 204, str(answer)
    assert time.monotonic() - began < 2


class Fragile:
    """A store that answers the first delete of a key with an error, and counts those under way."""

    def __init__(self):
        self.failed: set[str] = set()
        self.under_way = self.most = 0
        self.lock = threading.Lock()

    def __call__(self, request):
        if request.method != "DELETE":
            return 200, {"ETag": '"e"'}, b""
        with self.lock:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        time.sleep(0.02)
        with self.lock:
            self.under_way -= 1
        if request.target.endswith("fragile") and request.target not in self.failed:
            self.failed.add(request.target)
            return 500, {}, b"<Error><Code>InternalError</Code></Error>"
        return 204, {}, b""


@pytest.mark.parametrize("at_once", [1, 4])
def test_after_an_error_deletes_go_one_by_one(tmp_path, at_once):
    store, answers = ScriptedStore(), Fragile()
    store.answer = answers
    proxy = Proxy(tmp_path, store.store, Settings(deletes_at_once=at_once))
    try:
        proxy.wait_writable("bucket")
        store.take()

        def delete(*keys: str) -> list[str]:
            answers.most = 0
            deleted = proxy.boto().delete_objects(
                Bucket="bucket", Delete={"Objects": [{"Key": key} for key in keys]})
            assert "Errors" not in deleted, deleted
            return [each.target for each in store.take() if each.method == "DELETE"]

        delete(*(f"a{number}" for number in range(20)))
        assert answers.most == at_once
        sent = delete("fragile", *(f"b{number}" for number in range(20)))
        assert sent.count("/bucket/fragile") == 2, "it was sent again under its lease"
        assert len(sent) == 22
        delete(*(f"c{number}" for number in range(20)))
        assert answers.most == 1, "it is remembered"
    finally:
        proxy.stop()
        store.stop()
