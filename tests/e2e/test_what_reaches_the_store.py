"""What a store sees of a client's request, and what it never sees. The store is a recorder."""

from __future__ import annotations

import base64
import http.client
from urllib.parse import quote

import pytest
import urllib3
from botocore.auth import HmacV1QueryAuth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest

from clients import REGION
from conftest import make_sure_of_bucket, new_bucket
from proxies import LIMITED_BUCKET, LIMITED_KEY, LIMITED_SECRET, Proxy, Settings
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
    # A policy is a bucket's; the answer does not tell whether a key exists.
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
    conditions = {"If-Match": '"e"', "x-amz-if-match-size": "1",
                  "x-amz-if-match-last-modified-time": "Sun, 29 Nov 2026 12:00:00 GMT"}
    answer = proxy.raw().put("/bucket/conditional", b"x", headers=conditions)
    assert answer.status == 200, str(answer)
    asked = recorder.take()
    assert [method for method, *_ in asked] == ["HEAD", "PUT"]
    assert not any(lower(conditions).keys() & lower(headers).keys() for *_, headers, _ in asked)


def test_the_customer_s_key_goes_along_with_the_head_that_needs_it(recorded):
    """AWS: SSE-C. Without its key the store says nothing about the object, not even its ETag."""
    recorder, proxy = recorded
    key = {"x-amz-server-side-encryption-customer-algorithm": "AES256",
           "x-amz-server-side-encryption-customer-key": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
           "x-amz-server-side-encryption-customer-key-MD5": "hRasmdxgYDKV3nvbahU1MA==",
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


@pytest.mark.parametrize("sent, seen", [
    ("/bucket?list-type=2&prefix=a+b%2F&start-after=c%2Bd",
     "/bucket?list-type=2&prefix=a%20b%2F&start-after=c%2Bd"),
    ("/bucket/a+b?versionId=v+1", "/bucket/a%2Bb?versionId=v%201"),
    ("/bucket/key?x-amz-acl=public-read&X-Amz-Meta-A=1&acl", "/bucket/key?acl"),
])
def test_one_spelling_reaches_the_store(recorded, sent, seen):
    recorder, proxy = recorded
    raw = proxy.raw()
    signed = raw.signed("GET", sent.replace("b%2F", "b%2f").replace("+b%2f", "%20b%2F")
                        .replace("v+1", "v%201"))
    answer = raw.send("GET", sent, signed, b"")
    assert answer.status == 200, str(answer)
    [(_, path, _, _)] = recorder.take()
    assert path == seen


@pytest.mark.parametrize("auth, moved", [
    (lambda credentials: S3SigV4QueryAuth(credentials, "s3", REGION, expires=60), {}),
    (HmacV1QueryAuth, {"content-type": "text/x"}),
])
def test_what_a_presigned_query_says_for_headers_reaches_the_store_as_headers(
        recorded, auth, moved):
    recorder, proxy = recorded
    raw = proxy.raw()
    hoisted = {"x-amz-meta-a": "1 2", "x-amz-acl": "private", "x-amz-tagging": "a=b", **moved}
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in hoisted.items())
    # Version 2 signs as headers what stands in the query.
    request = AWSRequest(method="PUT", url=raw.url + "/bucket/key", headers=hoisted if moved else {})
    if not moved:
        request.url += f"?{query}"
    auth(raw.credentials).add_auth(request)
    target = request.url.removeprefix(raw.url)
    answer = raw.send("PUT", target, {"Host": f"{raw.host}:{raw.port}"}, b"x")
    assert answer.status == 200, str(answer)
    [request] = recorder.take()
    assert request[1] == "/bucket/key", "nothing of it is left in the query"
    assert hoisted.items() <= lower(request[2]).items()
    assert is_signed_by(request, "storekey", "storesecret")


def test_beside_a_digest_chunks_are_the_object_s_own_encoding(recorded):
    recorder, proxy = recorded
    for encoding in ("aws-chunked", "gzip, aws-chunked"):
        answer = proxy.raw().put("/bucket/key", b"as it is", headers={
            "Content-Encoding": encoding, "x-amz-decoded-content-length": "3"})
        assert answer.status == 200, str(answer)
        [(_, _, headers, body)] = recorder.take()
        assert (lower(headers)["content-encoding"], body) == (encoding, b"as it is")
        assert "x-amz-decoded-content-length" not in lower(headers)


# Against a real store, for what needs one.


@pytest.fixture(scope="module")
def stored(store_named, tmp_path_factory):
    store = store_named("embedded")
    bucket = new_bucket(store)
    make_sure_of_bucket(store, LIMITED_BUCKET)
    proxy = Proxy(tmp_path_factory.mktemp("stored"), store)
    proxy.wait_writable(bucket)
    yield proxy, bucket
    proxy.stop()


def post(form: dict, fields: dict, content: bytes):
    pool = urllib3.PoolManager(retries=False)
    return pool.request_encode_body("POST", form["url"], fields={
        **form["fields"], **fields, "file": ("cat.txt", content)})


def test_a_form_uploads_and_its_policy_holds(stored, signing):
    proxy, bucket = stored
    s3 = proxy.boto(config=signing)
    form = s3.generate_presigned_post(bucket, "form/${filename}", Conditions=[
        ["content-length-range", 1, 10]])
    assert post(form, {}, b"meow").status == 204
    assert s3.get_object(Bucket=bucket, Key="form/cat.txt")["Body"].read() == b"meow"
    assert post(form, {}, b"far too long").status == 400
    assert post(form, {"acl": "public-read"}, b"meow").status == 403
    policy = base64.b64encode(base64.b64decode(form["fields"]["policy"]) + b" ").decode()
    forged = {**form, "fields": {**form["fields"], "policy": policy}}
    assert post(forged, {}, b"meow").status == 403


def test_a_form_cannot_copy(stored, signing):
    proxy, bucket = stored
    proxy.boto().put_object(Bucket=bucket, Key="secret", Body=b"TOP SECRET")
    fields = {"x-amz-copy-source": f"/{bucket}/secret"}
    limited = proxy.boto(LIMITED_KEY, LIMITED_SECRET, config=signing)
    form = limited.generate_presigned_post(LIMITED_BUCKET, "stolen", Fields=fields,
                                           Conditions=[fields])
    assert post(form, {}, b"x").status == 501
    assert proxy.raw().get(f"/{LIMITED_BUCKET}/stolen").status == 404


def test_presigned_urls_write_and_read_and_carry_a_condition(stored, signing, request):
    proxy, bucket = stored
    s3, http_pool = proxy.boto(config=signing), urllib3.PoolManager(retries=False)
    key = request.node.name
    url = s3.generate_presigned_url("put_object", Params={
        "Bucket": bucket, "Key": key, "IfNoneMatch": "*"})
    once = http_pool.request("PUT", url, body=b"first", headers={"If-None-Match": "*"})
    again = http_pool.request("PUT", url, body=b"second", headers={"If-None-Match": "*"})
    assert (once.status, again.status) == (200, 412)
    assert "ETag" not in again.headers, "its holder may write, not read"
    got = http_pool.request("GET", s3.generate_presigned_url("get_object", Params={
        "Bucket": bucket, "Key": key}))
    assert (got.status, got.data) == (200, b"first")
    spoilt = url.replace("test_presigned", "test_elsewhere")
    assert http_pool.request("PUT", spoilt, body=b"x", headers={"If-None-Match": "*"}).status == 403


def test_a_store_is_asked_to_be_consistent_where_that_counts(tmp_path):
    """Writes, the HEADs that judge them, and reads of guarded keys carry the configured headers; nothing else does."""
    recorder = Recorder()
    rules = '[[rule]]\nbuckets = ["guarded"]\nconsistency = "guarded"\n'
    settings = Settings(settle=0, rules=rules, strong_headers=("x-tigris-consistent: true", "Consistency-Control: strong-site"))
    proxy = Proxy(tmp_path, recorder.store, settings)
    recorder.take()
    door = proxy.raw()

    def asked(method: str, target: str, **headers: str) -> list[tuple[str, bool]]:
        """Method and whether the store was asked to be consistent, of all requests that this one led to."""
        answer = door.request(method, target, headers={name.replace("_", "-"): value for name, value in headers.items()})
        assert answer.status == 200, str(answer)
        seen = []
        for sent, _, sent_headers, _ in recorder.take():
            found = lower(sent_headers)
            strong = [found.get("x-tigris-consistent"), found.get("consistency-control")]
            assert strong in (["true", "strong-site"], [None, None])
            seen.append((sent, strong[0] is not None))
        return seen

    assert asked("PUT", "/bucket/key") == [("PUT", True)]
    assert asked("PUT", "/bucket/key", if_match='"e"') == [("HEAD", True), ("PUT", True)]
    copy = {"x_amz_copy_source": "bucket/key", "x_amz_copy_source_if_match": '"e"'}
    assert asked("PUT", "/bucket/copy?partNumber=1&uploadId=u", **copy) == [("HEAD", True), ("PUT", False)]
    for target in ("/guarded/key", "/guarded?list-type=2", "/guarded", "/guarded?versions"):
        assert asked("GET", target) == [("GET", True)], target
    for target in ("/bucket/key", "/bucket?list-type=2", "/bucket?uploads", "/guarded/key?tagging"):
        assert asked("GET", target) == [("GET", False)], target
    guarded = door.get("/guarded/key").headers["x-ifmatch-consistency"]
    assert guarded == door.get("/guarded?list-type=2").headers["x-ifmatch-consistency"] == "guarded"
    assert door.request("GET", "/bucket/key", headers={"x-tigris-consistent": "false"}).status == 200
    [*_, (_, _, headers, _)] = recorder.take()
    assert "x-tigris-consistent" not in lower(headers)
    proxy.stop()
    recorder.stop()


def test_the_first_page_of_a_guarded_listing_is_asked_for_as_its_client_asks(tmp_path):
    recorder = Recorder()
    rules = '[[rule]]\nbuckets = ["*"]\nconsistency = "guarded"\n'
    settings = Settings(writers="exclusive", settle=0, lag=2, rules=rules)
    proxy = Proxy(tmp_path, recorder.store, settings)
    proxy.wait_writable("bucket")
    assert proxy.raw().put("/bucket/b", b"young").status == 200
    recorder.take()
    target = "/bucket?delimiter=%2F&marker=a%2F"
    assert proxy.raw().get(target).status == 200
    assert [seen[1] for seen in recorder.take()] == [target]
    proxy.stop()
    recorder.stop()
