"""A store that shows what was replaced a short time ago: two creates, right and stale conditions, through two
proxies. Told by how much the store lags, the proxies keep their promise; not told, they notice."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import urllib3

from clients import Raw
from conftest import new_bucket
from proxies import Proxy, Settings
from redis_server import RedisServer
from stores import embedded

LAG = 1.0
KEYS = 12
TOLD = Settings(writers="exclusive", lag=LAG * 1.2, lease_wait=8)


GUARDED = """
[[rule]]
buckets = ["*"]
consistency = "guarded"
"""


@pytest.fixture(scope="module")
def lagging(tmp_path_factory):
    store = embedded(tmp_path_factory.mktemp("store"), ignore_conditions=True, lag=LAG)
    yield store
    store.stop()


def two_proxies(tmp_path, store, redis_server, settings):
    """Two proxies with one register, whose quarantine is over."""
    settings = replace(settings, register=redis_server.new_database())
    pair = [Proxy(tmp_path / str(number), store, settings, f"lag-{number}") for number in range(2)]
    pair[0].skip_quarantine()
    # That leaves the lag.
    pair[0].wait_writable(new_bucket(store))
    return pair


def story(first: Raw, second: Raw, path: str) -> list[int]:
    """Two creates, a right and a stale replacement, a delete of what was just written, and a create after it: what each
    was answered."""
    def put(door: Raw, body: bytes, **condition: str):
        return door.put(path, body, headers={name.replace("_", "-"): value for name, value in condition.items()})

    created = put(first, b"one", if_none_match="*")
    again = put(second, b"two", if_none_match="*")
    right = put(second, b"three", if_match=created.headers["etag"])
    stale = put(first, b"four", if_match=created.headers["etag"])
    last = right.headers.get("etag", created.headers["etag"])
    deleted = second.delete(path, headers={"if-match": last})
    anew = put(first, b"five", if_none_match="*")
    return [each.status for each in (created, again, right, stale, deleted, anew)]


RIGHT = [200, 412, 200, 412, 204, 200]


def stories(pair: list[Proxy], bucket: str) -> list[list[int]]:
    first, second = (proxy.raw() for proxy in pair)
    return [story(first, second, f"/{bucket}/key-{number}") for number in range(KEYS)]


@pytest.mark.parametrize("write_ids", [False, True], ids=["", "with-ids"])
def test_two_creates_over_a_store_that_lags_are_told_apart(tmp_path, lagging, redis_server, write_ids):
    settings = replace(TOLD, write_ids=write_ids)
    pair = two_proxies(tmp_path, lagging, redis_server, settings)
    assert stories(pair, new_bucket(lagging)) == [RIGHT] * KEYS
    for proxy in pair:
        proxy.stop()


def test_a_store_that_lags_is_noticed(tmp_path, lagging, redis_server):
    """Not told of the lag, the proxies give wrong answers, and say in the log and in the metrics that they do."""
    settings = replace(TOLD, lag=0, admin="127.0.0.1:0")
    pair = two_proxies(tmp_path, lagging, redis_server, settings)
    answers = stories(pair, new_bucket(lagging))
    assert answers != [RIGHT] * KEYS, "the store did not lag"
    chaos = json.loads(urllib3.PoolManager().request("GET", f"{lagging.url}/-/chaos").data)
    assert chaos["lagging_reads"] > 0
    seen = sum(proxy.metric("ifmatch_store_stale_heads_total", shows=shows)
               for proxy in pair for shows in ("absent", "undeleted", "other"))
    told = sum(proxy.metric("ifmatch_store_lag_seconds_count") for proxy in pair)
    assert seen == told > 0
    lines = [line for proxy in pair for line in list(proxy.process.lines)]
    assert any("not read-after-write consistent" in line for line in lines)
    for proxy in pair:
        proxy.stop()


def test_a_lag_longer_than_was_told_is_an_alarm(tmp_path, lagging, redis_server):
    settings = replace(TOLD, lag=LAG / 100, admin="127.0.0.1:0")
    pair = two_proxies(tmp_path, lagging, redis_server, settings)
    bucket = new_bucket(lagging)
    for _ in range(20):
        stories(pair, bucket)
        if any(proxy.metric("ifmatch_alarms_total", which="lag_exceeded") for proxy in pair):
            break
    lines = [line for proxy in pair for line in list(proxy.process.lines)]
    assert any("ALARM: the store shows another state" in line for line in lines)
    for proxy in pair:
        proxy.stop()


def reads(door: Raw, path: str, etag: str | None, size: int) -> dict[str, int]:
    """What each kind of read is answered."""
    asked = {
        "get": door.get(path),
        "head": door.request("HEAD", path),
        "range": door.get(path, headers={"range": "bytes=1-2"}),
        "beyond": door.get(path, headers={"range": f"bytes={size}-"}),
        "unchanged": door.get(path, headers={"if-none-match": etag or '"none"'}),
        "changed": door.get(path, headers={"if-match": '"another"'}),
    }
    for name, answer in asked.items():
        if answer.status in (200, 206, 304):
            assert answer.headers["etag"] == etag, name
        assert answer.headers["x-ifmatch-consistency"] == "guarded", name
    return {name: answer.status for name, answer in asked.items()}


SHOWN = {"get": 200, "head": 200, "range": 206, "beyond": 416, "unchanged": 304, "changed": 412}
GONE = dict.fromkeys(SHOWN, 404)


def test_a_guarded_read_shows_nothing_older_than_what_was_acknowledged(tmp_path, lagging, redis_server):
    """Written through one proxy, read at once through the other. Nothing is given up, as the store lags by less than
    a read waits."""
    settings = replace(TOLD, rules=GUARDED, admin="127.0.0.1:0")
    pair = two_proxies(tmp_path, lagging, redis_server, settings)
    writer, reader = (proxy.raw() for proxy in pair)
    bucket = new_bucket(lagging)
    for number in range(2):
        path = f"/{bucket}/read-{number}"
        for body in (b"one", b"longer than one", b"two"):
            etag = writer.put(path, body).headers["etag"]
            assert reads(reader, path, etag, len(body)) == SHOWN
            assert reader.get(path).body == body
        assert writer.delete(path).status == 204
        assert reads(reader, path, None, 0) == GONE
        etag = writer.put(path, b"again").headers["etag"]
        assert reads(reader, path, etag, 5) == SHOWN
        s3 = pair[0].boto()
        source = s3.put_object(Bucket=bucket, Key=f"source-{number}", Body=b"copied")["ETag"]
        copied = s3.copy_object(Bucket=bucket, Key=f"read-{number}", CopySourceIfMatch=source,
                                CopySource={"Bucket": bucket, "Key": f"source-{number}"})
        assert reads(reader, path, copied["CopyObjectResult"]["ETag"], 6) == SHOWN
        upload = {"Bucket": bucket, "Key": f"read-{number}"}
        upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
        part = s3.upload_part(**upload, PartNumber=1, Body=b"one part")["ETag"]
        parts = {"Parts": [{"PartNumber": 1, "ETag": part}]}
        whole = s3.complete_multipart_upload(**upload, MultipartUpload=parts)["ETag"]
        assert reads(reader, path, whole, 8) == SHOWN
    waited = pair[1].metric("ifmatch_guarded_reads_total", outcome="waited")
    assert waited > 0, "the store never lagged"
    assert pair[1].metric("ifmatch_guarded_reads_total", outcome="given_up") == 0
    for proxy in pair:
        proxy.stop()


def test_a_read_that_the_store_does_not_satisfy_in_time_is_503(tmp_path, lagging, redis_server):
    """Never 404, and never an old object. The client's SDK would ask again."""
    settings = replace(TOLD, rules=GUARDED, read_patience=0.2)
    pair = two_proxies(tmp_path, lagging, redis_server, settings)
    writer, reader = (proxy.raw() for proxy in pair)
    bucket = new_bucket(lagging)
    answers = []
    while not any(answer.status == 503 for answer in answers):
        path = f"/{bucket}/impatient-{len(answers)}"
        writer.put(path, b"new")
        answers.append(reader.get(path))
        assert answers[-1].status == 503 or answers[-1].body == b"new"
    refused = answers[-1]
    assert (refused.code, refused.headers["retry-after"]) == ("ServiceUnavailable", "1")
    assert refused.headers["x-ifmatch-consistency"] == "guarded"
    assert "does not show yet" in refused.fields["Message"]
    for proxy in pair:
        proxy.stop()


def test_without_the_register_a_guarded_read_shows_what_the_store_shows_and_says_so(tmp_path, lagging):
    redis = RedisServer(tmp_path / "redis")
    pair = two_proxies(tmp_path, lagging, redis, replace(TOLD, rules=GUARDED))
    path = f"/{new_bucket(lagging)}/key"
    doors = [proxy.raw() for proxy in pair]
    doors[0].put(path, b"x")
    assert doors[1].get(path).headers["x-ifmatch-consistency"] == "guarded"
    redis.kill9()
    assert {door.get(path).headers["x-ifmatch-consistency"] for door in doors} == {"store"}
    for proxy in pair:
        proxy.stop()
    redis.stop()
