"""Authentication: AWS's own errors for wrong keys, signatures, clocks and bodies."""

from __future__ import annotations

import base64
import hashlib
import hmac
import zlib

import pytest

from clients import UNSIGNED
from conftest import make_sure_of_bucket
from proxies import (ACCESS_KEY, CLIENT_SECRET, DOMAIN, LIMITED_BUCKET, LIMITED_KEY,
                     LIMITED_SECRET, READER_KEY, READER_SECRET)

OLD = b"kept"


@pytest.fixture
def front(plain_front):
    return plain_front


@pytest.fixture
def key(front):
    """An object that no refused request may touch."""
    name = front.new_key("signed")
    assert front.raw.put(front.path(name), OLD).status == 200
    yield name
    assert front.raw.get(front.path(name)).body == OLD


def refused(answer, status: int, code: str) -> None:
    assert (answer.status, answer.code) == (status, code), str(answer)


def test_an_unknown_access_key_is_refused(front, key):
    stranger = front.proxy.raw("nobody", CLIENT_SECRET)
    refused(stranger.put(front.path(key), b"x"), 403, "InvalidAccessKeyId")
    refused(stranger.get(front.path(key)), 403, "InvalidAccessKeyId")


def test_a_wrong_secret_is_refused(front, key):
    thief = front.proxy.raw(ACCESS_KEY, "not-the-secret")
    refused(thief.put(front.path(key), b"x"), 403, "SignatureDoesNotMatch")
    refused(thief.get(front.path(key)), 403, "SignatureDoesNotMatch")
    refused(thief.delete(front.path(key)), 403, "SignatureDoesNotMatch")


def test_an_anonymous_request_is_refused(front, key):
    host = {"Host": f"{front.raw.host}:{front.raw.port}"}
    refused(front.raw.send("GET", front.path(key), host, b""), 403, "AccessDenied")
    refused(front.raw.send("PUT", front.path(key), host, b"x"), 403, "AccessDenied")


@pytest.mark.parametrize("minutes, status", [(-16, 403), (16, 403), (-14, 200), (14, 200)])
def test_a_clock_may_be_15_minutes_off_and_no_more(front, key, minutes, status):
    answer = front.raw.get(front.path(key), clock_offset=60 * minutes)
    assert answer.status == status, str(answer)
    if status == 403:
        assert answer.code == "RequestTimeTooSkewed"
        refused(front.raw.put(front.path(key), b"x", clock_offset=60 * minutes), 403,
                "RequestTimeTooSkewed")


def test_a_changed_body_is_refused(front, key):
    answer = front.raw.put(front.path(key), b"signed", sent_body=b"forged")
    refused(answer, 400, "XAmzContentSHA256Mismatch")


def test_a_changed_header_path_or_method_is_refused(front, key):
    signed = front.raw.signed("PUT", front.path(key), {"x-amz-meta-a": "1"}, payload=UNSIGNED)
    forged = {**signed, "x-amz-meta-a": "2"}
    refused(front.raw.send("PUT", front.path(key), forged, b"x"), 403, "SignatureDoesNotMatch")
    signed = front.raw.signed("PUT", front.path("elsewhere"), payload=UNSIGNED)
    refused(front.raw.send("PUT", front.path(key), signed, b"x"), 403, "SignatureDoesNotMatch")
    signed = front.raw.signed("GET", front.path(key))
    refused(front.raw.send("DELETE", front.path(key), signed, b""), 403, "SignatureDoesNotMatch")


def test_an_amz_header_that_is_not_signed_is_refused(front, key):
    answer = front.raw.put(front.path(key), b"x", unsigned={"x-amz-meta-injected": "1"})
    refused(answer, 403, "AccessDenied")


def test_an_unsigned_condition_counts_all_the_same(front, key):
    """S3 honours If-* headers that the signature does not cover."""
    answer = front.raw.put(front.path(key), b"x", unsigned={"If-None-Match": "*"})
    refused(answer, 412, "PreconditionFailed")


@pytest.mark.parametrize("header, wrong", [
    ("Content-MD5", base64.b64encode(hashlib.md5(b"other").digest()).decode()),
    ("x-amz-checksum-crc32", base64.b64encode(zlib.crc32(b"other").to_bytes(4, "big")).decode()),
    ("x-amz-checksum-sha256", base64.b64encode(hashlib.sha256(b"other").digest()).decode()),
])
def test_a_wrong_checksum_is_refused(front, key, header, wrong):
    answer = front.raw.put(front.path(key), b"body", headers={header: wrong}, payload=UNSIGNED)
    refused(answer, 400, "BadDigest")


def test_nothing_about_a_key_is_told_to_who_did_not_prove_who_he_is(front, key):
    thief = front.proxy.raw(ACCESS_KEY, "not-the-secret")
    for condition in ({"If-None-Match": "*"}, {"If-Match": '"0123"'}):
        there = thief.put(front.path(key), b"x", headers=condition)
        missing = thief.put(front.path(front.new_key("none")), b"x", headers=condition)
        assert (there.status, there.code) == (missing.status, missing.code)
        assert there.status == 403


def test_a_read_only_client_reads_and_does_not_write(front, key):
    reader = front.proxy.raw(READER_KEY, READER_SECRET)
    assert reader.get(front.path(key)).body == OLD
    assert reader.head(front.path(key)).status == 200
    assert reader.get(f"/{front.bucket}?list-type=2").status == 200
    refused(reader.put(front.path(key), b"x"), 403, "AccessDenied")
    refused(reader.put(front.path(key), b"x", headers={"If-None-Match": "*"}), 403, "AccessDenied")
    refused(reader.delete(front.path(key)), 403, "AccessDenied")
    refused(reader.request("POST", front.path(key) + "?uploads"), 403, "AccessDenied")
    body = f"<Delete><Object><Key>{key}</Key></Object></Delete>".encode()
    md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
    refused(reader.request("POST", f"/{front.bucket}?delete", {"Content-MD5": md5}, body), 403,
            "AccessDenied")


def test_a_client_limited_to_buckets_sees_no_other(front, key):
    limited = front.proxy.raw(LIMITED_KEY, LIMITED_SECRET)
    refused(limited.get(front.path(key)), 403, "AccessDenied")
    refused(limited.put(front.path(key), b"x"), 403, "AccessDenied")
    refused(limited.get(f"/{front.bucket}?list-type=2"), 403, "AccessDenied")
    own = front.proxy.boto(LIMITED_KEY, LIMITED_SECRET)
    make_sure_of_bucket(front.store, LIMITED_BUCKET)
    own.put_object(Bucket=LIMITED_BUCKET, Key="mine", Body=b"1")
    assert own.get_object(Bucket=LIMITED_BUCKET, Key="mine")["Body"].read() == b"1"
    # Reading another bucket's object by copying it into one's own is no way round.
    refused(limited.put(f"/{LIMITED_BUCKET}/stolen",
                        headers={"x-amz-copy-source": f"/{front.bucket}/{key}"}), 403,
            "AccessDenied")


# AWS: Signature Calculations for the Authorization Header, "Transferring Payload in Multiple
# Chunks" (aws-chunked), and its form with a trailer that is not signed.

def _hmac(secret: bytes, text: str) -> bytes:
    return hmac.new(secret, text.encode(), hashlib.sha256).digest()


def signed_chunks(headers: dict[str, str], secret: str, chunks: list[bytes],
                  trailer: str | None = None) -> bytes:
    """The aws-chunked body whose seed signature is in `headers`, with a signed trailer or none."""
    authorization, stamp = headers["Authorization"], headers["X-Amz-Date"]
    previous = authorization.rpartition("Signature=")[2]
    scope = authorization.partition("Credential=")[2].partition(",")[0].partition("/")[2]
    signing_key = ("AWS4" + secret).encode()
    for step in scope.split("/"):
        signing_key = _hmac(signing_key, step)
    framed = b""
    for chunk in [*chunks, b""]:
        text = "\n".join(["AWS4-HMAC-SHA256-PAYLOAD", stamp, scope, previous,
                          hashlib.sha256(b"").hexdigest(), hashlib.sha256(chunk).hexdigest()])
        previous = _hmac(signing_key, text).hex()
        framed += f"{len(chunk):x};chunk-signature={previous}\r\n".encode() + chunk + b"\r\n"
    if trailer is None:
        return framed
    text = "\n".join(["AWS4-HMAC-SHA256-TRAILER", stamp, scope, previous,
                      hashlib.sha256(f"{trailer}\n".encode()).hexdigest()])
    signature = _hmac(signing_key, text).hex()
    return framed[:-2] + f"{trailer}\r\nx-amz-trailer-signature:{signature}\r\n\r\n".encode()


def chunked(front, target: str, payload: str, length: int, **more: str) -> dict[str, str]:
    return front.raw.signed("PUT", target, {
        "Content-Encoding": "aws-chunked", "x-amz-decoded-content-length": str(length), **more,
    }, payload=payload)


CHUNKS = [b"a" * 70_000, b"b" * 8192, b"c" * 5]
WHOLE = b"".join(CHUNKS)


def test_signed_chunks_are_verified_and_undone(front):
    target = front.path(front.new_key("chunks"))
    headers = chunked(front, target, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", len(WHOLE))
    body = signed_chunks(headers, CLIENT_SECRET, CHUNKS)
    assert front.raw.send("PUT", target, headers, body).status == 200
    assert front.raw.get(target).body == WHOLE


@pytest.mark.parametrize("what", ["a byte", "the order", "the last chunk's signature"])
def test_a_change_in_signed_chunks_is_refused(front, key, what):
    target, chunks = front.path(key), [b"1" * 1000, b"2" * 1000]
    headers = chunked(front, target, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", 2000)
    body = signed_chunks(headers, CLIENT_SECRET, chunks)
    if what == "a byte":
        body = body.replace(b"2" * 1000, b"2" * 999 + b"3")
    elif what == "the order":
        head1, data1, head2, data2, *rest = body.split(b"\r\n")
        body = b"\r\n".join([head2, data2, head1, data1, *rest])
    else:
        at = len(body) - len("x\r\n\r\n")
        body = body[:at] + (b"1" if body[at:at + 1] == b"0" else b"0") + body[at + 1:]
    refused(front.raw.send("PUT", target, headers, body), 403, "SignatureDoesNotMatch")


def crc32_line(checksum_of: bytes) -> str:
    crc = base64.b64encode(zlib.crc32(checksum_of).to_bytes(4, "big")).decode()
    return f"x-amz-checksum-crc32:{crc}"


@pytest.mark.parametrize("spoilt, status, code", [
    (None, 200, None), ("checksum", 400, "BadDigest"), ("signature", 403, "SignatureDoesNotMatch"),
    ("line", 403, "SignatureDoesNotMatch"), ("left out", 400, "MalformedTrailerError"),
])
def test_a_signed_trailer_is_verified_and_undone(front, spoilt, status, code):
    target = front.path(front.new_key("signed-trailer"))
    headers = chunked(front, target, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", len(WHOLE),
                      **{"x-amz-trailer": "x-amz-checksum-crc32", "If-None-Match": "*"})
    line = crc32_line(b"other" if spoilt == "checksum" else WHOLE)
    body = signed_chunks(headers, CLIENT_SECRET, CHUNKS, line)
    if spoilt == "signature":
        body = body[:-5] + bytes([body[-5] ^ 1]) + body[-4:]
    elif spoilt == "line":
        body = body.replace(line.encode(), crc32_line(b"other").encode())
    elif spoilt == "left out":
        body = signed_chunks(headers, CLIENT_SECRET, CHUNKS)
    answer = front.raw.send("PUT", target, headers, body)
    assert (answer.status, answer.code) == (status, code), str(answer)
    assert front.raw.get(target).status == (200 if status == 200 else 404)
    if status == 200:
        assert front.raw.get(target).body == WHOLE
        assert front.raw.send("PUT", target, headers, body).status == 412


def unsigned_trailer(checksum_of: bytes) -> bytes:
    framed = b"".join(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" for chunk in CHUNKS)
    return framed + f"0\r\n{crc32_line(checksum_of)}\r\n\r\n".encode()


def test_an_unsigned_trailer_is_verified_and_undone(front):
    target = front.path(front.new_key("trailer"))
    headers = chunked(front, target, "STREAMING-UNSIGNED-PAYLOAD-TRAILER", len(WHOLE),
                      **{"x-amz-trailer": "x-amz-checksum-crc32"})
    assert front.raw.send("PUT", target, headers, unsigned_trailer(WHOLE)).status == 200
    assert front.raw.get(target).body == WHOLE


def test_a_trailer_that_does_not_fit_the_body_is_refused(front, key):
    target = front.path(key)
    headers = chunked(front, target, "STREAMING-UNSIGNED-PAYLOAD-TRAILER", len(WHOLE),
                      **{"x-amz-trailer": "x-amz-checksum-crc32"})
    answer = front.raw.send("PUT", target, headers, unsigned_trailer(b"other"))
    refused(answer, 400, "BadDigest")


def test_a_declared_length_that_the_body_does_not_have_is_refused(front, key):
    target = front.path(key)
    headers = chunked(front, target, "STREAMING-UNSIGNED-PAYLOAD-TRAILER", len(WHOLE) + 1,
                      **{"x-amz-trailer": "x-amz-checksum-crc32"})
    answer = front.raw.send("PUT", target, headers, unsigned_trailer(WHOLE))
    assert answer.status == 400, str(answer)


def test_virtual_host_style_names_the_same_bucket(front, key):
    """Path style and virtual-host style are two spellings of one key; see the register agree."""
    target, host = f"/{key}", f"{front.bucket}.{DOMAIN}:{front.raw.port}"
    get = front.raw.signed("GET", target, {"Host": host})
    assert front.raw.send("GET", target, get, b"").body == OLD
    put = front.raw.signed("PUT", target, {"Host": host, "If-None-Match": "*"}, payload=UNSIGNED)
    refused(front.raw.send("PUT", target, put, b"x"), 412, "PreconditionFailed")


@pytest.mark.parametrize("spelling", ["a/./b", "a/../b", "../b", "a/%2e%2e/b", "a/.", "%2E/b"])
def test_dot_segments_are_refused(front, spelling):
    answer = front.raw.put(f"/{front.bucket}/{spelling}", b"x", payload=UNSIGNED)
    assert answer.status == 400, str(answer)


def test_an_empty_segment_is_refused_where_the_store_drops_it(front_on):
    """On s3rver `a//b` is `a/b`; a lock by name would be two locks for one object."""
    front = front_on("s3rver", "memory", "shared")
    answer = front.raw.put(f"/{front.bucket}/a//b", b"x", payload=UNSIGNED)
    assert answer.status == 400, str(answer)
    front = front_on("moto", "memory", "shared")
    assert front.raw.put(f"/{front.bucket}/a//b", b"two", payload=UNSIGNED).status == 200
    assert front.raw.put(f"/{front.bucket}/a/b", b"one", headers={"If-None-Match": "*"},
                         payload=UNSIGNED).status == 200
    assert front.raw.get(f"/{front.bucket}/a//b").body == b"two"


def test_two_spellings_are_one_key(front):
    key = front.new_key("spelt")
    first = front.raw.put(front.path(key + "%2Fx"), b"1", headers={"If-None-Match": "*"})
    assert first.status == 200, str(first)
    refused(front.raw.put(front.path(key + "/x"), b"2", headers={"If-None-Match": "*"}), 412,
            "PreconditionFailed")
    assert front.raw.get(front.path(key + "/%78")).body == b"1"


def test_a_secret_never_reaches_the_log(front):
    front.proxy.raw(ACCESS_KEY, "a-wrong-secret-to-look-for").get(front.path("x"))
    everything = "\n".join(front.proxy.process.lines)
    for secret in (CLIENT_SECRET, READER_SECRET, LIMITED_SECRET, front.store.secret_key,
                   "a-wrong-secret-to-look-for"):
        assert secret not in everything
    assert "Signature=" not in everything
