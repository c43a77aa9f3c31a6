"""Guarded reads over a store that lags, where versions have ids: what was written last is asked for by its id, and a
version that was acknowledged is never missing. What is copied is as new as what is read; and where the store has
several nodes, the one that took the write is asked first."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import pytest
import urllib3
from botocore.config import Config

from clients import Raw, boto
from conftest import new_bucket
from proxies import Proxy, Settings
from redis_server import RedisServer
from stores import embedded
from test_lag import GONE, GUARDED, SHOWN, reads, two_proxies
from test_nodes import Node, node_of

LAG = 1.0
TOLD = Settings(writers="exclusive", lag=LAG * 1.25, lease_wait=8, rules=GUARDED, admin="127.0.0.1:0")
LONG = 6.0
ONE_ATTEMPT = Config(retries={"total_max_attempts": 1})


def versioned(store, status: str = "Enabled") -> str:
    """A bucket that keeps versions, and is shown."""
    bucket, alone = new_bucket(store), boto(store.url, store.access_key, store.secret_key)
    if status == "Suspended":
        alone.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    alone.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})
    return bucket


def chaos(store) -> dict:
    return json.loads(urllib3.PoolManager().request("GET", f"{store.url}/-/chaos").data)


def outcomes(proxy: Proxy) -> dict[str, int]:
    words = ("first", "by_version", "waited", "given_up", "unguarded")
    return {word: proxy.metric("ifmatch_guarded_reads_total", outcome=word) for word in words}


@pytest.fixture(scope="module")
def old_pointers(tmp_path_factory):
    """A store that shows for seconds which version was the current one before, and each version by its id at once."""
    store = embedded(tmp_path_factory.mktemp("store"), ignore_conditions=True, lag=LONG, lag_of_versions=0)
    yield store
    store.stop()


@pytest.fixture(scope="module")
def impatient(tmp_path_factory, old_pointers):
    """Two proxies in front of it, whose reads hardly wait; their bucket was there before the store's lag began."""
    buckets = [versioned(old_pointers), versioned(old_pointers, "Suspended"), new_bucket(old_pointers)]
    redis = RedisServer(tmp_path_factory.mktemp("redis"))
    settings = replace(TOLD, lag=LONG * 1.1, lease_wait=20, read_patience=0.3)
    pair = two_proxies(tmp_path_factory.mktemp("pair"), old_pointers, redis, settings)
    yield pair, buckets
    for proxy in pair:
        proxy.stop()
    redis.stop()


def test_what_was_written_last_is_read_at_once_by_the_id_of_its_version(old_pointers, impatient):
    """All kinds of reads, which look as reads of the current object do. None waits, although the store shows
    something older for seconds."""
    (writing, reading), (bucket, *_) = impatient
    writer, reader = writing.raw(), reading.raw()
    before, lagged = outcomes(reading), chaos(old_pointers)["lagging_reads"]
    path = f"/{bucket}/by-version"
    for body in (b"one", b"longer than one", b"two", b"two"):
        written = writer.put(path, body, headers={"x-amz-meta-said": body.decode()})
        assert written.headers["x-amz-version-id"]
        assert reads(reader, path, written.headers["etag"], len(body)) == SHOWN
        shown = reader.get(path)
        assert (shown.body, shown.headers["x-amz-meta-said"]) == (body, body.decode())
        assert shown.headers["x-amz-version-id"] == written.headers["x-amz-version-id"]
        part = reader.get(path + "?partNumber=1")
        assert (part.status, part.body) == (206, body)
        named = reader.get(path + "?response-content-type=text%2Fx-named")
        assert (named.body, named.headers["content-type"]) == (body, "text/x-named")
    after = outcomes(reading)
    assert after["by_version"] - before["by_version"] == 4 * 9
    assert all(after[word] == before[word] for word in before if word != "by_version"), after
    alone = Raw(old_pointers.url, old_pointers.access_key, old_pointers.secret_key)
    assert any(alone.get(path).status == 404 or alone.get(path).body != b"two" for _ in range(200))
    assert chaos(old_pointers)["lagging_reads"] > lagged, "the store did not lag"


def test_a_deleted_object_is_told_by_its_delete_marker(impatient):
    (writing, reading), (bucket, *_) = impatient
    writer, reader = writing.raw(), reading.raw()
    path = f"/{bucket}/marked"
    writer.put(path, b"x")
    marker = writer.delete(path).headers["x-amz-version-id"]
    assert reads(reader, path, None, 0) == GONE
    for method in ("GET", "HEAD"):
        answer = reader.request(method, path)
        assert answer.headers["x-amz-delete-marker"] == "true"
        assert answer.headers["x-amz-version-id"] == marker


def test_a_version_that_is_gone_is_not_read_by_its_id(impatient):
    """Deleted by its id, it is not the current one any more. What is, only the store knows, and the answer says so."""
    (writing, reading), (bucket, *_) = impatient
    writer, reader = writing.raw(), reading.raw()
    path = f"/{bucket}/removed"
    gone = writer.put(path, b"x").headers["x-amz-version-id"]
    assert reader.get(path).body == b"x"
    assert writer.delete(f"{path}?versionId={gone}").status == 204
    assert reader.get(path).headers["x-ifmatch-consistency"] == "store"
    answer = reader.get(f"{path}?versionId={gone}")
    assert (answer.status, answer.code) == (404, "NoSuchVersion")
    assert answer.headers["x-ifmatch-consistency"] == "guarded"


@pytest.mark.parametrize("kind", [1, 2], ids=["suspended", "never-versioned"])
def test_what_has_no_id_of_its_own_is_waited_for(impatient, kind):
    """The version null is replaced in its place: its id names no state."""
    (writing, reading), buckets = impatient
    writer, reader = writing.raw(), reading.raw()
    before, statuses = outcomes(reading), set()
    for number in range(12):
        path = f"/{buckets[kind]}/null-{number % 3}"
        body = b"body %d" % number
        writer.put(path, body)
        answer = reader.get(path)
        assert answer.status == 503 or answer.body == body, answer
        statuses.add(answer.status)
    after = outcomes(reading)
    assert after["by_version"] == before["by_version"]
    assert 503 in statuses and after["given_up"] > before["given_up"], "the store never lagged"


def copied(s3, bucket: str, source: dict) -> tuple[bytes, bytes]:
    """What a copy of this source has, and an upload of which it is the part."""
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source)
    upload = {"Bucket": bucket, "Key": "parts"}
    upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
    part = s3.upload_part_copy(**upload, PartNumber=1, CopySource=source)["CopyPartResult"]["ETag"]
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]})
    return tuple(s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in ("copy", "parts"))


def test_a_copy_has_what_was_written_last_at_its_source(impatient):
    """Without any condition, at once: the store is asked to copy the version."""
    (writing, reading), (bucket, *_) = impatient
    writer, s3 = writing.boto(config=ONE_ATTEMPT), reading.boto(config=ONE_ATTEMPT)
    for number in range(4):
        body = b"source %d" % number
        written = writer.put_object(Bucket=bucket, Key="source", Body=body)
        assert copied(s3, bucket, {"Bucket": bucket, "Key": "source"}) == (body, body)
        older = {"Bucket": bucket, "Key": "source", "VersionId": written["VersionId"]}
        writer.put_object(Bucket=bucket, Key="source", Body=b"other")
        assert copied(s3, bucket, older) == (body, body)
    writer.delete_object(Bucket=bucket, Key="source")
    with pytest.raises(s3.exceptions.ClientError) as refused:
        s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "source"})
    assert refused.value.response["Error"]["Code"] == "NoSuchKey"


@pytest.fixture(scope="module")
def lagging(tmp_path_factory):
    """A store that lags with all it shows, versions by their ids too."""
    store = embedded(tmp_path_factory.mktemp("store"), ignore_conditions=True, lag=LAG)
    yield store
    store.stop()


def test_a_version_that_was_acknowledged_is_never_missing(tmp_path, lagging, redis_server):
    """Asked for by its id through another proxy, at once; by itself the store says 404. A version that was deleted is
    not shown, and a delete marker is none."""
    bucket = versioned(lagging)
    pair = two_proxies(tmp_path, lagging, redis_server, TOLD)
    writer, reader = (proxy.raw() for proxy in pair)
    alone = Raw(lagging.url, lagging.access_key, lagging.secret_key)
    missing = 0
    for number in range(6):
        path = f"/{bucket}/version-{number % 2}"
        body = b"body %d" % number
        written = writer.put(path, body)
        later = writer.put(path, b"something newer")
        exact = f"{path}?versionId={written.headers['x-amz-version-id']}"
        missing += alone.get(exact).status == 404
        assert reads(reader, exact, written.headers["etag"], len(body)) == SHOWN
        assert reader.get(exact).body == body
        assert reader.get(exact + "&partNumber=1").status == 206
        assert writer.delete(exact).status == 204
        for _ in range(4):
            gone = reader.get(exact)
            assert (gone.status, gone.code) == (404, "NoSuchVersion"), gone
        marker = writer.delete(path).headers["x-amz-version-id"]
        answer = reader.get(f"{path}?versionId={marker}")
        assert (answer.status, answer.headers["x-amz-delete-marker"]) == (405, "true"), answer
        assert reader.get(f"{path}?versionId={later.headers['x-amz-version-id']}").status == 200
    assert missing > 0, "the store never missed a version"
    assert pair[1].metric("ifmatch_guarded_reads_total", outcome="given_up") == 0
    for proxy in pair:
        proxy.stop()


def test_a_version_that_the_store_does_not_show_in_time_is_503_and_not_404(tmp_path, lagging, redis_server):
    bucket = versioned(lagging)
    pair = two_proxies(tmp_path, lagging, redis_server, replace(TOLD, read_patience=0.1))
    writer, reader = (proxy.raw() for proxy in pair)
    s3 = pair[1].boto(config=ONE_ATTEMPT)
    refused, copies_refused = None, 0
    for number in range(60):
        path = f"/{bucket}/late-{number}"
        exact = f"{path}?versionId={writer.put(path, b'x').headers['x-amz-version-id']}"
        answer = reader.get(exact)
        assert answer.status == 503 or answer.body == b"x", answer
        refused = answer if answer.status == 503 else refused
        source = {"Bucket": bucket, "Key": path.split("/")[2], "VersionId": exact.split("=")[1]}
        try:
            s3.copy_object(Bucket=bucket, Key="copy", CopySource=source)
        except s3.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "ServiceUnavailable", error.response
            copies_refused += 1
        if refused is not None and copies_refused:
            break
    assert refused is not None and copies_refused, "the store never lagged"
    assert (refused.code, refused.headers["retry-after"]) == ("ServiceUnavailable", "1")
    for proxy in pair:
        proxy.stop()


def test_a_copy_of_a_source_without_an_id_waits_for_the_store(tmp_path, lagging, redis_server):
    bucket = new_bucket(lagging)
    pair = two_proxies(tmp_path, lagging, redis_server, TOLD)
    writer, s3 = pair[0].boto(), pair[1].boto(config=ONE_ATTEMPT)
    lagged = chaos(lagging)["lagging_reads"]
    for number in range(4):
        body = b"source %d" % number
        writer.put_object(Bucket=bucket, Key="source", Body=body)
        assert copied(s3, bucket, {"Bucket": bucket, "Key": "source"}) == (body, body)
    assert chaos(lagging)["lagging_reads"] > lagged, "the store never lagged"
    for proxy in pair:
        proxy.stop()


def test_a_young_key_is_read_at_the_node_that_took_its_write(tmp_path, redis_server):
    """Where the store has several. Another one is asked if that gives no answer; an old key is read anywhere."""
    store = embedded(tmp_path / "store")
    bucket, nodes = new_bucket(store), [Node(store.url) for _ in range(3)]
    lag = 3
    settings = replace(TOLD, lag=lag, register=redis_server.new_database(), nodes=tuple(node.url for node in nodes))
    proxy = Proxy(tmp_path / "proxy", store, settings, "lag-nodes")
    proxy.skip_quarantine()
    proxy.wait_writable(bucket)
    raw, keys = proxy.raw(), [f"young-{number}" for number in range(8)]
    for key in keys:
        raw.put(f"/{bucket}/{key}", b"x")
        for _ in range(4):
            assert raw.get(f"/{bucket}/{key}").body == b"x"
    homes = {key: node_of(nodes, key + " ") for key in keys}
    assert len({home.url for home in homes.values()}) > 1
    for key, home in homes.items():
        assert [node.asked("GET", key + " ") for node in nodes] == [4 if node is home else 0 for node in nodes]
    homes[keys[-1]].cut_off()
    raw.put(f"/{bucket}/{keys[-1]}", b"again")
    assert raw.get(f"/{bucket}/{keys[-1]}").body == b"again"
    threading.Event().wait(lag)
    for _ in range(12):
        assert raw.get(f"/{bucket}/{keys[0]}").body == b"x"
    assert sum(node.asked("GET", keys[0] + " ") > 0 for node in nodes) > 1, "an old key is read anywhere"
    proxy.stop()
    for node in nodes:
        node.close()
    store.stop()
