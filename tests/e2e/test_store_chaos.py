"""The embedded store when it misbehaves on purpose: what it then does, and that it counts it."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime

import pytest
import urllib3

from embedded import Bucket
from redis_server import until
from stores import Store
from test_store_lag import serve

OTHER = '"0123456789abcdef0123456789abcdef"'


def counts(store: Store) -> dict:
    return json.loads(urllib3.PoolManager().request("GET", f"{store.url}/-/chaos").data)


def new_bucket(store: Store) -> Bucket:
    bucket = Bucket(store, "bucket")
    bucket("create_bucket")
    return bucket


def test_ignored_conditions_are_counted(tmp_path):
    store = serve(tmp_path / "store", "--ignore-conditions")
    bucket = new_bucket(store)
    bucket.put("key", b"1")
    assert counts(store)["ignored_conditions"] == 0
    bucket.put("key", b"2", IfNoneMatch="*")
    bucket.put("key", b"3", IfMatch=OTHER)
    bucket("copy_object", "copy", CopySource="bucket/key", IfMatch=OTHER)
    upload = bucket.begin("key")
    bucket.complete("key", upload, [bucket.part("key", upload, 1, b"4")], IfNoneMatch="*")
    assert (bucket.body("key"), counts(store)["ignored_conditions"]) == (b"4", 4)
    bucket("delete_object", "key", IfMatch=OTHER)
    objects = [{"Key": "copy", "ETag": OTHER}, {"Key": "none"}, {"Key": "none", "ETag": "*"}]
    assert "Errors" not in bucket("delete_objects", Delete={"Objects": objects})
    assert (bucket.keys(), counts(store)["ignored_conditions"]) == ([], 7)
    bucket.put("key")
    assert bucket.raw.delete(bucket.path("key"), headers={"If-None-Match": "*"}).status == 204
    assert counts(store)["ignored_conditions"] == 8
    store.stop()


@pytest.mark.parametrize("skew", [7200, -7200])
def test_a_clock_that_goes_wrong_dates_what_is_written_and_is_counted(tmp_path, skew):
    store = serve(tmp_path / "store", f"--clock-skew={skew}")
    bucket = new_bucket(store)
    bucket.put("key", b"x")
    upload = bucket.begin("parts")
    bucket.part("parts", upload, 1, b"x")
    answer = bucket.raw.get(bucket.path("key"))
    [part] = bucket("list_parts", "parts", UploadId=upload)["Parts"]
    dates = [parsedate_to_datetime(answer.headers["last-modified"]), part["LastModified"],
             bucket("list_objects_v2")["Contents"][0]["LastModified"],
             bucket("list_multipart_uploads")["Uploads"][0]["Initiated"], bucket.s3.list_buckets()["Buckets"][0]["CreationDate"]]
    assert all(abs(date.timestamp() - time.time() - skew) < 60 for date in dates), dates
    assert abs(parsedate_to_datetime(answer.headers["date"]).timestamp() - time.time()) < 60
    assert counts(store)["skewed_dates"] == 4, "the bucket, the object, the upload, its part"
    bucket("copy_object", "copy", CopySource="bucket/key")
    bucket("delete_object", "key")
    bucket("delete_objects", Delete={"Objects": [{"Key": "copy"}]})
    assert counts(store)["skewed_dates"] == 7
    store.stop()


def test_slow_requests_wait_each_by_itself_and_are_counted(tmp_path):
    store = serve(tmp_path / "store", "--slow", "2s", "--seed", "7")
    bucket = new_bucket(store)

    def put(number: int) -> float:
        began = time.monotonic()
        assert bucket.raw.put(bucket.path(str(number)), b"x").status == 200
        return time.monotonic() - began

    before, began = counts(store)["slowed"], time.monotonic()
    with ThreadPoolExecutor(20) as pool:
        took = list(pool.map(put, range(20)))
    assert counts(store)["slowed"] - before == 20
    assert min(took) < 0.8 and max(took) > 1, took
    assert time.monotonic() - began < sum(took) / 2, "they wait beside each other"
    store.stop()


def test_nothing_is_counted_that_was_not_done(tmp_path):
    store = serve(tmp_path / "store")
    bucket = new_bucket(store)
    bucket.put("key", b"x", IfNoneMatch="*")
    assert bucket.refuses("get_object", "none") == (404, "NoSuchKey")
    told = counts(store)
    lists = [told.pop(name) for name in ("reads_by_replica", "listings_by_replica")]
    assert not any(told.values()) and not any(map(any, lists)), told
    store.stop()


def test_an_object_that_was_asked_for_too_early_stays_away_for_longer(tmp_path):
    """What nobody asked for is shown as soon as a replica has it. A miss is remembered by its replica, for as long
    as the store lags."""
    lag = 10
    store = serve(tmp_path / "store", "--lag", f"{lag}s", "--seed", "7")
    bucket = new_bucket(store)

    def statuses(key: str, count: int = 40) -> list[int]:
        return [bucket.raw.get(bucket.path(key)).status for _ in range(count)]

    assert set(statuses("early")) == {404}
    bucket.put("early", b"x"), bucket.put("other", b"x")
    put = time.monotonic()
    assert counts(store)["cached_misses"] == 0
    time.sleep(lag / 2)
    until("what nobody asked for is shown", lambda: statuses("other", 1) == [200], timeout=lag * 0.2)
    early = statuses("early", 20)
    assert time.monotonic() - put < lag * 0.8, "the machine was too slow for this test"
    assert set(early) == {404}
    assert counts(store)["cached_misses"] > 0
    time.sleep(lag + 1 - (time.monotonic() - put))
    assert set(statuses("early") + statuses("other")) == {200}
    store.stop()
