"""Connections: requests that follow each other, with bodies and without, in whatever pieces they come.

What a connection does is said: it is kept and then serves the next request, or `Connection: close`
stands on the answer. All is sent byte by byte as it stands here.
"""

from __future__ import annotations

import base64
import hashlib
import socket
import time

import pytest

from clients import UNSIGNED, Answer, boto
from proxies import CLIENT_SECRET, Settings, in_front_of
from relay import Relay
from conftest import Front, new_bucket
from test_signatures import signed_chunks

PATIENCE_SECONDS = 20
IDLE_SECONDS = 2


@pytest.fixture(scope="module")
def front(store_named, tmp_path_factory):
    """A proxy whose clients may be silent for two seconds."""
    store = store_named("embedded-ignoring")
    bucket = new_bucket(store)
    settings = Settings(body_idle_timeout=IDLE_SECONDS, body_least_rate="1000B")
    proxy = in_front_of(store, bucket, tmp_path_factory.mktemp("connections"), settings)
    front = Front(proxy, store, bucket)
    front.store_s3.put_object(Bucket=bucket, Key="kept", Body=b"kept")
    yield front
    assert proxy.stop() == 0


class Wire:
    """A connection; answers are read one by one."""

    def __init__(self, front: Front):
        self.socket = socket.create_connection((front.raw.host, front.raw.port), PATIENCE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.came = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *pieces: bytes) -> "Wire":
        for piece in pieces:
            try:
                self.socket.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before all was sent: the answer may still be there
        return self

    def _until(self, enough) -> None:
        while not enough():
            data = self.socket.recv(65536)
            assert data, f"closed after {self.came!r}"
            self.came += data

    def answer(self, method: str = "PUT") -> Answer:
        """The next one; informational ones are answers, too."""
        self._until(lambda: b"\r\n\r\n" in self.came)
        head, _, self.came = self.came.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in
                   (line.partition(":") for line in lines)}
        status = int(first.split()[1])
        length = int(headers.get("content-length", 0)) if method != "HEAD" else 0
        self._until(lambda: len(self.came) >= length)
        body, self.came = self.came[:length], self.came[length:]
        return Answer(status, headers, body)

    def is_closed(self) -> bool:
        """Nothing more came but the end."""
        self.socket.settimeout(5)
        try:
            return self.came == b"" and self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False


def request(front: Front, method: str = "GET", key: str = "kept", body: bytes | None = None,
            query: str = "", version: str = "HTTP/1.1", more: tuple[str, ...] = (),
            target: str | None = None, payload: str = UNSIGNED, **headers: str) -> bytes:
    """A signed request as it goes over the wire. `more` are lines that are not signed."""
    path = target or front.path(key) + query
    signed = front.raw.signed(method, path, {n.replace("_", "-"): v for n, v in headers.items()},
                              payload=payload)
    lines = [f"{method} {path} {version}", *(f"{n}: {v}" for n, v in signed.items()), *more]
    if body is not None and not any(line.startswith("Transfer-Encoding") for line in more):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def is_kept(answer: Answer) -> bool:
    return answer.headers["connection"].lower() == "keep-alive"


# === one after the other (RFC 9112 §9.3.2) ===

@pytest.mark.parametrize("count", [2, 50])
def test_requests_in_one_segment_are_answered_in_order(front, count):
    keys = [front.new_key("pipelined") for _ in range(count)]
    with Wire(front) as wire:
        wire.send(b"".join(request(front, "PUT", key, key.encode()) for key in keys))
        answers = [wire.answer() for _ in keys]
        assert [answer.status for answer in answers] == [200] * count
        assert all(is_kept(answer) for answer in answers)
        wire.send(b"".join(request(front, key=key) for key in keys))
        assert [wire.answer("GET").body for _ in keys] == [key.encode() for key in keys]


SEQUENCES = {
    "a body, then a question": lambda front, key: [
        (request(front, "PUT", key, b"body"), 200), (request(front, key=key), 200)],
    "a chunked part, then a question": lambda front, key: [
        (request(front, "PUT", key, CHUNKED, more=CODED, **DECODED,
                 payload=TRAILER), 200),
        (request(front, key=key), 200)],
    "a refusal after its body, then a question": lambda front, key: [
        (request(front, "PUT", key, b"body", Content_MD5="hello"), 400),
        (request(front), 200)],
    "questions that find nothing": lambda front, key: [
        (request(front, key="missing"), 404), (request(front, "HEAD", key="missing"), 404),
        (request(front, "DELETE", key="missing"), 204), (request(front), 200)],
    "empty lines between them": lambda front, key: [
        (request(front, "PUT", key, b"body") + b"\r\n", 200),
        (b"\r\n" + request(front, key=key), 200)],
}
CODED = ("Transfer-Encoding: chunked",)
TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
DECODED = {"Content_Encoding": "aws-chunked", "x_amz_decoded_content_length": "5",
           "x_amz_trailer": "x-amz-checksum-crc32"}
FRAMED = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"
CHUNKED = b"%x;a=\"b\"\r\n%s\r\n0\r\nx: y\r\n\r\n" % (len(FRAMED), FRAMED)


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_sequence_is_answered_the_same_in_whatever_pieces_it_comes(front, name):
    key = front.new_key("sequence")
    steps = SEQUENCES[name](front, key)
    sent = b"".join(each for each, _ in steps)
    places = {len(sent), *range(1, len(sent), 97)}
    end = 0
    for each, _ in steps:  # and where one request ends, to the byte
        end += len(each)
        places |= {end - 1, end, end + 1}
    for place in sorted(place for place in places if place <= len(sent)):
        with Wire(front) as wire:
            wire.send(sent[:place])
            wire.send(sent[place:])
            for each, status in steps:
                answer = wire.answer(each.strip().split(b" ")[0].decode())
                assert answer.status == status, f"cut at {place}: {answer}"
                if not is_kept(answer):
                    assert wire.is_closed(), f"cut at {place}: said closed"
                    break


@pytest.mark.parametrize("what", [b"\r\n", b"\r\n\r\n", b"\r"])
def test_an_empty_line_after_a_body_is_no_request(front, what):
    """RFC 9112 §2.2. It does not begin a head, either: the connection stays open and quiet."""
    with Wire(front) as wire:
        wire.send(request(front, "PUT", front.new_key(), b"body") + what)
        assert is_kept(wire.answer())
        time.sleep(IDLE_SECONDS + 1)
        rest = b"\n" if what == b"\r" else b""
        answer = wire.send(rest + request(front)).answer("GET")
        assert (answer.status, answer.body) == (200, b"kept")


def test_what_follows_a_request_that_ends_its_connection_is_not_served(front):
    key = front.new_key()
    with Wire(front) as wire:
        wire.send(request(front, more=("Connection: close",)) + request(front, "PUT", key, b"x"))
        answer = wire.answer("GET")
        assert (answer.body, is_kept(answer)) == (b"kept", False)
        assert wire.is_closed()
    assert front.raw.get(front.path(key)).status == 404


PERSISTENCE = {
    "HTTP/1.1": ("HTTP/1.1", (), True),
    "HTTP/1.1 close": ("HTTP/1.1", ("Connection: close",), False),
    "HTTP/1.1 close among others": ("HTTP/1.1", ("Connection: keep-alive, Close",), False),
    "HTTP/1.1 close in a second line": (
        "HTTP/1.1", ("Connection: keep-alive", "Connection: close"), False),
    "HTTP/1.0": ("HTTP/1.0", (), False),
    "HTTP/1.0 keep-alive": ("HTTP/1.0", ("Connection: Keep-Alive",), True),
    "HTTP/1.0 both": ("HTTP/1.0", ("Connection: keep-alive, close",), False),
}


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
@pytest.mark.parametrize("name", PERSISTENCE)
def test_a_connection_persists_as_both_sides_said(front, name, method):
    """RFC 9112 §9.3."""
    version, more, kept = PERSISTENCE[name]
    key = front.new_key() if method in ("PUT", "DELETE") else "kept"
    body = b"body" if method == "PUT" else None
    with Wire(front) as wire:
        answer = wire.send(request(front, method, key, body, version=version, more=more)).answer(method)
        assert answer.status in (200, 204), str(answer)
        assert is_kept(answer) == kept
        if kept:
            assert wire.send(request(front)).answer("GET").body == b"kept"
        else:
            assert wire.is_closed()


def test_a_client_that_says_no_more_is_still_answered(front):
    """RFC 9112 §9.6: half a connection closed is not a request given up."""
    key = front.new_key()
    for sent, method in ((request(front, "PUT", key, b"body"), "PUT"), (request(front), "GET")):
        with Wire(front) as wire:
            wire.send(sent)
            wire.socket.shutdown(socket.SHUT_WR)
            assert wire.answer(method).status == 200
            assert wire.is_closed()


# === targets in absolute form (RFC 9112 §3.2.2) ===

@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.parametrize("path", ["", "/", "?x-id=ListBuckets"])
def test_a_target_in_absolute_form_needs_no_path(front, version, path):
    host = f"{front.raw.host}:{front.raw.port}"
    sent = request(front, target=path if path.startswith("/") else "/" + path, version=version,
                   more=("Connection: close",))
    line, rest = sent.split(b"\r\n", 1)
    absolute = f"GET http://{host}{path} {version}\r\n".encode()
    with Wire(front) as wire:
        answer = wire.send(absolute + rest).answer("GET")
    assert answer.status == 200 and b"ListAllMyBucketsResult" in answer.body, str(answer)
    if version == "HTTP/1.0":
        without_host = b"\r\n".join(each for each in rest.split(b"\r\n")
                                    if not each.lower().startswith(b"host:"))
        with Wire(front) as wire:
            assert wire.send(absolute + without_host).answer("GET").status == 200


@pytest.mark.parametrize("host", ["", "a/b", "a, b", "user@h", "h:x", "[::1", "h:1:2"])
def test_a_host_that_is_none_is_refused(front, host):
    """RFC 9112 §3.2."""
    with Wire(front) as wire:
        answer = wire.send(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()).answer("GET")
        assert (answer.status, answer.code) == (400, "BadRequest"), str(answer)
        assert not is_kept(answer) and wire.is_closed()


# === 100 Continue (RFC 9110 §10.1.1) ===

EXPECT = ("Expect: 100-continue",)


def put_when_told(wire: Wire, front: Front, key: str, body: bytes, **headers) -> Answer:
    sent = request(front, "PUT", key, body, more=EXPECT, **headers)
    wire.send(sent.removesuffix(body))
    answer = wire.answer()
    if answer.status == 100:
        answer = wire.send(body).answer()
    return answer


def test_a_connection_is_kept_after_a_body_that_was_asked_for(front):
    with Wire(front) as wire:
        for _ in range(3):
            answer = put_when_told(wire, front, front.new_key(), b"body")
            assert answer.status == 200 and is_kept(answer), str(answer)
        refused = put_when_told(wire, front, "kept", b"body", If_None_Match="*")
        assert (refused.status, is_kept(refused)) == (412, False), "its body is not there"
        assert wire.is_closed()


@pytest.mark.parametrize("what", ["a part", "a form", "a batch"])
def test_the_same_for_every_kind_of_body(front, what):
    if what == "a part":
        upload = front.s3.create_multipart_upload(Bucket=front.bucket, Key="multi")["UploadId"]
        sent = request(front, "PUT", "multi", b"part", more=EXPECT,
                       query=f"?partNumber=1&uploadId={upload}")
    elif what == "a batch":
        body = b"<Delete><Object><Key>missing</Key></Object></Delete>"
        digest = hashlib.sha256(body)
        sent = request(front, "POST", "", body, query="?delete", more=EXPECT,
                       payload=digest.hexdigest(),
                       x_amz_checksum_sha256=base64.b64encode(digest.digest()).decode())
    else:
        body = (b"--B\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nk\r\n"
                b"--B\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx\r\n--B--\r\n")
        head = (f"POST /{front.bucket} HTTP/1.1\r\nHost: {front.raw.host}\r\n"
                f"Content-Type: multipart/form-data; boundary=B\r\nExpect: 100-continue\r\n"
                f"Content-Length: {len(body)}\r\n\r\n")
        sent = head.encode() + body
    head, _, body = sent.partition(b"\r\n\r\n")
    with Wire(front) as wire:
        assert wire.send(head + b"\r\n\r\n").answer().status == 100
        answer = wire.send(body).answer()
        assert answer.status in (200, 403), str(answer)
        assert is_kept(answer)
        assert wire.send(request(front)).answer("GET").body == b"kept"


@pytest.mark.parametrize("query", ["", "?partNumber=1&uploadId={upload}"])
def test_http_1_0_is_never_told_to_go_on(front, query):
    """RFC 9110 §15.2: it would take the 100 for the answer."""
    upload = front.s3.create_multipart_upload(Bucket=front.bucket, Key="old")["UploadId"]
    with Wire(front) as wire:
        sent = request(front, "PUT", "old", b"body", version="HTTP/1.0", more=EXPECT,
                       query=query.format(upload=upload))
        assert wire.send(sent).answer().status == 200


def test_boto3_keeps_one_connection_for_all_its_writes(front):
    """Each of its PUTs expects 100 Continue."""
    relay = Relay(front.proxy.url)
    try:
        s3 = boto(relay.url, *front.proxy.user)
        key = front.new_key()
        for number in range(20):
            s3.put_object(Bucket=front.bucket, Key=key, Body=b"%d" % number)
            s3.get_object(Bucket=front.bucket, Key=key)["Body"].read()
        assert relay.connections == 1
    finally:
        relay.refuse()


# === chunked bodies, to the letter (RFC 9112 §7.1) ===

BAD_CHUNKS = {
    "7.1: no size": b"\r\n%s\r\n0\r\n\r\n",
    "7.1: an empty size as the last chunk": b"%x\r\n%s\r\n\r\n\r\n",
    "7.1: an extension without a size as the last chunk": b"%x\r\n%s\r\n;x\r\n\r\n",
    "7.1: a blank before the size": b" %x\r\n%s\r\n0\r\n\r\n",
    "7.1: a blank after the size": b"%x \r\n%s\r\n0\r\n\r\n",
    "7.1: a sign": b"+%x\r\n%s\r\n0\r\n\r\n",
    "7.1: a prefix": b"0x%x\r\n%s\r\n0\r\n\r\n",
    "7.1: a size of more than 64 bits": b"00000000000000000%x\r\n%s\r\n0\r\n\r\n",
    "7.1: no CR LF after the data": b"%x\r\n%s0\r\n\r\n",
    "7.1: LF alone after the data": b"%x\r\n%s\n0\r\n\r\n",
    "2.2: LF alone after the size": b"%x\n%s\r\n0\r\n\r\n",
    "2.2: LF alone after the last size": b"%x\r\n%s\r\n0\n\r\n",
    "2.2: LF alone at the end": b"%x\r\n%s\r\n0\r\n\n",
    "7.1.1: LF in an extension": b"%x;a\nb\r\n%s\r\n0\r\n\r\n",
    "7.1.1: NUL in an extension": b"%x;a\0b\r\n%s\r\n0\r\n\r\n",
    "7.1.1: CR in an extension": b"%x;a\rb\r\n%s\r\n0\r\n\r\n",
    "7.1.1: a quoted value that does not end": b"%x;a=\"b\r\n%s\r\n0\r\n\r\n",
    "7.1.1: an extension without a name": b"%x;=b\r\n%s\r\n0\r\n\r\n",
    "7.1.1: an extension of 1 KiB": b"%x;" + b"a" * 1024 + b"\r\n%s\r\n0\r\n\r\n",
    "7.1.2: a trailer without a colon": b"%x\r\n%s\r\n0\r\nno colon\r\n\r\n",
    "7.1.2: a trailer with NUL": b"%x\r\n%s\r\n0\r\na: b\0\r\n\r\n",
    "5.2: a folded trailer": b"%x\r\n%s\r\n0\r\na: b\r\n c\r\n\r\n",
    "5.1: a blank before a trailer's colon": b"%x\r\n%s\r\n0\r\na : b\r\n\r\n",
    "2.2: LF alone after a trailer": b"%x\r\n%s\r\n0\r\na: b\n\r\n",
    "6.5.1: a trailer that frames": b"%x\r\n%s\r\n0\r\nContent-Length: 5\r\n\r\n",
    "trailers of 16 KiB": b"%x\r\n%s\r\n0\r\na: " + b"b" * 16384 + b"\r\n\r\n",
}


def chunked(front: Front, how: str, upload: str, template: bytes) -> bytes:
    """A PUT that is good but for its framing: taken whole, or a part that streams."""
    if how == "whole":
        head = request(front, "PUT", "chunked", b"", more=CODED, payload=TRAILER, **DECODED)
        content = FRAMED
    else:
        path = front.path("chunked") + f"?partNumber=1&uploadId={upload}"
        headers = front.raw.signed("PUT", path, {"Content-Encoding": "aws-chunked",
                                                 "x-amz-decoded-content-length": "5"},
                                   payload="STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
        content = signed_chunks(headers, CLIENT_SECRET, [b"hello"])
        lines = [f"PUT {path} HTTP/1.1", *(f"{n}: {v}" for n, v in headers.items()), *CODED]
        head = "\r\n".join([*lines, "", ""]).encode()
    filled = (len(content), content) if b"%x" in template else (content,)
    return head + template % filled


@pytest.mark.parametrize("how", ["whole", "streamed"])
@pytest.mark.parametrize("name", BAD_CHUNKS)
def test_a_body_that_is_not_chunked_to_the_letter_is_refused(front, name, how):
    """Taken whole, and streamed: both end here, and what follows is not read."""
    upload = front.store_s3.create_multipart_upload(Bucket=front.bucket, Key="chunked")["UploadId"]
    hidden = front.new_key("hidden")
    with Wire(front) as wire:
        wire.send(chunked(front, how, upload, BAD_CHUNKS[name])
                  + request(front, "PUT", hidden, b"x"))
        answer = wire.answer()
        assert (answer.status, answer.code) == (400, "IncompleteBody"), str(answer)
        assert not is_kept(answer) and wire.is_closed()
    assert front.raw.get(front.path(hidden)).status == 404
    assert front.raw.get(front.path("chunked")).status == 404
    parts = front.store_s3.list_parts(Bucket=front.bucket, Key="chunked", UploadId=upload)
    assert not parts.get("Parts")
    front.store_s3.abort_multipart_upload(Bucket=front.bucket, Key="chunked", UploadId=upload)


@pytest.mark.parametrize("how", ["whole", "streamed"])
def test_a_chunked_body_is_taken_with_all_that_the_grammar_has(front, how):
    """And what follows it is served."""
    upload = front.store_s3.create_multipart_upload(Bucket=front.bucket, Key="chunked")["UploadId"]
    for template in (b"%x\r\n%s\r\n0\r\n\r\n", b"0000%x\r\n%s\r\n0000\r\n\r\n",
                     b"%x;a;b=c ; d = \"e;\\\"\"\r\n%s\r\n0;f\r\ng: h\r\ni:\r\n\r\n"):
        with Wire(front) as wire:
            wire.send(chunked(front, how, upload, template) + request(front))
            answer = wire.answer()
            assert answer.status == 200 and is_kept(answer), str(answer)
            assert wire.answer("GET").body == b"kept"
    front.store_s3.abort_multipart_upload(Bucket=front.bucket, Key="chunked", UploadId=upload)
    front.store_s3.delete_object(Bucket=front.bucket, Key="chunked")


# === bodies that trickle ===

@pytest.mark.parametrize("how", ["length", "chunked", "part", "when told"])
def test_a_body_that_trickles_is_given_up(front, how):
    """A byte now and then does not hold a place for ever: 1,000 bytes a second were asked for."""
    body = b"x" * 100_000
    upload = front.s3.create_multipart_upload(Bucket=front.bucket, Key="slow")["UploadId"]
    query = f"?partNumber=1&uploadId={upload}" if how == "part" else ""
    if how == "chunked":
        sent = request(front, "PUT", "slow", b"", more=CODED,
                       payload=TRAILER, **{**DECODED, "x_amz_decoded_content_length": "100000"})
        sent += b"186c5\r\n"
    else:
        more = EXPECT if how == "when told" else ()
        sent = request(front, "PUT", "slow", body, query=query, more=more).removesuffix(body)
    began = time.monotonic()
    with Wire(front) as wire:
        wire.send(sent)
        if how == "when told":
            assert wire.answer().status == 100
        wire.socket.settimeout(0.1)
        while True:
            wire.send(b"x")
            try:
                wire.came += wire.socket.recv(65536)
                break
            except TimeoutError:
                assert time.monotonic() - began < IDLE_SECONDS + 5, "still waiting for the body"
        wire.socket.settimeout(PATIENCE_SECONDS)
        answer = wire.answer()
        assert (answer.status, answer.code) == (400, "RequestTimeout"), str(answer)
        assert "least_rate" in answer.fields["Message"]
        assert not is_kept(answer)
    assert time.monotonic() - began > IDLE_SECONDS - 0.5
    assert front.raw.get(front.path("slow")).status == 404


def test_a_body_that_comes_slowly_but_fast_enough_is_taken(front):
    key, body = front.new_key(), b"x" * 20_000
    with Wire(front) as wire:
        wire.send(request(front, "PUT", key, body).removesuffix(body))
        for start in range(0, len(body), 400):
            time.sleep(0.1)
            wire.send(body[start:start + 400])
        assert wire.answer().status == 200
    assert front.raw.get(front.path(key)).body == body


# === a body that is refused before it has come ===

@pytest.fixture(scope="module")
def reading(store_named, tmp_path_factory):
    """A proxy that reads refused bodies out."""
    store = store_named("embedded-ignoring")
    bucket = new_bucket(store)
    settings = Settings(early_answer="read", body_max="100MiB")
    proxy = in_front_of(store, bucket, tmp_path_factory.mktemp("reading"), settings, "ifmatch-reads")
    front = Front(proxy, store, bucket)
    front.store_s3.put_object(Bucket=bucket, Key="kept", Body=b"kept")
    yield front
    assert proxy.stop() == 0


def test_a_refused_body_is_read_out_where_that_is_set(reading):
    with Wire(reading) as wire:
        for body in (b"body", b"x" * (1 << 20)):
            told = put_when_told(wire, reading, "kept", body, If_None_Match="*")
            assert (told.status, told.code, is_kept(told)) == (412, "PreconditionFailed", True)
            at_once = wire.send(request(reading, "PUT", "kept", body, If_None_Match="*")).answer()
            assert (at_once.status, is_kept(at_once)) == (412, True), str(at_once)
        denied = request(reading, "PUT", "kept", body).replace(b"Signature=", b"Signature=0")
        assert wire.send(denied).answer().status in (400, 403)
        assert wire.send(request(reading)).answer("GET").body == b"kept"


def test_a_refused_body_that_is_too_long_or_none_is_not_read_out(reading):
    head = request(reading, "PUT", "kept", b"", If_None_Match="*")
    too_long = head.replace(b"Content-Length: 0", b"Content-Length: %d" % (65 << 20))
    broken = request(reading, "PUT", "kept", b"zz\r\n", more=CODED, payload=TRAILER,
                     **{**DECODED, "x_amz_decoded_content_length": "100000"}, If_None_Match="*")
    for sent, status in ((too_long, 412), (broken, 412)):
        with Wire(reading) as wire:
            answer = wire.send(sent).answer()
            assert (answer.status, is_kept(answer)) == (status, False), str(answer)
            assert wire.is_closed()
