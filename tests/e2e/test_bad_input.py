"""Bad input: each answered with a clear S3 error, and nothing at the store has changed.

Every case is sent on a connection of its own, byte by byte as it stands here. After each, the store
holds what it held before, and the proxy serves the next client. In the end the proxies stop at
once: nothing they refused is still under way.
"""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import struct
import time
import zlib
from dataclasses import dataclass, replace
from xml.etree import ElementTree

import pytest

from clients import UNSIGNED, Answer
from conftest import Front, new_bucket
from proxies import CLIENT_SECRET, Settings, in_front_of
from test_signatures import signed_chunks

KEPT = b"kept"
MIB = 1 << 20
BODY_MAX = 32 * MIB
IDLE_SECONDS = 1
PATIENCE_SECONDS = 20


@pytest.fixture(scope="module", params=["memory", "redis"])
def front(request, store_named, redis_server, tmp_path_factory):
    """A proxy over a store that ignores conditions and overwrites whatever it is told to."""
    store = replace(store_named("embedded-ignoring"), empty_segments="refuse")
    bucket = new_bucket(store)
    register = redis_server.new_database() if request.param == "redis" else "memory:"
    settings = Settings(register=register, body_max="32MiB", body_memory="16MiB",
                        body_idle_timeout=IDLE_SECONDS)
    directory = tmp_path_factory.mktemp("bad-input")
    proxy = in_front_of(store, bucket, directory, settings, f"ifmatch-bad-{request.param}")
    front = Front(proxy, store, bucket)
    front.store_s3.put_object(Bucket=bucket, Key="kept", Body=KEPT)
    yield front
    began = time.monotonic()
    assert proxy.stop() == 0
    took = time.monotonic() - began
    assert took < 5, f"something refused was still under way: stopping took {took:.1f} s"
    left = os.listdir(directory / "spool")
    assert not left, f"spool files were left behind: {left}"
    panics = [line for line in proxy.process.lines if "panicked" in line]
    assert not panics, panics


def everything_at(front: Front) -> dict:
    """All that the bucket holds, read at the store itself."""
    listed = front.store_s3.list_objects_v2(Bucket=front.bucket).get("Contents", [])
    objects = {
        each["Key"]: front.store_s3.get_object(Bucket=front.bucket, Key=each["Key"])["Body"].read()
        for each in listed
    }
    buckets = [each["Name"] for each in front.store_s3.list_buckets()["Buckets"]]
    return {"objects": objects, "buckets": sorted(buckets)}


@pytest.fixture
def unharmed(front):
    """What the test sends changes nothing, and the next client is served."""
    before = everything_at(front)
    yield
    assert everything_at(front) == before
    assert front.proxy.process.running()
    good = front.raw.put(front.path("good"), b"good")
    assert good.status == 200, str(good)
    assert front.raw.get(front.path("good")).body == b"good"
    front.store_s3.delete_object(Bucket=front.bucket, Key="good")


class Talk:
    """A connection, and all that the proxy said on it."""

    def __init__(self, front: Front):
        self.socket = socket.create_connection((front.raw.host, front.raw.port), PATIENCE_SECONDS)
        self.said = b""

    def send(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before all was sent: the answer may still be there

    def hear_all(self) -> list[Answer]:
        """Every answer until the proxy closes the connection."""
        try:
            while data := self.socket.recv(65536):
                self.said += data
        except ConnectionResetError:
            pass
        finally:
            self.socket.close()
        return answers_in(self.said)


def answers_in(said: bytes) -> list[Answer]:
    answers = []
    while said:
        head, separator, said = said.partition(b"\r\n\r\n")
        assert separator, f"no answer: {head!r}"
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in
                   (line.partition(":") for line in lines)}
        status = int(first.split()[1])
        length = int(headers.get("content-length", 0)) if status >= 200 else 0
        answers.append(Answer(status, headers, said[:length]))
        said = said[length:]
    return answers


def refused(answer: Answer, status: int, code: str) -> None:
    """An S3 error document, with the id that the headers and the log name."""
    assert (answer.status, answer.code) == (status, code), str(answer)
    assert answer.headers["content-type"] == "application/xml"
    assert answer.fields["Message"]
    assert answer.fields["RequestId"] == answer.headers["x-amz-request-id"]
    ElementTree.fromstring(answer.body)


def lines(front: Front, method: str = "PUT", key: str = "kept", query: str = "",
          headers: dict | None = None, without=(), payload: str = UNSIGNED) -> list[str]:
    """The lines of a request that is signed and good but for what a test does to it."""
    target = front.path(key) + query
    signed = front.raw.signed(method, target, headers, payload=payload)
    kept = [f"{name}: {value}" for name, value in signed.items() if name.lower() not in without]
    return [f"{method} {target} HTTP/1.1", *kept]


def wire(front_lines: list[str], *more: str, body: bytes = b"", end: str = "\r\n") -> bytes:
    return (end.join([*front_lines, *more]) + end * 2).encode("latin-1") + body


def smuggled(front: Front) -> bytes:
    """A signed request that deletes what is kept, to hide in another one's body."""
    return wire(lines(front, "DELETE"))


# === heads that two readers could take for two different requests (RFC 9112 §11.2) ===

@dataclass
class Framing:
    fields: list[str]
    status: int = 400
    code: str = "BadRequest"


FRAMINGS = {
    "CL.TE": Framing(["Content-Length: {length}", "Transfer-Encoding: chunked"]),
    "TE.CL": Framing(["Transfer-Encoding: chunked", "Content-Length: 5"]),
    "TE.TE": Framing(["Transfer-Encoding: chunked", "Transfer-Encoding: identity"]),
    "TE unknown": Framing(["Transfer-Encoding: xchunked"], 501, "NotImplemented"),
    "TE in a list": Framing(["Transfer-Encoding: gzip, chunked"], 501, "NotImplemented"),
    "TE not last": Framing(["Transfer-Encoding: chunked, identity"], 501, "NotImplemented"),
    "TE with a space before the colon": Framing(["Content-Length: 5",
                                                 "Transfer-Encoding : chunked"]),
    "TE folded": Framing(["Content-Length: 5", "a: b", " Transfer-Encoding: chunked"]),
    "TE after a bare LF": Framing(["Content-Length: 5", "a: b\nTransfer-Encoding: chunked"]),
    "TE after a bare CR": Framing(["Content-Length: 5", "a: b\rTransfer-Encoding: chunked"]),
    "two lengths": Framing(["Content-Length: {length}", "Content-Length: 5"]),
    "the same length twice": Framing(["Content-Length: 5", "Content-Length: 5"]),
    "a list of lengths": Framing(["Content-Length: 5, 5"]),
    "a negative length": Framing(["Content-Length: -1"]),
    "a length with a sign": Framing(["Content-Length: +5"]),
    "a length in hex": Framing(["Content-Length: 0x5"]),
    "a length in floating point": Framing(["Content-Length: 5e0"]),
    "an empty length": Framing(["Content-Length:"]),
    "a length of 2^63": Framing([f"Content-Length: {1 << 63}"]),
    "a length of 2^64 + 5": Framing([f"Content-Length: {(1 << 64) + 5}"]),
    "a NUL in a value": Framing(["Content-Length: 5", "a: b\0c"]),
    "a NUL in a name": Framing(["Content-Length: 5", "a\0: b"]),
    "a line without a colon": Framing(["Content-Length: 5", "no colon"]),
    "a line without a name": Framing(["Content-Length: 5", ": no name"]),
    "a name with a space": Framing(["Content-Length: 5", "a b: c"]),
    "a name that is not ASCII": Framing(["Content-Length: 5", "\xe9: b"]),
    "two hosts": Framing(["Content-Length: 5", "Host: elsewhere"]),
}


@pytest.mark.parametrize("name", FRAMINGS)
def test_a_head_with_two_meanings_is_refused_and_what_follows_is_not_read(front, unharmed, name):
    framing = FRAMINGS[name]
    body = b"0\r\n\r\n" + smuggled(front)
    fields = [field.format(length=len(body)) for field in framing.fields]
    talk = Talk(front)
    talk.send(wire(lines(front), *fields, body=body))
    [answer] = talk.hear_all()
    refused(answer, framing.status, framing.code)
    assert answer.headers["connection"] == "close"


HEADS = {
    "LF alone ends lines": ("GET / HTTP/1.1\nHost: h\n\n", 400, "BadRequest"),
    "no host": ("GET /{bucket}/kept HTTP/1.1\r\n\r\n", 400, "BadRequest"),
    "no version": ("GET /{bucket}/kept\r\nHost: h\r\n\r\n", 400, "BadRequest"),
    "a space in the path": ("GET /{bucket}/a b HTTP/1.1\r\nHost: h\r\n\r\n", 400, "BadRequest"),
    "HTTP/1.0 with a transfer coding": (
        "PUT /{bucket}/kept HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400, "BadRequest"),
    "HTTP/3.0": ("GET / HTTP/3.0\r\nHost: h\r\n\r\n", 505, "HttpVersionNotSupported"),
    "HTTP/2 without being asked": ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505,
                                   "HttpVersionNotSupported"),
    "TLS": ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "BadRequest"),
    "CONNECT": ("CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n", 405, "MethodNotAllowed"),
    "a target that is *": ("OPTIONS * HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 400,
                           "InvalidURI"),
    "a target without a slash": ("GET kept HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 400,
                                 "InvalidURI"),
    "an unknown method": ("BREW /{bucket}/kept HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
                          403, "AccessDenied"),
    "a method of 60,000 letters": (
        "A" * 60_000 + " / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 403,
        "AccessDenied"),
    "10,000 headers": ("GET / HTTP/1.1\r\nHost: h\r\n" +
                       "".join(f"x-{n}: {n}\r\n" for n in range(10_000)) + "\r\n", 400,
                       "RequestHeaderSectionTooLarge"),
    "300 headers": ("GET / HTTP/1.1\r\nHost: h\r\n" +
                    "".join(f"x-{n}: {n}\r\n" for n in range(300)) + "\r\n", 400,
                    "RequestHeaderSectionTooLarge"),
    "a header of 1 MiB": (f"GET / HTTP/1.1\r\nHost: h\r\na: {'b' * MIB}\r\n\r\n", 400,
                          "RequestHeaderSectionTooLarge"),
    "a path of 1 MiB": (f"GET /{'b' * MIB} HTTP/1.1\r\nHost: h\r\n\r\n", 400,
                        "RequestHeaderSectionTooLarge"),
}


@pytest.mark.parametrize("name", HEADS)
def test_a_head_that_is_none_is_told_so(front, unharmed, name):
    head, status, code = HEADS[name]
    talk = Talk(front)
    talk.send(head.replace("{bucket}", front.bucket).encode("latin-1"))
    if name == "TLS":
        talk.socket.shutdown(socket.SHUT_WR)
    [answer] = talk.hear_all()
    refused(answer, status, code)


def test_the_log_has_a_line_for_a_refused_head(front, unharmed):
    talk = Talk(front)
    talk.send(b"GET / HTTP/1.1\r\nno colon\r\n\r\n")
    [answer] = talk.hear_all()
    request_id = answer.headers["x-amz-request-id"]
    front.proxy.process.wait_for_line(f"{request_id}.*BadRequest|BadRequest.*{request_id}")


def test_an_upgrade_is_not_taken_up(front, unharmed):
    """RFC 9110 §7.8: a server may ignore it; Java's own client asks for HTTP/2 each time."""
    talk = Talk(front)
    talk.send(wire(lines(front, "GET"), "Connection: Upgrade, HTTP2-Settings, close",
                   "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"))
    [answer] = talk.hear_all()
    assert (answer.status, answer.body) == (200, KEPT)


def test_a_target_in_absolute_form_is_understood(front, unharmed):
    """RFC 9112 §3.2.2: a client that takes us for a forward proxy."""
    for host, status in ((f"{front.raw.host}:{front.raw.port}", 200), ("elsewhere", 400)):
        talk = Talk(front)
        first, *rest = lines(front, "GET")
        talk.send(wire([first.replace(" /", f" http://{host}/", 1), *rest], "Connection: close"))
        [answer] = talk.hear_all()
        assert answer.status == status, str(answer)
        assert status != 200 or answer.body == KEPT


def test_http_1_0_is_served(front, unharmed):
    talk = Talk(front)
    first, *rest = lines(front, "GET")
    talk.send(wire([first.replace("HTTP/1.1", "HTTP/1.0"), *rest]))
    [answer] = talk.hear_all()
    assert (answer.status, answer.body) == (200, KEPT)


def test_a_request_behind_a_refused_one_is_not_served(front, unharmed):
    """The body of the first is not read; what follows it may be anything."""
    talk = Talk(front)
    length = BODY_MAX + 1
    talk.send(wire(lines(front), f"Content-Length: {length}", body=smuggled(front)))
    talk.socket.shutdown(socket.SHUT_WR)
    [answer] = talk.hear_all()
    refused(answer, 400, "EntityTooLarge")


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: h\r\na: "])
def test_a_head_that_trickles_is_given_up(front, unharmed, sent):
    """A byte now and then does not hold the connection open."""
    talk = Talk(front)
    talk.send(b"\r\n" + sent)
    began = time.monotonic()
    talk.socket.settimeout(IDLE_SECONDS / 8)
    while True:
        talk.send(b"x")
        try:
            talk.said += talk.socket.recv(65536)
            break
        except TimeoutError:
            assert time.monotonic() - began < IDLE_SECONDS + 5, "still waiting for the head"
    talk.socket.shutdown(socket.SHUT_WR)
    talk.socket.settimeout(PATIENCE_SECONDS)
    [answer] = talk.hear_all()
    refused(answer, 400, "RequestTimeout")
    assert time.monotonic() - began > IDLE_SECONDS / 2


# === heads that contradict themselves ===

MD5 = base64.b64encode(hashlib.md5(b"hello").digest()).decode()
OTHER_MD5 = base64.b64encode(hashlib.md5(b"other").digest()).decode()

CONTRADICTIONS = {
    "two If-Match": (["If-Match: \"a\"", "If-Match: \"b\""], 501, "NotImplemented"),
    "If-Match and If-None-Match": (["If-Match: \"a\"", "If-None-Match: *"], 501,
                                   "NotImplemented"),
    "two Content-MD5": ([f"Content-MD5: {MD5}", f"Content-MD5: {OTHER_MD5}"], 400,
                        "InvalidRequest"),
    "a Content-MD5 that is none": (["Content-MD5: hello"], 400, "InvalidDigest"),
    "a wrong Content-MD5": ([f"Content-MD5: {OTHER_MD5}"], 400, "BadDigest"),
    "two copy sources": (["x-amz-copy-source: {bucket}/kept", "x-amz-copy-source: {bucket}/b"],
                         403, "AccessDenied"),
    "a checksum that is not signed": (["x-amz-checksum-crc32: AAAAAA=="], 403, "AccessDenied"),
    "two authorizations": (["Authorization: AWS4-HMAC-SHA256 Credential=a"], 400,
                           "InvalidArgument"),
    "Connection names a header": (["Connection: close, x-amz-content-sha256"], 400,
                                  "InvalidRequest"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_head_that_contradicts_itself_is_refused(front, unharmed, name):
    fields, status, code = CONTRADICTIONS[name]
    fields = [field.format(bucket=front.bucket) for field in fields]
    talk = Talk(front)
    talk.send(wire(lines(front), *fields, "Connection: close", "Content-Length: 5", body=b"hello"))
    talk.socket.shutdown(socket.SHUT_WR)
    [answer] = talk.hear_all()
    refused(answer, status, code)


SIGNED_CONTRADICTIONS = {
    "a checksum that is none": ({"x-amz-checksum-crc32": "hello"}, 400, "InvalidRequest"),
    "a wrong checksum": ({"x-amz-checksum-crc32": "AAAAAA=="}, 400, "BadDigest"),
    "two checksums": ({"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-crc32c": "AAAAAA=="},
                      400, "InvalidRequest"),
    "a trailer without chunks": ({"x-amz-trailer": "x-amz-checksum-crc32"}, 400, "InvalidRequest"),
    "If-None-Match with an ETag": ({"If-None-Match": "\"a\""}, 501, "NotImplemented"),
}


@pytest.mark.parametrize("name", SIGNED_CONTRADICTIONS)
def test_a_signed_head_that_contradicts_itself_is_refused(front, unharmed, name):
    headers, status, code = SIGNED_CONTRADICTIONS[name]
    answer = front.raw.put(front.path("kept"), b"hello", headers=headers, payload=UNSIGNED)
    refused(answer, status, code)


# === names ===

NAMES = {
    "a key of 1,025 bytes": ("/{bucket}/" + "k" * 1025, 400, "KeyTooLongError"),
    "a key of 1,025 bytes in two": ("/{bucket}/k" + "%C3%A9" * 512, 400, "KeyTooLongError"),
    "a key of 20,000 bytes": ("/{bucket}/" + "k" * 20_000, 400, "KeyTooLongError"),
    "a key that is not UTF-8": ("/{bucket}/%ff", 400, "InvalidURI"),
    "a key of half a character": ("/{bucket}/%C3", 400, "InvalidURI"),
    "a surrogate": ("/{bucket}/%ED%A0%80", 400, "InvalidURI"),
    "an overlong slash": ("/{bucket}/a%C0%AFb", 400, "InvalidURI"),
    "half an escape": ("/{bucket}/a%2", 400, "InvalidURI"),
    "an escape that is none": ("/{bucket}/a%zz", 400, "InvalidURI"),
    "a NUL": ("/{bucket}/a%00b", 400, "InvalidArgument"),
    "dots": ("/{bucket}/a/../kept", 400, "InvalidArgument"),
    "escaped dots": ("/{bucket}/a%2F%2e%2e%2fkept", 400, "InvalidArgument"),
    "an empty segment": ("/{bucket}//kept", 400, "InvalidArgument"),
    "a bucket with an escaped slash": ("/{bucket}%2Fkept", 400, "InvalidBucketName"),
    "a bucket of dots": ("/../kept", 400, "InvalidBucketName"),
    "no bucket": ("//kept", 400, "InvalidBucketName"),
    "a bucket of 300 letters": ("/" + "b" * 300 + "/kept", 400, "InvalidBucketName"),
}


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_name_is_refused(front, unharmed, name, method):
    target, status, code = NAMES[name]
    target = target.replace("{bucket}", front.bucket)
    refused(front.raw.request(method, target, payload=UNSIGNED), status, code)


@pytest.mark.parametrize("key", ["k" * 100, "%C3%A9" * 40, "a+b", "%25%20~", "a/b/c"])
def test_a_long_or_odd_key_is_a_key(front, unharmed, key):
    assert front.raw.put(front.path(key), b"odd", payload=UNSIGNED).status == 200
    assert front.raw.get(front.path(key)).body == b"odd"
    assert front.raw.delete(front.path(key)).status == 204


def test_a_key_of_1024_bytes_is_not_too_long(front_on):
    front = front_on("embedded", "memory", "shared")
    path = front.path("k" * 1024)
    assert front.raw.put(path, b"long", payload=UNSIGNED).status == 200
    assert front.raw.get(path).body == b"long"
    refused(front.raw.put(path + "k", b"long", payload=UNSIGNED), 400, "KeyTooLongError")


QUERIES = {
    "an upload without a part": ("?uploadId=x", 400, "InvalidArgument"),
    "an upload without an id": ("?uploadId=", 400, "InvalidArgument"),
    "a part without an upload": ("?partNumber=1", 400, "InvalidArgument"),
    "a part twice": ("?partNumber=1&partNumber=2&uploadId=y", 400, "InvalidArgument"),
    "a part of an upload and a version": ("?partNumber=1&uploadId=y&versionId=1", 400,
                                          "InvalidArgument"),
    "a copy source": ("?x-amz-copy-source=b%2Fk", 501, "NotImplemented"),
    "a method in it": ("?x-http-method-override=DELETE", 501, "NotImplemented"),
    "not UTF-8": ("?versionId=%ff", 400, "InvalidURI"),
    "half an escape": ("?versionId=%2", 400, "InvalidURI"),
    "a presigned request that is none": ("?X-Amz-Signature=0", 400, "InvalidArgument"),
    "Version 2": ("?AWSAccessKeyId=a&Signature=b&Expires=1", 400, "InvalidArgument"),
}


@pytest.mark.parametrize("name", QUERIES)
def test_an_absurd_query_is_refused(front, unharmed, name):
    query, status, code = QUERIES[name]
    refused(front.raw.put(front.path("kept") + query, b"", payload=UNSIGNED), status, code)


def test_a_query_of_two_operations_changes_no_object(front, unharmed):
    answer = front.raw.put(front.path("kept") + "?acl&tagging", b"", payload=UNSIGNED)
    assert 400 <= answer.status <= 501, str(answer)
    assert answer.code, str(answer)


# === bodies ===

def test_5_gib_and_a_byte_are_refused_before_the_body(front_on):
    front = front_on("embedded-ignoring", "memory", "shared")
    for more in ("Expect: 100-continue", "Accept: */*"):
        talk = Talk(front)
        talk.send(wire(lines(front), f"Content-Length: {(5 << 30) + 1}", more))
        talk.socket.shutdown(socket.SHUT_WR)
        [answer] = talk.hear_all()
        refused(answer, 400, "EntityTooLarge")
        assert answer.fields["MaxSizeAllowed"] == str(5 << 30)


def chunked_lines(front: Front, payload: str, length: str, key: str = "kept", query: str = "",
                  **more: str) -> list[str]:
    return lines(front, key=key, query=query, payload=payload, headers={
        "Content-Encoding": "aws-chunked", "x-amz-decoded-content-length": length, **more})


TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
SIGNED_CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
CRC = base64.b64encode(zlib.crc32(b"hello").to_bytes(4, "big")).decode()
FRAMED = f"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:{CRC}\r\n\r\n".encode()

CHUNKED = {
    "no decoded length": ("", FRAMED, 411, "MissingContentLength"),
    "a decoded length that is none": ("five", FRAMED, 400, "InvalidRequest"),
    "a negative decoded length": ("-5", FRAMED, 400, "InvalidRequest"),
    "a decoded length of 2^64": (str(1 << 64), FRAMED, 400, "InvalidRequest"),
    "a decoded length beyond the limit": (str(BODY_MAX + 1), FRAMED, 400, "EntityTooLarge"),
    "a decoded length too long": ("6", FRAMED, 400, "IncompleteBody"),
    "a decoded length too short": ("4", FRAMED, 403, "InvalidChunkSizeError"),
    "no last chunk": ("5", b"5\r\nhello\r\n", 400, "IncompleteBody"),
    "half a chunk": ("5", b"5\r\nhel", 400, "IncompleteBody"),
    "half a size": ("5", b"5", 400, "IncompleteBody"),
    "a size that is none": ("5", b"five\r\nhello\r\n0\r\n\r\n", 400, "InvalidRequest"),
    "a negative size": ("5", b"-5\r\nhello\r\n0\r\n\r\n", 400, "InvalidRequest"),
    "a size of 2^64": ("5", b"10000000000000000\r\nhello\r\n0\r\n\r\n", 403,
                      "InvalidChunkSizeError"),
    "a size of 2^64 - 1": ("5", b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n", 403,
                          "InvalidChunkSizeError"),
    "a size line without an end": ("5", b"0" * 100_000, 400, "InvalidRequest"),
    "a chunk longer than it says": ("5", b"4\r\nhello\r\n0\r\n\r\n", 400, "InvalidRequest"),
    "data after the end": ("5", FRAMED + b"5\r\nhello\r\n", 400, "InvalidRequest"),
    "no trailer": ("5", b"5\r\nhello\r\n0\r\n\r\n", 400, "MalformedTrailerError"),
    "another trailer": ("5", b"5\r\nhello\r\n0\r\nx-amz-checksum-sha1:AAAA\r\n\r\n", 400,
                        "MalformedTrailerError"),
    "a trailer that is none": ("5", b"5\r\nhello\r\n0\r\nhello\r\n\r\n", 400,
                               "MalformedTrailerError"),
    "a wrong trailer": ("5", FRAMED.replace(CRC.encode(), b"AAAAAA=="), 400, "BadDigest"),
}


@pytest.mark.parametrize("how", ["length", "chunked"])
@pytest.mark.parametrize("name", CHUNKED)
def test_a_lie_in_aws_chunked_is_refused(front, unharmed, name, how):
    length, body, status, code = CHUNKED[name]
    head = chunked_lines(front, TRAILER, length, **{"x-amz-trailer": "x-amz-checksum-crc32"})
    if name == "no decoded length":
        head = lines(front, payload=TRAILER, headers={"x-amz-trailer": "x-amz-checksum-crc32"})
    field = f"Content-Length: {len(body)}"
    if how == "chunked":
        field = "Transfer-Encoding: chunked"
        body = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    talk = Talk(front)
    talk.send(wire(head, field, "Connection: close", body=body))
    [answer] = talk.hear_all()
    refused(answer, status, code)


@pytest.mark.parametrize("what", ["the first signature", "the last signature", "no signature"])
def test_a_wrong_chunk_signature_is_refused(front, unharmed, what):
    target = front.path("kept")
    headers = front.raw.signed("PUT", target, {
        "Content-Encoding": "aws-chunked", "x-amz-decoded-content-length": "6",
    }, payload=SIGNED_CHUNKS)
    body = signed_chunks(headers, CLIENT_SECRET, [b"abc", b"def"])
    at = {"the first signature": body.index(b"="), "the last signature": body.rindex(b"="),
          "no signature": body.index(b"=")}[what] + 1
    body = body[:at] + (b"" if what == "no signature" else b"0" * 8) + body[at + 8:]
    refused(front.raw.send("PUT", target, headers, body), 403, "SignatureDoesNotMatch")


TRANSFER_CHUNKS = {
    "a size that is none": b"zz\r\nhello\r\n0\r\n\r\n",
    "a negative size": b"-5\r\nhello\r\n0\r\n\r\n",
    "a size of 2^64": b"10000000000000000\r\nhello\r\n0\r\n\r\n",
    "a chunk longer than it says": b"4\r\nhello\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("query", ["", "?partNumber=1&uploadId={upload}"], ids=["put", "part"])
@pytest.mark.parametrize("name", TRANSFER_CHUNKS)
def test_a_transfer_that_is_not_chunked_is_refused(front, unharmed, name, query):
    upload = front.store_s3.create_multipart_upload(Bucket=front.bucket, Key="kept")["UploadId"]
    head = chunked_lines(front, TRAILER, "5", query=query.format(upload=upload),
                         **{"x-amz-trailer": "x-amz-checksum-crc32"})
    talk = Talk(front)
    talk.send(wire(head, "Transfer-Encoding: chunked",
                   body=TRANSFER_CHUNKS[name] + smuggled(front)))
    [answer] = talk.hear_all()
    refused(answer, 400, "IncompleteBody")
    parts = front.store_s3.list_parts(Bucket=front.bucket, Key="kept", UploadId=upload)
    assert not parts.get("Parts")
    front.store_s3.abort_multipart_upload(Bucket=front.bucket, Key="kept", UploadId=upload)


def part_lines(front: Front) -> list[str]:
    upload = front.store_s3.create_multipart_upload(Bucket=front.bucket, Key="kept")["UploadId"]
    return lines(front, query=f"?partNumber=1&uploadId={upload}")


CUT = {
    "a part": (lambda front: wire(part_lines(front), "Content-Length: 1000", body=b"x" * 999)),
    "plain": (lambda front: wire(lines(front), "Content-Length: 1000", body=b"x" * 999)),
    "plain, of nothing": (lambda front: wire(lines(front), "Content-Length: 1000")),
    "plain, spooled": (lambda front: wire(lines(front), f"Content-Length: {20 * MIB}",
                                          body=b"x" * (18 * MIB))),
    "chunked": (lambda front: wire(
        chunked_lines(front, TRAILER, "5", **{"x-amz-trailer": "x-amz-checksum-crc32"}),
        "Transfer-Encoding: chunked", body=f"{len(FRAMED):x}\r\n".encode() + FRAMED)),
    "aws-chunked": (lambda front: wire(
        chunked_lines(front, TRAILER, "5", **{"x-amz-trailer": "x-amz-checksum-crc32"}),
        f"Content-Length: {len(FRAMED)}", body=FRAMED[:-1])),
}


@pytest.mark.parametrize("how", ["FIN", "RST", "half-close", "silence"])
@pytest.mark.parametrize("name", CUT)
def test_a_body_cut_short_changes_nothing(front, unharmed, name, how):
    log, talk = front.proxy.process, Talk(front)
    mark = len(log.lines)
    talk.send(CUT[name](front))
    if how == "RST":
        talk.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if how in ("FIN", "RST"):
        talk.socket.close()
        log.wait_for_line(r'"message":"request".*"outcome":"(refused|client gone)"', since=mark)
        return
    if how == "half-close":
        talk.socket.shutdown(socket.SHUT_WR)
    [answer] = talk.hear_all()
    refused(answer, 400, "IncompleteBody" if how == "half-close" else "RequestTimeout")


# === documents ===

ENTITY_BOMB = b"""<?xml version="1.0"?><!DOCTYPE Delete [<!ENTITY a "aaaaaaaaaa">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><Delete><Object><Key>&b;</Key></Object></Delete>"""
ONE = b"<Object><Key>kept</Key></Object>"

DELETES = {
    "empty": b"",
    "no XML": b"hello",
    "not closed": b"<Delete>" + ONE,
    "closed twice": b"<Delete>" + ONE + b"</Delete></Delete>",
    "two roots": b"<Delete>" + ONE + b"</Delete><Delete/>",
    "another root": b"<Remove>" + ONE + b"</Remove>",
    "no keys": b"<Delete></Delete>",
    "an object without a key": b"<Delete><Object></Object></Delete>",
    "a key twice in one object": b"<Delete><Object><Key>a</Key><Key>kept</Key></Object></Delete>",
    "an unknown element": b"<Delete><Object><Key>kept</Key><If>1</If></Object></Delete>",
    "Quiet that is neither": b"<Delete><Quiet>perhaps</Quiet>" + ONE + b"</Delete>",
    "a DTD": b"<!DOCTYPE Delete SYSTEM 'file:///etc/passwd'><Delete>" + ONE + b"</Delete>",
    "an entity bomb": ENTITY_BOMB,
    "an unknown entity": b"<Delete><Object><Key>&kept;</Key></Object></Delete>",
    "a processing instruction": b"<?php 1 ?><Delete>" + ONE + b"</Delete>",
    "too deep": b"<Delete>" + b"<a>" * 100_000 + b"</a>" * 100_000 + b"</Delete>",
    "not UTF-8": b"<Delete><Object><Key>\xff</Key></Object></Delete>",
    "UTF-16": "<Delete><Object><Key>kept</Key></Object></Delete>".encode("utf-16"),
    "1,001 keys": b"<Delete>" + ONE * 1001 + b"</Delete>",
    "300,000 keys": b"<Delete>" + ONE * 300_000 + b"</Delete>",
    "16 MiB": b"<Delete>" + ONE + b" " * (16 * MIB) + b"</Delete>",
}


def post(front: Front, query: str, body: bytes, key: str | None = None) -> Answer:
    target = (front.path(key) if key else f"/{front.bucket}") + query
    md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
    return front.raw.request("POST", target, {"Content-MD5": md5}, body, payload=UNSIGNED)


@pytest.mark.parametrize("name", DELETES)
def test_a_malformed_delete_deletes_nothing(front, unharmed, name):
    refused(post(front, "?delete", DELETES[name]), 400, "MalformedXML")


def test_a_delete_with_a_wrong_digest_deletes_nothing(front, unharmed):
    body = b"<Delete>" + ONE + b"</Delete>"
    answer = front.raw.request("POST", f"/{front.bucket}?delete", {"Content-MD5": OTHER_MD5}, body,
                               payload=UNSIGNED)
    refused(answer, 400, "BadDigest")


def test_bad_keys_in_a_delete_are_refused_one_by_one(front, unharmed):
    keys = ["k" * 1025, "a/../kept", "a//b", "a&#0;", "&#xD800;"]
    for key in keys:
        answer = post(front, "?delete",
                      f"<Delete><Object><Key>{key}</Key></Object></Delete>".encode())
        if answer.status == 200:
            [error] = ElementTree.fromstring(answer.body)
            codes = [child.text for child in error if child.tag.endswith("Code")]
            assert codes and codes[0] in ("KeyTooLongError", "InvalidArgument"), str(answer)
        else:
            refused(answer, 400, "MalformedXML")


def parts(*numbers, inside: bytes = b"<ETag>a</ETag>") -> bytes:
    each = [b"<Part><PartNumber>%s</PartNumber>%s</Part>" % (str(number).encode(), inside)
            for number in numbers]
    return b"<CompleteMultipartUpload>" + b"".join(each) + b"</CompleteMultipartUpload>"


COMPLETE_CODES = {"part 0": "InvalidArgument", "part -1": "InvalidArgument",
                  "part 10,001": "InvalidArgument", "not in order": "InvalidPartOrder",
                  "a part twice": "InvalidPartOrder", "9 MiB": "MaxMessageLengthExceeded"}

COMPLETES = {
    "part 0": parts(0),
    "part -1": parts(-1),
    "part 10,001": parts(10_001),
    "not in order": parts(2, 1),
    "a part twice": parts(1, 1),
    "a part without an ETag": parts(1, inside=b""),
    "a part with two": parts(1, inside=b"<ETag>a</ETag><ETag>b</ETag>"),
    "an unknown element": parts(1, inside=b"<ETag>a</ETag><Size>1</Size>"),
    "10,001 parts": parts(*range(1, 10_001), 10_000),
    "a character that XML cannot hold": parts(1, inside=b"<ETag>&#1;</ETag>"),
    "another encoding": b"<?xml version='1.0' encoding='UTF-7'?>" + parts(1),
    "9 MiB": parts(1) + b" " * (9 * MIB),
    "empty": b"",
    "no XML": b"hello",
    "no parts": b"<CompleteMultipartUpload></CompleteMultipartUpload>",
    "another root": b"<Delete><Object><Key>kept</Key></Object></Delete>",
    "a DTD": b"<!DOCTYPE a [<!ENTITY a 'a'>]><CompleteMultipartUpload/>",
    "a part that is no number": b"<CompleteMultipartUpload><Part><PartNumber>x</PartNumber>"
                                b"<ETag>a</ETag></Part></CompleteMultipartUpload>",
}


@pytest.mark.parametrize("name", COMPLETES)
def test_a_malformed_complete_completes_nothing(front, unharmed, name):
    upload = front.store_s3.create_multipart_upload(Bucket=front.bucket, Key="kept")["UploadId"]
    answer = post(front, f"?uploadId={upload}", COMPLETES[name], "kept")
    refused(answer, 400, COMPLETE_CODES.get(name, "MalformedXML"))
    front.store_s3.abort_multipart_upload(Bucket=front.bucket, Key="kept", UploadId=upload)


# === forms ===

def part(name: str, value: str) -> str:
    return f'--B\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'


FILE = part('file"; filename="f', "hello")

FORMS = {
    "no key": (part("acl", "private") + FILE + "--B--\r\n", 400, "InvalidArgument"),
    "no file": (part("key", "kept") + "--B--\r\n", 400, "IncorrectNumberOfFilesInPostRequest"),
    # The fields name the sender, and are judged before the file is read.
    "two files": (part("key", "kept") + FILE + FILE + "--B--\r\n", 403, "AccessDenied"),
    "two keys": (part("key", "kept") + part("Key", "b") + FILE + "--B--\r\n", 400,
                 "InvalidArgument"),
    "no policy": (part("key", "kept") + FILE + "--B--\r\n", 403, "AccessDenied"),
    "a policy that is none": (part("key", "kept") + part("policy", "hello") + FILE + "--B--\r\n",
                              400, "InvalidArgument"),
    "not closed": (part("key", "kept") + FILE, 403, "AccessDenied"),
    "empty": ("", 400, "MalformedPOSTRequest"),
    "another boundary": ("--C--\r\n", 400, "MalformedPOSTRequest"),
    "a part without a name": ("--B\r\na: b\r\n\r\nc\r\n--B--\r\n", 400, "MalformedPOSTRequest"),
    "fields of 30,000 bytes": (part("key", "k" * 30_000) + FILE + "--B--\r\n", 400,
                               "MaxPostPreDataLengthExceededError"),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_form_that_is_none_uploads_nothing(front, unharmed, name):
    form, status, code = FORMS[name]
    answer = front.raw.send("POST", f"/{front.bucket}", {
        "Host": f"{front.raw.host}:{front.raw.port}",
        "Content-Type": "multipart/form-data; boundary=B"}, form.encode())
    refused(answer, status, code)
