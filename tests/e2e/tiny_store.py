"""A store in memory that does the wrong thing in one way, for tests of the probe: as stores of others do."""

from __future__ import annotations

import hashlib
import re
import threading
import time
import unicodedata
from typing import Callable
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape

from scripted import Request, Response, ScriptedStore

BUCKET = "probed"


def error(status: int, code: str) -> Response:
    return status, {}, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()


class TinyStore:
    """Answers as AWS does where the probe asks, but for what `how` names:

    half            412, and written all the same
    racy-together   the same, while the node does nothing else: with another node beside it
    racy            a condition is judged first, and the write follows a moment later
    quoted-denied   a quoted ETag in If-Match never fits (Hetzner)
    unsupported     501 for every condition (Backblaze B2)
    bodyless        conditions are honoured, and the content of such writes is lost
    no-crc64        a checksum by CRC64NVME is refused (Wasabi)
    no-strong       a request with x-newest is refused
    admin           /admin is not a bucket (Ceph)
    lost-begin      the first begin of an upload is done and answered 500
    no-lists        listings are answered 503
    busy-heads      each HEAD is answered 503 once
    alias           `fold` makes one key of several

    With `beside` it is another node of that store: each is atomic alone, and both together are not.
    """

    def __init__(self, *how: str, fold: Callable[[str], str] = lambda key: key, ahead_s: int = 0,
                 beside: "TinyStore | None" = None):
        self.how = how
        self.fold = fold
        self.objects: dict[str, bytes] = {}
        self.etags: dict[str, str] = {}
        self.uploads: dict[str, tuple[str, bytes]] = {}
        self._lock = threading.RLock()
        self._scripted = ScriptedStore()
        self._scripted.answer = self.answer
        self._scripted.ahead_s = ahead_s
        self._busy: set[str] = set()
        if beside:
            self.objects, self.etags, self.uploads = beside.objects, beside.etags, beside.uploads
        self.store = self._scripted.store

    def stop(self) -> None:
        self._scripted.stop()

    def answer(self, request: Request) -> Response:
        url = urlsplit(request.target)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        bucket, _, key = unquote(url.path).removeprefix("/").partition("/")
        if "no-strong" in self.how and "x-newest" in request.headers \
                or "no-crc64" in self.how and "x-amz-checksum-crc64nvme" in request.headers:
            return error(400, "InvalidRequest")
        if "admin" in self.how and bucket == "admin":
            return 200, {}, b"{}"
        if "busy-heads" in self.how and request.method == "HEAD" and key and request.target not in self._busy:
            self._busy.add(request.target)
            return error(503, "SlowDown")
        if not bucket:
            return 200, {}, b"<ListAllMyBucketsResult/>"
        if bucket != BUCKET:
            return error(404, "NoSuchBucket")
        if not key:
            if "uploads" in query:
                return self._uploads(query)
            if "no-lists" in self.how and request.method == "GET":
                return error(503, "SlowDown")
            return self._batch(request) if "delete" in query else self._listing(query)
        return self._object(request, self.fold(key), query)

    def _listing(self, query: dict[str, str]) -> Response:
        with self._lock:
            keys = sorted(key for key in self.objects if key.startswith(query.get("prefix", "")))
        rows = "".join(f"<Contents><Key>{escape(key)}</Key><Size>{len(self.objects[key])}</Size></Contents>"
                       for key in keys)
        return 200, {}, f"<ListBucketResult>{rows}<IsTruncated>false</IsTruncated></ListBucketResult>".encode()

    def _uploads(self, query: dict[str, str]) -> Response:
        rows = "".join(f"<Upload><Key>{escape(key)}</Key><UploadId>{upload}</UploadId></Upload>"
                       for upload, (key, _) in list(self.uploads.items())
                       if key.startswith(query.get("prefix", "")))
        return 200, {}, f"<ListMultipartUploadsResult>{rows}</ListMultipartUploadsResult>".encode()

    def _object(self, request: Request, key: str, query: dict[str, str]) -> Response:
        match request.method:
            case "GET" if query.get("uploadId") in self.uploads:
                return 200, {}, b"<ListPartsResult/>"
            case "GET" | "HEAD" if key in self.objects:
                return 200, {"ETag": self.etags[key]}, self.objects[key]
            case "PUT" if "uploadId" in query:
                self.uploads[query["uploadId"]] = (key, request.body)
                return 200, {"ETag": etag_of(request.body)}, b""
            case "PUT" if source := request.headers.get("x-amz-copy-source"):
                source = unquote(source).removeprefix("/").removeprefix(f"{BUCKET}/")
                if (content := self.objects.get(self.fold(source))) is None:
                    return error(404, "NoSuchKey")
                document = f"<CopyObjectResult><ETag>{etag_of(content)}</ETag></CopyObjectResult>"
                return self._write(request.headers, key, content, etag_of(content), document)
            case "PUT":
                return self._write(request.headers, key, request.body, etag_of(request.body), "")
            case "POST" if "uploads" in query:
                upload = f"{len(self.uploads)}-{time.monotonic_ns()}"
                is_lost = "lost-begin" in self.how and not self.uploads
                self.uploads[upload] = (key, b"")
                if is_lost:
                    return error(500, "InternalError")
                return 200, {}, f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId>" \
                                "</InitiateMultipartUploadResult>".encode()
            case "POST" if upload := self.uploads.get(query.get("uploadId", "")):
                etag = etag_of(upload[1])[:-1] + '-1"'
                document = "<CompleteMultipartUploadResult><ETag>" + etag + "</ETag></CompleteMultipartUploadResult>"
                answer = self._write(request.headers, key, upload[1], etag, document)
                if answer[0] == 200 and "lost-begin" in self.how:
                    self.uploads.pop(query["uploadId"], None)
                return answer
            case "DELETE" if "uploadId" in query:
                self.uploads.pop(query["uploadId"], None)
                return 204, {}, b""
            case "DELETE":
                return self._write(request.headers, key, None, "", "")
        return error(404, "NoSuchKey")

    def _batch(self, request: Request) -> Response:
        key, etag = (re.search(f"<{name}>(.*?)</{name}>", request.body.decode()) for name in ("Key", "ETag"))
        headers = {"if-match": etag[1]} if etag else {}
        status, _, body = self._write(headers, self.fold(key[1]), None, "", "")
        if status < 300:
            return 200, {}, b"<DeleteResult/>"
        code = re.search("<Code>.*</Code>", body.decode())[0]
        return 200, {}, f"<DeleteResult><Error><Key>{key[1]}</Key>{code}</Error></DeleteResult>".encode()

    def _write(self, headers: dict[str, str], key: str, content: bytes | None, etag: str,
               document: str) -> Response:
        with self._lock:
            refusal = self._judged(headers, key)
            if "racy-together" in self.how:
                time.sleep(0.02)
            if "racy" not in self.how:
                return self._done(key, content, etag, document, refusal, headers)
        time.sleep(0.05)
        return self._done(key, content, etag, document, refusal, headers)

    def _done(self, key: str, content: bytes | None, etag: str, document: str, refusal: Response | None,
              headers: dict[str, str]) -> Response:
        if refusal and "half" not in self.how:
            return refusal
        with self._lock:
            if content is None:
                self.objects.pop(key, None)
                self.etags.pop(key, None)
                return refusal or (204, {}, b"")
            is_conditional = "if-match" in headers or "if-none-match" in headers
            self.objects[key] = b"" if "bodyless" in self.how and is_conditional else content
            self.etags[key] = etag
        return refusal or (200, {"ETag": etag}, document.encode())

    def _judged(self, headers: dict[str, str], key: str) -> Response | None:
        match, none = headers.get("if-match"), headers.get("if-none-match")
        if "unsupported" in self.how and (match or none):
            return error(501, "NotImplemented")
        if none and none != "*":
            return error(501, "NotImplemented")
        if none and key in self.objects:
            return error(412, "PreconditionFailed")
        if match and key not in self.objects:
            return error(404, "NoSuchKey")
        if match and "quoted-denied" in self.how and match.startswith('"'):
            return error(412, "PreconditionFailed")
        if match and match != "*" and match.strip('"') != self.etags[key].strip('"'):
            return error(412, "PreconditionFailed")
        return None


def etag_of(content: bytes) -> str:
    return f'"{hashlib.md5(content).hexdigest()}"'


def composed(key: str) -> str:
    """As file systems of some machines keep names (NFC)."""
    return unicodedata.normalize("NFC", key)
