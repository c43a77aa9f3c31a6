"""The answer to a complete names the ETag of what it made, also where the store leaves it out (Ceph and
Swift, by their releases)."""

from __future__ import annotations

import hashlib

import pytest

PARTS = [b"1" * (5 << 20), b"2" * 100_000]


@pytest.mark.parametrize("conditional", [False, True], ids=["unconditional", "conditional"])
def test_a_complete_names_the_etag_that_a_read_names(front, conditional):
    name = {"Bucket": front.bucket, "Key": front.new_key("etag")}
    before = front.s3.put_object(**name, Body=b"before")["ETag"]
    upload_id = front.s3.create_multipart_upload(**name)["UploadId"]
    parts = [{"PartNumber": number, "ETag": front.s3.upload_part(
        **name, UploadId=upload_id, PartNumber=number, Body=body)["ETag"]}
        for number, body in enumerate(PARTS, 1)]
    condition = {"IfMatch": before} if conditional else {}
    made = front.s3.complete_multipart_upload(
        **name, UploadId=upload_id, MultipartUpload={"Parts": parts}, **condition)
    assert made["ETag"] == front.store_s3.head_object(**name)["ETag"] != before
    if "multipart ETags" not in front.store.lacks:
        digests = b"".join(hashlib.md5(body).digest() for body in PARTS)
        assert made["ETag"] == f'"{hashlib.md5(digests).hexdigest()}-{len(PARTS)}"'
    replaced = front.s3.put_object(**name, Body=b"after", IfMatch=made["ETag"])
    assert front.s3.head_object(**name)["ETag"] == replaced["ETag"]
