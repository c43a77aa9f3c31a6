"""AWS's answers, row by row: the tables beside this file, before every store and register."""

from __future__ import annotations

import pytest

import tables
from conftest import new_bucket
from scene import Scene
from tables import Case


def rows(*files: str) -> dict:
    cases = [case for file in files for case in tables.read(file)]
    return {"argvalues": cases, "ids": [case.id for case in cases]}


def play(case: Case, scene: Scene) -> None:
    """Before, request, answer, afterwards, then."""
    needed = {word.partition(" ")[0] for word in (*case.before, case["request"], *case.then)}
    if "{MD5 of M}" in case["headers"]:
        needed.add("multipart ETags")
    if case.answer[1] == "NoSuchUpload":
        needed.add("NoSuchUpload")
    lacking = scene.front.store.lacks & needed
    if lacking:
        pytest.skip(f"{scene.front.store.name} itself does not have: {', '.join(lacking)}")
    if any("{future}" in value for value in case.headers.values()):
        scene.words["future"] = "Fri, 01 Jan 2100 00:00:00 GMT"
    scene.steps(case.before)
    answer = scene.request(case["request"], scene.headers(case["headers"]))
    assert scene.letter_at_store() == case["afterwards"]
    if case["request"] == "get":
        # The store's own words, passed through.
        assert (answer.status, answer.code) == case.answer, str(answer)
        return
    scene.check(case, answer)
    scene.check_etag(answer)
    if case["request"] == "put B" and answer.status == 200:
        assert answer.etag == f'"{scene.words["MD5 of B"]}"'
    scene.steps(case.then)


@pytest.mark.parametrize("case", **rows("put_object.md", "delete_object.md"))
def test_conformance_of_put_and_delete(front, case):
    play(case, Scene(front))


@pytest.mark.parametrize("case", **rows("copy_object.md"))
def test_conformance_of_copy(front, case):
    play(case, Scene(front))


@pytest.mark.parametrize("case", **rows("complete_multipart_upload.md"))
def test_conformance_of_complete(front, case):
    play(case, Scene(front))


# === copy sources ===

@pytest.fixture(scope="module")
def copied(front):
    """One source for all copies, old enough to have a time after it."""
    scene = Scene(front)
    scene.steps(["source S"])
    scene.learn_times(scene.source_key)
    return scene


@pytest.mark.parametrize("request_", ["copy", "copy part"], ids=["copy", "part"])
@pytest.mark.parametrize("case", **rows("copy_source.md"))
def test_conformance_of_copy_sources(front, copied, case, request_):
    if request_ in front.store.lacks:
        pytest.skip(f"{front.store.name} itself does not have: {request_}")
    scene = Scene(front)
    scene.use_source(copied)
    if request_ == "copy part":
        scene.request("create", {})
    answer = scene.request(request_, scene.headers(case["headers"]))
    scene.check(case, answer)
    done = answer.status == 200
    if request_ == "copy part" and done:
        assert scene.letter_at_store() == "nothing"
        scene.steps(["complete"])
    assert scene.letter_at_store() == ("S" if done else "nothing")


# === versions ===

@pytest.fixture(scope="module")
def versioned(front):
    if not front.store.versions:
        pytest.skip(f"{front.store.name} itself does not have: versions")
    bucket = new_bucket(front.store)
    front.store_s3.put_bucket_versioning(
        Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return bucket


@pytest.mark.parametrize("case", **rows("versions.md"))
def test_conformance_with_versions(front, versioned, case):
    play(case, Scene(front, versioned))


def test_version_ids_pass_through(front, versioned):
    s3, name = front.s3, {"Bucket": versioned, "Key": front.new_key("versions")}
    first, second = (s3.put_object(**name, Body=body)["VersionId"] for body in (b"1", b"2"))
    marker = s3.delete_object(**name)
    assert marker["DeleteMarker"] is True
    listed = front.store_s3.list_object_versions(Bucket=versioned, Prefix=name["Key"])
    assert {version["VersionId"] for version in listed["Versions"]} == {first, second}
    assert [each["VersionId"] for each in listed["DeleteMarkers"]] == [marker["VersionId"]]
    assert s3.get_object(**name, VersionId=first)["Body"].read() == b"1"
    assert s3.head_object(**name, VersionId=second)["VersionId"] == second
    gone = s3.delete_objects(Bucket=versioned, Delete={"Objects": [
        {"Key": name["Key"], "VersionId": first}]})["Deleted"]
    assert [(each["Key"], each["VersionId"]) for each in gone] == [(name["Key"], first)]
    restored = s3.delete_object(**name, VersionId=marker["VersionId"])
    assert restored["VersionId"] == marker["VersionId"]
    assert s3.get_object(**name)["VersionId"] == second
    [made] = s3.delete_objects(Bucket=versioned, Delete={"Objects": [
        {"Key": name["Key"]}]})["Deleted"]
    assert made["DeleteMarker"] is True and made["DeleteMarkerVersionId"]


# === nothing is missing ===

def test_conformance_tables_have_every_answer_recorded_on_aws():
    recorded = {case["row"] for case in tables.read("recorded.md")}
    files = [path.name for path in tables.HERE.glob("*.md")
             if path.name not in ("README.md", "recorded.md")]
    shown = {case["row"] for file in files for case in tables.read(file)} - {"-"}
    shown.add("read 11")  # test_the_full_matrix_of_read_conditions
    assert len(recorded) > 50, "the list itself was not read"
    assert shown == recorded, f"not shown: {recorded - shown}; not recorded: {shown - recorded}"
