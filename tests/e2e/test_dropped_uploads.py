"""Uploads that a store drops when their key is written meanwhile, as Garage does: the losers of a race by
complete are told of the race. The store here drops none by itself; the test aborts them at the store,
around the proxy, which to the proxy is the same."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from clients import code_of

WRITERS = ["exclusive", "shared"]
CONFLICT, FAILED = (409, "ConditionalRequestConflict"), (412, "PreconditionFailed")
GONE = (404, "NoSuchUpload")


class Race:
    """Uploads of one key."""

    def __init__(self, front, stem: str):
        self.s3, self.store_s3 = front.s3, front.store_s3
        self.name = {"Bucket": front.bucket, "Key": front.new_key(stem)}

    def upload(self, body: bytes) -> dict:
        upload_id = self.s3.create_multipart_upload(**self.name)["UploadId"]
        part = self.s3.upload_part(**self.name, UploadId=upload_id, PartNumber=1, Body=body)
        return {"UploadId": upload_id,
                "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}}

    def drop(self, upload: dict) -> None:
        self.store_s3.abort_multipart_upload(**self.name, UploadId=upload["UploadId"])

    def complete(self, upload: dict, **condition):
        return self.s3.complete_multipart_upload(**self.name, **upload, **condition)

    def refused(self, upload: dict, **condition) -> tuple[int, str]:
        with pytest.raises(ClientError) as refused:
            self.complete(upload, **condition)
        return code_of(refused.value)

    def content(self) -> bytes:
        return self.s3.get_object(**self.name)["Body"].read()


@pytest.fixture(params=WRITERS)
def race(request, front_on):
    register = "memory" if request.param == "exclusive" else "redis"
    front = front_on("moto", register, request.param)
    return lambda stem: Race(front, stem)


def test_of_a_race_to_create_the_losers_are_told_so(race):
    race = race("create")
    uploads = [race.upload(f"body {number}".encode()) for number in range(4)]
    race.complete(uploads[0], IfNoneMatch="*")
    for upload in uploads[1:]:
        race.drop(upload)
    assert [race.refused(upload, IfNoneMatch="*") for upload in uploads[1:]] == [FAILED] * 3
    assert race.content() == b"body 0"


def test_of_a_race_to_replace_the_losers_are_told_so(race):
    race = race("replace")
    old = race.s3.put_object(**race.name, Body=b"old")["ETag"]
    uploads = [race.upload(f"body {number}".encode()) for number in range(3)]
    new = race.complete(uploads[0], IfMatch=old)["ETag"]
    for upload in uploads[1:]:
        race.drop(upload)
    assert race.refused(uploads[1], IfMatch=old) == FAILED
    # The right ETag, and yet: the key has changed since this upload was created.
    assert race.refused(uploads[2], IfMatch=new) == CONFLICT
    assert race.content() == b"body 0"
    again = race.upload(b"begun anew")
    race.complete(again, IfMatch=new)
    assert race.content() == b"begun anew"


def test_a_delete_since_is_a_conflict_too(race):
    race = race("deleted")
    race.s3.put_object(**race.name, Body=b"old")
    upload = race.upload(b"late")
    race.s3.delete_object(**race.name)
    race.drop(upload)
    assert race.refused(upload, IfNoneMatch="*") == CONFLICT


def test_an_upload_that_was_aborted_or_never_there_is_said_to_be_gone(race):
    race = race("aborted")
    etag = race.s3.put_object(**race.name, Body=b"old")["ETag"]
    upload = race.upload(b"new")
    race.s3.abort_multipart_upload(**race.name, UploadId=upload["UploadId"])
    assert race.refused(upload, IfMatch=etag) == GONE, "no write of the key came"
    assert race.refused({**upload, "UploadId": "never-there"}, IfMatch=etag) == GONE
    race.s3.put_object(**race.name, Body=b"newer")
    assert race.refused(upload) == GONE, "without a condition there is no race to lose"
