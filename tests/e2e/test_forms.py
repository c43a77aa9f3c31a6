"""Browsers' upload forms: what boto3 makes of them, what their policies allow, and the gate."""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import json
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
import urllib3
from botocore.config import Config

from clients import Answer
from conftest import new_bucket
from proxies import ACCESS_KEY, CLIENT_SECRET, READER_KEY, READER_SECRET, Proxy, Settings, \
    in_front_of
from recorder import Recorder, lower
from relay import Relay

POOL = urllib3.PoolManager(retries=False)
V4 = Config(signature_version="s3v4")
FILE = ("file", ("cat.txt", b"meow"))


def post(url: str, parts: list) -> Answer:
    """A form of these parts in this order, as a browser sends it."""
    body, content_type = urllib3.encode_multipart_formdata(parts)
    answer = POOL.request("POST", url, body=body, headers={"Content-Type": content_type},
                          redirect=False)
    return Answer(answer.status, lower(dict(answer.headers)), answer.data)


def signed(bucket: str, fields: dict, conditions: list | None = None,
           expires_s: float = 600, secret: str = CLIENT_SECRET, key_id: str = ACCESS_KEY) -> list:
    """The parts before the file: these fields, and a policy signed by Version 4 that says so."""
    now = datetime.datetime.now(datetime.timezone.utc)
    scope = f"{now:%Y%m%d}/us-east-1/s3/aws4_request"
    fields = {**fields, "x-amz-algorithm": "AWS4-HMAC-SHA256",
              "x-amz-credential": f"{key_id}/{scope}", "x-amz-date": f"{now:%Y%m%dT%H%M%SZ}"}
    if conditions is None:
        conditions = [{name: value} for name, value in fields.items()]
    else:
        conditions = conditions + [{name: value} for name, value in fields.items()
                                   if name.startswith("x-amz-")]
    expires = now + datetime.timedelta(seconds=expires_s)
    policy = base64.b64encode(json.dumps({
        "expiration": f"{expires:%Y-%m-%dT%H:%M:%SZ}",
        "conditions": [{"bucket": bucket}, *conditions]}).encode()).decode()
    key = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, policy.encode(), hashlib.sha256).hexdigest()
    return [*fields.items(), ("policy", policy), ("x-amz-signature", signature)]


@pytest.fixture(scope="module")
def stored(store_named, tmp_path_factory):
    store = store_named("s3s-fs")
    bucket = new_bucket(store)
    proxy = in_front_of(store, bucket, tmp_path_factory.mktemp("forms"), Settings())
    yield proxy, bucket
    proxy.stop()


def content(proxy, bucket: str, key: str) -> bytes | None:
    answer = proxy.raw().get(f"/{bucket}/{key}")
    return answer.body if answer.status == 200 else None


@pytest.mark.parametrize("config", [None, V4], ids=["as-it-comes", "s3v4"])
def test_a_form_of_boto3_works_as_it_is(stored, config):
    proxy, bucket = stored
    s3 = proxy.boto(config=config)
    form = s3.generate_presigned_post(
        bucket, "boto/${filename}", Fields={"Content-Type": "text/plain", "x-amz-meta-a": "1"},
        Conditions=[{"Content-Type": "text/plain"}, ["starts-with", "$x-amz-meta-a", ""],
                    ["content-length-range", 1, 10]])
    answer = post(form["url"], [*form["fields"].items(), FILE])
    assert answer.status == 204, str(answer)
    got = s3.get_object(Bucket=bucket, Key="boto/cat.txt")
    assert (got["Body"].read(), got["Metadata"]) == (b"meow", {"a": "1"})
    assert answer.etag == got["ETag"]
    large = post(form["url"], [*form["fields"].items(), ("file", ("cat.txt", b"x" * 11))])
    assert (large.status, large.code) == (400, "EntityTooLarge")
    forged = {**form["fields"], "policy": form["fields"]["policy"][:-4] + "fQ=="}
    answer = post(form["url"], [*forged.items(), FILE])
    assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch")


def test_the_answer_is_what_the_form_asks_for(stored):
    proxy, bucket = stored
    url = f"{proxy.url}/{bucket}"
    for wanted, status in (("200", 200), ("201", 201), ("204", 204), ("418", 204)):
        answer = post(url, [*signed(bucket, {"key": "a b", "success_action_status": wanted}), FILE])
        assert answer.status == status
        assert answer.headers["location"].endswith(f"/{bucket}/a%20b")
        if status == 201:
            assert b"<Key>a b</Key>" in answer.body and b"<PostResponse>" in answer.body
    to = "http://example.com/done?x=1"
    answer = post(url, [*signed(bucket, {"key": "k", "success_action_redirect": to}), FILE])
    assert answer.status == 303
    etag = base64.b16encode(hashlib.md5(b"meow").digest()).decode().lower()
    assert answer.headers["location"] == f"{to}&bucket={bucket}&key=k&etag=%22{etag}%22"


def test_what_the_policy_does_not_allow_is_refused(stored):
    proxy, bucket = stored
    url = f"{proxy.url}/{bucket}"
    fields = {"key": "up/x", "acl": "private"}
    key, acl = {"key": "up/x"}, {"acl": "private"}
    for why, parts, status in (
        ("all is covered", signed(bucket, fields), 204),
        ("starts-with", signed(bucket, fields, [["starts-with", "$key", "up/"], acl]), 204),
        ("eq", signed(bucket, fields, [["eq", "$key", "up/x"], ["eq", "$acl", "private"]]), 204),
        ("expired", signed(bucket, fields, expires_s=-1), 403),
        ("another key", signed(bucket, fields, [{"key": "up/y"}, acl]), 403),
        ("starts otherwise", signed(bucket, fields, [["starts-with", "$key", "in/"], acl]), 403),
        ("a field that is not covered", signed(bucket, fields, [key]), 403),
        ("a condition on a field that is missing",
         signed(bucket, fields, [key, acl, {"x-amz-meta-a": "1"}]), 403),
        ("for another bucket", signed("another-bucket", fields), 403),
        ("too small", signed(bucket, fields, [key, acl, ["content-length-range", 5, 9]]), 400),
        ("by a stranger", signed(bucket, fields, key_id="nobody"), 403),
        ("with another secret", signed(bucket, fields, secret="not-the-secret"), 403),
        ("by who may only read",
         signed(bucket, fields, secret=READER_SECRET, key_id=READER_KEY), 403),
        ("unsigned", list(fields.items()), 403),
    ):
        proxy.raw().delete(f"/{bucket}/up/x")
        answer = post(url, [*parts, FILE])
        assert answer.status == status, (why, str(answer))
        assert (content(proxy, bucket, "up/x") == b"meow") == (status == 204), why
    ignored = [*signed(bucket, {"key": "up/x"}), ("x-ignore-me", "1"), FILE, ("submit", "Upload")]
    assert post(url, ignored).status == 204, "what the policy need not cover, and what follows"


def test_a_form_that_is_none_changes_nothing(stored):
    proxy, bucket = stored
    url, parts = f"{proxy.url}/{bucket}", signed(bucket, {"key": "none"})
    for why, wrong, code in (
        ("no key", [*signed(bucket, {"acl": "private"}), FILE], "InvalidArgument"),
        ("no file", parts, "IncorrectNumberOfFilesInPostRequest"),
        ("two files", [*parts, FILE, FILE], "IncorrectNumberOfFilesInPostRequest"),
        ("the key after the file", [*parts[1:], FILE, parts[0]], "InvalidArgument"),
        ("two keys", [*parts, ("key", "other"), FILE], "InvalidArgument"),
        ("a key that is none", [*signed(bucket, {"key": "a/../b"}), FILE], "InvalidArgument"),
        ("20 KiB before the file", [*parts, ("x-ignore-it", "x" * 20480), FILE],
         "MaxPostPreDataLengthExceededError"),
    ):
        answer = post(url, wrong)
        assert (answer.status, answer.code) == (400, code), why
    cut = POOL.request("POST", url, body=b"--B\r\n", headers={
        "Content-Type": "multipart/form-data; boundary=B"})
    assert cut.status == 400 and b"MalformedPOSTRequest" in cut.data
    assert content(proxy, bucket, "none") is None


def test_the_file_is_what_the_form_says_it_is(stored):
    proxy, bucket = stored
    url = f"{proxy.url}/{bucket}"
    crc = base64.b64encode(zlib.crc32(b"meow").to_bytes(4, "big")).decode()
    md5 = base64.b64encode(hashlib.md5(b"meow").digest()).decode()
    right = {"key": "sum", "x-amz-checksum-crc32": crc, "x-amz-checksum-algorithm": "CRC32",
             "Content-MD5": md5}
    assert post(url, [*signed(bucket, right), FILE]).status == 204
    for name in ("x-amz-checksum-crc32", "Content-MD5"):
        answer = post(url, [*signed(bucket, right), ("file", ("cat.txt", b"woof"))])
        assert (answer.status, answer.code) == (400, "BadDigest")
        del right[name]
    assert content(proxy, bucket, "sum") == b"meow"


def test_the_store_gets_a_put_with_the_form_s_headers(tmp_path):
    recorder = Recorder()
    proxy = Proxy(tmp_path, recorder.store, Settings(settle=0))
    recorder.take()
    tagging = "<Tagging><TagSet><Tag><Key>a</Key><Value>b c</Value></Tag></TagSet></Tagging>"
    fields = {"key": "k", "tagging": tagging, "acl": "private", "Cache-Control": "no-store"}
    parts = [*signed("bucket", fields), FILE]
    assert post(f"{proxy.url}/bucket", parts).status == 204
    [(method, path, headers, body)] = recorder.take()
    headers = lower(headers)
    assert (method, path, body) == ("PUT", "/bucket/k", b"meow")
    assert headers["x-amz-tagging"] == "a=b%20c"
    assert (headers["x-amz-acl"], headers["cache-control"]) == ("private", "no-store")
    assert not {"policy", "tagging", "x-amz-signature", "x-amz-credential"} & set(headers)
    proxy.stop()
    recorder.stop()


# The gate.


def test_a_form_waits_for_a_write_and_a_write_for_a_form(store_named, tmp_path):
    store = store_named("s3s-fs-ignoring")
    bucket = new_bucket(store)
    relay = Relay(store.url)
    proxy = Proxy(tmp_path, store, Settings(lease_wait=1), backend_url=relay.url)
    proxy.wait_writable(bucket)
    raw, url, path = proxy.raw(), f"{proxy.url}/{bucket}", f"/{bucket}/held"
    first = raw.put(path, b"first")
    held_put, form = f"PUT {path} ".encode(), [*signed(bucket, {"key": "held"}), FILE]
    with ThreadPoolExecutor(1) as pool:
        relay.hold_requests(held_put)
        writing = pool.submit(raw.put, path, b"second", headers={"If-Match": first.etag})
        assert relay.held.wait(20)
        busy = post(url, form)
        assert (busy.status, busy.code) == (503, "SlowDown")
        relay.release()
        second = writing.result(20)
        assert second.status == 200
        relay.hold_requests(held_put)
        posting = pool.submit(post, url, form)
        assert relay.held.wait(20)
        answer = raw.put(path, b"third", headers={"If-Match": second.etag})
        assert (answer.status, answer.code) == (409, "ConditionalRequestConflict")
        relay.release()
        assert posting.result(20).status == 204
    assert raw.put(path, b"third", headers={"If-Match": second.etag}).status == 412
    assert content(proxy, bucket, "held") == b"meow"
    proxy.stop()
    relay.close()


def test_a_form_is_never_overwritten_by_a_write_that_has_not_seen_it(store_named, tmp_path):
    """All race from one state. The form has no condition, so it lands, and whoever lands before it
    is overwritten; who comes after it has not seen it. What is left is the form's in any order."""
    store = store_named("s3s-fs-ignoring")
    bucket = new_bucket(store)
    proxy = in_front_of(store, bucket, tmp_path, Settings())
    raw, url, writers = proxy.raw(), f"{proxy.url}/{bucket}", 5
    orders, turn = set(), 0
    with ThreadPoolExecutor(writers + 1) as pool:
        while turn < 25 or (len(orders) < 2 and turn < 250):
            turn += 1
            key = f"race-{turn}"
            path, seen = f"/{bucket}/{key}", raw.put(f"/{bucket}/{key}", b"seen").etag
            start = threading.Barrier(writers + 1)

            def write(number, path=path, seen=seen, start=start):
                start.wait(20)
                return raw.put(path, f"writer {number}".encode(), headers={"If-Match": seen})

            def upload(key=key, start=start):
                parts = [*signed(bucket, {"key": key}), ("file", ("f", b"form"))]
                start.wait(20)
                return post(url, parts)

            writes = [pool.submit(write, number) for number in range(writers)]
            form = pool.submit(upload)
            assert form.result(60).status == 204
            statuses = sorted(write.result(60).status for write in writes)
            assert set(statuses) <= {200, 412, 409} and statuses.count(200) <= 1, statuses
            assert content(proxy, bucket, key) == b"form", statuses
            orders.add("a write came first" if 200 in statuses else "the form came first")
    assert len(orders) == 2, f"{turn} turns were no race: always {orders}"
    proxy.stop()
