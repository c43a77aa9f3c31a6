"""`dialect = "rfc"`: what RFC 9110 says and Ceph's own tests expect, before stores that ignore every
condition, refuse some, or keep versions."""

from __future__ import annotations

import hashlib

import pytest
from botocore.exceptions import ClientError

from clients import boto, code_of
from conftest import Front, new_bucket
from proxies import Settings, in_front_of

OLD, NEW = b"what was there", b"what the writer brings"
ETAG = f'"{hashlib.md5(OLD).hexdigest()}"'
OTHER = '"0123456789abcdef0123456789abcdef"'
LONG_AGO = "Wed, 01 Jan 2020 00:00:00 GMT"


@pytest.fixture(scope="module", params=["embedded-ignoring", "moto"])
def rfc(request, store_named, redis_server, tmp_path_factory):
    store = store_named(request.param)
    bucket = new_bucket(store)
    settings = Settings(register=redis_server.new_database(), dialect="rfc")
    directory = tmp_path_factory.mktemp("rfc")
    proxy = in_front_of(store, bucket, directory, settings, "ifmatch-rfc")
    yield Front(proxy, store, bucket)
    proxy.stop()


def prepare(front, state: str) -> str:
    key = front.new_key()
    if state == "present":
        front.s3.put_object(Bucket=front.bucket, Key=key, Body=OLD)
    return key


def there(front, key: str) -> bytes | None:
    try:
        return front.store_s3.get_object(Bucket=front.bucket, Key=key)["Body"].read()
    except ClientError as error:
        assert code_of(error)[0] == 404, error
        return None


# headers, present: status and <Condition>, absent: status
WRITES = [
    ({"If-None-Match": "*"}, 412, "If-None-Match", 200),
    ({"If-None-Match": ETAG}, 412, "If-None-Match", 200),
    ({"If-None-Match": f"W/{ETAG}"}, 412, "If-None-Match", 200),
    ({"If-None-Match": f"{OTHER}, {ETAG}"}, 412, "If-None-Match", 200),
    ({"If-None-Match": "badetag"}, 200, None, 200),
    ({"If-Match": "*"}, 200, None, 404),
    ({"If-Match": ETAG}, 200, None, 404),
    ({"If-Match": f"{OTHER}, {ETAG}"}, 200, None, 404),
    ({"If-Match": f"W/{ETAG}"}, 412, "If-Match", 404),
    ({"If-Match": OTHER}, 412, "If-Match", 404),
    ({"If-Match": ETAG, "If-None-Match": OTHER}, 200, None, 404),
    ({"If-Match": ETAG, "If-None-Match": "*"}, 412, "If-None-Match", 404),
]
DELETES = [
    ({"If-Match": "*"}, 204, None),
    ({"If-Match": ETAG}, 204, None),
    ({"If-Match": OTHER}, 412, "If-Match"),
    ({"If-None-Match": ETAG}, 412, "If-None-Match"),
    ({"x-amz-if-match-size": str(len(OLD))}, 204, None),
    ({"x-amz-if-match-size": "1"}, 412, "x-amz-if-match-size"),
    ({"x-amz-if-match-last-modified-time": LONG_AGO}, 412, "x-amz-if-match-last-modified-time"),
]


def ids(rows) -> list[str]:
    return ["; ".join(f"{name}: {value}" for name, value in row[0].items()) for row in rows]


def check(answer, status: int, condition: str | None) -> None:
    assert answer.status == status, str(answer)
    assert answer.fields.get("Condition") == condition, str(answer)


@pytest.mark.parametrize("row", WRITES, ids=ids(WRITES))
@pytest.mark.parametrize("state", ["present", "absent"])
@pytest.mark.parametrize("operation", ["put", "copy", "complete"])
def test_writes(rfc, row, state, operation):
    headers, when_present, condition, when_absent = row
    key = prepare(rfc, state)
    name = {"Bucket": rfc.bucket, "Key": key}
    if operation == "put":
        answer = rfc.raw.put(rfc.path(key), NEW, headers=headers)
    elif operation == "copy":
        source = rfc.new_key("source")
        rfc.s3.put_object(Bucket=rfc.bucket, Key=source, Body=NEW)
        answer = rfc.raw.put(rfc.path(key), headers={
            **headers, "x-amz-copy-source": f"{rfc.bucket}/{source}"})
    else:
        upload = rfc.s3.create_multipart_upload(**name)["UploadId"]
        part = rfc.s3.upload_part(**name, UploadId=upload, PartNumber=1, Body=NEW)["ETag"]
        answer = rfc.raw.request(
            "POST", f"{rfc.path(key)}?uploadId={upload}", headers=headers,
            body=f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{part}</ETag>"
                 "</Part></CompleteMultipartUpload>".encode())
    status = when_present if state == "present" else when_absent
    check(answer, status, condition if state == "present" else None)
    before = OLD if state == "present" else None
    assert there(rfc, key) == (NEW if status == 200 else before)


@pytest.mark.parametrize("row", DELETES, ids=ids(DELETES))
def test_deletes(rfc, row):
    headers, status, condition = row
    key = prepare(rfc, "present")
    check(rfc.raw.delete(rfc.path(key), headers=headers), status, condition)
    assert there(rfc, key) == (None if status == 204 else OLD)
    assert rfc.raw.delete(rfc.path(rfc.new_key("never")), headers=headers).status == 204


def test_a_delete_by_the_time_that_a_head_said(rfc):
    key = prepare(rfc, "present")
    modified = rfc.raw.head(rfc.path(key)).headers["last-modified"]
    headers = {"x-amz-if-match-last-modified-time": modified}
    check(rfc.raw.delete(rfc.path(key), headers=headers), 204, None)
    assert there(rfc, key) is None


def test_a_batch_judges_etag_size_and_time_of_each_key(rfc):
    keys = [prepare(rfc, "present") for _ in range(4)]
    done = rfc.s3.delete_objects(Bucket=rfc.bucket, Delete={"Objects": [
        {"Key": keys[0], "Size": len(OLD)}, {"Key": keys[1], "Size": 1},
        {"Key": keys[2], "ETag": OTHER}, {"Key": keys[3], "ETag": "*"},
        {"Key": "never", "ETag": ETAG},
    ]})
    assert {entry["Key"] for entry in done["Deleted"]} == {keys[0], keys[3], "never"}
    assert {entry["Key"]: entry["Code"] for entry in done["Errors"]} == {
        keys[1]: "PreconditionFailed", keys[2]: "PreconditionFailed"}
    assert [there(rfc, key) for key in keys] == [None, OLD, OLD, None]


def test_a_condition_on_the_delete_of_a_version_is_about_that_version(rfc):
    if rfc.store.name != "moto":
        pytest.skip("the store keeps no versions")
    bucket = new_bucket(rfc.store)
    store = boto(rfc.store.url, rfc.store.access_key, rfc.store.secret_key)
    store.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    name = {"Bucket": bucket, "Key": "versioned"}
    first = rfc.s3.put_object(**name, Body=OLD)
    second = rfc.s3.put_object(**name, Body=NEW)
    assert first["VersionId"] != second["VersionId"]
    with pytest.raises(ClientError) as refused:
        rfc.s3.delete_object(**name, VersionId=first["VersionId"], IfMatch=second["ETag"])
    assert code_of(refused.value) == (412, "PreconditionFailed")
    rfc.s3.delete_object(**name, VersionId=first["VersionId"], IfMatch=first["ETag"])
    left = store.list_object_versions(Bucket=bucket)["Versions"]
    assert [version["VersionId"] for version in left] == [second["VersionId"]]
    done = rfc.s3.delete_objects(Bucket=bucket, Delete={"Objects": [
        {"Key": "versioned", "VersionId": second["VersionId"], "ETag": first["ETag"]}]})
    assert [entry["Code"] for entry in done["Errors"]] == ["PreconditionFailed"]
