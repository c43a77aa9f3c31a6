"""Multipart uploads to the embedded store, by AWS's rules."""

from __future__ import annotations

import base64
import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from embedded import PART, Bucket
from test_store_writes import SUMS, sum_of

SMALL = b"a part that is the last"


def etag_of(*bodies: bytes) -> str:
    digests = b"".join(hashlib.md5(body).digest() for body in bodies)
    return f'"{hashlib.md5(digests).hexdigest()}-{len(bodies)}"'


def test_an_object_is_made_of_its_parts_in_the_order_of_their_numbers(embedded):
    upload = embedded.begin("key")
    bodies = {10000: SMALL, 2: b"2" * PART, 7: b"7" * (PART + 1)}
    parts = {number: embedded.part("key", upload, number, body) for number, body in bodies.items()}
    assert embedded.refuses("get_object", "key") == (404, "NoSuchKey")
    told = embedded.complete("key", upload, [parts[number] for number in sorted(parts)])
    ordered = [bodies[number] for number in sorted(bodies)]
    assert (told["ETag"], told["Bucket"], told["Key"]) == (etag_of(*ordered), embedded.name, "key")
    assert told["Location"].endswith(f"/{embedded.name}/key")
    assert embedded.body("key") == b"".join(ordered)
    head = embedded("head_object", "key")
    assert (head["ETag"], head["ContentLength"]) == (told["ETag"], sum(map(len, ordered)))
    [entry] = embedded("list_objects_v2")["Contents"]
    assert (entry["ETag"], entry["Size"]) == (told["ETag"], head["ContentLength"])


def test_the_only_part_may_be_small_or_empty(embedded):
    for body in (b"", b"x", SMALL):
        assert embedded.put_in_parts("key", body)["ETag"] == etag_of(body)
        assert embedded.body("key") == body


def test_the_last_part_of_a_number_counts_and_what_is_not_listed_goes(embedded):
    upload = embedded.begin("key")
    first = embedded.part("key", upload, 1, b"1" * PART)
    old = embedded.part("key", upload, 2, b"old")
    embedded.part("key", upload, 3, b"not listed")
    new = embedded.part("key", upload, 2, b"new")
    assert embedded.complete_refused("key", upload, [first, old]) == (400, "InvalidPart")
    embedded.complete("key", upload, [first, new])
    assert embedded.body("key") == b"1" * PART + b"new"


@pytest.fixture
def begun(embedded) -> tuple[Bucket, str, list[dict]]:
    """An upload with a part of full size and two small ones."""
    upload = embedded.begin("key")
    return embedded, upload, [embedded.part("key", upload, number, body)
                              for number, body in ((1, b"1" * PART), (2, b"small"), (3, b"last"))]


REFUSED_LISTS = {
    "none": (lambda _: [], "MalformedXML"),
    "out of order": (lambda parts: [parts[1], parts[0]], "InvalidPartOrder"),
    "one twice": (lambda parts: [parts[0], parts[0]], "InvalidPartOrder"),
    "too small": (lambda parts: [parts[1], parts[2]], "EntityTooSmall"),
    "too small in the middle": (lambda parts: parts, "EntityTooSmall"),
    "another ETag": (lambda parts: [{**parts[0], "ETag": parts[1]["ETag"]}], "InvalidPart"),
    "an ETag of nothing": (lambda parts: [{**parts[0], "ETag": '"x"'}], "InvalidPart"),
    "a part that is not there": (lambda parts: [parts[0], {**parts[0], "PartNumber": 4}], "InvalidPart"),
    "part 0": (lambda parts: [{**parts[0], "PartNumber": 0}], "InvalidPart"),
    "part 10001": (lambda parts: [{**parts[0], "PartNumber": 10001}], "InvalidPart"),
    "no number": (lambda parts: [{"ETag": parts[0]["ETag"]}], "MalformedXML"),
    "no ETag": (lambda parts: [{"PartNumber": 1}], "MalformedXML"),
}


@pytest.mark.parametrize("wrong", REFUSED_LISTS)
def test_an_upload_survives_a_complete_that_is_refused(begun, wrong):
    bucket, upload, parts = begun
    make, code = REFUSED_LISTS[wrong]
    status, told = bucket.complete_refused("key", upload, make(parts))
    # What AWS says of a number that no part can have is not known; that it refuses it is.
    assert (status, told) == (400, code) or wrong in ("part 0", "part 10001") and status == 400, told
    assert bucket.keys() == []
    assert len(bucket("list_parts", "key", UploadId=upload)["Parts"]) == 3
    bucket.complete("key", upload, parts[:2])
    assert bucket.body("key") == b"1" * PART + b"small"


def test_an_etag_in_a_list_needs_no_quotes(begun):
    bucket, upload, parts = begun
    bucket.complete("key", upload, [{**part, "ETag": part["ETag"].strip('"')} for part in parts[:2]])
    assert bucket.body("key") == b"1" * PART + b"small"


def test_a_complete_that_is_sent_again_is_answered_again(embedded):
    upload = embedded.begin("key")
    part = embedded.part("key", upload, 1, SMALL)
    first, again = (embedded.complete("key", upload, [part]) for _ in range(2))
    for told in (first, again):
        told.pop("ResponseMetadata")
    assert first == again
    assert embedded.body("key") == SMALL
    embedded.put("key", b"newer")
    assert embedded.complete_refused("key", upload, [part]) == (404, "NoSuchUpload")
    assert embedded.body("key") == b"newer"


def test_a_complete_that_is_sent_again_with_other_parts_is_another(embedded):
    upload = embedded.begin("key")
    part = embedded.part("key", upload, 1, SMALL)
    embedded.complete("key", upload, [part])
    for other in ({**part, "ETag": '"' + "0" * 32 + '"'}, {**part, "PartNumber": 2}):
        assert embedded.complete_refused("key", upload, [other]) == (404, "NoSuchUpload")
    assert embedded.body("key") == SMALL


def test_a_checksum_is_not_promised_of_an_upload_that_has_none(embedded):
    upload = embedded.begin("key")
    part = {"PartNumber": 1, "ETag": embedded.part("key", upload, 1, SMALL)["ETag"]}
    refused = embedded.complete_refused("key", upload, [part], ChecksumSHA256=sum_of("sha256", SMALL))
    assert refused[0] == 400
    embedded.complete("key", upload, [part])


def test_one_of_several_completes_at_once_makes_the_object_and_all_are_told_so(embedded):
    embedded.versioned()
    upload = embedded.begin("key")
    part = embedded.part("key", upload, 1, SMALL)
    with ThreadPoolExecutor(6) as pool:
        told = list(pool.map(lambda _: embedded.complete("key", upload, [part])["VersionId"], range(6)))
    assert len(set(told)) == 1
    assert len(embedded("list_object_versions")["Versions"]) == 1


def test_an_aborted_upload_is_gone(begun):
    bucket, upload, parts = begun
    assert bucket("abort_multipart_upload", "key", UploadId=upload)["ResponseMetadata"]["HTTPStatusCode"] == 204
    gone(bucket, "key", upload, parts[:1])
    assert "Uploads" not in bucket("list_multipart_uploads")


def gone(bucket: Bucket, key: str, upload: str, parts: list[dict]) -> None:
    refused = (404, "NoSuchUpload")
    assert bucket.refuses("abort_multipart_upload", key, UploadId=upload) == refused
    assert bucket.refuses("list_parts", key, UploadId=upload) == refused
    assert bucket.refuses("upload_part", key, UploadId=upload, PartNumber=1, Body=b"x") == refused
    assert bucket.complete_refused(key, upload, parts) == refused
    bucket.put("source", b"x")
    source = f"{bucket.name}/source"
    assert bucket.refuses("upload_part_copy", key, UploadId=upload, PartNumber=1, CopySource=source) == refused
    bucket("delete_object", "source")


@pytest.mark.parametrize("upload", ["unknown", "0" * 32, "../../etc", "\u00e4", "x" * 2000])
def test_an_upload_that_never_was_is_unknown(embedded, upload):
    gone(embedded, "key", upload, [{"PartNumber": 1, "ETag": '"x"'}])


def test_an_upload_is_that_of_its_own_key(begun):
    bucket, upload, parts = begun
    gone(bucket, "other", upload, parts[:1])
    bucket.complete("key", upload, parts[:2])


@pytest.mark.parametrize("number", ["0", "-1", "10001", "4294967297", "x", ""])
def test_parts_are_numbered_from_1_to_10000(embedded, number):
    upload = embedded.begin("key")
    embedded.put("source", b"x")
    target = embedded.path("key", f"partNumber={number}&uploadId={upload}")
    for headers, body in (({}, b"x"), ({"x-amz-copy-source": f"{embedded.name}/source"}, b"")):
        answer = embedded.raw.put(target, body, headers=headers)
        assert (answer.status, answer.code) == (400, "InvalidArgument"), answer
    assert "Parts" not in embedded("list_parts", "key", UploadId=upload)
    assert embedded.keys() == ["source"]


def test_a_key_is_what_it_was_until_its_upload_is_complete(embedded):
    embedded.put("key", b"before")
    upload = embedded.begin("key", Metadata={"is": "new"})
    part = embedded.part("key", upload, 1, b"after")
    assert embedded.body("key") == b"before" and embedded("head_object", "key")["Metadata"] == {}
    embedded.complete("key", upload, [part])
    assert embedded.body("key") == b"after" and embedded("head_object", "key")["Metadata"] == {"is": "new"}


def test_two_uploads_of_a_key_do_not_meet(embedded):
    one, two = embedded.begin("key"), embedded.begin("key")
    first, second = embedded.part("key", one, 1, b"one"), embedded.part("key", two, 1, b"two")
    assert embedded.complete_refused("key", one, [second]) == (400, "InvalidPart")
    embedded.complete("key", two, [second])
    assert embedded.body("key") == b"two"
    embedded.complete("key", one, [first])
    assert embedded.body("key") == b"one"


# === listings ===

def test_parts_are_listed_page_by_page(embedded):
    upload = embedded.begin("key", StorageClass="STANDARD_IA")
    numbers = [1, 2, 3, 5, 8, 10000]
    parts = {number: embedded.part("key", upload, number, b"x" * number) for number in numbers}
    for size in (1, 2, 3, 1000):
        shown, marker = [], 0
        while True:
            page = embedded("list_parts", "key", UploadId=upload, MaxParts=size, PartNumberMarker=marker)
            assert (page["MaxParts"], page["PartNumberMarker"], page["StorageClass"]) == (size, marker, "STANDARD_IA")
            assert len(page["Parts"]) <= size
            shown += [(each["PartNumber"], each["Size"], each["ETag"]) for each in page["Parts"]]
            if not page["IsTruncated"]:
                break
            marker = page["NextPartNumberMarker"]
            assert marker == shown[-1][0]
        assert shown == [(number, number, parts[number]["ETag"]) for number in numbers], size


UPLOADS = ["a", "a/1", "a/1", "a/2", "b", "b", "b", "c/d/e", "\u00e4"]


@pytest.fixture
def uploads(embedded) -> tuple[Bucket, list[tuple[str, str]]]:
    return embedded, [(key, embedded.begin(key)) for key in UPLOADS]


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_uploads_are_listed_page_by_page_the_first_begun_of_a_key_first(uploads, size):
    bucket, begun = uploads
    shown, more = [], {}
    while True:
        page = bucket("list_multipart_uploads", MaxUploads=size, **more)
        assert page["MaxUploads"] == size and len(page["Uploads"]) <= size
        shown += [(each["Key"], each["UploadId"]) for each in page["Uploads"]]
        if not page["IsTruncated"]:
            break
        more = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
        assert tuple(more.values()) == shown[-1]
    assert shown == begun


@pytest.mark.parametrize("size", [1, 2, 1000])
@pytest.mark.parametrize("prefix, wanted", [
    ("", ["a", "a/", "b", "b", "b", "c/", "\u00e4"]), ("a/", ["a/1", "a/1", "a/2"]), ("c/", ["c/d/"]), ("nothing", [])])
def test_uploads_are_gathered_under_common_prefixes(uploads, size, prefix, wanted):
    bucket, _ = uploads
    shown, more = [], {}
    while True:
        page = bucket("list_multipart_uploads", Prefix=prefix, Delimiter="/", MaxUploads=size, **more)
        entries = [each["Key"] for each in page.get("Uploads", [])]
        entries += [each["Prefix"] for each in page.get("CommonPrefixes", [])]
        assert len(entries) <= size
        shown += sorted(entries, key=str.encode)
        if not page["IsTruncated"]:
            break
        more = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page.get("NextUploadIdMarker", "")}
    assert shown == wanted


def test_a_key_marker_alone_leaves_out_all_uploads_of_its_key(uploads):
    bucket, begun = uploads
    page = bucket("list_multipart_uploads", KeyMarker="b")
    assert [(each["Key"], each["UploadId"]) for each in page["Uploads"]] == begun[-2:]


def test_a_completed_upload_is_listed_no_more(uploads):
    bucket, begun = uploads
    key, upload = begun[0]
    bucket.complete(key, upload, [bucket.part(key, upload, 1, b"x")])
    page = bucket("list_multipart_uploads")
    assert [(each["Key"], each["UploadId"]) for each in page["Uploads"]] == begun[1:]


# === checksums ===

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
    ("SHA1", "FULL_OBJECT"), ("SHA256", "FULL_OBJECT"), ("CRC64NVME", "COMPOSITE")])
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
