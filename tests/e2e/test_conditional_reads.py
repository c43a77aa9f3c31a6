"""AWS's answers to conditional GetObject and HeadObject, whatever the store makes of them.

moto knows some of the conditions, and refuses `*`, lists and dates that are none; Swift
lets a date overrule an ETag.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import pytest
import urllib3
from botocore.exceptions import ClientError

from clients import code_of
from conftest import new_bucket
from dates import dates_around
from proxies import Proxy, Settings
from relay import Relay
from scripted import ScriptedStore

BODY = b"what is read"
MD5 = hashlib.md5(BODY).hexdigest()
ETAG, OTHER = f'"{MD5}"', '"0123456789abcdef0123456789abcdef"'
IM, INM = "If-Match", "If-None-Match"
IMS, IUS = "If-Modified-Since", "If-Unmodified-Since"


@dataclass
class Row:
    """Dates are named: `before`, `equal` to, `after` the object's; `failing` is the 412's field."""

    headers: dict[str, str]
    status: int
    failing: str | None = None

    @property
    def name(self) -> str:
        return " and ".join(f"{name} {value}" for name, value in self.headers.items())


# AWS: GetObject and HeadObject; RFC 9110, section 13.2.2.
ROWS = [
    Row({}, 200),
    Row({IM: ETAG}, 200),
    Row({IM: MD5}, 200),
    Row({IM: "*"}, 200),
    Row({IM: f"{OTHER}, {ETAG}"}, 200),
    Row({IM: OTHER}, 412, IM),
    Row({IM: f"W/{ETAG}"}, 412, IM),
    Row({INM: OTHER}, 200),
    Row({INM: ETAG}, 304),
    Row({INM: MD5}, 304),
    Row({INM: "*"}, 304),
    Row({INM: f"W/{ETAG}"}, 304),
    Row({INM: f"{OTHER}, {ETAG}"}, 304),
    Row({IMS: "before"}, 200),
    Row({IMS: "equal"}, 304),
    Row({IMS: "equal, as asctime"}, 304),
    Row({IMS: "equal, as RFC 850"}, 304),
    Row({IMS: "after"}, 304),
    Row({IMS: "future"}, 200),
    Row({IMS: "no date"}, 200),
    Row({IUS: "before"}, 412, IUS),
    Row({IUS: "before, as asctime"}, 412, IUS),
    Row({IUS: "before, as RFC 850"}, 412, IUS),
    Row({IUS: "equal"}, 200),
    Row({IUS: "after"}, 200),
    Row({IUS: "future"}, 200),
    Row({IUS: "no date"}, 200),
    Row({IM: ETAG, IUS: "before"}, 200),
    Row({IM: OTHER, IUS: "after"}, 412, IM),
    Row({IM: ETAG, INM: ETAG}, 304),
    Row({IM: OTHER, INM: ETAG}, 412, IM),
    Row({IM: ETAG, IMS: "equal"}, 304),
    Row({INM: ETAG, IMS: "before"}, 304),
    Row({INM: OTHER, IMS: "equal"}, 200),
    Row({INM: ETAG, IUS: "before"}, 412, IUS),
    Row({INM: ETAG, IUS: "equal"}, 304),
    Row({IMS: "equal", IUS: "before"}, 412, IUS),
]


@pytest.fixture(scope="module")
def front(store_front):
    return store_front


@pytest.fixture(scope="module")
def read(front):
    """An object that has been there for more than a second, and its dates by name."""
    path = front.path(front.new_key("read"))
    assert front.raw.put(path, BODY, headers={"Cache-Control": "max-age=5"}).status == 200
    return path, dates_around(front.raw.head(path).headers["last-modified"])


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name or "no condition")
def test_rows(front, read, row, method):
    path, dates = read
    headers = {name: dates.get(value, value) for name, value in row.headers.items()}
    answer = front.raw.request(method, path, headers=headers)
    assert answer.status == row.status, str(answer)
    assert answer.etag == ETAG, "every answer names the object's ETag"
    if row.status == 200:
        assert answer.body == (BODY if method == "GET" else b"")
        assert answer.headers["content-length"] == str(len(BODY))
        return
    if row.status == 304:
        assert answer.body == b""
        # What moto's own 304 does not say is not asked for: the ETag is all a client needs.
        if front.store.name != "moto" or "last-modified" in answer.headers:
            assert answer.headers["last-modified"] == dates["equal"]
            assert answer.headers["cache-control"] == "max-age=5"
        assert "content-type" not in answer.headers
        return
    assert "last-modified" not in answer.headers
    if method == "HEAD":
        assert answer.body == b""
        return
    assert answer.code == "PreconditionFailed"
    assert answer.fields["Condition"] == row.failing
    assert answer.fields["Message"] == (
        "At least one of the pre-conditions you specified did not hold")
    assert answer.fields["RequestId"] == answer.headers["x-amz-request-id"]


@pytest.mark.parametrize("headers", [{IM: ETAG}, {IM: "*"}, {INM: "*"}, {INM: ETAG},
                                     {IUS: "Wed, 01 Jan 2020 00:00:00 GMT"}], ids=str)
def test_what_is_not_there_is_404_whatever_the_condition(front, headers):
    missing = front.path("missing")
    answer = front.raw.get(missing, headers=headers)
    assert (answer.status, answer.code) == (404, "NoSuchKey")
    assert front.raw.head(missing, headers=headers).status == 404


@pytest.mark.parametrize(("headers", "status", "body"), [
    ({IM: ETAG}, 206, BODY[:4]),
    ({IM: OTHER}, 412, None),
    ({INM: ETAG}, 304, b""),
    ({INM: OTHER}, 206, BODY[:4]),
    ({IUS: "before"}, 412, None),
], ids=str)
def test_conditions_come_before_the_range(front, read, headers, status, body):
    path, dates = read
    headers = {name: dates.get(value, value) for name, value in headers.items()}
    answer = front.raw.get(path, headers={**headers, "Range": "bytes=0-3"})
    assert answer.status == status, str(answer)
    assert body is None or answer.body == body
    beyond = front.raw.get(path, headers={**headers, "Range": "bytes=1000-"})
    assert beyond.status == (416 if status == 206 else status), str(beyond)


def test_boto3_sees_what_it_sees_of_aws(front, read):
    name = {"Bucket": front.bucket, "Key": read[0].rsplit("/", 1)[1]}
    for call in (front.s3.get_object, front.s3.head_object):
        for condition, code in (({"IfNoneMatch": ETAG}, (304, "304")),
                                ({"IfMatch": OTHER}, (412, "PreconditionFailed"))):
            with pytest.raises(ClientError) as refused:
                call(**name, **condition)
            if call == front.s3.head_object:
                code = code[0], str(code[0])
            assert code_of(refused.value) == code
    assert front.s3.get_object(**name, IfMatch=ETAG)["Body"].read() == BODY


def test_multipart_etags_are_etags_like_others(front):
    if "multipart ETags" in front.store.lacks:
        pytest.skip(f"{front.store.name} itself does not have: multipart ETags")
    name = {"Bucket": front.bucket, "Key": front.new_key("multipart")}
    upload = front.s3.create_multipart_upload(**name)["UploadId"]
    part = front.s3.upload_part(**name, UploadId=upload, PartNumber=1, Body=BODY)
    front.s3.complete_multipart_upload(**name, UploadId=upload, MultipartUpload={
        "Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    etag, path = front.s3.head_object(**name)["ETag"], front.path(name["Key"])
    assert etag.endswith('-1"')
    assert front.raw.get(path, headers={IM: etag}).body == BODY
    assert front.raw.get(path, headers={INM: etag}).status == 304
    assert front.raw.get(path, headers={IM: ETAG}).status == 412


def test_each_version_has_its_own_etag(front_on):
    front = front_on("moto")
    bucket = new_bucket(front.store)
    front.store_s3.put_bucket_versioning(Bucket=bucket,
                                         VersioningConfiguration={"Status": "Enabled"})
    path = f"/{bucket}/versioned"
    first = front.raw.put(path, b"first")
    front.raw.put(path, BODY)
    old = f"{path}?versionId={first.headers['x-amz-version-id']}"
    for method in ("GET", "HEAD"):
        def status(target, **headers):
            wanted = {name.replace("_", "-"): value for name, value in headers.items()}
            return front.raw.request(method, target, headers=wanted).status

        assert status(old, If_Match=first.etag) == 200
        assert status(old, If_Match=ETAG) == 412
        assert status(old, If_None_Match=f"{OTHER}, {first.etag}") == 304
        assert status(path, If_Match=first.etag) == 412
    front.raw.delete(path)
    deleted = front.raw.get(path, headers={IM: "*"})
    assert (deleted.status, deleted.code) == (404, "NoSuchKey")


def test_a_presigned_url_does_not_tell_the_etag_it_failed_to_name(front, read, signing):
    s3 = front.proxy.boto(config=signing)
    url = s3.generate_presigned_url("get_object", Params={
        "Bucket": front.bucket, "Key": read[0].rsplit("/", 1)[1]})
    pool = urllib3.PoolManager()
    refused = pool.request("GET", url, headers={IM: OTHER})
    assert refused.status == 412 and "etag" not in refused.headers
    assert pool.request("GET", url, headers={IM: ETAG}).data == BODY
    assert pool.request("GET", url, headers={INM: ETAG}).status == 304


def test_connections_to_the_store_are_used_again(store_named, tmp_path):
    """An answer taken in the store's place leaves the store's own to be read."""
    store = store_named("embedded")
    bucket = new_bucket(store)
    relay = Relay(store.url)
    proxy = Proxy(tmp_path, store, Settings(settle=0, lease=1, grace=0.5), backend_url=relay.url)
    proxy.wait_writable(bucket)
    raw, path = proxy.raw(), f"/{bucket}/small"
    raw.put(path, BODY)
    before = relay.connections
    for _ in range(25):
        assert raw.get(path, headers={INM: ETAG}).status == 304
        assert raw.get(path, headers={IM: OTHER}).status == 412
        assert raw.head(path, headers={INM: ETAG}).status == 304
    made = relay.connections - before
    proxy.stop()
    relay.close()
    # The pool may hand out another connection while one is on its way back.
    assert made <= 3, f"{made} connections for 75 answers"


# === a store that says what the test tells it to ===

@pytest.fixture(scope="module")
def scripted(tmp_path_factory):
    store = ScriptedStore()
    proxy = Proxy(tmp_path_factory.mktemp("scripted"), store.store, Settings(settle=0))
    store.take()
    yield store, proxy.raw()
    proxy.stop()
    store.stop()


OBJECT = (200, {"ETag": ETAG, "Last-Modified": "Sun, 06 Nov 1994 12:00:00 GMT"}, BODY)


def wrongly(status, **validators):
    """A store that answers this to every request with a condition, and the object to others."""
    headers = {name.replace("_", "-"): value for name, value in validators.items()}

    def answer(request):
        conditional = any(name.startswith("if-") for name in request.headers)
        return (status, headers, b"") if conditional else OBJECT
    return answer


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("answer", [
    wrongly(304), wrongly(304, ETag='"third"'), wrongly(304, ETag=ETAG), wrongly(412),
    wrongly(412, ETag=ETAG), wrongly(416)], ids=range(6))
def test_a_wrong_refusal_of_the_store_is_not_believed(scripted, answer, method):
    store, raw = scripted
    store.answer = answer
    for headers in ({IM: ETAG}, {INM: OTHER}, {IUS: "Sun, 06 Nov 1994 12:00:00 GMT"},
                    {IMS: "Sun, 06 Nov 1994 11:59:59 GMT"}):
        got = raw.request(method, "/bucket/key", headers=headers)
        assert (got.status, got.etag) == (200, ETAG), f"{headers}: {got}"
        assert got.body == (BODY if method == "GET" else b"")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status", [304, 412])
def test_the_status_of_a_refusal_is_put_right(scripted, status, method):
    store, raw = scripted
    store.answer = wrongly(status)
    for headers, right in (({IM: OTHER}, 412), ({INM: "*"}, 304)):
        got = raw.request(method, "/bucket/key", headers=headers)
        assert (got.status, got.etag) == (right, ETAG), str(got)


def test_a_304_that_proves_itself_costs_no_second_question(scripted):
    store, raw = scripted
    store.answer = wrongly(304, ETag=ETAG)
    store.take()
    assert raw.get("/bucket/key", headers={INM: ETAG}).status == 304
    assert [request.method for request in store.take()] == ["GET"]


@pytest.mark.parametrize(("query", "range_"), [("versionId=v1", {"Range": "bytes=0-3"}),
                                              ("partNumber=2&versionId=v1", {})])
def test_the_second_question_is_about_the_same_object(scripted, query, range_):
    """The version, the part and the customer's key go along; the conditions and the range do not."""
    store, raw = scripted
    store.answer = wrongly(412)
    store.take()
    key = {f"x-amz-server-side-encryption-customer-{name}": value for name, value in
           (("algorithm", "AES256"), ("key", "a2V5"), ("key-md5", "bWQ1"))}
    target = f"/bucket/key?{query}"
    got = raw.get(target, headers={**key, IM: MD5, **range_})
    assert got.status == 200 and got.body == BODY
    asked, looked, again = store.take()
    assert [r.method for r in (asked, looked, again)] == ["GET", "HEAD", "GET"]
    for request in (asked, looked, again):
        assert request.target == target
        assert key.items() <= request.headers.items()
    assert asked.headers["if-match"] == ETAG and "if-match" not in again.headers
    assert not {"if-match", "range"} & set(looked.headers)
    assert again.headers.get("range") == range_.get("Range")


def test_other_reads_are_the_store_s_own(scripted):
    store, raw = scripted
    store.answer = wrongly(412)
    for target in ("/bucket/key?tagging", "/bucket?list-type=2", "/bucket/key?acl"):
        assert raw.get(target, headers={IM: ETAG}).status == 412, target


def test_an_error_of_the_store_is_passed_on(scripted):
    store, raw = scripted
    document = b"<Error><Code>InvalidObjectState</Code><Message>archived</Message></Error>"
    store.answer = lambda _: (403, {"Content-Type": "application/xml"}, document)
    got = raw.get("/bucket/key", headers={INM: ETAG})
    assert (got.status, got.code) == (403, "InvalidObjectState")
    assert got.fields["Message"] == "archived" and got.fields["RequestId"]
