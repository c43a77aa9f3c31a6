"""Where a client is told that something is: at the endpoint that it used, never at the store's, by
which it would go around the proxy."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from clients import Raw
from conftest import new_bucket
from processes import NotReady
from proxies import DOMAIN, Proxy, Settings, in_front_of
from scripted import ScriptedStore
from test_forms import FILE, post, signed

ELSEWHERE = "http://bucket.s3.elsewhere.test/key"
BATCH = b"<Delete><Object><Key>key</Key></Object></Delete>"
PART = "/bucket/key?partNumber=1&uploadId=u"
COMPLETE = (b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>&quot;e&quot;</ETag>"
            b"</Part></CompleteMultipartUpload>")


def redirect(status: int, code: str = ""):
    document = (f"<Error><Code>{code}</Code><Message>Go away</Message>"
                f"<Endpoint>s3.elsewhere.test</Endpoint></Error>").encode() if code else b""
    return status, {"Location": ELSEWHERE, "x-amz-bucket-region": "elsewhere"}, document


class Redirecting:
    """A store that redirects what it is told to."""

    def __init__(self):
        self.scripted = ScriptedStore()
        self.scripted.answer = self.answer
        self.redirects = None

    def answer(self, request):
        if self.redirects:
            return redirect(*self.redirects)
        if request.method == "POST" and "uploadId" in request.target:
            return 200, {}, (b"<CompleteMultipartUploadResult><Location>http://store/x</Location>"
                             b"<Bucket>bucket</Bucket><Key>key</Key><ETag>&quot;e-1&quot;</ETag>"
                             b"</CompleteMultipartUploadResult>")
        return 200, {"ETag": '"e"', "Location": ELSEWHERE}, b""


@pytest.fixture
def store():
    store = Redirecting()
    yield store
    store.scripted.stop()


@pytest.fixture(params=["resign", "passthrough"])
def proxy(store, tmp_path, request):
    proxy = in_front_of(store.scripted.store, "bucket", tmp_path,
                        Settings(signatures=request.param))
    yield proxy
    proxy.stop()


@pytest.mark.parametrize("redirects, status, code", [
    ((301, "PermanentRedirect"), 500, "InternalError"),
    ((301,), 500, "InternalError"),
    ((308,), 500, "InternalError"),
    ((302, "Redirect"), 503, "ServiceUnavailable"),
    ((307, "TemporaryRedirect"), 503, "ServiceUnavailable"),
    ((400, "PermanentRedirect"), 500, "InternalError"),
])
def test_no_redirect_of_the_store_reaches_a_client(proxy, store, redirects, status, code):
    store.redirects, raw = redirects, proxy.raw()
    by_code_alone = redirects[0] == 400
    asked = {
        "put": raw.put("/bucket/key", b"x"),
        "delete": raw.delete("/bucket/key"),
        "get": raw.get("/bucket/key"),
        "listing": raw.get("/bucket?list-type=2"),
        "complete": raw.request("POST", "/bucket/key?uploadId=u", body=COMPLETE),
        "creation": raw.request("POST", "/bucket/key?uploads="),
    }
    if not by_code_alone:
        asked |= {
            # A HEAD decides, and has no document to say it in.
            "conditional put": raw.put("/bucket/key", b"x", headers={"If-Match": '"e"'}),
            "conditional get": raw.get("/bucket/key", headers={"If-Match": '"e"'}),
            "part": raw.put(PART, b"part"),
        }
        assert raw.head("/bucket/key").status == status
        asked["preflight"] = raw.send("OPTIONS", "/bucket/key", {
            "Host": f"{raw.host}:{raw.port}", "Origin": "http://page.test",
            "Access-Control-Request-Method": "PUT"}, b"")
    for name, answer in asked.items():
        assert (answer.status, answer.code) == (status, code), f"{name}: {answer}"
        assert "location" not in answer.headers, name
        assert b"elsewhere.test" not in answer.body, f"{name}: {answer}"
        assert ("retry-after" in answer.headers) == (status == 503), name
    if proxy.settings.signatures == "resign":
        md5 = base64.b64encode(hashlib.md5(BATCH).digest()).decode()
        batch = raw.request("POST", "/bucket?delete=", {"Content-MD5": md5}, BATCH)
        assert batch.status == 200 and f"<Code>{code}</Code>".encode() in batch.body, str(batch)
    assert any("the store redirects" in line and "elsewhere.test" in line
               for line in proxy.process.lines)


def test_a_store_that_redirects_everything_is_refused_at_the_start(store, tmp_path):
    store.redirects = (301,)
    with pytest.raises(NotReady, match=re.escape(f"it redirects to {ELSEWHERE}")):
        Proxy(tmp_path, store.scripted.store, Settings())


def test_no_other_answer_names_a_place_at_the_store(proxy, store):
    raw = proxy.raw()
    for answer in (raw.put("/bucket/key", b"x"), raw.get("/bucket/key"), raw.put(PART, b"part"),
                   raw.delete("/bucket/key")):
        assert answer.status == 200 and "location" not in answer.headers, str(answer)
    made = raw.put("/made", b"")
    assert (made.status, made.headers["location"]) == (200, "/made")


def complete(raw: Raw, target: str, headers: dict, once_more: bool = False) -> str:
    answer = raw.request("POST", f"{target}?uploads=", headers)
    upload = re.search(rb"<UploadId>(.*?)</UploadId>", answer.body)[1].decode()
    part = raw.put(f"{target}?partNumber=1&uploadId={upload}", b"part", headers=headers)
    document = (f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{part.etag}"
                f"</ETag></Part></CompleteMultipartUpload>").encode()
    for _ in range(1 + once_more):
        answer = raw.request("POST", f"{target}?uploadId={upload}", headers, document)
    assert answer.status == 200, str(answer)
    assert ("x-ifmatch-replayed" in answer.headers) == once_more
    return re.search(rb"<Location>(.*?)</Location>", answer.body)[1].decode()


@pytest.mark.parametrize("name", ["moto", "s3rver", "embedded", "swift", "ceph"])
def test_a_complete_and_a_form_name_the_endpoint_that_was_used(store_named, tmp_path, name):
    store = store_named(name)
    bucket = new_bucket(store)
    proxy = in_front_of(store, bucket, tmp_path, Settings())
    raw = proxy.raw()
    for once_more in (False, True):
        assert complete(raw, f"/{bucket}/a%20b/c", {}, once_more) == f"{proxy.url}/{bucket}/a%20b/c"
    host = f"{bucket}.{DOMAIN}:{raw.port}"
    assert complete(raw, "/a%20b/c", {"Host": host}) == f"http://{host}/a%20b/c"
    parts = [*signed(bucket, {"key": "a form", "success_action_status": "201"}), FILE]
    answer = post(f"{proxy.url}/{bucket}", parts)
    assert answer.status == 201, str(answer)
    assert answer.headers["location"] == f"{proxy.url}/{bucket}/a%20form"
    assert f"<Location>{proxy.url}/{bucket}/a%20form</Location>".encode() in answer.body
    proxy.stop()
