"""Browsers' forms at the embedded store: what they may say, what is kept, and how little memory they take."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json

import pytest
import urllib3
from botocore.config import Config

from clients import boto
from embedded import MIB, Bucket
from test_store_crash import memory_of, serve

TAGS = "<Tagging><TagSet><Tag><Key>k</Key><Value>v 1</Value></Tag></TagSet></Tagging>"


@pytest.fixture(params=["s3v4", "s3"])
def version(request) -> Config:
    """The version of the signature."""
    return Config(signature_version=request.param, region_name="us-east-1")


def form(bucket: Bucket, key: str, fields: dict, version: Config, size=(0, 100)) -> dict:
    s3 = boto(bucket.store.url, bucket.store.access_key, bucket.store.secret_key, config=version)
    conditions = [{name: value} for name, value in fields.items()] + [["content-length-range", *size]]
    return s3.generate_presigned_post(bucket.name, key, Fields=fields, Conditions=conditions)


def post(made: dict, body: bytes = b"posted", **more):
    fields = {**made["fields"], **more, "file": ("cat.txt", body)}
    pool = urllib3.PoolManager(retries=False)
    return pool.request_encode_body("POST", made["url"], fields=fields, redirect=False)


def code_of(answer) -> str:
    return answer.data.decode().partition("<Code>")[2].partition("<")[0]


def test_a_form_writes_what_it_says(embedded, version):
    fields = {"Content-Type": "text/x-cat", "x-amz-meta-a": "1", "tagging": TAGS, "acl": "private",
              "Expires": "soon"}
    answer = post(form(embedded, "a/${filename}", fields, version))
    assert (answer.status, answer.data) == (204, b""), answer.data
    assert answer.headers["location"].endswith(f"/{embedded.name}/a/cat.txt")
    told = embedded("get_object", "a/cat.txt")
    assert (told["Body"].read(), told["ContentType"], told["Metadata"]) == (b"posted", "text/x-cat", {"a": "1"})
    assert (told["ETag"], told["ExpiresString"]) == (answer.headers["etag"], "soon")
    assert embedded("get_object_tagging", "a/cat.txt")["TagSet"] == [{"Key": "k", "Value": "v 1"}]


@pytest.mark.parametrize("status", ["200", "201", "204"])
def test_a_form_is_answered_as_it_asks(embedded, version, status):
    answer = post(form(embedded, "key", {"success_action_status": status}, version))
    assert answer.status == int(status)
    assert (b"<Key>key</Key>" in answer.data) == (status == "201")
    to = {"success_action_redirect": "http://example.com/done?a=1"}
    answer = post(form(embedded, "key", to, version))
    assert answer.status == 303
    assert answer.headers["location"].startswith(f"http://example.com/done?a=1&bucket={embedded.name}&key=key&etag=%22")


REFUSED = {
    "public": ({"acl": "public-read"}, {}, b"x", (501, "NotImplemented")),
    "tags that are none": ({"tagging": "<Tagging>"}, {}, b"x", (400, "MalformedXML")),
    "tags of AWS": ({"tagging": TAGS.replace("<Key>k", "<Key>aws:k")}, {}, b"x", (400, "InvalidTag")),
    "signs in tags": ({"tagging": TAGS.replace("v 1", "a#b")}, {}, b"x", (400, "InvalidTag")),
    "encryption": ({"x-amz-server-side-encryption": "AES256"}, {}, b"x", (501, "NotImplemented")),
    "what is unknown": ({"x-amz-append": "1"}, {}, b"x", (501, "NotImplemented")),
    "too large": ({}, {}, b"x" * 101, (400, "EntityTooLarge")),
    "not in the policy": ({}, {"x-amz-meta-b": "2"}, b"x", (403, "AccessDenied")),
    "another digest": ({"Content-MD5": "A" * 22 + "=="}, {}, b"x", (400, "BadDigest")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_form_that_is_refused_writes_nothing(embedded, version, name):
    fields, more, body, refused = REFUSED[name]
    answer = post(form(embedded, "key", fields, version), body, **more)
    assert (answer.status, code_of(answer)) == refused, answer.data
    assert embedded.keys() == []


def test_a_form_that_nobody_signed_is_refused(embedded, version):
    made = form(embedded, "key", {}, version)
    signature = "x-amz-signature" if "x-amz-signature" in made["fields"] else "signature"
    made["fields"][signature] = "0" * 64
    answer = post(made)
    assert (answer.status, code_of(answer)) == (403, "SignatureDoesNotMatch")
    answer = post({"url": made["url"], "fields": {"key": "key"}})
    assert (answer.status, code_of(answer)) == (403, "AccessDenied")
    assert embedded.keys() == []


@pytest.mark.parametrize("field", ["x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature", "policy",
                                   "AWSAccessKeyId", "signature"])
def test_a_form_that_is_signed_by_half_is_told_what_is_missing(embedded, field):
    version = "s3v4" if field.startswith("x-amz-") or field == "policy" else "s3"
    made = form(embedded, "key", {}, Config(signature_version=version, region_name="us-east-1"))
    del made["fields"][field]
    answer = post(made)
    assert (answer.status, code_of(answer)) == (400, "InvalidArgument"), answer.data
    assert f"<ArgumentName>{field}</ArgumentName>".lower() in answer.data.decode().lower()
    assert embedded.keys() == []


@pytest.mark.parametrize("expires", ["2037-11-30 17:00:00+00:00", "2037-11-30t17:00:00Z", "2037-11-30T17:00:00",
                                     "30 Nov 2037 17:00:00 GMT", "2037-11-30", ""])
def test_a_policy_ends_at_a_date_of_iso_8601(embedded, expires):
    for expiration, status in ((expires, 400), ("2037-11-30T17:00:00.000Z", 204)):
        policy = {"expiration": expiration, "conditions": [{"key": "key"}, {"bucket": embedded.name}]}
        encoded = base64.b64encode(json.dumps(policy).encode())
        digest = hmac.new(embedded.store.secret_key.encode(), encoded, hashlib.sha1).digest()
        fields = {"key": "key", "policy": encoded.decode(), "AWSAccessKeyId": embedded.store.access_key,
                  "signature": base64.b64encode(digest).decode()}
        answer = post({"url": f"{embedded.store.url}{embedded.path()}", "fields": fields})
        assert answer.status == status, answer.data
        assert status == 204 or code_of(answer) == "InvalidPolicyDocument" and embedded.keys() == []


def test_a_form_that_breaks_off_writes_nothing(embedded, version):
    made = form(embedded, "key", {}, version)
    body, content_type = urllib3.encode_multipart_formdata({**made["fields"], "file": ("cat.txt", b"posted")})
    pool = urllib3.PoolManager(retries=False)
    answer = pool.request("POST", made["url"], body=body[:-10], headers={"Content-Type": content_type})
    assert (answer.status, code_of(answer)) == (400, "MalformedPOSTRequest")
    assert embedded.keys() == []


FILE = 256 * MIB


def test_a_large_form_takes_little_memory_signed_or_not(tmp_path):
    store = serve(tmp_path / "store")
    bucket = Bucket.new(store)
    before = memory_of(store.processes[0], "VmHWM")
    signed = form(bucket, "key", {}, Config(signature_version="s3v4", region_name="us-east-1"), (0, FILE))
    for fields, statuses in ((signed["fields"], {204}), ({"key": "stranger"}, {403, None})):
        assert send(bucket, fields) in statuses
    assert bucket("head_object", "key")["ContentLength"] == FILE and bucket.keys() == ["key"]
    assert memory_of(store.processes[0], "VmHWM") - before < 64 * MIB
    store.stop()


def send(bucket: Bucket, fields: dict) -> int | None:
    """Sends a form piece by piece; the status, or `None` where the connection was closed before it was sent."""
    whole, content_type = urllib3.encode_multipart_formdata({**fields, "file": ("large", b"FILE")})
    start, end = whole.split(b"FILE")
    connection = http.client.HTTPConnection(bucket.raw.host, bucket.raw.port, timeout=60)
    try:
        connection.putrequest("POST", bucket.path())
        connection.putheader("Content-Type", content_type)
        connection.putheader("Content-Length", str(len(start) + FILE + len(end)))
        connection.endheaders(start)
        for _ in range(FILE // MIB):
            connection.send(bytes(MIB))
        connection.send(end)
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()
