"""Checksums of multipart uploads to the embedded store, by AWS's rules."""

from __future__ import annotations

import base64
import hashlib

import pytest

from embedded import PART, Bucket
from test_store_writes import SUMS, sum_of

SMALL = b"a part that is the last"
BODIES = [b"1" * PART, b"2" * PART, SMALL]


def summed_upload(bucket: Bucket, algorithm: str, kind: str) -> tuple[str, list[dict]]:
    """An upload with parts, each with its sum."""
    upload, field = bucket.begin("key", ChecksumAlgorithm=algorithm, ChecksumType=kind), f"Checksum{algorithm}"
    return upload, [bucket.part("key", upload, number, body, **{field: sum_of(algorithm.lower(), body)})
                    for number, body in enumerate(BODIES, 1)]


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_a_composite_checksum_is_that_of_the_parts_sums(embedded, algorithm):
    upload, parts = summed_upload(embedded, algorithm, "COMPOSITE")
    sums = b"".join(SUMS[algorithm.lower()](body) for body in BODIES)
    wanted = f"{sum_of(algorithm.lower(), sums)}-3"
    told = embedded.complete("key", upload, parts)
    field = f"Checksum{algorithm}"
    assert (told[field], told["ChecksumType"]) == (wanted, "COMPOSITE")
    head = embedded("head_object", "key", ChecksumMode="ENABLED")
    assert (head[field], head["ChecksumType"]) == (wanted, "COMPOSITE")


def test_a_checksum_of_the_whole_is_that_of_all_bytes(embedded):
    upload, parts = summed_upload(embedded, "CRC32", "FULL_OBJECT")
    wanted = sum_of("crc32", b"".join(BODIES))
    assert embedded.complete_refused("key", upload, parts, ChecksumCRC32=sum_of("crc32", b"?"),
                                     ChecksumType="FULL_OBJECT") == (400, "BadDigest")
    told = embedded.complete("key", upload, parts, ChecksumCRC32=wanted, ChecksumType="FULL_OBJECT")
    assert (told["ChecksumCRC32"], told["ChecksumType"]) == (wanted, "FULL_OBJECT")
    head = embedded("head_object", "key", ChecksumMode="ENABLED")
    assert (head["ChecksumCRC32"], head["ChecksumType"]) == (wanted, "FULL_OBJECT")


@pytest.mark.parametrize("algorithm", ["crc32c", "crc64nvme"])
def test_a_checksum_of_the_whole_is_put_together_by_the_store(embedded, algorithm):
    """The same bytes in one PUT, whose sum the store checks, must have the same sum."""
    field, bodies = f"Checksum{algorithm.upper()}", [bytes(PART), SMALL]
    upload = embedded.begin("key", ChecksumAlgorithm=algorithm.upper(), ChecksumType="FULL_OBJECT")
    parts = []
    for number, body in enumerate(bodies, 1):
        target = embedded.path("key", f"partNumber={number}&uploadId={upload}")
        answer = embedded.raw.put(target, body)
        parts.append({"PartNumber": number, "ETag": answer.etag})
        listed = embedded("list_parts", "key", UploadId=upload)["Parts"][-1]
        assert listed["PartNumber"] == number and field in listed, "the store sums what the upload asks for"
    told = embedded.complete("key", upload, parts)
    assert told["ChecksumType"] == "FULL_OBJECT"
    answer = embedded.raw.put(embedded.path("at once"), b"".join(bodies), headers={
        f"x-amz-checksum-{algorithm}": told[field]})
    assert answer.status == 200, answer


@pytest.mark.parametrize("algorithm, kind", [
    ("SHA1", "FULL_OBJECT"), ("SHA256", "FULL_OBJECT"), ("CRC64NVME", "COMPOSITE"), ("SHA256", "SOMETHING")])
def test_a_kind_of_checksum_that_cannot_be_is_refused(embedded, algorithm, kind):
    refused = embedded.refuses("create_multipart_upload", "key", ChecksumAlgorithm=algorithm, ChecksumType=kind)
    assert refused == (400, "InvalidRequest")


@pytest.mark.parametrize("algorithm, kind", [("CRC32", "COMPOSITE"), ("CRC32C", "COMPOSITE"), ("SHA1", "COMPOSITE"),
                                             ("SHA256", "COMPOSITE"), ("CRC64NVME", "FULL_OBJECT")])
def test_each_algorithm_has_its_own_kind_by_default(embedded, algorithm, kind):
    told = embedded("create_multipart_upload", "key", ChecksumAlgorithm=algorithm)
    assert (told["ChecksumAlgorithm"], told["ChecksumType"]) == (algorithm, kind)
    [listed] = embedded("list_multipart_uploads")["Uploads"]
    assert (listed["ChecksumAlgorithm"], listed["ChecksumType"]) == (algorithm, kind)
    page = embedded("list_parts", "key", UploadId=told["UploadId"])
    assert (page["ChecksumAlgorithm"], page["ChecksumType"]) == (algorithm, kind)


def test_a_part_with_another_kind_of_sum_is_refused(embedded):
    upload = embedded.begin("key", ChecksumAlgorithm="SHA256")
    refused = embedded.refuses("upload_part", "key", UploadId=upload, PartNumber=1, Body=b"x",
                               ChecksumCRC32=sum_of("crc32", b"x"))
    assert refused == (400, "InvalidRequest")
    assert "Parts" not in embedded("list_parts", "key", UploadId=upload)


def test_a_listed_part_with_another_sum_is_refused(embedded):
    upload = embedded.begin("key", ChecksumAlgorithm="SHA256")
    part = embedded.part("key", upload, 1, b"x", ChecksumSHA256=sum_of("sha256", b"x"))
    wrong = {**part, "ChecksumSHA256": sum_of("sha256", b"y")}
    assert embedded.complete_refused("key", upload, [wrong]) == (400, "InvalidPart")
    embedded.complete("key", upload, [part])


def test_a_composite_checksum_needs_those_of_the_listed_parts(embedded):
    upload = embedded.begin("key", ChecksumAlgorithm="SHA256")
    part = embedded.part("key", upload, 1, b"x", ChecksumSHA256=sum_of("sha256", b"x"))
    bare = {name: part[name] for name in ("PartNumber", "ETag")}
    assert embedded.complete_refused("key", upload, [bare]) == (400, "InvalidRequest")


def test_a_complete_may_promise_the_object_s_size(embedded):
    upload = embedded.begin("key")
    part = embedded.part("key", upload, 1, SMALL)
    for wrong in (len(SMALL) - 1, len(SMALL) + 1):
        assert embedded.complete_refused("key", upload, [part], MpuObjectSize=wrong) == (400, "InvalidRequest")
    embedded.complete("key", upload, [part], MpuObjectSize=len(SMALL))


@pytest.mark.parametrize("md5, code", [(base64.b64encode(hashlib.md5(b"?").digest()).decode(), "BadDigest"),
                                       ("abc", "InvalidDigest")])
def test_an_md5_of_a_part_is_checked(embedded, md5, code):
    upload = embedded.begin("key")
    target = embedded.path("key", f"partNumber=1&uploadId={upload}")
    answer = embedded.raw.put(target, SMALL, headers={"Content-MD5": md5})
    assert (answer.status, answer.code) == (400, code), answer
    assert "Parts" not in embedded("list_parts", "key", UploadId=upload)


@pytest.mark.parametrize("begun, promised, refused", [
    ("COMPOSITE", "FULL_OBJECT", (400, "BadDigest")), ("FULL_OBJECT", "COMPOSITE", (400, "BadDigest")),
    (None, "COMPOSITE", (400, "BadDigest")), ("COMPOSITE", "SOMETHING", (400, "InvalidRequest")),
    ("COMPOSITE", "COMPOSITE", None), ("FULL_OBJECT", "FULL_OBJECT", None), (None, "FULL_OBJECT", None)])
def test_a_complete_s_kind_of_checksum_is_compared(embedded, begun, promised, refused):
    more = {"ChecksumAlgorithm": "CRC32", "ChecksumType": begun} if begun else {}
    upload = embedded.begin("key", **more)
    part = embedded.part("key", upload, 1, SMALL, **({"ChecksumAlgorithm": "CRC32"} if begun else {}))
    part = part if begun else {"PartNumber": 1, "ETag": part["ETag"]}
    if refused:
        assert embedded.complete_refused("key", upload, [part], ChecksumType=promised) == refused
        assert embedded.keys() == []
    embedded.complete("key", upload, [part], **({} if refused else {"ChecksumType": promised}))


def test_a_checksum_is_not_promised_of_an_upload_that_has_none(embedded):
    upload = embedded.begin("key")
    part = {"PartNumber": 1, "ETag": embedded.part("key", upload, 1, SMALL)["ETag"]}
    refused = embedded.complete_refused("key", upload, [part], ChecksumSHA256=sum_of("sha256", SMALL))
    assert refused[0] == 400
    embedded.complete("key", upload, [part])


def test_the_algorithm_that_a_part_names_is_not_dropped(embedded):
    """Not every client calls it `x-amz-sdk-checksum-algorithm`."""
    def put(upload: str, algorithm: str):
        query = f"partNumber=1&uploadId={upload}"
        return embedded.raw.put(embedded.path("key", query), SMALL, headers={"x-amz-checksum-algorithm": algorithm})

    plain, summed = embedded.begin("key"), embedded.begin("key", ChecksumAlgorithm="CRC32", ChecksumType="COMPOSITE")
    assert put(plain, "SHA256").headers["x-amz-checksum-sha256"] == sum_of("sha256", SMALL)
    assert put(summed, "CRC32").headers["x-amz-checksum-crc32"] == sum_of("crc32", SMALL)
    assert put(summed, "SHA256").status == 400
    assert put(plain, "SHA512").status in (400, 501) and put(plain, "nonsense").status in (400, 501)
