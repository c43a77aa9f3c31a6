"""What a store sees of a client's request, and what it never sees. The store is a recorder."""

from __future__ import annotations

import http.client

import pytest
import urllib3
from botocore.config import Config

from conftest import make_sure_of_bucket, new_bucket
from proxies import (ACCESS_KEY, CLIENT_SECRET, LIMITED_BUCKET, LIMITED_KEY, LIMITED_SECRET,
                     Proxy, Settings)
from recorder import Recorder, is_signed_by, lower


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    recorder = Recorder()
    proxy = Proxy(tmp_path_factory.mktemp("recorded"), recorder.store, Settings(settle=0))
    recorder.take()
    yield recorder, proxy
    proxy.stop()
    recorder.stop()


def test_only_headers_that_s3_gives_a_meaning_pass(recorded):
    recorder, proxy = recorded
    answer = proxy.raw().put("/bucket/key", b"body", headers={
        "X-Copy-From": "other/secret", "X-Delete-After": "1", "X-Symlink-Target": "other/secret",
        "X-Object-Manifest": "other/", "x-goog-copy-source": "other/secret", "Cookie": "c=1",
        "x-amz-meta-a": "1", "Content-Type": "text/x", "Cache-Control": "no-store"})
    assert answer.status == 200, str(answer)
    [(method, path, headers, body)] = recorder.take()
    assert (method, path, body) == ("PUT", "/bucket/key", b"body")
    assert set(lower(headers)) == {
        "host", "content-length", "content-type", "cache-control", "x-amz-meta-a", "x-amz-date",
        "x-amz-content-sha256", "authorization"} | (set(lower(headers)) & {"accept", "user-agent",
                                                                           "accept-encoding"})
    assert "storekey" in lower(headers)["authorization"]


def test_a_header_of_the_request_cannot_be_taken_off_by_connection(recorded):
    recorder, proxy = recorded
    answer = proxy.raw().put("/bucket/key", b"", headers={
        "x-amz-copy-source": "bucket/other", "Connection": "keep-alive, X-Amz-Copy-Source"})
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    assert recorder.take() == []


def test_a_preflight_goes_on_unsigned_and_bare(recorded):
    recorder, proxy = recorded
    host, port = proxy.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    connection.request("OPTIONS", "/bucket/key?acl", headers={
        "Origin": "https://example.com", "Access-Control-Request-Method": "PUT",
        "x-amz-foo": "1", "Cookie": "c=1"})
    assert connection.getresponse().status == 200
    connection.close()
    [(method, path, headers, body)] = recorder.take()
    # A policy is a bucket's; of a key nobody is told here whether it is there.
    assert (method, path, body) == ("OPTIONS", "/bucket", b"")
    assert set(lower(headers)) == {"host", "origin", "access-control-request-method"}


@pytest.mark.parametrize("source, status", [
    ("/only-this-bucket/../other/secret", 400),
    ("only-this-bucket/%2e%2e/other/secret", 400),
    ("other/secret", 403),
    ("only-this-bucket%2Fa%20b", 200),
])
def test_a_copy_reads_from_where_its_client_may_read(recorded, source, status):
    recorder, proxy = recorded
    limited = proxy.raw(LIMITED_KEY, LIMITED_SECRET)
    answer = limited.put(f"/{LIMITED_BUCKET}/key?partNumber=1&uploadId=u", b"",
                         headers={"x-amz-copy-source": source})
    assert answer.status == status, str(answer)
    sent = [lower(headers)["x-amz-copy-source"] for *_, headers, _ in recorder.take()]
    assert sent == (["only-this-bucket/a%20b"] if status == 200 else [])


def test_conditions_never_reach_the_store(recorded):
    recorder, proxy = recorded
    answer = proxy.raw().put("/bucket/conditional", b"x", headers={"If-Match": '"e"'})
    assert answer.status == 200, str(answer)
    asked = recorder.take()
    assert [method for method, *_ in asked] == ["HEAD", "PUT"]
    assert not any("if-match" in lower(headers) for *_, headers, _ in asked)


def test_the_customer_s_key_goes_along_with_the_head_that_needs_it(recorded):
    """AWS: SSE-C. Without its key the store says nothing about the object, not even its ETag."""
    recorder, proxy = recorded
    key = {"x-amz-server-side-encryption-customer-algorithm": "AES256",
           "x-amz-server-side-encryption-customer-key": "c2VjcmV0",
           "x-amz-server-side-encryption-customer-key-MD5": "Xr4ilOzQ4PCOq3aQ0qbuaQ==",
           "x-amz-expected-bucket-owner": "1"}
    for large in (b"x", b"x" * 70_000):  # at the gate, and in the early look
        answer = proxy.raw().put("/bucket/sse-c", large, headers={**key, "If-Match": '"e"'})
        assert answer.status == 200, str(answer)
        heads = [request for request in recorder.take() if request[0] == "HEAD"]
        assert heads and all(is_signed_by(head, "storekey", "storesecret") for head in heads)
        for _, path, headers, _ in heads:
            assert path == "/bucket/sse-c"
            assert {name: lower(headers).get(name) for name in lower(key)} == lower(key)
    answer = proxy.raw().put("/bucket/sse-c", b"x" * 70_000, headers={**key, "If-None-Match": "*"})
    assert answer.status == 412
    [(method, _, headers, _)] = recorder.take()
    assert method == "HEAD" and lower(key).items() <= lower(headers).items()


# Against a real store, for what needs one.


@pytest.fixture(scope="module")
def stored(store_named, tmp_path_factory):
    store = store_named("s3s-fs")
    bucket = new_bucket(store)
    make_sure_of_bucket(store, LIMITED_BUCKET)
    proxy = Proxy(tmp_path_factory.mktemp("stored"), store)
    proxy.wait_writable(bucket)
    yield proxy, bucket
    proxy.stop()


def v4(proxy, key=ACCESS_KEY, secret=CLIENT_SECRET):
    return proxy.boto(key, secret, config=Config(signature_version="s3v4", s3={
        "addressing_style": "path"}, retries={"total_max_attempts": 1}))


def post(form: dict, fields: dict, content: bytes):
    pool = urllib3.PoolManager(retries=False)
    return pool.request_encode_body("POST", form["url"], fields={
        **form["fields"], **fields, "file": ("cat.txt", content)})


def test_a_form_uploads_and_its_policy_holds(stored):
    proxy, bucket = stored
    s3 = v4(proxy)
    form = s3.generate_presigned_post(bucket, "form/${filename}", Conditions=[
        ["content-length-range", 1, 10]])
    assert post(form, {}, b"meow").status == 204
    assert s3.get_object(Bucket=bucket, Key="form/cat.txt")["Body"].read() == b"meow"
    assert post(form, {}, b"far too long").status == 400
    assert post(form, {"acl": "public-read"}, b"meow").status == 403
    forged = {**form, "fields": {**form["fields"], "policy": form["fields"]["policy"][:-4] + "fQ=="}}
    assert post(forged, {}, b"meow").status == 403


def test_a_form_cannot_copy(stored):
    proxy, bucket = stored
    v4(proxy).put_object(Bucket=bucket, Key="secret", Body=b"TOP SECRET")
    fields = {"x-amz-copy-source": f"/{bucket}/secret"}
    limited = v4(proxy, LIMITED_KEY, LIMITED_SECRET)
    form = limited.generate_presigned_post(LIMITED_BUCKET, "stolen", Fields=fields,
                                           Conditions=[fields])
    assert post(form, {}, b"x").status == 501
    assert proxy.raw().get(f"/{LIMITED_BUCKET}/stolen").status == 404


def test_presigned_urls_write_and_read_and_carry_a_condition(stored):
    proxy, bucket = stored
    s3, http_pool = v4(proxy), urllib3.PoolManager(retries=False)
    url = s3.generate_presigned_url("put_object", Params={
        "Bucket": bucket, "Key": "presigned", "IfNoneMatch": "*"})
    once = http_pool.request("PUT", url, body=b"first", headers={"If-None-Match": "*"})
    again = http_pool.request("PUT", url, body=b"second", headers={"If-None-Match": "*"})
    assert (once.status, again.status) == (200, 412)
    assert "ETag" not in again.headers, "its holder may write, not read"
    got = http_pool.request("GET", s3.generate_presigned_url("get_object", Params={
        "Bucket": bucket, "Key": "presigned"}))
    assert (got.status, got.data) == (200, b"first")
    spoilt = url.replace("presigned", "elsewhere")
    assert http_pool.request("PUT", spoilt, body=b"x", headers={"If-None-Match": "*"}).status == 403
