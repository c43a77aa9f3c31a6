"""`signatures = "passthrough"`: requests go to the store as their senders signed them, and the store
decides who may do what. Writes are guarded all the same."""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import socket
import subprocess
import sys
import zlib
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest
import urllib3
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError

from clients import REGION, boto, code_of
from conftest import new_bucket
from hammer import WRITERS, CasCounter, create_race
from proxies import Proxy, Settings, in_front_of
from recorder import Recorder, is_signed_by, lower
from relay import TlsFront
from stores import Store
from test_signatures import CHUNKS, WHOLE, signed_chunks, unsigned_trailer

PASSTHROUGH = {"signatures": "passthrough", "domains": ()}
Passing = namedtuple("Passing", "proxy bucket s3 store_s3")


def _passing(store, directory, **settings):
    bucket = new_bucket(store)
    proxy = in_front_of(store, bucket, directory, Settings(**PASSTHROUGH, **settings))
    yield Passing(proxy, bucket, proxy.boto(), boto(store.url, store.access_key, store.secret_key))
    proxy.stop()


@pytest.fixture(scope="module")
def passing(store_named, tmp_path_factory):
    """Before a store that checks signatures and ignores conditions."""
    yield from _passing(store_named("embedded-ignoring"), tmp_path_factory.mktemp("passing"))


@pytest.fixture(scope="module", params=["embedded-ignoring", "moto"])
def each(request, store_named, tmp_path_factory):
    yield from _passing(store_named(request.param), tmp_path_factory.mktemp(request.param))


def refusal(call) -> tuple[int, str]:
    with pytest.raises(ClientError) as raised:
        call()
    assert "etag" not in raised.value.response["ResponseMetadata"]["HTTPHeaders"]
    return code_of(raised.value)


def try_conditions(s3, bucket: str, key: str) -> None:
    """Creates, replaces and deletes, with conditions that hold and such that do not."""
    name = {"Bucket": bucket, "Key": key}
    made = s3.put_object(**name, Body=b"1", IfNoneMatch="*")
    assert refusal(lambda: s3.put_object(**name, Body=b"2", IfNoneMatch="*")) == (
        412, "PreconditionFailed")
    replaced = s3.put_object(**name, Body=b"3" * 100_000, IfMatch=made["ETag"])
    stale = (412, "PreconditionFailed")
    assert refusal(lambda: s3.put_object(**name, Body=b"4", IfMatch=made["ETag"])) == stale
    assert refusal(lambda: s3.delete_object(**name, IfMatch=made["ETag"])) == stale
    assert s3.get_object(**name)["Body"].read() == b"3" * 100_000
    assert s3.head_object(**name)["ETag"] == replaced["ETag"]
    s3.delete_object(**name, IfMatch=replaced["ETag"])
    assert refusal(lambda: s3.put_object(**name, Body=b"5", IfMatch=made["ETag"])) == (
        404, "NoSuchKey")


def test_boto3_as_everybody_has_it(each):
    for key in ("plain", "spelt/a b+c=d%2F\u00e9", "dots/..a"):
        try_conditions(each.s3, each.bucket, key)
    listed = each.s3.list_objects_v2(Bucket=each.bucket)
    assert {entry["Key"] for entry in listed["Contents"]} == {".writable"}


def test_boto3_with_trailers(each, certificate):
    """Over TLS boto3 sends its checksum behind the body, in chunks. The Host that it signs is not
    the proxy's own, and is kept."""
    front = TlsFront(each.proxy.url, *certificate)
    try:
        s3 = boto(front.url, *each.proxy.user, verify=certificate[0])
        try_conditions(s3, each.bucket, "trailers")
    finally:
        front.close()


def test_a_file_is_uploaded_after_a_continue(passing, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(os.urandom(3_000_000))
    name = {"Bucket": passing.bucket, "Key": "file"}
    with path.open("rb") as file:
        passing.s3.put_object(**name, Body=file, IfNoneMatch="*")
    assert passing.s3.get_object(**name)["Body"].read() == path.read_bytes()
    with path.open("rb") as file:
        assert refusal(lambda: passing.s3.put_object(**name, Body=file, IfNoneMatch="*"))[0] == 412


def test_multipart_uploads(each, tmp_path):
    name = {"Bucket": each.bucket, "Key": "multipart"}
    path = tmp_path / "part"
    path.write_bytes(b"p" * 5_300_000)

    def upload(**condition):
        upload_id = each.s3.create_multipart_upload(**name)["UploadId"]
        with path.open("rb") as file:
            part = each.s3.upload_part(**name, UploadId=upload_id, PartNumber=1, Body=file)
        each.s3.complete_multipart_upload(
            **name, UploadId=upload_id, **condition,
            MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})

    upload(IfNoneMatch="*")
    assert each.s3.get_object(**name)["Body"].read() == path.read_bytes()
    assert refusal(lambda: upload(IfNoneMatch="*")) == (412, "PreconditionFailed")
    each.s3.copy_object(Bucket=each.bucket, Key="copied", CopySource=name)
    assert each.s3.head_object(Bucket=each.bucket, Key="copied")["ContentLength"] == 5_300_000
    assert refusal(lambda: each.s3.put_object(
        Bucket=each.bucket, Key="copied", IfNoneMatch="*"))[0] == 412


def test_presigned_urls(passing, signing, request):
    s3 = passing.proxy.boto(config=signing)
    pool = urllib3.PoolManager(retries=False)
    params = {"Bucket": passing.bucket, "Key": request.node.name}
    put = s3.generate_presigned_url("put_object", Params={**params, "IfNoneMatch": "*"})
    answers = [pool.request("PUT", put, body=b"first", headers={"If-None-Match": "*"})
               for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 412]
    assert "ETag" not in answers[1].headers
    got = pool.request("GET", s3.generate_presigned_url("get_object", Params=params))
    assert (got.status, got.data) == (200, b"first")
    spoilt = put.replace("test_presigned", "test_elsewhere")
    assert pool.request("PUT", spoilt, body=b"x", headers={"If-None-Match": "*"}).status == 403
    expired = s3.generate_presigned_url("get_object", Params=params, ExpiresIn=-5)
    assert pool.request("GET", expired).status in (400, 403)


def test_aws_cli(passing, tmp_path):
    (tmp_path / "body").write_bytes(b"by the cli")
    key, secret = passing.proxy.user

    def aws(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(Path(sys.executable).parent / "aws"), "s3api", *arguments,
             "--endpoint-url", passing.proxy.url, "--bucket", passing.bucket, "--key", "cli"],
            capture_output=True, text=True, timeout=60, env={
                **os.environ, "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret,
                "AWS_DEFAULT_REGION": REGION})

    put = ("put-object", "--body", str(tmp_path / "body"), "--if-none-match", "*")
    first, again = aws(*put), aws(*put)
    assert first.returncode == 0, first.stderr
    assert again.returncode != 0 and "PreconditionFailed" in again.stderr
    assert passing.store_s3.get_object(Bucket=passing.bucket, Key="cli")[
        "Body"].read() == b"by the cli"


def test_the_store_says_who_may(passing):
    name = {"Bucket": passing.bucket, "Key": "guarded"}
    passing.s3.put_object(**name, Body=b"kept")
    access_key, _ = passing.proxy.user
    for key, secret, code in [(access_key, "wrong", "SignatureDoesNotMatch"),
                              ("stranger", "wrong", None)]:
        thief = passing.proxy.boto(key, secret)
        for call in (lambda: thief.put_object(**name, Body=b"x"), lambda: thief.get_object(**name),
                     lambda: thief.delete_object(**name)):
            status, told = refusal(call)
            assert status == 403 and told == (code or told)
        # Refused, hence not applied: the key is free at once.
        passing.s3.put_object(**name, Body=b"kept", IfMatch=passing.s3.head_object(**name)["ETag"])
    assert passing.s3.get_object(**name)["Body"].read() == b"kept"
    lines = [line for line in passing.proxy.requests_logged() if line.get("key") == "guarded"]
    assert {line["access_key_id"] for line in lines} == {access_key, "stranger"}


def test_swift_signs_for_itself_and_refuses_conditions_by_itself(store_named, tmp_path):
    """Swift answers 501 to If-* on a PUT: passthrough is for stores that ignore them."""
    for passing in _passing(store_named("swift"), tmp_path):
        name = {"Bucket": passing.bucket, "Key": "a b/c"}
        passing.s3.put_object(**name, Body=b"one")
        assert passing.s3.get_object(**name)["Body"].read() == b"one"
        assert refusal(lambda: passing.s3.put_object(**name, IfNoneMatch="*"))[0] == 412
        assert refusal(lambda: passing.s3.put_object(
            Bucket=passing.bucket, Key="new", IfNoneMatch="*"))[0] == 501
        thief = passing.proxy.boto(passing.proxy.user[0], "wrong")
        assert refusal(lambda: thief.put_object(**name, Body=b"x"))[0] == 403
        passing.s3.delete_object(**name)


def test_a_success_is_not_told_again_to_who_only_claims_it(passing):
    """The retry of one's own success cannot be told from a stranger's: as at AWS it is a 412."""
    raw, path = passing.proxy.raw(), f"/{passing.bucket}/retried"
    call = {"amz-sdk-invocation-id": "f2d4a1f0-0000-4000-8000-000000000000", "If-None-Match": "*"}
    first = raw.put(path, b"x", headers={**call, "amz-sdk-request": "attempt=1; max=3"})
    again = raw.put(path, b"x", headers={**call, "amz-sdk-request": "attempt=2; max=3"})
    assert (first.status, again.status) == (200, 412), f"{first} {again}"
    assert "x-ifmatch-replayed" not in again.headers


def test_batches_name_one_key(passing):
    s3, bucket = passing.s3, passing.bucket
    for key in ("one", "two"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")

    def delete(*objects):
        return s3.delete_objects(Bucket=bucket, Delete={"Objects": list(objects)})

    status, code = refusal(lambda: delete({"Key": "one"}, {"Key": "two"}))
    assert (status, code) == (501, "NotImplemented")
    refused = delete({"Key": "one", "ETag": '"0123"'})
    assert [error["Code"] for error in refused["Errors"]] == ["PreconditionFailed"]
    assert s3.head_object(Bucket=bucket, Key="one")["ContentLength"] == 1
    assert [each["Key"] for each in delete({"Key": "one"})["Deleted"]] == ["one"]
    assert refusal(lambda: s3.head_object(Bucket=bucket, Key="one"))[0] == 404
    s3.put_object(Bucket=bucket, Key="one", Body=b"x", IfNoneMatch="*")


# === every byte ===


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    recorder = Recorder()
    store = Store("recorder", recorder.url, "storekey", "storesecret")
    settings = Settings(settle=0, signatures="passthrough", domains=("s3.test", "proxy"))
    proxy = Proxy(tmp_path_factory.mktemp("recorded"), store, settings)
    recorder.take()
    yield recorder, proxy, proxy.raw("ownkey", "ownsecret")
    proxy.stop()
    recorder.stop()


def sent_of(recorder, method: str = "PUT"):
    [found] = [request for request in recorder.take() if request[0] == method]
    return found


@pytest.mark.parametrize("host, target", [
    ("proxy:1234", "/bucket/a%20b/%7e%C3%A9?x-id=PutObject"),
    ("bucket.s3.test", "/a%2Fb"),
    ("s3.test:80", "/bucket/a=b:c,d@e!"),
    ("10.1.2.3", "/bucket/key"), ("[::1]:9000", "/bucket/key"),
])
def test_host_path_query_and_headers_stay_as_they_were_signed(recorded, host, target):
    recorder, _, raw = recorded
    headers = {"Host": host, "If-Match": '"e"', "x-amz-meta-a": "1  2", "Cookie": "c=1",
               "Content-Type": "text/x", "Expect": "100-continue", "Connection": "keep-alive, TE",
               "TE": "trailers"}
    signed = raw.signed("PUT", target, headers, b"body")
    answer = raw.send("PUT", target, signed, b"body")
    assert answer.status == 200, str(answer)
    method, path, seen, body = request = sent_of(recorder)
    assert (path, body) == (target, b"body")
    assert is_signed_by(request, "ownkey", "ownsecret")
    expected = {name: value for name, value in lower(signed).items()
                if name not in ("connection", "te")}
    assert lower(seen) == {**expected, "content-length": "4"}


def test_streams_pass_untouched(recorded):
    recorder, _, raw = recorded
    target = "/bucket/key?partNumber=1&uploadId=a%2Fb"
    for method, target, body in [("PUT", target, b"part"), ("GET", "/bucket/key?x=%7E", b""),
                                 ("GET", "/?x-id=ListBuckets", b""), ("HEAD", "/bucket/k", b"")]:
        headers = {"If-None-Match": '"other"'} if method == "GET" else {}
        assert raw.request(method, target, headers, body).status == 200
        request = sent_of(recorder, method)
        assert request[1] == target and request[3] == body
        assert is_signed_by(request, "ownkey", "ownsecret")
    asked = {"Host": raw.url.removeprefix("http://"), "Origin": "o"}
    assert raw.send("OPTIONS", "/bucket/key?a", asked, b"").status == 200
    # A preflight is not signed: it is asked of the bucket, whose policy it is about.
    _, path, headers, _ = sent_of(recorder, "OPTIONS")
    assert path == "/bucket" and lower(headers)["origin"] == "o"


def test_a_stream_of_unknown_length_passes_where_that_is_set(recorded, tmp_path):
    recorder, proxy, raw = recorded
    target = "/bucket/key?partNumber=1&uploadId=u"
    signed = raw.signed("PUT", target, payload="UNSIGNED-PAYLOAD")
    signed["Transfer-Encoding"] = "chunked"

    def put(raw) -> int:
        connection = http.client.HTTPConnection(raw.host, raw.port, timeout=20)
        connection.request("PUT", target, body=iter([b"ab", b"cd"]), headers=signed,
                           encode_chunked=True)
        with connection.getresponse() as answer:
            return answer.status

    assert put(raw) == 501
    assert recorder.take() == []
    taking = Proxy(tmp_path, proxy.store, Settings(
        **{**PASSTHROUGH, "domains": ("s3.test",)}, settle=0, unknown_length="take"))
    try:
        recorder.take()
        assert put(taking.raw()) == 200
        sent = sent_of(recorder)
        headers = lower(sent[2])
        assert headers["transfer-encoding"] == "chunked" and "content-length" not in headers
        assert sent[3] == b"abcd"
    finally:
        taking.stop()


def test_the_store_says_when_a_part_may_come(recorded):
    recorder, _, raw = recorded
    target = "/bucket/key?partNumber=1&uploadId=u"
    head = {**raw.signed("PUT", target, body=b"part"), "Expect": "100-continue", "Content-Length": "4"}
    with socket.create_connection((raw.host, raw.port), 20) as connection:
        lines = [f"PUT {target} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        assert connection.recv(25, socket.MSG_WAITALL) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"part")
        answer = http.client.HTTPResponse(connection, method="PUT")
        answer.begin()
        assert answer.status == 200
    assert sent_of(recorder)[3] == b"part"


def test_what_is_not_s3_s_is_left_out_or_refused(recorded):
    recorder, _, raw = recorded
    vendor = {"X-Copy-From": "/other/secret", "X-Forwarded-Host": "other", "Forwarded": "host=o"}
    assert raw.put("/bucket/key", b"x", unsigned=vendor).status == 200
    assert not set(lower(sent_of(recorder)[2])) & {name.lower() for name in vendor}
    answer = raw.put("/bucket/key", b"x", headers={"X-Copy-From": "/other/secret"})
    assert (answer.status, answer.fields["Header"]) == (501, "x-copy-from")
    for name in ("x-amz-meta-ifmatch-id", "x-amz-meta-ifmatch_id"):
        answer = raw.put("/bucket/key", b"x", headers={name: "forged"})
        assert (answer.status, answer.fields["Header"]) == (501, name)
        answer = raw.put(f"/bucket/key?{name}=forged", b"x")
        assert (answer.status, answer.fields["Header"]) == (501, name)
    assert recorder.take() == []


def test_what_is_not_signed_does_not_go_on(recorded):
    """But for what S3 takes unsigned: what the body is, what a read asks for, conditions."""
    recorder, _, raw = recorded
    unsigned = {"Cookie": "c=1", "X-Anything": "1", "Content-Range": "bytes 0-0/1", "Via": "1.1 x"}
    kept = {"Content-Type": "text/x", "Cache-Control": "no-store", "If-Match": '"e"'}
    assert raw.put("/bucket/key", b"x", unsigned={**unsigned, **kept}).status == 200
    seen = lower(sent_of(recorder)[2])
    assert not set(seen) & {name.lower() for name in unsigned}
    assert lower(kept).items() <= seen.items()
    assert raw.get("/bucket/key", unsigned={**unsigned, "Range": "bytes=0-0"}).status == 200
    seen = lower(sent_of(recorder, "GET")[2])
    assert not set(seen) & {name.lower() for name in unsigned} and seen["range"] == "bytes=0-0"


@pytest.mark.parametrize("name", [
    "x-amz-copy-source", "x-amz-meta-a", "x-amz-acl", "x-amz-tagging", "x-amz-storage-class"])
def test_a_header_of_s3_s_own_must_be_signed(recorded, name):
    recorder, _, raw = recorded
    answer = raw.put("/bucket/key", b"x", unsigned={name: "bucket/secret"})
    assert (answer.status, answer.code) == (403, "AccessDenied"), str(answer)
    assert answer.fields["HeadersNotSigned"] == name
    nobody = {"Host": f"{raw.host}:{raw.port}", name: "bucket/secret"}
    answer = raw.send("PUT", "/bucket/key", nobody, b"x")
    assert (answer.status, answer.code) == (403, "AccessDenied"), str(answer)
    assert recorder.take() == []


def test_nobody_may_say_how_a_body_is_framed_and_choose_no_headers_of_an_answer(recorded):
    recorder, _, raw = recorded
    host = {"Host": f"{raw.host}:{raw.port}"}
    headers = {**host, "Content-Encoding": "aws-chunked", "x-amz-trailer": "x-amz-checksum-crc32",
               "x-amz-decoded-content-length": str(len(WHOLE))}
    assert raw.send("PUT", "/bucket/key", headers, unsigned_trailer(WHOLE)).status == 200
    assert sent_of(recorder)[3] == unsigned_trailer(WHOLE)
    answer = raw.send("GET", "/bucket/key?response-content-type=text%2Fhtml", host, b"")
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    assert recorder.take() == []


@pytest.mark.parametrize("target, headers, status, code", [
    # Framing that is said in two ways.
    ("/bucket/key", {"Content-Encoding": "aws-chunked"}, 400, "InvalidArgument"),
    ("/bucket/key", {"Content-Encoding": "gzip,aws-chunked"}, 400, "InvalidArgument"),
    ("/bucket/key", {"x-amz-decoded-content-length": "4"}, 400, "InvalidArgument"),
    # A plus is a space to some.
    ("/bucket/key?versionId=a+b", {}, 400, "InvalidURI"),
    # Headers in a query that is not presigned.
    ("/bucket/key?x-amz-copy-source=bucket%2Fsecret", {}, 501, "NotImplemented"),
    ("/bucket/key?X-Amz-Acl=public-read", {}, 501, "NotImplemented"),
])
def test_a_head_that_two_could_read_differently_is_refused(recorded, target, headers, status, code):
    recorder, _, raw = recorded
    for payload in (None, "UNSIGNED-PAYLOAD"):
        answer = raw.request("PUT", target, headers, b"body", payload=payload)
        assert (answer.status, answer.code) == (status, code), str(answer)
    assert recorder.take() == []


def test_a_plus_in_the_query_of_a_read_goes_on(recorded):
    recorder, _, raw = recorded
    target = "/bucket?list-type=2&prefix=foo+bar%2F"
    assert raw.send("GET", target, raw.signed("GET", target.replace("+", "%20")), b"").status == 200
    assert sent_of(recorder, "GET")[1] == target


def test_headers_in_a_presigned_query_are_read_here_too(recorded):
    recorder, _, raw = recorded

    def put(query: str, body: bytes):
        request = AWSRequest(method="PUT", url=f"{raw.url}/bucket/key?{query}")
        S3SigV4QueryAuth(raw.credentials, "s3", REGION, expires=60).add_auth(request)
        target = request.url.removeprefix(raw.url)
        return target, raw.send("PUT", target, {"Host": f"{raw.host}:{raw.port}"}, body)

    crc = "x-amz-checksum-crc32=" + quote(base64_of(zlib.crc32(b"body").to_bytes(4, "big")), safe="")
    assert put(crc, b"ydob")[1].code == "BadDigest"
    assert put("x-amz-copy-source=bucket%2Fsecret", b"")[1].status == 501
    assert recorder.take() == []
    target, answer = put(f"{crc}&x-amz-meta-a=1", b"body")
    assert answer.status == 200, str(answer)
    _, path, headers, _ = sent_of(recorder)
    assert path == target and "x-amz-meta-a" not in lower(headers)


def test_version_2_is_the_store_s_to_check(store_named, tmp_path):
    """s3rver knows it."""
    for passing in _passing(store_named("s3rver"), tmp_path):
        s3 = passing.proxy.boto()
        key = {"Bucket": passing.bucket, "Key": "v2"}
        put = s3.generate_presigned_url("put_object", Params=key)
        assert "AWSAccessKeyId=" in put
        pool = urllib3.PoolManager(retries=False)
        once = {"If-None-Match": "*"}
        statuses = [pool.request("PUT", put, body=b"x", headers=once).status for _ in range(2)]
        assert statuses == [200, 412]
        assert pool.request("PUT", put.replace("v2", "v3"), body=b"x").status == 403
        got = pool.request("GET", s3.generate_presigned_url("get_object", Params=key))
        assert (got.status, got.data) == (200, b"x")


@pytest.mark.parametrize("host, target, status", [
    ("bucket.store.example", "/key", 400), ("store.example", "/bucket/key", 400),
    ("bucket", "/key", 400), ("S3.test", "/bucket/key", 400), ("s3.test.", "/bucket/key", 400),
    ("xs3.test", "/bucket/key", 400), (None, "/bucket/a+b", 400), (None, "/bucket/a;b", 400),
    (None, "/bucket/a%5C..%5Cb", 200), (None, "/bucket/a\\b", 400),
    (None, "/bucket/a/../b", 400), (None, "/bucket/a%2F%2e%2e%2Fb", 400), (None, "//bucket/a", 400),
])
def test_what_two_could_read_differently_is_refused(recorded, host, target, status):
    recorder, _, raw = recorded
    headers = {"Host": host or f"{raw.host}:{raw.port}"}
    signed = raw.signed("PUT", target, headers, b"x", payload="UNSIGNED-PAYLOAD")
    answer = raw.send("PUT", target, signed, b"x")
    assert answer.status == status, str(answer)
    assert len([method for method, *_ in recorder.take() if method == "PUT"]) == (status == 200)


@pytest.mark.parametrize("spelling", [str, str.upper, "{}.".format, "{}:80".format])
def test_no_host_is_a_bucket_to_the_store_alone(store_named, tmp_path, spelling):
    """s3rver takes a host that it does not know for a bucket, with or without a dot in it."""
    store = store_named("s3rver")
    bucket, rule = new_bucket(store), '[[rule]]\nprefix = "once/"\nrequire = "create-only"\n'
    store_s3 = boto(store.url, store.access_key, store.secret_key)
    store_s3.put_object(Bucket=bucket, Key="once/k", Body=b"first")
    proxy = in_front_of(store, bucket, tmp_path, Settings(**PASSTHROUGH, rules=rule))
    raw = proxy.raw()
    signed = raw.signed("PUT", "/once/k", {"Host": spelling(bucket)}, b"second")
    answer = raw.send("PUT", "/once/k", signed, b"second")
    assert (answer.status, answer.code) == (400, "InvalidRequest"), str(answer)
    assert "`domains`" in answer.fields["Message"]
    assert store_s3.get_object(Bucket=bucket, Key="once/k")["Body"].read() == b"first"
    proxy.stop()


def test_signed_chunks_go_on_in_their_framing(recorded):
    recorder, _, raw = recorded
    headers = raw.signed("PUT", "/bucket/chunks", {
        "Content-Encoding": "aws-chunked", "x-amz-decoded-content-length": str(len(WHOLE))},
        payload="STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
    body = signed_chunks(headers, "ownsecret", CHUNKS)
    assert raw.send("PUT", "/bucket/chunks", headers, body).status == 200
    assert sent_of(recorder)[3] == body
    for cut in (body[:-20], body[:1000]):
        answer = raw.send("PUT", "/bucket/chunks", headers, cut)
        assert (answer.status, answer.code) == (400, "IncompleteBody"), str(answer)
    assert recorder.take() == []


def test_signed_chunks_are_read_by_the_store(passing):
    raw, target = passing.proxy.raw(), f"/{passing.bucket}/chunks"
    headers = raw.signed("PUT", target, {
        "Content-Encoding": "aws-chunked", "x-amz-decoded-content-length": str(len(WHOLE)),
        "If-None-Match": "*"}, payload="STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
    forged = signed_chunks(headers, "not the secret", CHUNKS)
    assert raw.send("PUT", target, headers, forged).status == 403
    body = signed_chunks(headers, passing.proxy.user[1], CHUNKS)
    assert raw.send("PUT", target, headers, body).status == 200
    assert raw.send("PUT", target, headers, body).status == 412
    assert passing.s3.get_object(Bucket=passing.bucket, Key="chunks")["Body"].read() == WHOLE


def base64_of(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def test_a_body_that_is_not_what_it_promises_never_reaches_the_store(recorded):
    recorder, _, raw = recorded
    sha = hashlib.sha256(b"ydob").hexdigest()
    for headers, payload, code in [
        ({"Content-MD5": base64_of(hashlib.md5(b"ydob").digest())}, None, "BadDigest"),
        ({"x-amz-checksum-crc32": base64_of(zlib.crc32(b"ydob").to_bytes(4, "big"))}, None,
         "BadDigest"),
        ({}, sha, "XAmzContentSHA256Mismatch"),
    ]:
        answer = raw.put("/bucket/key", b"body", headers=headers, payload=payload)
        assert (answer.status, answer.code) == (400, code), str(answer)
    trailer = {"Content-Encoding": "aws-chunked", "x-amz-decoded-content-length": str(len(WHOLE)),
               "x-amz-trailer": "x-amz-checksum-crc32"}

    def put(body: bytes):
        signed = raw.signed("PUT", "/bucket/key", trailer,
                            payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER")
        return raw.send("PUT", "/bucket/key", signed, body)

    assert put(unsigned_trailer(b"other")).code == "BadDigest"
    assert put(unsigned_trailer(WHOLE)[:70_000]).code == "IncompleteBody"
    assert recorder.take() == []
    assert put(unsigned_trailer(WHOLE)).status == 200
    assert sent_of(recorder)[3] == unsigned_trailer(WHOLE)


def test_a_form_goes_on_as_it_came(recorded):
    recorder, proxy, _ = recorded
    pool = urllib3.PoolManager(retries=False)

    def post(**fields):
        return pool.request_encode_body("POST", proxy.url + "/bucket", fields={
            **fields, "file": ("cat.txt", b"meow")})

    assert post(key="form/cat", policy="e30=", signature="any").status == 200
    _, path, headers, body = sent_of(recorder, "POST")
    assert path == "/bucket" and b"form/cat" in body and body.count(b"meow") == 1
    assert lower(headers)["content-type"].startswith("multipart/form-data; boundary=")
    assert post(key="form/${filename}").status == 501
    assert post(key="form/../x").status == 400
    assert post(key="form/cat", bucket="other").status == 400
    assert post(key="form/cat", **{"x-amz-copy-source": "/other/secret"}).status == 501
    assert post(key="form/cat", **{"x-amz-meta-ifmatch-id": "forged"}).status == 501
    assert recorder.take() == []
    parts = {"key": "form/cat", "file": ("cat.txt", b"meow")}
    for target, headers in (("?key=other", {}), ("?x-id=PostObject", {}),
                            ("", {"Content-Encoding": "aws-chunked"}), ("", {"x-amz-acl": "private"}),
                            ("", {"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}),
                            ("", {"x-amz-decoded-content-length": "3"})):
        body, content_type = urllib3.encode_multipart_formdata(parts)
        answer = pool.request("POST", f"{proxy.url}/bucket{target}", body=body,
                              headers={"Content-Type": content_type, **headers})
        assert answer.status in (400, 403, 411, 501), (target, headers)
    assert recorder.take() == []


def test_a_form_is_read_in_one_spelling(recorded):
    """One of each kind; what else there is, `test_form_readers.py` bends. The sentence says which."""
    recorder, proxy, _ = recorded
    good = (b'--B\r\nContent-Disposition: form-data; name="key"\r\n\r\nk\r\n--B\r\nContent-Disposition: '
            b'form-data; name="file"; filename="f"\r\n\r\nmeow\r\n--B--\r\n')
    pool = urllib3.PoolManager(retries=False)

    def post(body: bytes, content_type: str = "multipart/form-data; boundary=B"):
        answer = pool.request("POST", proxy.url + "/bucket", body=body,
                              headers={"Content-Type": content_type})
        return answer.status, b"could be read in two ways" in answer.data

    assert post(good)[0] == 200
    recorder.take()
    for old, new in ((b'name="key"', b"name*=utf-8''key"), (b'name="key"', b'name="k\\ey"'),
                     (b"Disposition: ", b"Disposition : "), (b'name="key"', b"name=key"),
                     (b'"key"', b'"Key"'), (b'"key"\r\n', b'"key"\r\nContent-Type: a/b; charset=utf-7\r\n'),
                     (b"--B--\r\n", b"--B--\r\nmore"), (b"meow", b"--B"), (b"--B\r\n", b"--B \r\n")):
        assert post(good.replace(old, new, 1)) == (400, True), new
    assert post(good, 'multipart/form-data; boundary="B"') == (400, True)
    assert post(good[:-4])[0] == 400
    assert recorder.take() == []


def test_a_form_is_a_guarded_write(passing, signing):
    s3 = passing.proxy.boto(config=signing)
    form = s3.generate_presigned_post(passing.bucket, "form")
    pool = urllib3.PoolManager(retries=False)

    def post(fields):
        return pool.request_encode_body("POST", form["url"], fields={
            **fields, "file": ("cat.txt", b"meow")}).status

    signature = "x-amz-signature" if "x-amz-signature" in form["fields"] else "signature"
    assert post({**form["fields"], signature: "0" * 64}) == 403
    assert post(form["fields"]) in (200, 204)
    assert passing.s3.get_object(Bucket=passing.bucket, Key="form")["Body"].read() == b"meow"
    assert refusal(lambda: passing.s3.put_object(
        Bucket=passing.bucket, Key="form", IfNoneMatch="*"))[0] == 412


# === many writers ===


def test_a_part_keeps_its_promises_before_it_is_whole(each):
    """Also what its sender put into the URL, where hardly a store looks for it."""
    raw, key = each.proxy.raw(), "promised-part"
    s3 = each.proxy.boto()
    upload = s3.create_multipart_upload(Bucket=each.bucket, Key=key)["UploadId"]
    target = f"/{each.bucket}/{key}?partNumber=1&uploadId={quote(upload, safe='')}"
    crc = base64_of(zlib.crc32(b"right").to_bytes(4, "big"))
    in_query = f"{target}&x-amz-checksum-crc32={quote(crc, safe='')}"
    request = AWSRequest(method="PUT", url=raw.url + in_query)
    S3SigV4QueryAuth(raw.credentials, "s3", REGION, expires=60).add_auth(request)
    host = {"Host": f"{raw.host}:{raw.port}"}
    answer = raw.send("PUT", request.url.removeprefix(raw.url), host, b"wrong")
    assert (answer.status, answer.code) == (400, "BadDigest"), str(answer)
    for promise in ({"x-amz-checksum-crc32": crc},
                    {"Content-MD5": base64_of(hashlib.md5(b"right").digest())}):
        answer = raw.put(target, b"wrong", headers=promise)
        assert (answer.status, answer.code) == (400, "BadDigest"), f"{promise}: {answer}"
    etag = raw.put(target, b"right", headers={"x-amz-checksum-crc32": crc}).etag
    s3.complete_multipart_upload(Bucket=each.bucket, Key=key, UploadId=upload, MultipartUpload={
        "Parts": [{"PartNumber": 1, "ETag": etag}]})
    assert s3.get_object(Bucket=each.bucket, Key=key)["Body"].read() == b"right"


@pytest.mark.parametrize("query", ["partNumber=1&uploadId=a;b", "tagging;x", "x-id=a;b&acl"])
def test_a_query_that_servers_take_apart_in_two_ways_is_refused(each, query):
    """Go drops a parameter with `;` in it: the part would be the object."""
    answer = each.proxy.raw().put(f"/{each.bucket}/parted?{query}", b"x")
    assert answer.status >= 400 and answer.code in ("InvalidURI", "InvalidArgument"), str(answer)
    assert each.proxy.raw().get(f"/{each.bucket}/parted").status == 404


@pytest.fixture(scope="module", params=["shared", "exclusive"])
def pair(request, store_named, redis_server, tmp_path_factory):
    """Two proxies that pass signatures through and share one register."""
    store = store_named("embedded-ignoring")
    bucket = new_bucket(store)
    settings = Settings(**PASSTHROUGH, register=redis_server.new_database(), lease=6,
                        lease_wait=20, writers=request.param)
    one = in_front_of(store, bucket, tmp_path_factory.mktemp("one"), settings, "ifmatch-one")
    two = Proxy(tmp_path_factory.mktemp("two"), store, settings, "ifmatch-two")
    yield bucket, [one.boto(), two.boto()], boto(store.url, store.access_key, store.secret_key)
    one.stop()
    two.stop()


@pytest.mark.timeout(600)
def test_every_race_has_one_winner_and_no_increment_is_lost(pair):
    bucket, clients, at_store = pair
    with ThreadPoolExecutor(WRITERS) as pool:
        for number in range(10):
            key = f"race-{number}"
            done = create_race(clients, bucket, key, pool)
            assert len(done.winners) == 1, f"round {number}: {done}"
            body = at_store.get_object(Bucket=bucket, Key=key)["Body"].read()
            assert body == f"writer {done.winners[0]}".encode()
    counter = CasCounter(clients, bucket, "counter").create().run(50)
    counter.check()


def test_a_warning_says_what_it_costs(recorded):
    _, proxy, _ = recorded
    assert any("before the store has checked its signature" in line for line in proxy.process.lines)
