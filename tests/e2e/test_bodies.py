"""Bodies, and what is said of them, at a store that answers what it is told to: what it is sent, and what
its own documents lack; see docs/documents.md."""

from __future__ import annotations

import hashlib
import http.client

import pytest

from clients import UNSIGNED
from proxies import Proxy, Settings
from scripted import ScriptedStore
from test_documents import delete_of, post

# === what stores leave out ===

@pytest.fixture
def scripted(tmp_path):
    store = ScriptedStore()
    proxy = Proxy(tmp_path, store.store, Settings(settle=0, lease_wait=0.2))
    proxy.wait_writable("bucket")
    store.take()
    yield store, proxy
    proxy.stop()
    store.stop()


def test_an_etag_in_a_document_is_quoted(scripted):
    store, proxy = scripted

    def result(root: str) -> tuple[int, dict, bytes]:
        return 200, {}, f"<{root}><Location>l</Location><ETag>abc-1</ETag></{root}>".encode()

    def answer(request):
        if request.method == "POST":
            return result("CompleteMultipartUploadResult")
        if request.method == "PUT":
            return result("CopyPartResult" if "partNumber" in request.target else "CopyObjectResult")
        return 200, {"ETag": '"abc-1"'}, b""

    store.answer = answer
    raw, source = proxy.raw(), {"x-amz-copy-source": "bucket/source"}
    for told in (raw.request("POST", "/bucket/key?uploadId=u", body=COMPLETE),
                 raw.put("/bucket/key", headers=source),
                 raw.put("/bucket/key?partNumber=1&uploadId=u", headers=source)):
        assert told.status == 200 and b"<ETag>&quot;abc-1&quot;</ETag>" in told.body, told


def test_when_nothing_of_a_batch_can_be_done_the_whole_is_refused(scripted):
    store, proxy = scripted
    denied = b"<Error><Code>InvalidAccessKeyId</Code><Message>No.</Message></Error>"
    store.answer = lambda request: (
        (403, {}, denied) if request.method == "DELETE" else (200, {"ETag": '"e"'}, b""))
    entries = "".join(f"<Object><Key>{index}</Key></Object>" for index in range(200))
    answer = post(proxy.raw(), "/bucket?delete", f"<Delete>{entries}</Delete>")
    assert (answer.status, answer.code) == (403, "InvalidAccessKeyId"), answer
    asked = [each for each in store.take() if each.method == "DELETE"]
    assert len(asked) <= 16, "the rest is not asked for"
    store.answer = lambda request: (
        (500, {}, b"") if request.method == "DELETE" else (200, {"ETag": '"e"'}, b""))
    answer = post(proxy.raw(), "/bucket?delete", delete_of("a"))
    assert (answer.status, answer.code) == (503, "ServiceUnavailable"), answer
    assert int(answer.headers["retry-after"]) >= 1


WITHOUT_BODY = [
    ("GET", "/bucket/key", {}), ("HEAD", "/bucket/key", {}), ("GET", "/bucket?acl", {}),
    ("GET", "/bucket", {}), ("HEAD", "/bucket", {}), ("GET", "/bucket/key?uploadId=u", {}),
    ("DELETE", "/bucket/key", {}), ("POST", "/bucket/key?uploads", {}),
    ("DELETE", "/bucket/key?uploadId=u", {}), ("DELETE", "/bucket?cors", {}),
    ("PUT", "/bucket/key", {"x-amz-copy-source": "bucket/source"})]


@pytest.mark.parametrize("method, target", [("PUT", "/bucket/key?partNumber=1&uploadId=u"), ("PUT", "/made")])
@pytest.mark.parametrize("broken", ["md5", "sha256", "chunks"])
def test_nothing_is_sent_of_an_empty_body_that_breaks_its_promise(scripted, method, target, broken):
    """Its head alone would be the whole request for the store."""
    store, proxy = scripted
    promise = {
        "md5": {"headers": {"content-md5": "AAAAAAAAAAAAAAAAAAAAAA=="}},
        "sha256": {"payload": hashlib.sha256(b"another").hexdigest()},
        "chunks": {"payload": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "body": b"0\r\nx-amz-checksum-crc32:AAAAAQ==\r\n\r\n",
                   "headers": {"content-encoding": "aws-chunked", "x-amz-decoded-content-length": "0",
                               "x-amz-trailer": "x-amz-checksum-crc32"}},
    }[broken]
    answer = proxy.raw().request(method, target, **promise)
    assert answer.status == 400, str(answer)
    assert [request for request in store.take() if request.method == method] == []


@pytest.mark.parametrize("payload", [UNSIGNED, None])
def test_what_has_no_body_is_sent_none(scripted, payload):
    store, proxy = scripted
    raw = proxy.raw()
    for method, target, headers in WITHOUT_BODY:
        raw.request(method, target, headers, b"<Delete/>", payload=payload)
        sent = [each for each in store.take() if each.method == method]
        assert sent and all(each.body == b"" for each in sent), f"{method} {target}: {sent}"
        if payload is None:  # What is signed for the store is what it gets.
            empty = hashlib.sha256(b"").hexdigest()
            assert {each.headers["x-amz-content-sha256"] for each in sent} == {empty}, target


def test_a_read_with_a_body_is_a_read(scripted):
    """Its conditions are judged, its promises kept, and the connection serves the next request."""
    store, proxy = scripted
    raw, body = proxy.raw(), b"b" * 100_000
    connection = http.client.HTTPConnection(raw.host, raw.port, timeout=30)
    for headers, status in [({}, 200), ({"If-None-Match": '"e"'}, 304), ({"If-Match": '"x"'}, 412)]:
        connection.request("GET", "/bucket/key", body, raw.signed(
            "GET", "/bucket/key", headers, body, payload=UNSIGNED))
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status, headers
    connection.close()
    store.take()
    wrong = raw.request("GET", "/bucket/key", {}, b"signed", sent_body=b"stolen")
    assert (wrong.status, wrong.code) == (400, "XAmzContentSHA256Mismatch"), wrong
    assert store.take() == []


COMPLETE = b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>e</ETag></Part>" \
           b"</CompleteMultipartUpload>"


def test_what_was_said_of_a_document_is_not_said_of_the_one_in_its_place(scripted):
    store, proxy = scripted
    said = {"Content-Encoding": "gzip", "Content-Type": "text/xml; charset=utf-16"}
    tags = b"<Tagging><TagSet></TagSet></Tagging>"
    for method, target, document in [
            ("POST", "/bucket/key?uploadId=u", COMPLETE), ("PUT", "/bucket/other?tagging", tags),
            ("PUT", "/bucket?tagging", tags)]:
        proxy.raw().request(method, target, said, document)
        sent = [each for each in store.take() if each.method == method]
        assert sent, target
        for each in sent:
            assert "content-encoding" not in each.headers, target
            assert each.headers["content-type"] == "application/xml", target


@pytest.mark.parametrize("version", ["a b", "../x", "\u00fc", "v" * 1025])
def test_a_batch_s_version_that_no_store_gives_is_not_asked_about(scripted, version):
    store, proxy = scripted
    document = delete_of(f"key</Key><VersionId>{version}</VersionId></Object><Object><Key>other")
    answer = post(proxy.raw(), "/bucket?delete", document)
    assert answer.status == 200 and b"<Code>InvalidArgument</Code>" in answer.body, answer
    asked = {each.target for each in store.take() if each.method == "DELETE"}
    assert asked == {"/bucket/other"}


# === what stores read beside the document ===

@pytest.fixture
def passing(tmp_path):
    store = ScriptedStore()
    proxy = Proxy(tmp_path, store.store, Settings(
        settle=0, lease_wait=0.2, signatures="passthrough", subresources=["restore"]))
    proxy.wait_writable("bucket")
    store.take()
    yield store, proxy
    proxy.stop()
    store.stop()


RESTORE = b"<RestoreRequest><Days>1</Days></RestoreRequest>"
ELSEWHERE = b"<RestoreRequest><OutputLocation><S3><BucketName>b</BucketName></S3></OutputLocation>" \
            b"</RestoreRequest>"


@pytest.mark.parametrize("target, document", [
    ("/bucket?delete", delete_of("key").encode()), ("/bucket/key?uploadId=u", COMPLETE),
    ("/bucket/key?restore", RESTORE)], ids=["delete", "complete", "restore"])
def test_the_head_says_nothing_else_of_a_document(passing, target, document):
    store, proxy = passing
    for said, status in [
            ({"Content-Encoding": "gzip"}, 501), ({"Content-Encoding": "br"}, 501),
            ({"Content-Encoding": "identity, deflate"}, 501),
            ({"Content-Type": "text/xml; charset=utf-7"}, 400),
            ({"Content-Type": "application/xml; charset=utf-8; charset=utf-16"}, 400)]:
        answer = post(proxy.raw(), target, document, **said)
        assert answer.status == status, f"{said}: {answer}"
        assert "A document" in answer.fields["Message"], answer
    assert not [each for each in store.take() if each.method == "POST"]
    post(proxy.raw(), target, document, **{"Content-Type": "application/xml; charset=UTF-8"})
    [sent] = [each for each in store.take() if each.method == "POST"]
    assert sent.body == document


def test_a_restore_names_no_other_place(passing):
    store, proxy = passing
    for document, refused in [
            (ELSEWHERE, (501, "NotImplemented")),
            (ELSEWHERE.replace(b"Output", b"<!-- -->Output"), (400, "MalformedXML")),
            (RESTORE.replace(b"RestoreRequest", b"Other"), (400, "MalformedXML"))]:
        answer = post(proxy.raw(), "/bucket/key?restore", document)
        assert (answer.status, answer.code) == refused, document
    assert not [each for each in store.take() if each.method == "POST"]


def test_what_has_no_body_goes_on_without_one(passing):
    store, proxy = passing
    for method, target, headers in WITHOUT_BODY:
        answer = proxy.raw().request(method, target, headers, b"<Delete/>", payload=UNSIGNED)
        assert answer.status == 400, f"{method} {target}: {answer}"
    assert store.take() == []
