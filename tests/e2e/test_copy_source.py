"""AWS's answers to conditions on the source of CopyObject and UploadPartCopy, from every store.

moto knows
one of them; Swift refuses the ETag it shows for a multipart object.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

import pytest
from botocore.exceptions import ClientError

from clients import code_of
from conftest import new_bucket
from dates import dates_around
from proxies import LIMITED_BUCKET, LIMITED_KEY, LIMITED_SECRET, Proxy, Settings
from scripted import ScriptedStore

BODY = b"what is copied"
MD5 = hashlib.md5(BODY).hexdigest()
ETAG, OTHER = f'"{MD5}"', '"0123456789abcdef0123456789abcdef"'
PREFIX = "x-amz-copy-source-"
IM, INM = "If-Match", "If-None-Match"
IMS, IUS = "If-Modified-Since", "If-Unmodified-Since"


@dataclass
class Row:
    """`failing` is the condition that a 412 names; without one the copy is made."""

    conditions: dict[str, str]
    failing: str | None = None

    @property
    def name(self) -> str:
        return " and ".join(f"{name} {value}" for name, value in self.conditions.items())


# AWS: CopyObject, UploadPartCopy. All failures are 412.
ROWS = [
    Row({}),
    Row({IM: ETAG}),
    Row({IM: MD5}),
    Row({IM: OTHER}, IM),
    Row({INM: OTHER}),
    Row({INM: ETAG}, INM),
    Row({INM: MD5}, INM),
    Row({IMS: "before"}),
    Row({IMS: "equal"}, IMS),
    Row({IMS: "equal, as asctime"}, IMS),
    Row({IMS: "after"}, IMS),
    Row({IMS: "future"}),
    Row({IMS: "no date"}),
    Row({IUS: "before"}, IUS),
    Row({IUS: "before, as RFC 850"}, IUS),
    Row({IUS: "equal"}),
    Row({IUS: "after"}),
    Row({IUS: "no date"}),
    Row({IM: ETAG, IUS: "before"}),
    Row({IM: OTHER, IUS: "before"}, IM),
    Row({IM: OTHER, INM: ETAG}, IM),
    Row({IM: ETAG, INM: ETAG}, INM),
    Row({INM: ETAG, IMS: "before"}, INM),
    Row({INM: OTHER, IMS: "equal"}),
    Row({IUS: "before", INM: ETAG}, IUS),
    Row({IUS: "equal", IMS: "equal"}, IMS),
]


@pytest.fixture(scope="module")
def front(store_front):
    return store_front


@pytest.fixture(scope="module")
def source(front):
    """An object that has been there for more than a second, and its dates by name."""
    path = front.path(front.new_key("source"))
    assert front.raw.put(path, BODY).status == 200
    return path, dates_around(front.raw.head(path).headers["last-modified"])


@pytest.fixture(scope="module")
def upload(front):
    """The path of an upload whose parts may be copied, less the number of the part."""
    if "copy part" in front.store.lacks:
        pytest.skip(f"{front.store.name} itself does not have: copy part")
    name = {"Bucket": front.bucket, "Key": front.new_key("upload")}
    upload = front.s3.create_multipart_upload(**name)["UploadId"]
    yield f"{front.path(name['Key'])}?uploadId={upload}&partNumber="
    front.s3.abort_multipart_upload(**name, UploadId=upload)


def conditional(source: str, conditions: dict[str, str]) -> dict[str, str]:
    return {"x-amz-copy-source": source} | {
        PREFIX + name.lower(): value for name, value in conditions.items()}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name or "no condition")
def test_rows_of_a_copy(front, source, row):
    path, dates = source
    conditions = {name: dates.get(value, value) for name, value in row.conditions.items()}
    copy = front.path(front.new_key("copy"))
    answer = front.raw.put(copy, headers=conditional(path, conditions))
    if row.failing is None:
        assert answer.status == 200, str(answer)
        assert front.raw.get(copy).body == BODY
    else:
        assert_refused(answer, row)
        assert front.raw.head(copy).status == 404, "a refused copy was made"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name or "no condition")
def test_rows_of_a_part(front, source, upload, row):
    path, dates = source
    conditions = {name: dates.get(value, value) for name, value in row.conditions.items()}
    answer = front.raw.put(f"{upload}1", headers=conditional(path, conditions))
    if row.failing is None:
        assert answer.status == 200, str(answer)
        assert MD5.encode() in answer.body
    else:
        assert_refused(answer, row)


def assert_refused(answer, row: Row) -> None:
    assert (answer.status, answer.code) == (412, "PreconditionFailed"), str(answer)
    assert answer.fields["Condition"] == PREFIX + row.failing
    assert answer.fields["RequestId"] == answer.headers["x-amz-request-id"]


def test_a_missing_source_is_404_and_named(front, upload):
    for target in (front.path(front.new_key("copy")), f"{upload}1"):
        answer = front.raw.put(target, headers=conditional(front.path("nothing"), {INM: ETAG}))
        assert (answer.status, answer.code) == (404, "NoSuchKey"), str(answer)
        assert answer.fields["Key"] == "nothing"
        answer = front.raw.put(target, headers=conditional("/no-such-bucket-here/k", {IM: ETAG}))
        assert (answer.status, answer.code) == (404, "NoSuchBucket"), str(answer)


def test_boto3_copies_on_conditions(front, source):
    name = {"Bucket": front.bucket, "Key": front.new_key("copy")}
    copied = {"Bucket": front.bucket, "Key": source[0].rsplit("/", 1)[1]}
    with pytest.raises(ClientError) as refused:
        front.s3.copy_object(**name, CopySource=copied, CopySourceIfMatch=OTHER)
    assert code_of(refused.value) == (412, "PreconditionFailed")
    made = front.s3.copy_object(**name, CopySource=copied, CopySourceIfMatch=ETAG)
    # Ceph's own document has it without quotes.
    assert made["CopyObjectResult"]["ETag"].strip('"') == MD5
    # One condition on either side: the source is judged first.
    with pytest.raises(ClientError) as refused:
        front.s3.copy_object(**name, CopySource=copied, CopySourceIfMatch=OTHER, IfNoneMatch="*")
    assert refused.value.response["Error"]["Condition"] == PREFIX + IM
    with pytest.raises(ClientError) as refused:
        front.s3.copy_object(**name, CopySource=copied, CopySourceIfMatch=ETAG, IfNoneMatch="*")
    assert refused.value.response["Error"]["Condition"] == INM


def test_a_multipart_source_is_copied_by_its_etag(front, upload):
    """Swift refuses it, where it is asked for its own ETag."""
    name = {"Bucket": front.bucket, "Key": front.new_key("multipart")}
    begun = front.s3.create_multipart_upload(**name)["UploadId"]
    part = front.s3.upload_part(**name, UploadId=begun, PartNumber=1, Body=BODY)
    front.s3.complete_multipart_upload(**name, UploadId=begun, MultipartUpload={
        "Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    path = front.path(name["Key"])
    etag = front.raw.head(path).etag
    copy = front.path(front.new_key("copy"))
    for target in (copy, f"{upload}2"):
        answer = front.raw.put(target, headers=conditional(path, {IM: etag}))
        assert answer.status == 200, str(answer)
    assert front.raw.get(copy).body == BODY


def test_a_version_is_judged_as_itself(front_on):
    front = front_on("moto")
    bucket = new_bucket(front.store)
    front.store_s3.put_bucket_versioning(Bucket=bucket,
                                         VersioningConfiguration={"Status": "Enabled"})
    path = f"/{bucket}/versioned"
    first = front.raw.put(path, b"first")
    version = first.headers["x-amz-version-id"]
    front.raw.put(path, BODY)
    copy = f"/{bucket}/copy"
    old = f"{path}?versionId={version}"
    assert front.raw.put(copy, headers=conditional(old, {IM: ETAG})).status == 412
    assert front.raw.put(copy, headers=conditional(old, {IM: first.etag})).status == 200
    assert front.raw.get(copy).body == b"first"
    front.raw.delete(path)
    missing = front.raw.put(copy, headers=conditional(path, {INM: ETAG}))
    assert (missing.status, missing.code) == (404, "NoSuchKey"), "a delete marker is no source"


# === a store that says what the test tells it to ===

@pytest.fixture(scope="module")
def scripted(tmp_path_factory):
    store = ScriptedStore()
    proxy = Proxy(tmp_path_factory.mktemp("scripted"), store.store, Settings(settle=0))
    store.answer = World()
    proxy.wait_writable("bucket")
    yield store, proxy
    proxy.stop()
    store.stop()


COPIED = b"<CopyObjectResult><ETag>&quot;e&quot;</ETag></CopyObjectResult>"
REFUSED = b"<Error><Code>PreconditionFailed</Code></Error>"
TARGETS = ["/bucket/copy", "/bucket/upload?partNumber=1&uploadId=u"]


class World:
    """HEADs say one source ETag after the other, the last for ever; `refuses` says of a request's
    pin whether the store turns the copy down."""

    def __init__(self, etags=(ETAG,), refuses=lambda pin: False):
        self.etags, self.refuses = list(etags), refuses

    def __call__(self, request):
        if request.method == "HEAD":
            etag = self.etags.pop(0) if len(self.etags) > 1 else self.etags[0]
            return 200, {"ETag": etag}, b""
        if self.refuses(request.headers.get(PREFIX + "if-match")):
            return 412, {}, REFUSED
        return 200, {"ETag": '"e"'}, COPIED


def pins(store) -> list[str | None]:
    return [request.headers.get(PREFIX + "if-match")
            for request in store.take() if request.method == "PUT"]


@pytest.mark.parametrize("target", TARGETS, ids=["copy", "part"])
def test_the_store_copies_what_was_judged_or_nothing(scripted, target):
    store, proxy = scripted
    store.answer = World()
    store.take()
    conditions = {IMS: "Sun, 06 Nov 1994 12:00:00 GMT", INM: OTHER}
    assert proxy.raw().put(target, headers=conditional("bucket/s", conditions)).status == 200
    seen = store.take()
    [sent] = [request for request in seen if request.method == "PUT"]
    asked = {name for name in sent.headers if name.startswith(PREFIX + "if-")}
    assert asked == {PREFIX + "if-match"} and sent.headers[PREFIX + "if-match"] == ETAG
    assert seen[0].method == "HEAD" and seen[0].target == "/bucket/s"


@pytest.mark.parametrize("target", TARGETS, ids=["copy", "part"])
def test_nothing_is_asked_of_a_source_without_conditions(scripted, target):
    store, proxy = scripted
    store.answer = World()
    store.take()
    for conditions in ({}, {IM: "*"}, {IUS: "no date"}):
        headers = conditional("bucket/s", conditions)
        assert proxy.raw().put(target, headers=headers).status == 200
        seen = store.take()
        assert [request.method for request in seen] == ["PUT"]
        assert not [name for name in seen[0].headers if name.startswith(PREFIX + "if-")]


@pytest.mark.parametrize("target", TARGETS, ids=["copy", "part"])
def test_a_source_that_changes_in_between_is_judged_anew(scripted, target):
    store, proxy = scripted
    copy = lambda conditions: proxy.raw().put(target, headers=conditional("bucket/s", conditions))
    changed = lambda: World([ETAG, OTHER], refuses=lambda pin: pin == ETAG)
    store.answer = changed()
    refused = copy({IM: ETAG})
    assert (refused.status, refused.fields["Condition"]) == (412, PREFIX + IM)
    store.answer = changed()
    store.take()
    assert copy({INM: '"third"'}).status == 200
    assert pins(store) == [ETAG, OTHER]


@pytest.mark.parametrize("target", TARGETS, ids=["copy", "part"])
def test_a_store_that_refuses_the_right_etag_is_asked_without(scripted, target):
    store, proxy = scripted
    store.answer = World(refuses=lambda pin: pin is not None)
    store.take()
    assert proxy.raw().put(target, headers=conditional("bucket/s", {IM: ETAG})).status == 200
    assert pins(store) == [ETAG, None]


@pytest.mark.parametrize("target", TARGETS, ids=["copy", "part"])
def test_a_source_that_never_rests_is_given_up(scripted, target):
    store, proxy = scripted
    etags = [f'"{number}"' for number in range(20)]
    store.answer = World(etags, refuses=lambda pin: True)
    store.take()
    answer = proxy.raw().put(target, headers=conditional("bucket/s", {INM: ETAG}))
    assert (answer.status, answer.code) == (503, "ServiceUnavailable"), str(answer)
    assert pins(store) == etags[:3]


def test_a_retry_is_not_told_that_its_copy_was_not_made(scripted):
    store, proxy = scripted
    store.answer = World([OTHER])
    headers = conditional("bucket/s", {IM: ETAG}) | {"amz-sdk-invocation-id": "i-1"}
    for attempt, status in ((1, 412), (2, 503)):
        answer = proxy.raw().put(TARGETS[0], headers={
            **headers, "amz-sdk-request": f"attempt={attempt}; max=3"})
        assert answer.status == status, str(answer)


def customer_key(prefix: str, key: bytes) -> dict[str, str]:
    """The headers of a key that the customer keeps; of the source's, or of the copy's."""
    encoded = {"algorithm": "AES256", "key": base64.b64encode(key).decode(),
               "key-md5": base64.b64encode(hashlib.md5(key).digest()).decode()}
    return {f"{prefix}server-side-encryption-customer-{name}": value
            for name, value in encoded.items()}


def test_the_source_s_own_key_goes_along(scripted):
    store, proxy = scripted
    store.answer = World()
    store.take()
    of_source = customer_key(PREFIX, b"s" * 32)
    keys = of_source | customer_key("x-amz-", b"c" * 32)
    headers = conditional("bucket/s?versionId=v%2F1", {IM: ETAG}) | keys
    assert proxy.raw().put(TARGETS[0], headers=headers).status == 200
    looked, sent = [request for request in store.take() if request.target != "/bucket/copy"
                    or request.method == "PUT"][:2]
    assert (looked.method, looked.target) == ("HEAD", "/bucket/s?versionId=v%2F1")
    assert customer_key("x-amz-", b"s" * 32).items() <= looked.headers.items()
    assert keys.items() <= sent.headers.items()
    assert PREFIX + "if-match" not in sent.headers, "a version needs no pin"


@pytest.mark.parametrize(("status", "code"), [(400, "InvalidRequest"), (405, "InvalidRequest"),
                                              (403, "AccessDenied"), (500, "ServiceUnavailable")])
@pytest.mark.parametrize("target", TARGETS, ids=["copy", "part"])
def test_a_source_that_cannot_be_seen_is_not_copied(scripted, target, status, code):
    store, proxy = scripted
    store.answer = lambda request: (status, {}, b"")
    store.take()
    answer = proxy.raw().put(target, headers=conditional("bucket/s", {INM: ETAG}))
    assert answer.code == code, str(answer)
    assert {request.method for request in store.take()} == {"HEAD"}


@pytest.mark.parametrize("target", TARGETS, ids=["copy", "part"])
def test_a_source_without_rights_is_not_even_looked_at(scripted, target):
    store, proxy = scripted
    store.take()
    limited = proxy.raw(LIMITED_KEY, LIMITED_SECRET)
    target = target.replace("/bucket/", f"/{LIMITED_BUCKET}/")
    answer = limited.put(target, headers=conditional("bucket/s", {IM: ETAG}))
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert store.take() == []
