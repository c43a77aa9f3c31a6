"""Who asks the embedded store: signatures as clients make them, of both versions."""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import socket
from email.utils import format_datetime
from urllib.parse import parse_qsl, urlsplit

import pytest
import urllib3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config

from clients import REGION, UNSIGNED, boto
from embedded import MIB, TRAILER, Bucket, with_trailer
from test_heads import crc32


@pytest.fixture(scope="module")
def version_2(store_named):
    store = store_named("embedded")
    return boto(store.url, store.access_key, store.secret_key,
                config=Config(signature_version="s3", retries={"total_max_attempts": 1}))


def dated(seconds: float = 0) -> str:
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return format_datetime(at, usegmt=True)


def signed_by_2(bucket: Bucket, method: str, target: str, resource: str, headers: dict[str, str],
                secret: str | None = None) -> dict[str, str]:
    """The headers of a request with a signature of Version 2 (AWS: "Signing and authenticating REST requests")."""
    amz = sorted((name.lower(), value) for name, value in headers.items() if name.lower().startswith("x-amz-"))
    text = "\n".join([method, headers.get("Content-MD5", ""), headers.get("Content-Type", ""),
                      "" if "x-amz-date" in headers else headers.get("Date", ""),
                      *(f"{name}:{value}" for name, value in amz), resource])
    made = hmac.new((secret or bucket.store.secret_key).encode(), text.encode(), hashlib.sha1).digest()
    return {**headers, "Host": f"{bucket.raw.host}:{bucket.raw.port}",
            "Authorization": f"AWS {bucket.store.access_key}:{base64.b64encode(made).decode()}"}


def test_version_2_signs_all_that_a_client_does(version_2, embedded):
    name, key = embedded.name + "-by-2", "a b+c/\u00e4"
    version_2.create_bucket(Bucket=name)
    version_2.put_object(Bucket=name, Key=key, Body=b"x" * MIB, Metadata={"a": "1"}, ContentType="text/plain")
    told = version_2.get_object(Bucket=name, Key=key, ResponseContentType="text/html")
    assert (told["Body"].read(), told["Metadata"], told["ContentType"]) == (b"x" * MIB, {"a": "1"}, "text/html")
    assert [each["Key"] for each in version_2.list_objects_v2(Bucket=name)["Contents"]] == [key]
    version_2.put_object_tagging(Bucket=name, Key=key, Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
    upload = version_2.create_multipart_upload(Bucket=name, Key="parts")["UploadId"]
    part = version_2.upload_part(Bucket=name, Key="parts", UploadId=upload, PartNumber=1, Body=b"y")
    version_2.complete_multipart_upload(Bucket=name, Key="parts", UploadId=upload, MultipartUpload={
        "Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    version_2.copy_object(Bucket=name, Key="copy", CopySource={"Bucket": name, "Key": key})
    version_2.delete_objects(Bucket=name, Delete={"Objects": [{"Key": key}, {"Key": "copy"}, {"Key": "parts"}]})
    version_2.delete_bucket(Bucket=name)


@pytest.mark.parametrize("ending", ["", "/"])
def test_a_bucket_may_be_signed_by_2_with_a_slash_or_without(embedded, ending):
    headers = signed_by_2(embedded, "GET", f"/{embedded.name}", f"/{embedded.name}{ending}", {"Date": dated()})
    assert embedded.raw.send("GET", f"/{embedded.name}", headers, b"").status == 200


@pytest.mark.parametrize("change, refused", [
    ({"Date": None}, (403, "AccessDenied")), ({"Date": "yesterday"}, (403, "AccessDenied")),
    ({"Date": dated(-3600)}, (403, "RequestTimeTooSkewed")), ({"Date": dated(3600)}, (403, "RequestTimeTooSkewed"))])
def test_version_2_is_compared_with_the_clock(embedded, change, refused):
    embedded.put("key", b"before")
    headers = {name: value for name, value in {"Date": dated(), **change}.items() if value is not None}
    target = embedded.path("key")
    answer = embedded.raw.send("PUT", target, signed_by_2(embedded, "PUT", target, target, headers), b"after")
    assert (answer.status, answer.code) == refused, answer
    assert embedded.body("key") == b"before"


def test_version_2_covers_what_it_signs(embedded):
    embedded.put("key", b"before")
    target = embedded.path("key")
    headers = signed_by_2(embedded, "PUT", target, target, {"Date": dated(), "Content-Type": "text/plain"})
    wrong = signed_by_2(embedded, "PUT", target, target, {"Date": dated()}, secret="wrong")
    for sent in (wrong, {**headers, "Content-Type": "text/html"}, {**headers, "x-amz-meta-a": "1"},
                 {**headers, "Date": dated(60)}):
        answer = embedded.raw.send("PUT", target, sent, b"after")
        assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch"), answer
    for target in (embedded.path("other"), embedded.path("key", "tagging")):
        assert embedded.raw.send("PUT", target, headers, b"after").status == 403
    stranger = {**headers, "Authorization": "AWS nobody:c2lnbmF0dXJl"}
    assert embedded.raw.send("PUT", embedded.path("key"), stranger, b"after").code == "InvalidAccessKeyId"
    assert embedded.keys() == ["key"] and embedded.body("key") == b"before"
    assert embedded.raw.send("PUT", embedded.path("key"), headers, b"after").status == 200


def test_a_url_presigned_by_2_lasts_for_its_time_and_for_a_bucket_too(embedded):
    store = embedded.store
    s3 = boto(store.url, store.access_key, store.secret_key)
    embedded.put("key", b"x")
    pool = urllib3.PoolManager(retries=False)
    url = s3.generate_presigned_url("list_objects_v2", {"Bucket": embedded.name}, ExpiresIn=60)
    assert "AWSAccessKeyId" in dict(parse_qsl(urlsplit(url).query)), "boto3 presigns by Version 2"
    assert b"<Key>key</Key>" in pool.request("GET", url).data
    late = s3.generate_presigned_url("get_object", {"Bucket": embedded.name, "Key": "key"}, ExpiresIn=-1)
    answer = pool.request("GET", late)
    assert answer.status == 403 and b"<Code>AccessDenied</Code>" in answer.data


def test_version_4_may_sign_the_date_alone(embedded):
    """Without x-amz-date."""
    target, date = embedded.path("key"), dated()

    class Signer(S3SigV4Auth):
        def _modify_request_before_signing(self, request):
            request.headers["Date"] = date
            request.headers["x-amz-content-sha256"] = UNSIGNED

    for wrong in (False, True):
        request = AWSRequest(method="PUT", url=embedded.store.url + target, data=b"x")
        Signer(embedded.raw.credentials, "s3", REGION).add_auth(request)
        headers = {**dict(request.headers.items()), "Host": f"{embedded.raw.host}:{embedded.raw.port}"}
        if wrong:
            headers["Date"] = dated(30)
        answer = embedded.raw.send("PUT", target, headers, b"x")
        assert (answer.status, answer.code) == ((403, "SignatureDoesNotMatch") if wrong else (200, None)), answer
    del headers["Date"]
    answer = embedded.raw.send("PUT", target, headers, b"x")
    assert (answer.status, answer.code) == (403, "AccessDenied"), answer


def test_who_does_not_sign_gets_nothing(embedded):
    """Also where what is asked for is not there."""
    embedded.put("key", b"x")
    host = {"Host": f"{embedded.raw.host}:{embedded.raw.port}"}
    missing = Bucket(embedded.store, "no-such-bucket")
    for method, target in (("GET", "/"), ("GET", embedded.path()), ("HEAD", embedded.path("key")),
                           ("PUT", embedded.path("key")), ("DELETE", embedded.path("key")),
                           ("GET", embedded.path("missing")), ("GET", missing.path("key")), ("PUT", missing.path())):
        answer = embedded.raw.send(method, target, host, b"")
        assert (answer.status, answer.fields.get("Message", "Access Denied")) == (403, "Access Denied"), answer
    for scheme in ("Basic eDp5", "AWS", ""):
        answer = embedded.raw.send("GET", embedded.path("key"), {**host, "Authorization": scheme}, b"")
        assert (answer.status, answer.code) == (400, "InvalidArgument"), answer
    assert embedded.body("key") == b"x"


@pytest.mark.parametrize("target", ["key", "key?tagging", "?cors"])
def test_a_body_whose_length_nothing_says_is_not_taken(embedded, target):
    """AWS knows no chunks but its own."""
    embedded.put("key", b"before")
    headers = embedded.raw.signed("PUT", f"/{embedded.name}/{target}", {"Transfer-Encoding": "chunked"},
                                  b"", UNSIGNED)
    answer = embedded.raw.send("PUT", f"/{embedded.name}/{target}", headers, b"1\r\nx\r\n0\r\n\r\n")
    assert (answer.status, answer.code, answer.fields["Header"]) == (501, "NotImplemented", "Transfer-Encoding")
    assert embedded.body("key") == b"before"


def test_a_body_in_chunks_of_http_is_taken_if_its_own_framing_says_the_length(embedded):
    body, target = b"x" * 1000, embedded.path("key")
    headers, framed = with_trailer(body, "x-amz-checksum-crc32", crc32(body))
    headers = embedded.raw.signed("PUT", target, {**headers, "Transfer-Encoding": "chunked"}, b"", TRAILER)
    answer = embedded.raw.send("PUT", target, headers, b"%x\r\n%b\r\n0\r\n\r\n" % (len(framed), framed))
    assert answer.status == 200, answer
    assert embedded.body("key") == body


def test_a_body_is_asked_for_only_if_its_head_is_right(embedded):
    """With `Expect: 100-continue` (RFC 9110 §10.1.1)."""
    target, expect = embedded.path("key"), {"Expect": "100-continue", "Content-Length": "1"}
    signed = embedded.raw.signed("PUT", target, expect, b"x")
    unsigned = {**expect, "Host": f"{embedded.raw.host}:{embedded.raw.port}"}
    for headers, first in ((signed, b"100"), (unsigned, b"403")):
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        with socket.create_connection((embedded.raw.host, embedded.raw.port), timeout=20) as connection:
            connection.sendall(f"PUT {target} HTTP/1.1\r\n{lines}\r\n".encode())
            answer = connection.makefile("rb")
            assert answer.readline().split()[1] == first
            if first == b"100":
                assert answer.readline() == b"\r\n"
                connection.sendall(b"x")
                assert answer.readline().split()[1] == b"200"
    assert embedded.body("key") == b"x"
