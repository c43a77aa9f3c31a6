"""One request has one reading: what stands in its head is what AWS takes it for, on every store."""

from __future__ import annotations

import base64
import hashlib
import socket
import zlib
from urllib.parse import quote

import pytest
import urllib3
from botocore.auth import HmacV1Auth, HmacV1QueryAuth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config

from clients import REGION, UNSIGNED, Wire
from proxies import ACCESS_KEY, CLIENT_SECRET, DOMAIN, Settings, in_front_of
from conftest import Front, new_bucket
from test_signatures import CHUNKS, WHOLE, refused, signed_chunks, unsigned_trailer

POOL = urllib3.PoolManager(retries=False)


@pytest.fixture
def front(store_front):
    return store_front


def presigned(front, method: str, target: str, headers=None, expires: int = 60) -> str:
    """The URL's path and query, by Version 4; `target` may hold headers in its query already."""
    request = AWSRequest(method=method, url=front.raw.url + target, headers=headers or {})
    S3SigV4QueryAuth(front.raw.credentials, "s3", REGION, expires=expires).add_auth(request)
    return request.url.removeprefix(front.raw.url)


def send(front, method: str, target: str, body: bytes = b"", **headers: str):
    host = {"Host": f"{front.raw.host}:{front.raw.port}"}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return front.raw.send(method, target, {**host, **named}, body)


def crc32(content: bytes) -> str:
    return base64.b64encode(zlib.crc32(content).to_bytes(4, "big")).decode()


# === How a body is framed ===


@pytest.mark.parametrize("encoding", ["aws-chunked", "gzip, AWS-Chunked", "aws-chunked,aws-chunked"])
@pytest.mark.parametrize("way", ["header", "presigned", "part", "presigned part"])
def test_chunks_that_nothing_vouches_for_are_refused(front, way, encoding):
    key = front.new_key("framing")
    target = front.path(key)
    if "part" in way:
        upload = front.s3.create_multipart_upload(Bucket=front.bucket, Key=key)["UploadId"]
        target += f"?partNumber=1&uploadId={quote(upload, safe='')}"
    framed = unsigned_trailer(WHOLE)
    headers = {"Content-Encoding": encoding, "x-amz-decoded-content-length": str(len(WHOLE))}
    if "presigned" in way:
        answer = send(front, "PUT", presigned(front, "PUT", target), framed,
                      Content_Encoding=encoding)
    else:
        answer = front.raw.put(target, framed, headers=headers, payload=UNSIGNED)
    refused(answer, 400, "InvalidArgument")
    assert answer.fields["ArgumentName"] == "Content-Encoding"
    assert front.raw.get(front.path(key)).status == 404


@pytest.mark.parametrize("encoding, stored", [
    ("deflate, gzip", "deflate, gzip"), ("gzip", "gzip"),
])
def test_an_encoding_is_kept_byte_for_byte(front, encoding, stored):
    target = front.path(front.new_key("encoding"))
    assert front.raw.put(target, b"x", headers={"Content-Encoding": encoding}).status == 200
    assert front.raw.head(target).headers["content-encoding"] == stored


@pytest.mark.parametrize("encoding, stored", [
    ("gzip, aws-chunked", "gzip"), ("aws-chunked, deflate, gzip", "deflate, gzip"),
    ("aws-chunked", None), ("AWS-Chunked,aws-chunked", None), (None, None),
])
def test_of_chunks_that_are_undone_no_encoding_is_left(front, encoding, stored):
    target = front.path(front.new_key("encoding"))
    given = {"Content-Encoding": encoding} if encoding else {}
    headers = front.raw.signed("PUT", target, {
        **given, "x-amz-decoded-content-length": str(len(WHOLE)),
    }, payload="STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
    body = signed_chunks(headers, CLIENT_SECRET, CHUNKS)
    assert front.raw.send("PUT", target, headers, body).status == 200
    got = front.raw.get(target)
    assert (got.body, got.headers.get("content-encoding") or None) == (WHOLE, stored)


# === Spaces ===


def test_a_plus_in_a_copy_source_is_a_space(front):
    stem = front.new_key("copied")
    for name in ("a b", "a+b"):
        front.s3.put_object(Bucket=front.bucket, Key=f"{stem}/{name}", Body=name.encode())
    spellings = [("a+b", b"a b"), ("a%20b", b"a b"), ("a%2Bb", b"a+b")]
    if front.store.name == "s3rver":
        spellings.pop()  # it does not decode %2B in a copy's source
    for spelled, meant in spellings:
        target = front.path(f"{stem}/to")
        answer = front.raw.put(target, headers={
            "x-amz-copy-source": f"{front.bucket}/{stem}/{spelled}"})
        assert answer.status == 200, str(answer)
        assert front.raw.get(target).body == meant, spelled


def test_a_plus_in_a_query_is_a_space(front):
    stem = front.new_key("listed")
    for name in ("foo bar", "foo+bar"):
        front.s3.put_object(Bucket=front.bucket, Key=f"{stem}/{name}/k", Body=b"x")
    for spelled, meant in [("foo+bar", "foo bar"), ("foo%20bar", "foo bar"),
                           ("foo%2Bbar", "foo+bar")]:
        canonical = quote(f"{stem}/{meant}/", safe="")
        signed = front.raw.signed("GET", f"/{front.bucket}?list-type=2&prefix={canonical}")
        sent = f"/{front.bucket}?list-type=2&prefix={quote(stem, safe='')}%2F{spelled}%2F"
        answer = front.raw.send("GET", sent, signed, b"")
        assert answer.status == 200, str(answer)
        assert answer.body.count(b"<Contents>") == 1
        assert f"<Key>{stem}/{meant}/k</Key>".encode() in answer.body, spelled


def test_a_plus_in_a_path_is_a_plus(front):
    key = front.new_key("plus") + "/a+b"
    assert front.raw.put(front.path(key), b"plus").status == 200
    assert front.s3.get_object(Bucket=front.bucket, Key=key)["Body"].read() == b"plus"


# === Headers in a presigned query ===


def test_a_checksum_in_a_presigned_query_is_verified(front):
    target = front.path(front.new_key("hoisted"))
    for body, status in [(b"other", 400), (b"right", 200)]:
        query = f"?x-amz-checksum-crc32={quote(crc32(b'right'), safe='')}" \
                "&x-amz-sdk-checksum-algorithm=CRC32"
        answer = send(front, "PUT", presigned(front, "PUT", target + query), body)
        assert answer.status == status, str(answer)
        if status == 400:
            assert answer.code == "BadDigest"
            assert front.raw.get(target).status == 404


def test_a_url_that_promises_an_empty_body_takes_no_other(front):
    """As the JS SDK presigns a PUT whose body it has not seen, since 3.729 by default."""
    target = front.path(front.new_key("hoisted"))
    url = presigned(front, "PUT", target + "?x-amz-checksum-crc32=AAAAAA%3D%3D"
                    "&x-amz-sdk-checksum-algorithm=CRC32&x-id=PutObject")
    refused(send(front, "PUT", url, b"not empty"), 400, "BadDigest")
    assert send(front, "PUT", url).status == 200


def test_metadata_in_a_presigned_query_is_applied(front):
    target = front.path(front.new_key("hoisted"))
    url = presigned(front, "PUT", target + "?x-amz-meta-colour=deep%20blue&X-Amz-Meta-Size=1")
    assert send(front, "PUT", url, b"x").status == 200
    headers = front.raw.head(target).headers
    assert (headers["x-amz-meta-colour"], headers["x-amz-meta-size"]) == ("deep blue", "1")


def test_a_copy_source_in_a_presigned_query_is_copied(front):
    source, target = front.new_key("source"), front.path(front.new_key("copy"))
    front.s3.put_object(Bucket=front.bucket, Key=source, Body=b"content")
    query = "?x-amz-copy-source=" + quote(f"{front.bucket}/{source}", safe="")
    answer = send(front, "PUT", presigned(front, "PUT", target + query))
    assert answer.status == 200 and b"CopyObjectResult" in answer.body, str(answer)
    assert front.raw.get(target).body == b"content"
    answer = send(front, "PUT", presigned(front, "PUT", target + query), If_None_Match="*")
    refused(answer, 412, "PreconditionFailed")


def test_a_header_that_contradicts_the_query_is_refused(front):
    target = front.path(front.new_key("hoisted"))
    url = presigned(front, "PUT", target + "?x-amz-meta-a=1", {"x-amz-meta-a": "2"})
    refused(send(front, "PUT", url, b"x", x_amz_meta_a="2"), 400, "InvalidArgument")
    url = presigned(front, "PUT", target + "?x-amz-meta-a=1", {"x-amz-meta-a": "1"})
    assert send(front, "PUT", url, b"x", x_amz_meta_a="1").status == 200


def test_without_a_signature_in_it_a_query_carries_no_headers(front):
    source, target = front.new_key("source"), front.path(front.new_key("plain"))
    front.s3.put_object(Bucket=front.bucket, Key=source, Body=b"secret")
    assert front.raw.put(target + "?x-amz-meta-a=1&X-Amz-Meta-B=2", b"mine").status == 200
    got = front.raw.get(target)
    assert got.body == b"mine" and not {"x-amz-meta-a", "x-amz-meta-b"} & set(got.headers)
    query = f"?x-amz-copy-source={quote(front.bucket + '/' + source, safe='')}"
    refused(front.raw.put(target + query), 501, "NotImplemented")
    assert front.raw.get(target).body == b"mine"


# === What a body must be announced with ===


@pytest.mark.parametrize("where", ["header", "presigned", "part"])
def test_an_algorithm_without_its_checksum_is_refused(front, where):
    key = front.new_key("alone")
    target, headers = front.path(key), {"x-amz-sdk-checksum-algorithm": "CRC32"}
    if where == "part":
        upload = front.s3.create_multipart_upload(Bucket=front.bucket, Key=key)["UploadId"]
        target += f"?partNumber=1&uploadId={quote(upload, safe='')}"
    if where == "presigned":
        url = presigned(front, "PUT", target + "?x-amz-sdk-checksum-algorithm=CRC32")
        answer = send(front, "PUT", url, b"x")
    else:
        answer = front.raw.put(target, b"x", headers=headers)
    refused(answer, 400, "InvalidRequest")
    assert "no corresponding x-amz-checksum-* or x-amz-trailer" in answer.fields["Message"]
    assert front.raw.get(front.path(key)).status == 404


def bare(front, method: str, target: str, more: str = "", body: bytes = b"", headers=None):
    """A request whose framing is said by `more` alone."""
    wire = Wire.__new__(Wire)
    signed = front.raw.signed(method, target, headers, payload=UNSIGNED)
    lines = [f"{method} {target} HTTP/1.1", *(f"{k}: {v}" for k, v in signed.items())]
    wire._buffer = b""
    wire.socket = socket.create_connection((front.raw.host, front.raw.port), 30)
    wire.socket.sendall(("\r\n".join(lines) + "\r\n" + more + "\r\n").encode() + body)
    with wire:
        return wire.read_answer()


def test_content_without_a_length_is_refused(front):
    key = front.new_key("length")
    refused(bare(front, "PUT", front.path(key)), 411, "MissingContentLength")
    upload = front.s3.create_multipart_upload(Bucket=front.bucket, Key=key)["UploadId"]
    part = f"{front.path(key)}?partNumber=1&uploadId={quote(upload, safe='')}"
    refused(bare(front, "PUT", part), 411, "MissingContentLength")
    assert front.raw.get(front.path(key)).status == 404
    # A copy has no content of its own.
    front.s3.put_object(Bucket=front.bucket, Key=key, Body=b"x")
    copied = bare(front, "PUT", front.path(key + "-copy"),
                  headers={"x-amz-copy-source": f"{front.bucket}/{key}"})
    assert copied.status == 200, str(copied)


CHUNKED = "Transfer-Encoding: chunked\r\n"
HELLO = b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"


def test_a_body_of_unknown_length_is_not_implemented_as_at_aws(front):
    key = front.new_key("chunked")
    upload = front.s3.create_multipart_upload(Bucket=front.bucket, Key=key)["UploadId"]
    for target in [front.path(key), f"{front.path(key)}?partNumber=1&uploadId={quote(upload, safe='')}",
                   f"/{front.bucket}?tagging"]:
        answer = bare(front, "PUT", target, CHUNKED, HELLO)
        refused(answer, 501, "NotImplemented")
        assert answer.fields["Header"] == "Transfer-Encoding"
    assert front.raw.get(front.path(key)).status == 404


@pytest.fixture(scope="module")
def taking(store_named, tmp_path_factory):
    store = store_named("moto")
    bucket = new_bucket(store)
    settings = Settings(unknown_length="take", body_max="6MiB", settle=0)
    proxy = in_front_of(store, bucket, tmp_path_factory.mktemp("taking"), settings, "ifmatch-taking")
    yield Front(proxy, store, bucket)
    proxy.stop()


def test_a_body_of_unknown_length_is_taken_where_that_is_set(taking):
    key = taking.new_key("chunked")
    target, once = taking.path(key), {"If-None-Match": "*"}
    assert bare(taking, "PUT", target, CHUNKED, HELLO, once).status == 200
    assert taking.raw.get(target).body == b"hello world"
    refused(bare(taking, "PUT", target, CHUNKED, HELLO, once), 412, "PreconditionFailed")
    upload = taking.s3.create_multipart_upload(Bucket=taking.bucket, Key=key)["UploadId"]
    part = f"{target}?partNumber=1&uploadId={quote(upload, safe='')}"
    etag = bare(taking, "PUT", part, CHUNKED, HELLO).etag
    taking.s3.complete_multipart_upload(
        Bucket=taking.bucket, Key=key, UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    assert taking.raw.get(target).body == b"hello world"
    mebibyte = b"100000\r\n" + bytes(1 << 20) + b"\r\n"
    try:
        refused(bare(taking, "PUT", target, CHUNKED, mebibyte * 7 + b"0\r\n\r\n"), 400,
                "EntityTooLarge")
    except (BrokenPipeError, ConnectionResetError):
        pass  # the answer was lost with the rest of the body
    assert taking.raw.get(target).body == b"hello world"
    # A document is no content: it is not taken without its length.
    refused(bare(taking, "PUT", f"/{taking.bucket}?tagging", CHUNKED, HELLO), 501, "NotImplemented")


# === Unknown parameters ===


def test_an_unknown_parameter_does_not_take_the_condition_away(front):
    target = front.path(front.new_key("unknown"))
    assert front.raw.put(target, b"kept").status == 200
    for condition in ({"If-None-Match": "*"}, {"If-Match": '"0123"'}):
        refused(front.raw.put(f"{target}?foo=bar", b"x", headers=condition), 412,
                "PreconditionFailed")
    refused(front.raw.delete(f"{target}?foo=bar", headers={"If-Match": '"0123"'}), 412,
            "PreconditionFailed")
    assert front.raw.get(target).body == b"kept"
    etag = front.raw.head(target).etag
    answer = front.raw.put(f"{target}?foo=bar", b"new", headers={"If-Match": etag})
    assert answer.status == 200, str(answer)
    assert front.raw.get(target).body == b"new"


# === no signature ===


def test_nobody_chooses_the_headers_of_an_answer(store_named, tmp_path):
    store = store_named("moto")
    bucket = new_bucket(store)
    proxy = in_front_of(store, bucket, tmp_path, Settings(anonymous=(bucket,)), "ifmatch-open")
    try:
        front = Front(proxy, store, bucket)
        front.s3.put_object(Bucket=bucket, Key="k", Body=b"<script>")
        for name in ("content-type", "content-disposition", "expires", "cache-control"):
            for method in ("GET", "HEAD"):
                answer = send(front, method, f"/{bucket}/k?response-{name}=text%2Fhtml")
                assert answer.status == 400, str(answer)
                if method == "GET":
                    assert answer.code == "InvalidRequest"
                    assert "cannot be used for anonymous GET" in answer.fields["Message"]
        assert send(front, "GET", f"/{bucket}/k").body == b"<script>"
        signed = front.raw.get(f"/{bucket}/k?response-content-type=text%2Fhtml")
        assert signed.headers["content-type"] == "text/html"
    finally:
        proxy.stop()


# === Signature Version 2 ===


def test_a_url_that_boto3_presigns_by_default_reads_and_writes(front):
    """No setting at all: against an endpoint that is not AWS's it signs by Version 2."""
    key = {"Bucket": front.bucket, "Key": front.new_key("v2") + "/a b+c"}
    put = front.s3.generate_presigned_url("put_object", Params=key)
    assert "AWSAccessKeyId=" in put and "X-Amz-Signature" not in put
    first = POOL.request("PUT", put, body=b"one", headers={"If-None-Match": "*"})
    again = POOL.request("PUT", put, body=b"two", headers={"If-None-Match": "*"})
    assert (first.status, again.status) == (200, 412)
    assert "ETag" not in again.headers, "its holder may write, not read"
    get = front.s3.generate_presigned_url("get_object", Params={
        **key, "ResponseContentType": "text/x-one"})
    got = POOL.request("GET", get)
    assert (got.status, got.data) == (200, b"one")
    spoilt = put.replace("/a", "/b")
    assert POOL.request("PUT", spoilt, body=b"x").status == 403
    expired = front.s3.generate_presigned_url("get_object", Params=key, ExpiresIn=-5)
    answer = POOL.request("GET", expired)
    assert answer.status == 403 and b"Request has expired" in answer.data
    listed = POOL.request("GET", front.s3.generate_presigned_url("list_objects_v2", Params={
        "Bucket": front.bucket, "Prefix": key["Key"]}))
    assert listed.status == 200 and listed.data.count(b"<Contents>") == 1
    delete = front.s3.generate_presigned_url("delete_object", Params=key)
    refusal = POOL.request("DELETE", delete, headers={"If-Match": '"0123"'})
    assert (refusal.status, POOL.request("DELETE", delete).status) == (412, 204)


def test_what_boto3_puts_into_a_url_of_version_2_is_applied(front):
    """It moves metadata, Content-Type and Content-MD5 into the query, and signs them as headers."""
    key = {"Bucket": front.bucket, "Key": front.new_key("v2")}
    url = front.s3.generate_presigned_url("put_object", Params={
        **key, "ContentType": "text/x-two", "Metadata": {"colour": "blue"},
        "ContentMD5": base64.b64encode(hashlib.md5(b"right").digest()).decode()})
    assert POOL.request("PUT", url, body=b"other").status == 400
    assert POOL.request("PUT", url, body=b"right").status == 200
    head = front.s3.head_object(**key)
    assert (head["ContentType"], head["Metadata"]) == ("text/x-two", {"colour": "blue"})


def test_requests_signed_by_version_2_in_their_header(front):
    s3 = front.proxy.boto(config=Config(signature_version="s3"))
    key = {"Bucket": front.bucket, "Key": front.new_key("v2")}
    s3.put_object(**key, Body=b"one", IfNoneMatch="*", Metadata={"b": "2", "a": "1"})
    with pytest.raises(s3.exceptions.ClientError, match="PreconditionFailed"):
        s3.put_object(**key, Body=b"two", IfNoneMatch="*")
    got = s3.get_object(**key)
    assert (got["Body"].read(), got["Metadata"]) == (b"one", {"a": "1", "b": "2"})
    upload = s3.create_multipart_upload(**key)["UploadId"]
    part = s3.upload_part(**key, UploadId=upload, PartNumber=1, Body=b"three")
    s3.complete_multipart_upload(**key, UploadId=upload, MultipartUpload={"Parts": [
        {"PartNumber": 1, "ETag": part["ETag"]}]})
    listed = s3.list_objects_v2(Bucket=front.bucket, Prefix=key["Key"])["Contents"]
    assert [entry["Size"] for entry in listed] == [5]
    thief = front.proxy.boto(ACCESS_KEY, "wrong", config=Config(signature_version="s3"))
    with pytest.raises(s3.exceptions.ClientError, match="SignatureDoesNotMatch"):
        thief.put_object(**key, Body=b"x")
    assert s3.get_object(**key)["Body"].read() == b"three"


def version_2(front, method: str, target: str, headers=None, auth=HmacV1Auth, path=None):
    request = AWSRequest(method=method, url=front.raw.url + target, headers=headers or {},
                         auth_path=path)
    auth(front.raw.credentials).add_auth(request)
    return request


def test_version_2_names_the_bucket_of_a_virtual_host(plain_front):
    front, key = plain_front, plain_front.new_key("v2")
    front.s3.put_object(Bucket=front.bucket, Key=key, Body=b"x")
    host = f"{front.bucket}.{DOMAIN}:{front.raw.port}"
    signed = version_2(front, "GET", f"/{key}", path=f"/{front.bucket}/{key}")
    answer = front.raw.send("GET", f"/{key}", {**dict(signed.headers), "Host": host}, b"")
    assert (answer.status, answer.body) == (200, b"x"), str(answer)
    signed = version_2(front, "GET", f"/{key}")
    refused(front.raw.send("GET", f"/{key}", {**dict(signed.headers), "Host": host}, b""), 403,
            "SignatureDoesNotMatch")


def test_version_2_frames_no_body_and_signs_no_young_subresource(plain_front):
    front, target = plain_front, plain_front.path(plain_front.new_key("v2"))
    signed = version_2(front, "PUT", target, {"Content-Encoding": "aws-chunked"})
    refused(send(front, "PUT", target, unsigned_trailer(WHOLE), **{
        name.replace("-", "_"): value for name, value in signed.headers.items()}), 400,
        "InvalidArgument")
    signed = version_2(front, "GET", target, auth=HmacV1QueryAuth).url
    refused(send(front, "GET", signed.removeprefix(front.raw.url) + "&retention"), 400,
            "InvalidRequest")


def test_version_2_may_be_refused(store_named, tmp_path):
    store = store_named("moto")
    bucket = new_bucket(store)
    proxy = in_front_of(store, bucket, tmp_path, Settings(signature_v2="refuse"), "ifmatch-v4")
    try:
        url = proxy.boto().generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
        answer = POOL.request("GET", url)
        assert answer.status == 400 and b"Please use AWS4-HMAC-SHA256" in answer.data
    finally:
        proxy.stop()
