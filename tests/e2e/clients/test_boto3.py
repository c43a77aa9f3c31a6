"""boto3 and s3transfer, default settings: client, resource, transfer manager, presigned URLs."""

from __future__ import annotations

import http.client
import io
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ParamValidationError

from clients import REGION, code_of

EXISTS = (412, "PreconditionFailed")


def refusal_of(call) -> tuple[int, str] | None:
    """The status and code that a call was refused with, or nothing if it was not."""
    try:
        call()
    except ClientError as error:
        return code_of(error)
    return None


def uploaded(s3, bucket: str, key: str) -> dict:
    """A multipart upload with its one part, as the arguments of complete_multipart_upload."""
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=b"part")
    return {"Bucket": bucket, "Key": key, "UploadId": upload,
            "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}}


def test_put_creates_once_and_replaces_what_was_seen(proxied, new_key):
    s3, key = proxied.boto(), new_key()
    put = lambda body, **condition: s3.put_object(  # noqa: E731
        Bucket=proxied.bucket, Key=key, Body=body, **condition)
    first = put(b"one", IfNoneMatch="*")["ETag"]
    assert refusal_of(lambda: put(b"two", IfNoneMatch="*")) == EXISTS
    second = put(b"two", IfMatch=first)["ETag"]
    assert refusal_of(lambda: put(b"three", IfMatch=first)) == EXISTS
    assert proxied.body(key) == b"two"
    assert refusal_of(lambda: s3.delete_object(
        Bucket=proxied.bucket, Key=key, IfMatch=first)) == EXISTS
    s3.delete_object(Bucket=proxied.bucket, Key=key, IfMatch=second)
    assert refusal_of(lambda: put(b"four", IfMatch=second)) == (404, "NoSuchKey")


def test_the_store_alone_overwrites(alone, new_key):
    s3, key = alone.boto(), new_key()
    for body in (b"one", b"two"):
        s3.put_object(Bucket=alone.bucket, Key=key, Body=body, IfNoneMatch="*")
    assert alone.body(key) == b"two"


def test_an_error_names_its_condition(proxied, new_key):
    s3, key = proxied.boto(), new_key()
    s3.put_object(Bucket=proxied.bucket, Key=key, Body=b"1")
    with pytest.raises(ClientError) as caught:
        s3.put_object(Bucket=proxied.bucket, Key=key, Body=b"2", IfNoneMatch="*")
    assert caught.value.response["Error"]["Condition"] == "If-None-Match"


def test_complete_multipart_upload_judges(proxied, new_key):
    s3, key = proxied.boto(), new_key()
    done = s3.complete_multipart_upload(**uploaded(s3, proxied.bucket, key), IfNoneMatch="*")
    again = uploaded(s3, proxied.bucket, key)
    assert refusal_of(lambda: s3.complete_multipart_upload(**again, IfNoneMatch="*")) == EXISTS
    assert refusal_of(lambda: s3.complete_multipart_upload(
        **again, IfMatch='"0123456789abcdef0123456789abcdef"')) == EXISTS
    s3.complete_multipart_upload(**again, IfMatch=done["ETag"])  # refusals left the upload whole


def test_complete_refuses_what_changed_since_the_upload_began(proxied, new_key):
    s3, key = proxied.boto(), new_key()
    upload = uploaded(s3, proxied.bucket, key)
    newer = s3.put_object(Bucket=proxied.bucket, Key=key, Body=b"meanwhile")["ETag"]
    assert refusal_of(lambda: s3.complete_multipart_upload(**upload, IfMatch=newer)) == (
        409, "ConditionalRequestConflict")
    assert proxied.body(key) == b"meanwhile"


def test_copy_judges_its_destination_and_its_source(proxied, new_key):
    s3, source, target = proxied.boto(), new_key("source"), new_key("target")
    etag = s3.put_object(Bucket=proxied.bucket, Key=source, Body=b"copied")["ETag"]
    copy = lambda **condition: s3.copy_object(  # noqa: E731
        Bucket=proxied.bucket, Key=target,
        CopySource={"Bucket": proxied.bucket, "Key": source}, **condition)
    copy(IfNoneMatch="*")
    assert refusal_of(lambda: copy(IfNoneMatch="*")) == EXISTS
    assert refusal_of(lambda: copy(IfMatch='"0123456789abcdef0123456789abcdef"')) == EXISTS
    copy(IfMatch=etag, CopySourceIfMatch=etag)
    assert refusal_of(lambda: copy(CopySourceIfNoneMatch=etag)) == EXISTS


def test_delete_objects_judges_each_key(proxied, new_key):
    s3, mine, changed = proxied.boto(), new_key(), new_key()
    etags = {key: s3.put_object(Bucket=proxied.bucket, Key=key, Body=b"1")["ETag"]
             for key in (mine, changed)}
    s3.put_object(Bucket=proxied.bucket, Key=changed, Body=b"2")
    answer = s3.delete_objects(Bucket=proxied.bucket, Delete={
        "Objects": [{"Key": key, "ETag": etag} for key, etag in etags.items()]})
    assert [each["Key"] for each in answer["Deleted"]] == [mine]
    assert [(each["Key"], each["Code"]) for each in answer["Errors"]] == [
        (changed, "PreconditionFailed")]


def test_the_resource_api_takes_conditions_too(proxied, new_key):
    resource = boto3.resource("s3", endpoint_url=proxied.url, region_name=REGION,
                              aws_access_key_id=proxied.access_key,
                              aws_secret_access_key=proxied.secret_key)
    thing = resource.Object(proxied.bucket, new_key())
    thing.put(Body=b"one", IfNoneMatch="*")
    assert refusal_of(lambda: thing.put(Body=b"two", IfNoneMatch="*")) == EXISTS
    assert thing.get()["Body"].read() == b"one"


def test_the_transfer_manager_uploads_in_parts_but_takes_no_condition(proxied, new_key, tmp_path):
    s3, key = proxied.boto(), new_key()
    large = bytes(8 << 20) + b"the end"  # it uploads in parts from 8 MiB on
    (tmp_path / "file").write_bytes(large)
    s3.upload_file(str(tmp_path / "file"), proxied.bucket, key)
    head = s3.head_object(Bucket=proxied.bucket, Key=key)
    assert head["ETag"].endswith('-2"') and head["ContentLength"] == len(large)
    s3.download_file(proxied.bucket, key, str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == (tmp_path / "file").read_bytes()
    for name in ("IfNoneMatch", "IfMatch"):
        with pytest.raises((ValueError, ParamValidationError), match=name):
            s3.upload_fileobj(io.BytesIO(b"x"), proxied.bucket, key, ExtraArgs={name: "*"})


def send_presigned(url: str, body: bytes, headers: dict[str, str]) -> int:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    try:
        connection.request("PUT", f"{parts.path}?{parts.query}", body, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def test_a_presigned_put_can_demand_its_condition(proxied, new_key):
    """By Version 4 only: Version 2, which is boto3's default here, signs no condition."""
    s3, key = proxied.boto(config=Config(signature_version="s3v4")), new_key()
    url = s3.generate_presigned_url("put_object", Params={
        "Bucket": proxied.bucket, "Key": key, "IfNoneMatch": "*"})
    assert "if-none-match" in url.lower()
    assert send_presigned(url, b"one", {"If-None-Match": "*"}) == 200
    assert send_presigned(url, b"two", {"If-None-Match": "*"}) == 412
    assert send_presigned(url, b"three", {}) == 403, "a signed condition cannot be left out"
    assert proxied.body(key) == b"one"


def test_a_presigned_put_may_be_given_a_condition_that_was_not_signed(proxied, new_key, signing):
    s3, key = proxied.boto(config=signing), new_key()
    url = s3.generate_presigned_url("put_object", Params={"Bucket": proxied.bucket, "Key": key})
    assert send_presigned(url, b"one", {"If-None-Match": "*"}) == 200
    assert send_presigned(url, b"two", {"If-None-Match": "*"}) == 412


def test_conditional_reads(proxied, new_key):
    s3, key = proxied.boto(), new_key()
    etag = s3.put_object(Bucket=proxied.bucket, Key=key, Body=b"1")["ETag"]
    get = lambda **condition: s3.get_object(  # noqa: E731
        Bucket=proxied.bucket, Key=key, **condition)
    assert refusal_of(lambda: get(IfNoneMatch=etag)) == (304, "304")
    assert refusal_of(lambda: get(IfMatch='"0123456789abcdef0123456789abcdef"')) == EXISTS
    assert get(IfMatch=etag)["Body"].read() == b"1"
