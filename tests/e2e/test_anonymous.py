"""Requests without a signature: served where the configuration says so, and held to what they
promise."""

from __future__ import annotations

import base64
import hashlib
import socket
import zlib
from collections import namedtuple

import pytest
import urllib3
from botocore import UNSIGNED as NO_SIGNATURE
from botocore.config import Config
from botocore.exceptions import ClientError

from clients import Wire, boto, code_of
from conftest import new_bucket
from proxies import ACCESS_KEY, CLIENT_SECRET, Settings, in_front_of
from relay import TlsFront

Open = namedtuple("Open", "proxy bucket other s3 store")


@pytest.fixture(scope="module", params=[True, False], ids=["read-only", "read-write"])
def opened(request, store_named, tmp_path_factory):
    yield from _opened(store_named("embedded-ignoring"), tmp_path_factory, request.param)


@pytest.fixture(scope="module")
def writable(store_named, tmp_path_factory):
    yield from _opened(store_named("embedded-ignoring"), tmp_path_factory, False)


def _opened(store, tmp_path_factory, read_only):
    bucket, other = new_bucket(store), new_bucket(store)
    settings = Settings(anonymous=(bucket,), anonymous_read_only=read_only)
    proxy = in_front_of(store, other, tmp_path_factory.mktemp("open"), settings)
    at_store = boto(store.url, store.access_key, store.secret_key)
    for name in (bucket, other):
        at_store.put_object(Bucket=name, Key="there", Body=b"here")
    yield Open(proxy, bucket, other, unsigned_boto(proxy.url), at_store)
    proxy.stop()


def unsigned_boto(url: str, **more):
    """boto3 as for public buckets: everything by default, but no signature."""
    return boto(url, "", "", config=Config(signature_version=NO_SIGNATURE), **more)


def send(opened, method: str, path: str, body: bytes = b"", **headers):
    """A bare request: no signature, and no header that a test does not name."""
    raw = opened.proxy.raw()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return raw.send(method, path, {"Host": f"{raw.host}:{raw.port}", **named}, body)


def refusal(call) -> tuple[int, str]:
    with pytest.raises(ClientError) as raised:
        call()
    return code_of(raised.value)


def test_what_is_open_can_be_read_by_everybody(opened):
    s3, bucket = opened.s3, opened.bucket
    assert s3.get_object(Bucket=bucket, Key="there")["Body"].read() == b"here"
    assert s3.head_object(Bucket=bucket, Key="there")["ContentLength"] == 4
    listed = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert "there" in {entry["Key"] for entry in listed}
    assert send(opened, "GET", f"/{bucket}/there").body == b"here"


def test_nothing_else_can(opened):
    s3, other = opened.s3, opened.other
    denied = (403, "AccessDenied")
    assert refusal(lambda: s3.get_object(Bucket=other, Key="there")) == denied
    assert refusal(lambda: s3.put_object(Bucket=other, Key="x", IfNoneMatch="*")) == denied
    assert refusal(lambda: s3.list_objects_v2(Bucket=other)) == denied
    assert refusal(s3.list_buckets) == denied
    assert refusal(lambda: s3.get_bucket_policy(Bucket=opened.bucket)) == denied
    assert refusal(lambda: s3.delete_bucket(Bucket=opened.bucket)) == denied
    assert refusal(lambda: s3.copy_object(Bucket=opened.bucket, Key="stolen", CopySource={
        "Bucket": other, "Key": "there"})) == denied


def test_read_only_is_just_that(store_named, tmp_path_factory):
    for opened in _opened(store_named("embedded-ignoring"), tmp_path_factory, True):
        denied, s3, bucket = (403, "AccessDenied"), opened.s3, opened.bucket
        assert refusal(lambda: s3.put_object(Bucket=bucket, Key="x")) == denied
        # Not even whether the key is there is told.
        assert refusal(lambda: s3.put_object(Bucket=bucket, Key="there", IfNoneMatch="*")) == denied
        assert refusal(lambda: s3.delete_object(Bucket=bucket, Key="there")) == denied
        assert refusal(lambda: s3.create_multipart_upload(Bucket=bucket, Key="x")) == denied
        assert refusal(lambda: s3.delete_objects(Bucket=bucket, Delete={
            "Objects": [{"Key": "there"}]})) == denied
        assert opened.store.get_object(Bucket=bucket, Key="there")["Body"].read() == b"here"


@pytest.mark.parametrize("key, secret, code", [
    ("nobody", "x" * 20, "InvalidAccessKeyId"),
    (ACCESS_KEY, "x" * 20, "SignatureDoesNotMatch"),
])
def test_a_wrong_signature_is_not_taken_for_none(opened, signing, key, secret, code):
    raw, path = opened.proxy.raw(key, secret), f"/{opened.bucket}/there"
    assert raw.get(path).code == code
    assert raw.put(path, b"x").code == code
    s3 = opened.proxy.boto(key, secret, config=signing)
    url = s3.generate_presigned_url("get_object", Params={"Bucket": opened.bucket, "Key": "there"})
    pool = urllib3.PoolManager(retries=False)
    assert pool.request("GET", url).status == 403
    form = s3.generate_presigned_post(opened.bucket, "form")
    assert post(form["url"], form["fields"]).status == 403


@pytest.mark.parametrize("query, status", [
    ("X-Amz-Signature=00", 400), ("X-Amz%2DSignature=00", 400), ("X-Amz-Credential=a", 400),
    ("X-Amz-Expires=60", 400), ("AWSAccessKeyId=a", 403), ("AWSAccessKey%49d=a", 403),
    ("AWSAccessKeyId=a&Signature=b&Expires=1", 403),
    ("AWSAccessKeyId=a&Signature=b&Expires=4102444800", 403),
])
def test_a_trace_of_a_signature_is_a_wrong_one(opened, query, status):
    answer = send(opened, "GET", f"/{opened.bucket}/there?{query}")
    assert answer.status == status, str(answer)
    assert send(opened, "GET", f"/{opened.bucket}/there", Authorization="AWS").status == 400


# === where everybody may write ===


def post(url: str, fields: dict, content: bytes = b"meow"):
    pool = urllib3.PoolManager(retries=False)
    return pool.request_encode_body("POST", url, fields={
        **fields, "file": ("cat.txt", content)})


def test_conditions_are_judged_for_everybody(writable):
    s3, bucket = writable.s3, writable.bucket
    first = s3.put_object(Bucket=bucket, Key="judged", Body=b"1", IfNoneMatch="*")
    with pytest.raises(ClientError) as raised:
        s3.put_object(Bucket=bucket, Key="judged", Body=b"2", IfNoneMatch="*")
    assert code_of(raised.value) == (412, "PreconditionFailed")
    # A request that may write here may read here.
    told = raised.value.response["ResponseMetadata"]["HTTPHeaders"]["etag"]
    assert told == first["ETag"]
    s3.put_object(Bucket=bucket, Key="judged", Body=b"3", IfMatch=told)
    assert refusal(lambda: s3.delete_object(Bucket=bucket, Key="judged", IfMatch=told)) == (
        412, "PreconditionFailed")
    assert writable.store.get_object(Bucket=bucket, Key="judged")["Body"].read() == b"3"
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "judged"}]})
    assert refusal(lambda: s3.head_object(Bucket=bucket, Key="judged"))[0] == 404


def test_everybody_s_multipart_upload(writable):
    s3, bucket = writable.s3, writable.bucket
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=1, Body=b"p" * 99)
    s3.complete_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload, MultipartUpload={
        "Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    assert s3.get_object(Bucket=bucket, Key="parts")["Body"].read() == b"p" * 99


def base64_of(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def test_a_bare_put_promises_its_length_and_what_else_it_says(writable):
    path = f"/{writable.bucket}/promised"
    md5 = base64_of(hashlib.md5(b"body").digest())
    crc = base64_of(zlib.crc32(b"body").to_bytes(4, "big"))
    sha = hashlib.sha256(b"body").hexdigest()
    for header, value, code in [
        ("Content-MD5", md5, "BadDigest"), ("x-amz-checksum-crc32", crc, "BadDigest"),
        ("x-amz-content-sha256", sha, "XAmzContentSHA256Mismatch"),
    ]:
        refused = send(writable, "PUT", path, b"ydob", **{header: value})
        assert (refused.status, refused.code) == (400, code), str(refused)
        assert send(writable, "GET", path).status == 404
    for header, value in [("Content-MD5", md5), ("x-amz-checksum-crc32", crc),
                          ("x-amz-content-sha256", sha), ("Content-Type", "text/x")]:
        assert send(writable, "PUT", path, b"body", **{header: value}).status == 200
        assert send(writable, "GET", path).body == b"body"
        assert send(writable, "DELETE", path).status == 204


def test_a_body_that_is_cut_short_changes_nothing(writable):
    path = f"/{writable.bucket}/cut"
    raw = writable.proxy.raw()
    with Wire(raw, "PUT", path, 100, unsigned={"Authorization": ""}) as wire:
        assert wire.read_answer().status == 400, "an empty signature is a wrong one"
    connection = socket.create_connection((raw.host, raw.port), 20)
    connection.sendall(f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n".encode()
                       + b"x" * 50)
    connection.shutdown(1)
    connection.recv(65536)
    connection.close()
    assert send(writable, "GET", path).status == 404


@pytest.mark.parametrize("said", [{"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}, {}],
                         ids=["said", "not said"])
def test_unsigned_trailers_are_verified_and_undone(writable, said):
    path = f"/{writable.bucket}/trailer"

    def put(checksum_of: bytes):
        crc = base64_of(zlib.crc32(checksum_of).to_bytes(4, "big"))
        body = f"4\r\nbody\r\n0\r\nx-amz-checksum-crc32:{crc}\r\n\r\n".encode()
        return send(writable, "PUT", path, body, **said, **{
            "Content-Encoding": "aws-chunked", "x-amz-decoded-content-length": "4",
            "x-amz-trailer": "x-amz-checksum-crc32"})

    refused = put(b"ydob")
    assert (refused.status, refused.code) == (400, "BadDigest"), str(refused)
    assert send(writable, "GET", path).status == 404
    assert put(b"body").status == 200
    assert send(writable, "GET", path).body == b"body"
    assert send(writable, "DELETE", path).status == 204


def test_signed_chunks_without_a_signature_are_refused(writable):
    answer = send(writable, "PUT", f"/{writable.bucket}/chunks", b"0;chunk-signature=00\r\n\r\n", **{
        "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "Content-Encoding": "aws-chunked", "x-amz-decoded-content-length": "0"})
    assert (answer.status, answer.code) == (400, "InvalidArgument")


def test_boto3_over_https_sends_trailers_unsigned(writable, certificate):
    """Over TLS boto3 sends its checksum behind the body; without a signature nothing says so but
    the encoding."""
    front = TlsFront(writable.proxy.url, *certificate)
    try:
        s3 = unsigned_boto(front.url, verify=certificate[0])
        s3.put_object(Bucket=writable.bucket, Key="tls", Body=b"over tls", IfNoneMatch="*")
        assert s3.get_object(Bucket=writable.bucket, Key="tls")["Body"].read() == b"over tls"
        assert refusal(lambda: s3.put_object(Bucket=writable.bucket, Key="tls", IfNoneMatch="*")) == (
            412, "PreconditionFailed")
    finally:
        front.close()


def test_a_form_without_a_policy_is_everybody_s(writable):
    url = f"{writable.proxy.url}/{writable.bucket}"
    assert post(url, {"key": "form/${filename}"}).status == 204
    assert writable.store.get_object(Bucket=writable.bucket, Key="form/cat.txt")[
        "Body"].read() == b"meow"
    assert post(f"{writable.proxy.url}/{writable.other}", {"key": "x"}).status == 403
    for trace in ("policy", "signature", "x-amz-signature", "AWSAccessKeyId"):
        assert post(url, {"key": "x", trace: "e30="}).status == 400, trace


def test_everybody_s_requests_are_signed_for_the_store_and_marked_as_nobody_s(writable):
    assert send(writable, "GET", f"/{writable.bucket}/asked-by-nobody").status == 404
    line = writable.proxy.request_logged(key="asked-by-nobody")
    assert line["operation"] == "GetObject" and line.get("access_key_id") is None
    signed = writable.proxy.raw(ACCESS_KEY, CLIENT_SECRET).get(f"/{writable.other}/there")
    assert signed.status == 200
