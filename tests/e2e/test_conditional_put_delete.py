"""What everybody does with objects, by boto3, before every store and register. What AWS answers to
conditions, row by row, is in `conformance/`."""

from __future__ import annotations

import hashlib

import pytest
from botocore.exceptions import ClientError

from clients import boto, code_of
from proxies import ACCESS_KEY, CLIENT_SECRET
from relay import TlsFront

OLD = b"what was there"
NEW = b"what the writer brings"
OLD_MD5 = hashlib.md5(OLD).hexdigest()
OTHER_MD5 = "0123456789abcdef0123456789abcdef"


def prepare(front, state: str) -> str:
    """An unused key, brought into the state."""
    key = front.new_key()
    if state in ("present", "deleted"):
        front.s3.put_object(Bucket=front.bucket, Key=key, Body=OLD)
    if state == "deleted":
        front.s3.delete_object(Bucket=front.bucket, Key=key)
    return key


def at_the_store(front, key: str) -> bytes | None:
    try:
        return front.store_s3.get_object(Bucket=front.bucket, Key=key)["Body"].read()
    except ClientError as error:
        assert code_of(error)[0] == 404, error
        return None


def test_a_life_of_a_key_told_by_boto3(front):
    """Create once, lose to a second create, swap by ETag, lose by a stale ETag, delete by ETag."""
    s3, name = front.s3, {"Bucket": front.bucket, "Key": front.new_key("a life/of ünicode")}
    first = s3.put_object(**name, Body=b"1", IfNoneMatch="*")["ETag"]
    with pytest.raises(ClientError) as refused:
        s3.put_object(**name, Body=b"2", IfNoneMatch="*")
    assert code_of(refused.value) == (412, "PreconditionFailed")
    second = s3.put_object(**name, Body=b"2", IfMatch=first)["ETag"]
    assert s3.head_object(**name)["ETag"] == second != first
    with pytest.raises(ClientError) as refused:
        s3.put_object(**name, Body=b"3", IfMatch=first)
    assert code_of(refused.value) == (412, "PreconditionFailed")
    with pytest.raises(ClientError) as refused:
        s3.delete_object(**name, IfMatch=first)
    assert code_of(refused.value) == (412, "PreconditionFailed")
    s3.delete_object(**name, IfMatch=second)
    with pytest.raises(ClientError) as refused:
        s3.put_object(**name, Body=b"3", IfMatch=second)
    assert code_of(refused.value) == (404, "NoSuchKey")
    s3.put_object(**name, Body=b"4", IfNoneMatch="*")
    assert s3.get_object(**name)["Body"].read() == b"4"


def test_an_object_comes_back_as_it_was_put(front):
    s3, name = front.s3, {"Bucket": front.bucket, "Key": front.new_key("round/trip+a b=c&d")}
    body = bytes(range(256)) * 1024
    put = s3.put_object(**name, Body=body, ContentType="text/x-e2e", CacheControl="no-cache",
                        Metadata={"colour": "blue", "two-words": "a b"})
    got = s3.get_object(**name)
    assert got["Body"].read() == body
    assert got["ETag"] == put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    assert got["ContentType"] == "text/x-e2e"
    assert got["Metadata"] == {"colour": "blue", "two-words": "a b"}
    assert got.get("ContentEncoding", "") in ("", "identity")
    head = s3.head_object(**name)
    assert (head["ContentLength"], head["ETag"]) == (len(body), put["ETag"])


@pytest.mark.parametrize("wanted, start, end", [
    ("bytes=0-0", 0, 1), ("bytes=100-299", 100, 300), ("bytes=-10", 1014, 1024),
    ("bytes=1000-", 1000, 1024)])
def test_a_range_is_that_range(front, wanted, start, end):
    if "short ranges" in front.store.lacks and wanted in ("bytes=0-0", "bytes=-10"):
        pytest.skip(f"{front.store.name} itself takes {wanted} for another range")
    key, body = front.new_key("ranged"), bytes(range(256)) * 4
    front.s3.put_object(Bucket=front.bucket, Key=key, Body=body)
    got = front.s3.get_object(Bucket=front.bucket, Key=key, Range=wanted)
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert got["Body"].read() == body[start:end]
    assert got["ContentRange"] == f"bytes {start}-{end - 1}/1024"


def test_an_empty_object_is_an_object(front):
    name = {"Bucket": front.bucket, "Key": front.new_key("empty")}
    front.s3.put_object(**name, Body=b"", IfNoneMatch="*")
    assert front.s3.head_object(**name)["ContentLength"] == 0
    with pytest.raises(ClientError) as refused:
        front.s3.put_object(**name, Body=b"", IfNoneMatch="*")
    assert code_of(refused.value) == (412, "PreconditionFailed")


def test_multipart_upload_works(front):
    name = {"Bucket": front.bucket, "Key": front.new_key("multipart")}
    parts = [b"a" * (5 << 20), b"b" * 1000]
    upload = front.s3.create_multipart_upload(**name, Metadata={"kind": "parts"})["UploadId"]
    done = [
        {"PartNumber": number, "ETag": front.s3.upload_part(
            **name, UploadId=upload, PartNumber=number, Body=part)["ETag"]}
        for number, part in enumerate(parts, 1)
    ]
    front.s3.complete_multipart_upload(**name, UploadId=upload, MultipartUpload={"Parts": done})
    got = front.s3.get_object(**name)
    assert got["Body"].read() == b"".join(parts)
    # The register knows the new object: its ETag is good for a swap, and it exists.
    with pytest.raises(ClientError) as refused:
        front.s3.put_object(**name, Body=b"x", IfNoneMatch="*")
    assert code_of(refused.value) == (412, "PreconditionFailed")
    front.s3.put_object(**name, Body=b"x", IfMatch=got["ETag"])


def test_a_listing_through_the_proxy_is_the_stores_own(front):
    prefix = front.new_key("listed") + "/"
    for name in ("a", "b c", "d+e"):
        front.s3.put_object(Bucket=front.bucket, Key=prefix + name, Body=name.encode())

    def listed(s3) -> list[tuple[str, int]]:
        answer = s3.list_objects_v2(Bucket=front.bucket, Prefix=prefix)
        return [(entry["Key"], entry["Size"]) for entry in answer["Contents"]]

    assert listed(front.s3) == listed(front.store_s3)
    assert listed(front.s3) == [(prefix + "a", 1), (prefix + "b c", 3), (prefix + "d+e", 3)]


def test_copy_works_and_the_register_learns_of_it(front):
    source, target = front.new_key("source"), front.new_key("target")
    front.s3.put_object(Bucket=front.bucket, Key=source, Body=OLD)
    front.s3.copy_object(Bucket=front.bucket, Key=target,
                         CopySource={"Bucket": front.bucket, "Key": source})
    assert at_the_store(front, target) == OLD
    with pytest.raises(ClientError) as refused:
        front.s3.put_object(Bucket=front.bucket, Key=target, Body=NEW, IfNoneMatch="*")
    assert code_of(refused.value) == (412, "PreconditionFailed")


def test_delete_objects_works(front):
    keys = [prepare(front, "present") for _ in range(3)] + [front.new_key("never")]
    done = front.s3.delete_objects(Bucket=front.bucket,
                                   Delete={"Objects": [{"Key": key} for key in keys]})
    assert sorted(entry["Key"] for entry in done["Deleted"]) == sorted(keys)
    assert "Errors" not in done
    assert [at_the_store(front, key) for key in keys] == [None] * 4
    # The register learnt of it: the key can be created anew.
    front.s3.put_object(Bucket=front.bucket, Key=keys[0], Body=NEW, IfNoneMatch="*")


def test_conditions_in_a_batch_delete_count_for_each_key_alone(front):
    """AWS: DeleteObjects, <ETag> of each object; the other keys of the batch go on."""
    right, wrong, plain = (prepare(front, "present") for _ in range(3))
    missing, never = front.new_key("missing"), front.new_key("never")
    done = front.s3.delete_objects(Bucket=front.bucket, Delete={"Objects": [
        {"Key": right, "ETag": f'"{OLD_MD5}"'},
        {"Key": wrong, "ETag": f'"{OTHER_MD5}"'},
        {"Key": missing, "ETag": f'"{OLD_MD5}"'},
        {"Key": plain},
        {"Key": never},
    ]})
    assert {entry["Key"] for entry in done["Deleted"]} == {right, plain, never}
    assert {entry["Key"]: entry["Code"] for entry in done["Errors"]} == {
        wrong: "PreconditionFailed", missing: "NoSuchKey"}
    assert [at_the_store(front, key) for key in (right, wrong, plain)] == [None, OLD, None]


def test_trailing_checksums_of_todays_sdks_are_understood(front, certificate):
    """Over https boto3 sends aws-chunked bodies with a CRC32 trailer, which Swift refuses."""
    tls = TlsFront(front.proxy.url, *certificate)
    try:
        s3 = boto(tls.url, ACCESS_KEY, CLIENT_SECRET, verify=certificate[0])
        sent = []
        s3.meta.events.register("before-send.s3.PutObject",
                                lambda request, **_: sent.append(dict(request.headers)))
        name, body = {"Bucket": front.bucket, "Key": front.new_key("trailer")}, b"t" * 300_000
        s3.put_object(**name, Body=body, IfNoneMatch="*")
        declared = {name.lower(): value for name, value in sent[0].items()}
        assert declared["x-amz-content-sha256"] in (
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER", b"STREAMING-UNSIGNED-PAYLOAD-TRAILER")
        got = s3.get_object(**name)
        assert got["Body"].read() == body
        assert "aws-chunked" not in got.get("ContentEncoding", "")
    finally:
        tls.close()
