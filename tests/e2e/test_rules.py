"""Rules by bucket and prefix: keys written once, keys written under a condition, keys that pass."""

from __future__ import annotations

import base64
import hashlib

import pytest
import urllib3

from clients import UNSIGNED, Wire
from conftest import new_bucket
from proxies import Proxy, Settings
from recorder import Recorder, lower

RULES = """\
[[rule]]
prefix = "once/"
require = "create-only"

[[rule]]
prefix = "careful/"
require = "must-be-conditional"

[[rule]]
prefix = "free/once/"
mode = "pass"
require = "create-only"

[[rule]]
prefix = "free/"
mode = "pass"
"""

DENIED = (403, "AccessDenied")


@pytest.fixture(scope="module")
def ruled(store_named, tmp_path_factory):
    store = store_named("embedded")
    bucket = new_bucket(store)
    proxy = Proxy(tmp_path_factory.mktemp("ruled"), store, Settings(rules=RULES))
    proxy.wait_writable(bucket)
    yield proxy, bucket
    proxy.stop()


def said(answer) -> tuple:
    return answer.status, answer.code


def test_what_is_written_once_stays(ruled):
    proxy, bucket = ruled
    raw, path = proxy.raw(), f"/{bucket}/once/a"
    assert said(raw.put(path, b"blind")) == DENIED
    created = raw.put(path, b"first", headers={"If-None-Match": "*"})
    assert created.status == 200
    assert raw.put(path, b"again", headers={"If-None-Match": "*"}).status == 412
    for answer in (
        raw.put(path, b"next", headers={"If-Match": created.etag}),
        raw.put(path, b"next"),
        raw.delete(path),
        raw.delete(path, headers={"If-Match": created.etag}),
        raw.delete(path + "?versionId=null"),
        raw.put(path, headers={"x-amz-copy-source": f"{bucket}/.writable"}),
        raw.put(path, b"more", headers={"x-amz-write-offset-bytes": "5"}),
    ):
        assert said(answer) == DENIED, str(answer)
    assert raw.get(path).body == b"first"
    assert raw.put(f"/{bucket}/oncemore", b"outside of the prefix").status == 200


def test_an_upload_is_judged_when_it_is_completed(ruled):
    proxy, bucket = ruled
    s3, raw, key = proxy.boto(), proxy.raw(), "once/parts"
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=b"part")
    document = (f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
                f"<ETag>{part['ETag']}</ETag></Part></CompleteMultipartUpload>").encode()
    target = f"/{bucket}/{key}?uploadId={upload}"
    assert said(raw.request("POST", target, body=document)) == DENIED
    assert raw.get(f"/{bucket}/{key}").status == 404
    s3.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)


def test_what_is_written_carefully_names_what_it_replaces(ruled):
    proxy, bucket = ruled
    raw, path = proxy.raw(), f"/{bucket}/careful/a"
    assert said(raw.put(path, b"blind")) == DENIED
    first = raw.put(path, b"first", headers={"If-None-Match": "*"})
    second = raw.put(path, b"second", headers={"If-Match": first.etag})
    assert (first.status, second.status) == (200, 200)
    assert said(raw.delete(path)) == DENIED
    assert said(raw.delete(path, headers={"If-Match": first.etag})) == (412, "PreconditionFailed")
    assert raw.delete(path, headers={"If-Match": second.etag}).status == 204


def test_a_batch_is_judged_key_by_key(ruled):
    proxy, bucket = ruled
    s3 = proxy.boto()
    for key in ("once/batch", "careful/batch", "plain-batch", "free/batch"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x", IfNoneMatch="*")
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [
        {"Key": key} for key in ("once/batch", "careful/batch", "plain-batch", "free/batch")]})
    refused = {error["Key"]: error["Code"] for error in answer["Errors"]}
    assert refused == {"once/batch": "AccessDenied", "careful/batch": "AccessDenied"}
    assert {done["Key"] for done in answer["Deleted"]} == {"plain-batch", "free/batch"}
    etag = s3.head_object(Bucket=bucket, Key="careful/batch")["ETag"]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [
        {"Key": "careful/batch", "ETag": etag}]})
    assert [done["Key"] for done in answer["Deleted"]] == ["careful/batch"]


def test_a_form_cannot_carry_a_condition(ruled, signing):
    proxy, bucket = ruled
    s3 = proxy.boto(config=signing)
    pool = urllib3.PoolManager(retries=False)
    for key, status in (("once/form", 403), ("careful/form", 403), ("free/once/form", 403),
                        ("free/form", 204), ("form", 204)):
        form = s3.generate_presigned_post(bucket, key)
        answer = pool.request_encode_body("POST", form["url"], fields={
            **form["fields"], "file": ("f", b"content")})
        assert answer.status == status, (key, answer.data)
    assert proxy.raw().get(f"/{bucket}/once/form").status == 404


def test_a_violation_is_told_before_the_body(ruled):
    proxy, bucket = ruled
    with Wire(proxy.raw(), "PUT", f"/{bucket}/once/large", 20 << 20,
              unsigned={"Expect": "100-continue"}) as wire:
        answer = wire.read_answer()
        assert said(answer) == DENIED
        assert wire.sent_body_bytes == 0


def test_what_passes_needs_no_register(store_named, own_redis, tmp_path):
    store = store_named("embedded")
    bucket = new_bucket(store)
    settings = Settings(register=own_redis.new_database(), rules=RULES)
    proxy = Proxy(tmp_path, store, settings)
    proxy.skip_quarantine()
    proxy.wait_writable(bucket)
    own_redis.kill9()
    s3, raw = proxy.boto(), proxy.raw()
    assert raw.put(f"/{bucket}/guarded", b"x").status == 503
    assert raw.put(f"/{bucket}/free/a", b"one").status == 200
    assert raw.put(f"/{bucket}/free/large", b"l" * 300_000, payload=UNSIGNED).status == 200
    assert raw.get(f"/{bucket}/free/a").body == b"one"
    s3.copy_object(Bucket=bucket, Key="free/copy", CopySource=f"{bucket}/free/a")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="free/parts")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="free/parts", UploadId=upload, PartNumber=1,
                          Body=b"part")
    s3.complete_multipart_upload(Bucket=bucket, Key="free/parts", UploadId=upload,
                                 MultipartUpload={"Parts": [{"PartNumber": 1,
                                                             "ETag": part["ETag"]}]})
    assert raw.get(f"/{bucket}/free/parts").body == b"part"
    assert raw.delete(f"/{bucket}/free/a").status == 204
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [
        {"Key": "free/copy"}, {"Key": "guarded"}]})
    assert [done["Key"] for done in answer["Deleted"]] == ["free/copy"]
    assert [error["Key"] for error in answer["Errors"]] == ["guarded"]
    proxy.stop()


# Before a recorder: what the store is asked.


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    recorder = Recorder()
    proxy = Proxy(tmp_path_factory.mktemp("recorded"), recorder.store,
                  Settings(settle=0, rules=RULES))
    recorder.take()
    yield recorder, proxy
    proxy.stop()
    recorder.stop()


def test_conditions_of_what_passes_are_the_store_s_own(recorded):
    recorder, proxy = recorded
    raw = proxy.raw()
    for headers in ({"If-None-Match": '"not-at-aws"'}, {"If-Match": "*"},
                    {"If-Match": '"e"', "If-None-Match": "*"}):
        assert raw.put("/bucket/free/a", b"body", headers=headers).status == 200
        [(method, path, sent, body)] = recorder.take()
        assert (method, path, body) == ("PUT", "/bucket/free/a", b"body")
        assert {name: lower(sent)[name.lower()] for name in headers} == headers
        assert "storekey" in lower(sent)["authorization"]
    proxy.boto().delete_objects(Bucket="bucket", Delete={"Objects": [
        {"Key": "free/a", "ETag": '"e"'}]})
    [(method, path, sent, _)] = recorder.take()
    assert (method, path, lower(sent)["if-match"]) == ("DELETE", "/bucket/free/a", '"e"')
    assert said(raw.put("/bucket/free/once/a", b"x")) == DENIED
    assert recorder.take() == []


def test_the_body_of_what_passes_is_verified_first(recorded):
    recorder, proxy = recorded
    wrong = base64.b64encode(hashlib.md5(b"another").digest()).decode()
    answer = proxy.raw().put("/bucket/free/a", b"body", headers={"Content-MD5": wrong})
    assert said(answer) == (400, "BadDigest")
    assert recorder.take() == []


def test_what_passes_is_sent_once(recorded):
    recorder, proxy = recorded
    raw = proxy.raw()
    # The connection that this leaves open is the one that goes dead.
    assert raw.put("/bucket/free/a", b"one").status == 200
    recorder.take()
    recorder.hang_up = True
    answer = raw.put("/bucket/free/a", b"two")
    recorder.hang_up = False
    assert answer.status == 503 and "may have taken effect" in answer.fields["Message"]
    assert len(recorder.take()) == 1
