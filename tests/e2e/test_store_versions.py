"""Versions in the embedded store; the order of their listings is in test_store_listings.py."""

from __future__ import annotations

import pytest

from embedded import PART, Bucket


@pytest.fixture
def versioned(embedded) -> Bucket:
    return embedded.versioned()


def put(bucket: Bucket, body: bytes, key: str = "key") -> str:
    return bucket("put_object", key, Body=body)["VersionId"]


def history(bucket: Bucket, key: str = "key") -> list[tuple[str, bool, bool]]:
    """The versions of a key, newest first: the id, whether it is a marker, whether it is the latest."""
    page = bucket("list_object_versions", Prefix=key)
    found = [(each["LastModified"], each["VersionId"], "Size" not in each, each["IsLatest"])
             for each in page.get("Versions", []) + page.get("DeleteMarkers", [])]
    assert sum(latest for *_, latest in found) == bool(found)
    return [each[1:] for each in sorted(found, key=lambda each: (each[3], each[0]), reverse=True)]


def status_of(bucket: Bucket) -> str | None:
    return bucket("get_bucket_versioning").get("Status")


def test_a_bucket_is_versioned_when_that_is_asked_for(embedded):
    assert status_of(embedded) is None
    assert "VersionId" not in embedded("put_object", "key", Body=b"x")
    assert "VersionId" not in embedded("head_object", "key")
    for status in ("Enabled", "Suspended", "Enabled"):
        embedded.versioned(status)
        assert status_of(embedded) == status
    for wrong in ({"Status": "Off"}, {}, {"Status": ""}):
        assert embedded.refuses("put_bucket_versioning", VersioningConfiguration=wrong)[0] == 400
    assert status_of(embedded) == "Enabled"


def test_each_write_makes_a_version_that_stays(versioned):
    ids = [put(versioned, body) for body in (b"one", b"two", b"three")]
    ids.append(versioned.put_in_parts("key", b"4" * PART, b"4")["VersionId"])
    versioned("copy_object", "key", CopySource={"Bucket": versioned.name, "Key": "key", "VersionId": ids[0]})
    bodies = [b"one", b"two", b"three", b"4" * PART + b"4"]
    assert len(set(ids)) == 4
    for each, body in zip(ids, bodies):
        told = versioned("get_object", "key", VersionId=each)
        assert (told["Body"].read(), told["VersionId"]) == (body, each)
        assert versioned("head_object", "key", VersionId=each)["ContentLength"] == len(body)
    assert versioned.body("key") == b"one"
    assert [each for each, *_ in history(versioned)][1:] == ids[::-1]


def test_a_delete_hides_and_what_is_hidden_comes_back(versioned):
    first = put(versioned, b"one")
    told = versioned("delete_object", "key")
    marker = told["VersionId"]
    assert told["DeleteMarker"] is True and marker != first
    answer = versioned.raw.get(versioned.path("key"))
    assert (answer.status, answer.code) == (404, "NoSuchKey")
    assert (answer.headers["x-amz-delete-marker"], answer.headers["x-amz-version-id"]) == ("true", marker)
    assert versioned.raw.head(versioned.path("key")).headers["x-amz-delete-marker"] == "true"
    assert versioned.body("key", VersionId=first) == b"one"
    told = versioned("delete_object", "key", VersionId=marker)
    assert (told["DeleteMarker"], told["VersionId"]) == (True, marker)
    assert versioned.body("key") == b"one" and history(versioned) == [(first, False, True)]


def test_a_delete_of_what_is_hidden_or_never_was_makes_a_marker(versioned):
    put(versioned, b"one")
    markers = [versioned("delete_object", "key")["VersionId"] for _ in range(3)]
    assert [each for each, *_ in history(versioned)][:3] == markers[::-1]
    marker = versioned("delete_object", "never")["VersionId"]
    assert history(versioned, "never") == [(marker, True, True)]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_marker_itself_cannot_be_read(versioned, method):
    put(versioned, b"one")
    marker = versioned("delete_object", "key")["VersionId"]
    answer = versioned.raw.request(method, versioned.path("key", f"versionId={marker}"))
    assert answer.status == 405 and answer.headers["x-amz-delete-marker"] == "true", answer
    assert method == "HEAD" or answer.code == "MethodNotAllowed"


def test_the_refusal_of_a_marker_says_what_is_allowed(versioned):
    marker = versioned("delete_object", "key")["VersionId"]
    answer = versioned.raw.get(versioned.path("key", f"versionId={marker}"))
    assert answer.headers["allow"] == "DELETE" and answer.headers["last-modified"]


def test_a_version_is_deleted_for_good_and_only_it(versioned):
    ids = [put(versioned, body) for body in (b"one", b"two", b"three")]
    told = versioned("delete_object", "key", VersionId=ids[1])
    assert told["VersionId"] == ids[1] and "DeleteMarker" not in told
    assert versioned.refuses("get_object", "key", VersionId=ids[1]) == (404, "NoSuchVersion")
    assert versioned.body("key") == b"three"
    versioned("delete_object", "key", VersionId=ids[2])
    assert versioned.body("key") == b"one", "the one before is the latest again"
    versioned("delete_object", "key", VersionId=ids[2])  # it is gone already
    versioned("delete_object", "key", VersionId=ids[0])
    assert versioned.refuses("get_object", "key") == (404, "NoSuchKey") and history(versioned) == []
    versioned("delete_bucket")


@pytest.mark.parametrize("operation", ["get_object", "head_object", "delete_object", "get_object_tagging"])
def test_an_id_that_no_version_has_is_refused(versioned, operation):
    put(versioned, b"one")
    status, code = versioned.refuses(operation, "key", VersionId="no-such-version!")
    assert status == 400 and code in ("InvalidArgument", "400")
    if operation != "delete_object":
        status, code = versioned.refuses(operation, "key", VersionId="0" * 32)
        assert status == 404 and code in ("NoSuchVersion", "404")
    assert versioned.body("key") == b"one"


def test_a_version_is_that_of_its_own_key(versioned):
    one, two = put(versioned, b"one", "one"), put(versioned, b"two", "two")
    assert versioned.refuses("get_object", "one", VersionId=two) == (404, "NoSuchVersion")
    versioned("delete_object", "one", VersionId=two)
    assert versioned.body("two") == b"two" and versioned.body("one", VersionId=one) == b"one"


# === the null version ===

def test_what_was_there_before_is_the_null_version(embedded):
    embedded.put("key", b"before")
    embedded.versioned()
    assert embedded("get_object", "key")["VersionId"] == "null"
    newer = put(embedded, b"newer")
    assert embedded.body("key", VersionId="null") == b"before"
    assert history(embedded) == [(newer, False, True), ("null", False, False)]
    embedded("delete_object", "key", VersionId="null")
    assert history(embedded) == [(newer, False, True)]


def test_while_suspended_a_write_replaces_the_null_version_and_no_other(versioned):
    first = put(versioned, b"one")
    versioned.versioned("Suspended")
    for body in (b"two", b"three"):
        versioned.put("key", body)
        assert versioned.body("key") == body
        assert history(versioned) == [("null", False, True), (first, False, False)]
    versioned.versioned()
    newer = put(versioned, b"four")
    assert versioned.body("key", VersionId="null") == b"three"
    versioned.versioned("Suspended").put("key", b"five")
    assert history(versioned)[0] == ("null", False, True)
    assert {each for each, *_ in history(versioned)} == {"null", newer, first}, "there is one null version at most"
    assert versioned.body("key") == b"five"


def test_while_suspended_what_is_put_is_not_named_and_what_is_copied_or_read_is(versioned):
    """AWS, PutObject: its examples. A copy and a delete marker are named all the same."""
    first = put(versioned, b"one")
    versioned.versioned("Suspended")
    source = {"Bucket": versioned.name, "Key": "key", "VersionId": first}
    assert "VersionId" not in versioned("put_object", "key", Body=b"two")
    assert "VersionId" not in versioned.put_in_parts("parts", b"three")
    told = versioned("copy_object", "copy", CopySource=source)
    assert (told["VersionId"], told["CopySourceVersionId"]) == ("null", first)
    told = versioned("copy_object", "again", CopySource={"Bucket": versioned.name, "Key": "copy"})
    assert told["VersionId"] == "null" and "CopySourceVersionId" not in told
    for key in ("key", "parts", "copy"):
        assert versioned("head_object", key)["VersionId"] == "null"
        assert versioned("get_object", key)["VersionId"] == "null"
    assert versioned("delete_object", "key")["VersionId"] == "null"


def test_while_suspended_a_delete_puts_a_null_marker_in_the_null_version_s_place(versioned):
    first = put(versioned, b"one")
    versioned.versioned("Suspended").put("key", b"two")
    for _ in range(2):
        told = versioned("delete_object", "key")
        assert (told["DeleteMarker"], told["VersionId"]) == (True, "null")
        assert history(versioned) == [("null", True, True), (first, False, False)]
    assert versioned.refuses("get_object", "key") == (404, "NoSuchKey")
    told = versioned("delete_object", "key", VersionId="null")
    assert (told["DeleteMarker"], told["VersionId"]) == (True, "null")
    assert versioned.body("key") == b"one"


def test_a_null_version_may_be_named_in_a_bucket_without_versions(embedded):
    embedded.put("key", b"one")
    assert embedded.body("key", VersionId="null") == b"one"
    assert embedded.refuses("get_object", "missing", VersionId="null") == (404, "NoSuchVersion")
    embedded("delete_object", "key", VersionId="null")
    assert embedded.keys() == []


# === tags, batches, buckets ===

def test_tags_are_those_of_a_version(versioned):
    one = versioned("put_object", "key", Body=b"1", Tagging="a=1")["VersionId"]
    two = versioned("put_object", "key", Body=b"2")["VersionId"]
    told = versioned("put_object_tagging", "key", VersionId=one, Tagging={"TagSet": [{"Key": "b", "Value": "2"}]})
    assert told["VersionId"] == one
    told = versioned("get_object_tagging", "key", VersionId=one)
    assert (told["TagSet"], told["VersionId"]) == ([{"Key": "b", "Value": "2"}], one)
    told = versioned("get_object_tagging", "key")
    assert (told["TagSet"], told["VersionId"]) == ([], two)
    versioned("delete_object_tagging", "key", VersionId=one)
    assert versioned("get_object_tagging", "key", VersionId=one)["TagSet"] == []
    assert [each for each, *_ in history(versioned)] == [two, one], "no version is made by that"


def test_a_batch_deletes_versions_and_makes_markers(versioned):
    one, two = put(versioned, b"1"), put(versioned, b"2")
    other = put(versioned, b"3", "other")
    told = versioned("delete_objects", Delete={"Objects": [
        {"Key": "key", "VersionId": one}, {"Key": "other"}, {"Key": "key", "VersionId": "0" * 32},
        {"Key": "key", "VersionId": "no id"}]})
    made = next(each for each in told["Deleted"] if each["Key"] == "other")
    assert made["DeleteMarker"] is True and "VersionId" not in made
    assert [each for each in told["Deleted"] if each is not made] == [
        {"Key": "key", "VersionId": one}, {"Key": "key", "VersionId": "0" * 32}]
    [error] = told["Errors"]
    assert (error["Key"], error["VersionId"]) == ("key", "no id")
    assert history(versioned) == [(two, False, True)]
    marker = made["DeleteMarkerVersionId"]
    assert history(versioned, "other") == [(marker, True, True), (other, False, False)]
    told = versioned("delete_objects", Delete={"Objects": [{"Key": "other", "VersionId": marker}]})
    assert told["Deleted"] == [{"Key": "other", "VersionId": marker, "DeleteMarker": True,
                                "DeleteMarkerVersionId": marker}]
    assert versioned.body("other") == b"3"


def test_a_bucket_with_versions_or_markers_is_not_empty(versioned):
    first = put(versioned, b"one")
    marker = versioned("delete_object", "key")["VersionId"]
    for version in (first, marker):
        assert versioned.refuses("delete_bucket") == (409, "BucketNotEmpty")
        versioned("delete_object", "key", VersionId=version)
    versioned("delete_bucket")


def test_a_condition_of_a_read_is_judged_by_the_version_that_is_read(versioned):
    old = versioned("put_object", "key", Body=b"one")
    versioned.put("key", b"two")
    told = versioned("get_object", "key", VersionId=old["VersionId"], IfMatch=old["ETag"])
    assert told["Body"].read() == b"one"
    assert versioned.refuses("get_object", "key", IfMatch=old["ETag"]) == (412, "PreconditionFailed")


def test_a_condition_of_a_write_is_judged_by_the_latest_version(versioned):
    old = versioned("put_object", "key", Body=b"one")["ETag"]
    new = versioned("put_object", "key", Body=b"two")["ETag"]
    assert versioned.refuses("put_object", "key", IfMatch=old) == (412, "PreconditionFailed")
    assert versioned.refuses("delete_object", "key", IfMatch=old) == (412, "PreconditionFailed")
    assert versioned("delete_object", "key", IfMatch=new)["DeleteMarker"] is True
    assert versioned.refuses("put_object", "key", IfMatch=new) == (404, "NoSuchKey")
    versioned("put_object", "key", IfNoneMatch="*")
    assert len(history(versioned)) == 4


def test_an_upload_is_completed_once_whatever_was_written_since(versioned):
    upload = versioned.begin("key")
    part = versioned.part("key", upload, 1, b"in parts")
    first = versioned.complete("key", upload, [part])["VersionId"]
    second = put(versioned, b"newer")
    assert versioned.complete("key", upload, [part])["VersionId"] == first
    assert history(versioned) == [(second, False, True), (first, False, False)]


def test_no_version_is_left_out_where_the_last_of_a_page_was_deleted(embedded):
    """So a bucket is emptied: a page is listed, and deleted. `null` tells no place once it is gone."""
    embedded.put("key", b"null")
    embedded.versioned()
    embedded("put_bucket_versioning", VersioningConfiguration={"Status": "Suspended"})
    embedded.put("key", b"null again")
    embedded.versioned()
    older = [embedded("put_object", "key", Body=body)["VersionId"] for body in (b"1", b"2")]
    embedded("put_bucket_versioning", VersioningConfiguration={"Status": "Suspended"})
    embedded.put("key", b"null at last")
    page = embedded("list_object_versions", MaxKeys=1)
    assert (page["NextKeyMarker"], page["NextVersionIdMarker"]) == ("key", "null")
    embedded("delete_object", "key", VersionId="null")
    rest = embedded("list_object_versions", KeyMarker="key", VersionIdMarker="null")
    assert [version["VersionId"] for version in rest["Versions"]] == older[::-1]


@pytest.mark.parametrize("document, code", [
    (b"<Status>enabled</Status>", "MalformedXML"), (b"<Status>Disabled</Status>", "MalformedXML"),
    (b"", "IllegalVersioningConfigurationException")])
def test_there_are_two_states_of_versioning(embedded, document, code):
    body = b"<VersioningConfiguration>" + document + b"</VersioningConfiguration>"
    answer = embedded.raw.put(embedded.path(query="versioning"), body)
    assert (answer.status, answer.code) == (400, code), answer
    assert "Status" not in embedded("get_bucket_versioning")


def test_a_batch_is_told_that_there_is_no_such_version(versioned):
    put(versioned, b"x")
    wrong = [{"Key": "key", "VersionId": "none"}, {"Key": "other", "VersionId": "x" * 32}]
    told = versioned("delete_objects", Delete={"Objects": wrong})
    assert [each["Code"] for each in told["Errors"]] == ["NoSuchVersion"] * 2
    assert versioned.body("key") == b"x"
