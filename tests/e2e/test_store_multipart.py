"""Multipart uploads to the embedded store, by AWS's rules."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from embedded import PART, Bucket

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
    assert told["Location"] == f"{embedded.store.url}/{embedded.name}/key"
    assert embedded.body("key") == b"".join(ordered)
    head = embedded("head_object", "key")
    assert (head["ETag"], head["ContentLength"]) == (told["ETag"], sum(map(len, ordered)))
    [entry] = embedded("list_objects_v2")["Contents"]
    assert (entry["ETag"], entry["Size"]) == (told["ETag"], head["ContentLength"])


def test_a_location_is_a_uri(embedded):
    for key, path in (("a b+c/\u00e4?#", "a%20b%2Bc/%C3%A4%3F%23"), ("%41", "%2541"), ("a//b/", "a//b/")):
        assert embedded.put_in_parts(key, b"x")["Location"] == f"{embedded.store.url}/{embedded.name}/{path}"


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


def test_a_page_of_no_parts_is_the_last_one(embedded):
    upload = embedded.begin("key")
    embedded.part("key", upload, 1, b"x")
    page = embedded("list_parts", "key", UploadId=upload, MaxParts=0)
    assert (page["MaxParts"], page["IsTruncated"]) == (0, False) and "Parts" not in page


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


def test_the_last_page_says_where_it_ends(embedded):
    """AWS says it of uploads and parts, also where there is nothing more, or nothing at all."""
    page = embedded("list_multipart_uploads")
    assert (page["NextKeyMarker"], page["NextUploadIdMarker"], page["UploadIdMarker"]) == ("", "", "")
    assert "Prefix" not in page
    upload = embedded.begin("key")
    page = embedded("list_multipart_uploads", Prefix="k", UploadIdMarker="of no key")
    assert (page["NextKeyMarker"], page["NextUploadIdMarker"], page["UploadIdMarker"]) == ("key", upload, "")
    assert page["Prefix"] == "k" and not page["IsTruncated"]
    assert embedded("list_parts", "key", UploadId=upload)["NextPartNumberMarker"] == 0
    embedded.part("key", upload, 3, b"x")
    page = embedded("list_parts", "key", UploadId=upload)
    assert (page["NextPartNumberMarker"], page["IsTruncated"]) == (3, False)


def test_uploads_under_a_common_prefix_are_behind_it(embedded):
    for key in ("a/1", "a/2", "b"):
        embedded.begin(key)
    for marker in ("a/", "a/1", "a/zzz"):
        page = embedded("list_multipart_uploads", Delimiter="/", KeyMarker=marker)
        assert ([each["Key"] for each in page["Uploads"]], page.get("CommonPrefixes", [])) == (["b"], []), marker


def test_an_upload_without_an_algorithm_shows_no_sums_of_its_parts(embedded):
    for algorithm in ({}, {"ChecksumAlgorithm": "SHA256"}):
        answer = embedded.raw.request("POST", embedded.path("key", "uploads"), {
            "x-amz-checksum-algorithm": value for value in algorithm.values()}, b"")
        upload = answer.body.decode().partition("<UploadId>")[2].partition("<")[0]
        embedded.part("key", upload, 1, b"x", ChecksumAlgorithm="SHA256")
        [part] = embedded("list_parts", "key", UploadId=upload)["Parts"]
        assert ("ChecksumSHA256" in part) == bool(algorithm)
