"""The embedded store's answers name their request, and what it refuses has AWS's document."""

from __future__ import annotations

import pytest

from clients import Answer
from embedded import Bucket

REFUSED = {
    "NoSuchBucket": lambda b: b.raw.get(f"/{b.name}-missing/key"), "NoSuchKey": lambda b: b.raw.get(b.path("none")),
    "NoSuchUpload": lambda b: b.raw.get(b.path("key", "uploadId=none")),
    "NoSuchTagSet": lambda b: b.raw.get(b.path(query="tagging")),
    "NoSuchCORSConfiguration": lambda b: b.raw.get(b.path(query="cors")),
    "InvalidRange": lambda b: b.raw.get(b.path("key"), headers={"Range": "bytes=5-"}),
    "InvalidBucketName": lambda b: b.raw.put("/No_Bucket"), "InvalidURI": lambda b: b.raw.get(f"/{b.name}/%ff"),
    "InvalidDigest": lambda b: b.raw.put(b.path("key"), b"y", headers={"Content-MD5": "x"}),
    "BadDigest": lambda b: b.raw.put(b.path("key"), b"y", headers={"Content-MD5": "A" * 22 + "=="}),
    "MalformedXML": lambda b: b.raw.put(b.path("key", "tagging"), b"<Tagging>"),
    "MissingRequestBodyError": lambda b: b.raw.put(b.path("key", "tagging")),
    "InvalidArgument": lambda b: b.raw.put(b.path("key", "versionId=x")),
    "InvalidTag": lambda b: b.raw.put(b.path("key"), b"y", headers={"x-amz-tagging": "aws:a=b"}),
    "InvalidStorageClass": lambda b: b.raw.put(b.path("key"), b"y", headers={"x-amz-storage-class": "COLD"}),
    "KeyTooLongError": lambda b: b.raw.put(b.path("k" * 1025), b"y"),
    "NotImplemented": lambda b: b.raw.get(b.path(query="policy")),
    "PreconditionFailed": lambda b: b.raw.put(b.path("key"), b"y", headers={"If-None-Match": "*"}),
    "BucketNotEmpty": lambda b: b.raw.delete(b.path()), "InvalidPartNumber": lambda b: b.raw.get(b.path("key", "partNumber=2")),
    "SignatureDoesNotMatch": lambda b: forged(b),
    "RequestTimeTooSkewed": lambda b: b.raw.request("GET", b.path("key"), clock_offset=-3600),
    "AccessDenied": lambda b: b.raw.send("GET", b.path("key"), {"Host": f"{b.raw.host}:{b.raw.port}"}, b""),
}


def forged(bucket: Bucket) -> Answer:
    signed = bucket.raw.signed("GET", bucket.path("key"))
    return bucket.raw.send("GET", bucket.path("key"), {**signed, "Authorization": signed["Authorization"][:-8] + "0" * 8}, b"")


@pytest.mark.parametrize("code", REFUSED)
def test_a_refusal_has_a_message_and_names_its_request(embedded, code):
    embedded.put("key", b"x")
    answer = REFUSED[code](embedded)
    assert answer.status >= 400 and answer.code == code, answer
    assert answer.headers["content-type"] == "application/xml"
    fields = answer.fields
    assert fields["Message"] and fields["Message"] != code, fields
    assert fields["RequestId"] == answer.headers["x-amz-request-id"] and fields["HostId"]
    assert embedded.body("key") == b"x" and embedded.keys() == ["key"]


def test_each_answer_names_its_own_request(embedded):
    embedded.put("key", b"x")
    embedded("put_object", "empty")
    answers = [embedded.raw.request(method, target) for method, target in [
        ("GET", "/"), ("GET", embedded.path()), ("GET", embedded.path("key")), ("GET", embedded.path("empty")),
        ("HEAD", embedded.path("key")), ("HEAD", embedded.path("none")), ("HEAD", f"/{embedded.name}-missing"),
        ("PUT", embedded.path("key")), ("DELETE", embedded.path("key")), ("POST", embedded.path("key", "uploads"))]]
    ids = {answer.headers["x-amz-request-id"] for answer in answers}
    assert len(ids) == len(answers) and all(len(each) == 16 for each in ids)


def marked(bucket: Bucket) -> str:
    """Hides the key; returns the id of what hides it."""
    bucket.versioned()
    return bucket("delete_object", "key")["VersionId"]


NAMED = {
    "a bucket that is not there": (lambda b: b.raw.get(f"/{b.name}-missing"), lambda b: {"BucketName": f"{b.name}-missing"}),
    "a bucket that is not empty": (lambda b: b.raw.delete(b.path()), lambda b: {"BucketName": b.name}),
    "no rules": (lambda b: b.raw.get(b.path(query="cors")), lambda b: {"BucketName": b.name}),
    "no tags": (lambda b: b.raw.get(b.path(query="tagging")), lambda b: {"BucketName": b.name}),
    "a key": (lambda b: b.raw.get(b.path("a b/<\u00e4>")), lambda b: {"Key": "a b/<\u00e4>"}),
    "a version": (lambda b: b.raw.get(b.path("key", "versionId=" + "0" * 32)),
                  lambda b: {"Key": "key", "VersionId": "0" * 32}),
    "a version's id": (lambda b: b.raw.get(b.path("key", "versionId=none")),
                       lambda b: {"ArgumentName": "versionId", "ArgumentValue": "none"}),
    "a marker": (lambda b: b.raw.get(b.path("key", f"versionId={marked(b)}")),
                 lambda b: {"Method": "GET", "ResourceType": "DeleteMarker"}),
    "a range": (lambda b: b.raw.get(b.path("key"), headers={"Range": "bytes=5-9"}),
                lambda b: {"RangeRequested": "bytes=5-9", "ActualObjectSize": "1"}),
    "a range from the end": (lambda b: b.raw.get(b.path("key"), headers={"Range": "bytes=-0"}),
                             lambda b: {"RangeRequested": "bytes=-0", "ActualObjectSize": "1"}),
    "an encoding": (lambda b: b.raw.get(b.path(query="encoding-type=gzip")),
                    lambda b: {"ArgumentName": "encoding-type", "ArgumentValue": "gzip"}),
    "a tag": (lambda b: b.raw.put(b.path("key"), headers={"x-amz-tagging": "aws:a=b"}), lambda b: {"TagKey": "aws:a"}),
    "a tag's value": (lambda b: b.raw.put(b.path("key"), headers={"x-amz-tagging": "a=%3C"}),
                      lambda b: {"TagKey": "a", "TagValue": "<"}),
}


@pytest.mark.parametrize("what", NAMED)
def test_a_refusal_says_what_it_is_about(embedded, what):
    embedded.put("key", b"x")
    asked, about = NAMED[what]
    answer = asked(embedded)
    assert answer.status >= 400 and about(embedded).items() <= answer.fields.items(), answer


def test_a_missing_source_is_not_called_the_key(embedded):
    answer = embedded.raw.put(embedded.path("key"), headers={"x-amz-copy-source": f"{embedded.name}/none"})
    assert answer.code == "NoSuchKey" and "Key" not in answer.fields, answer
