"""A store that works long on a complete sends white space meanwhile, as AWS does: the client gets it
at once, and then what came of the write, in the same answer."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from clients import Raw, Wire, code_of
from proxies import Proxy, Settings
from stores import Store

DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>'
DONE = (b'<CompleteMultipartUploadResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        b"<Location>l</Location><Bucket>b</Bucket><Key>k</Key><ETag>&quot;e-1&quot;</ETag>"
        b"</CompleteMultipartUploadResult>")
FAILED = b"<Error><Code>InvalidPart</Code><Message>No.</Message></Error>"


class SlowStore:
    """Answers a complete with 200 and white space, and the rest when the test says so."""

    def __init__(self):
        self.pieces: list[bytes] = []
        self.go_on = threading.Event()
        self.completes = 0
        self.cut = False
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                store.completes += 1
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.send_header("x-amz-version-id", "v1")
                self.end_headers()
                before, after = store.pieces
                self.chunk(before)
                store.go_on.wait(30)
                if store.cut:
                    self.close_connection = True
                    return
                self.chunk(after)
                self.wfile.write(b"0\r\n\r\n")

            def chunk(self, data: bytes) -> None:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                self.wfile.flush()

            def answer(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(200)
                self.send_header("ETag", '"e"')
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_PUT = do_HEAD = do_DELETE = answer

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def will_send(self, before: bytes, after: bytes, gap: bytes = b"\n ",
                  cut: bool = False) -> None:
        self.pieces, self.cut, self.completes = [before, gap + after], cut, 0
        self.go_on.clear()


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    store = SlowStore()
    url = f"http://127.0.0.1:{store.server.server_port}"
    behind = Store(url=url, access_key="storekey", secret_key="storesecret", name="slow store")
    settings = Settings(lease=6, grace=0, settle=0, settle_long=0.5, lease_wait=0)
    proxy = Proxy(tmp_path_factory.mktemp("slow"), behind, settings)
    yield store, proxy
    proxy.stop()
    store.server.shutdown()


class Completing(Wire):
    """A complete on a bare socket, read as it comes."""

    def __init__(self, raw: Raw, key: str):
        body = b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>e</ETag></Part>" \
               b"</CompleteMultipartUpload>"
        super().__init__(raw, "POST", f"/bucket/{key}?uploadId=u", len(body))
        self.send_body(body)

    def read_until(self, wanted: bytes) -> bytes:
        while wanted not in self._buffer:
            self._fill()
        return self._buffer


@pytest.mark.parametrize("before, then", [
    (b" ", DECLARATION), (DECLARATION + b"\n", b""), (b"\n" + DECLARATION[:9], DECLARATION[9:]),
], ids=["space", "declaration", "half a declaration"])
@pytest.mark.parametrize("result", [DONE, FAILED], ids=["done", "failed"])
def test_white_space_is_passed_on_while_the_store_works(slow, before, then, result):
    store, proxy = slow
    store.will_send(before, then + result, gap=b"" if before.endswith(DECLARATION[:9]) else b"\n ")
    key = f"key-{len(before)}-{len(result)}"
    with Completing(proxy.raw(), key) as client:
        # The store has not finished: it is let go on only now.
        early = client.read_until(DECLARATION)
        assert early.startswith(b"HTTP/1.1 200"), early
        assert b"x-amz-version-id: v1" in early and result not in early
        store.go_on.set()
        answer = client.read_answer()
    assert answer.body.strip().startswith(DECLARATION)
    assert answer.body.count(b"<?xml") == 1
    # The object is where this client finds it. An error is given the names of the request and of the
    # the server that answered; nothing else.
    document = answer.body[len(DECLARATION):].strip()
    assert document == result.replace(b">l<", f">{proxy.url}/bucket/{key}<".encode()) or (
        result == FAILED and document.startswith(FAILED.removesuffix(b"</Error>") + b"<RequestId>"))
    assert store.completes == 1


def test_an_answer_that_breaks_off_after_white_space_is_said_to_be_lost(slow):
    store, proxy = slow
    store.will_send(b" ", b"", cut=True)
    with Completing(proxy.raw(), "broken-off") as client:
        client.read_until(DECLARATION)
        store.go_on.set()
        answer = client.read_answer()
    assert answer.status == 200
    assert answer.code == "ServiceUnavailable", answer.body


def test_boto3_understands_a_late_success_and_a_late_error(slow):
    store, proxy = slow
    s3 = proxy.boto(config=Config(retries={"total_max_attempts": 1}))
    ask = dict(Bucket="bucket", UploadId="u",
               MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": "e"}]})
    store.will_send(b"  ", DECLARATION + DONE)
    threading.Timer(0.2, store.go_on.set).start()
    assert s3.complete_multipart_upload(Key="boto-good", **ask)["ETag"] == '"e-1"'
    store.will_send(b"  ", DECLARATION + FAILED)
    threading.Timer(0.2, store.go_on.set).start()
    with pytest.raises(ClientError) as failed:
        s3.complete_multipart_upload(Key="boto-bad", **ask)
    assert code_of(failed.value)[1] == "InvalidPart"


def test_an_error_in_a_200_that_came_at_once_has_its_own_status(slow):
    store, proxy = slow
    store.will_send(DECLARATION + FAILED, b"")
    store.go_on.set()
    with Completing(proxy.raw(), "at-once") as client:
        answer = client.read_answer()
    assert (answer.status, answer.code) == (400, "InvalidPart")


def test_a_client_that_leaves_meanwhile_does_not_stop_the_write(slow):
    store, proxy = slow
    store.will_send(b" ", DECLARATION + DONE)
    with Completing(proxy.raw(), "left") as client:
        client.read_until(DECLARATION)
    store.go_on.set()
    # Recorded, the write leaves the key free at once; in doubt it would keep it for 6 s and more.
    began = time.monotonic()
    while proxy.raw().put("/bucket/left", b"x").status != 200:
        assert time.monotonic() - began < 4
