"""Listings of versions over a store that lags: the versions that were acknowledged through any proxy are listed by any
other, those that were deleted are not, and the newest of a key is the current one."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field

import pytest

from clients import boto
from conftest import new_bucket
from test_lag_listings import LAG, TOLD, chaos, lagging, pair  # noqa: F401


def alone(store):
    return boto(store.url, store.access_key, store.secret_key)


@pytest.fixture(scope="module")
def buckets(lagging):  # noqa: F811
    """Buckets that keep versions, empty, which have been there for so long that the store shows them."""
    made = [new_bucket(lagging) for _ in range(12)]
    for bucket in made:
        alone(lagging).put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    threading.Event().wait(LAG * 1.1)
    return iter(made)


Entry = tuple[str, str, bool, bool]
"""A key, the id of a version, whether it is a delete marker, and whether it is the current version."""


@dataclass
class Versions:
    """What was acknowledged: of each key the versions, the newest first, with whether they are delete markers."""

    keys: dict[str, list[tuple[str, bool]]] = field(default_factory=dict)

    def written(self, key: str, version: str, is_marker: bool = False) -> None:
        self.gone(key, version)
        self.keys.setdefault(key, []).insert(0, (version, is_marker))

    def gone(self, key: str, version: str) -> None:
        self.keys[key] = [each for each in self.keys.get(key, []) if each[0] != version]

    def some(self, dice: random.Random) -> tuple[str, str]:
        return dice.choice([(key, version) for key, of in self.keys.items() for version, _ in of])

    def expected(self, prefix: str, delimiter: str) -> tuple[set[Entry], set[str]]:
        entries, prefixes = set(), set()
        for key, versions in self.keys.items():
            end = key.find(delimiter, len(prefix)) if delimiter else -1
            if versions and key.startswith(prefix) and end >= 0:
                prefixes.add(key[:end + len(delimiter)])
            elif key.startswith(prefix):
                entries |= {(key, version, is_marker, at == 0) for at, (version, is_marker) in enumerate(versions)}
        return entries, prefixes


class Writer:
    """Changes random keys in all ways there are, through any of the proxies."""

    def __init__(self, dice: random.Random, proxies, bucket: str):
        self.dice, self.bucket, self.clients = dice, bucket, [proxy.boto() for proxy in proxies]
        self.versions = Versions()

    def change(self) -> None:
        s3, dice, versions = self.dice.choice(self.clients), self.dice, self.versions
        key = "".join(dice.choice("ab/") for _ in range(dice.randint(1, 3)))
        name = {"Bucket": self.bucket, "Key": key}
        there = any(versions.keys.values())
        way = dice.choice(["put", "put", "delete", "copy", "complete", *(["version", "version", "batch"] if there else [])])
        if way == "put":
            versions.written(key, s3.put_object(**name, Body=dice.randbytes(9)).get("VersionId", "null"))
        elif way == "delete":
            answer = s3.delete_object(**name)
            versions.written(key, answer["VersionId"], is_marker=True)
        elif way == "version":
            gone, version = versions.some(dice)
            s3.delete_object(Bucket=self.bucket, Key=gone, VersionId=version)
            versions.gone(gone, version)
        elif way == "batch":
            gone = {versions.some(dice) for _ in range(3)}
            objects = [{"Key": each, "VersionId": version} for each, version in gone]
            answer = s3.delete_objects(Bucket=self.bucket, Delete={"Objects": objects})
            assert len(answer["Deleted"]) == len(gone)
            for each, version in gone:
                versions.gone(each, version)
        elif way == "copy":
            s3.put_object(Bucket=self.bucket, Key="source", Body=b"x")
            source = {"Bucket": self.bucket, "Key": "source"}
            self.versions.keys.pop("source", None)
            answer = s3.copy_object(**name, CopySource=source)
            versions.written(key, answer["VersionId"])
        else:
            upload = {**name, "UploadId": s3.create_multipart_upload(**name)["UploadId"]}
            part = s3.upload_part(**upload, PartNumber=1, Body=dice.randbytes(5))["ETag"]
            parts = {"Parts": [{"PartNumber": 1, "ETag": part}]}
            versions.written(key, s3.complete_multipart_upload(**upload, MultipartUpload=parts)["VersionId"])


def listed(s3, bucket: str, size: int = 1000, **wanted: str) -> tuple[list[Entry], list[str], set[str]]:
    """What boto3's paginator finds, and what the answers say of their consistency."""
    entries, prefixes, words = [], [], set()
    pages = s3.get_paginator("list_object_versions").paginate(
        Bucket=bucket, PaginationConfig={"PageSize": size}, **wanted)
    for page in pages:
        words.add(page["ResponseMetadata"]["HTTPHeaders"]["x-ifmatch-consistency"])
        for kind, is_marker in (("Versions", False), ("DeleteMarkers", True)):
            for each in page.get(kind, []):
                entries.append((each["Key"], each["VersionId"], is_marker, each["IsLatest"]))
                assert each["LastModified"].year >= 2026 and (is_marker or each["Size"] in (1, 5, 9))
        prefixes += [each["Prefix"] for each in page.get("CommonPrefixes", [])]
    return entries, prefixes, words


@pytest.mark.parametrize("seed", [1, 2])
def test_the_versions_that_were_acknowledged_are_listed_and_no_others(pair, lagging, buckets, seed):  # noqa: F811
    dice, bucket, before = random.Random(seed), next(buckets), chaos(lagging)["lagging_listings"]
    merged = sum(proxy.metric("ifmatch_guarded_listings_total", outcome="merged") for proxy in pair)
    writer, sure = Writer(dice, pair, bucket), 0
    for _ in range(30):
        for _ in range(dice.randint(1, 4)):
            writer.change()
        wanted = {"Prefix": dice.choice(["", "a", "a/", "b"]), "Delimiter": dice.choice(["", "/"])}
        entries, prefixes, words = listed(dice.choice(pair).boto(), bucket, dice.choice([1, 3, 1000]), **wanted)
        if words != {"guarded"}:
            # More was done to one key than is remembered.
            assert words <= {"guarded", "store"}
            continue
        sure += 1
        entries = [each for each in entries if each[0] != "source"]
        assert len(entries) == len(set(entries)) and len(prefixes) == len(set(prefixes))
        assert (set(entries), set(prefixes)) == writer.versions.expected(wanted["Prefix"], wanted["Delimiter"])
    assert sure > 20, sure
    assert chaos(lagging)["lagging_listings"] > before, "the store's listings did not lag"
    assert sum(proxy.metric("ifmatch_guarded_listings_total", outcome="merged") for proxy in pair) > merged


def test_a_bucket_is_emptied_page_by_page_and_is_empty_at_once(pair, buckets):  # noqa: F811
    """As tools do it that remove a bucket with its versions."""
    bucket, [near, far] = next(buckets), [proxy.boto() for proxy in pair]
    for number in range(4):
        for key in ("a", "b", "c/d", "c/e"):
            near.put_object(Bucket=bucket, Key=key, Body=b"%d" % number)
    near.delete_object(Bucket=bucket, Key="b")
    marker: dict[str, str] = {}
    while True:
        page = near.list_object_versions(Bucket=bucket, MaxKeys=3, **marker)
        found = page.get("Versions", []) + page.get("DeleteMarkers", [])
        assert page["ResponseMetadata"]["HTTPHeaders"]["x-ifmatch-consistency"] == "guarded"
        objects = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]
        if objects:
            far.delete_objects(Bucket=bucket, Delete={"Objects": objects})
        if not page["IsTruncated"]:
            break
        marker = {"KeyMarker": page["NextKeyMarker"]}
        if page.get("NextVersionIdMarker"):
            marker["VersionIdMarker"] = page["NextVersionIdMarker"]
    assert listed(far, bucket) == ([], [], {"guarded"})


def test_without_versioning_each_object_is_the_version_null(pair, lagging):  # noqa: F811
    bucket, [near, far] = new_bucket(lagging), [proxy.boto() for proxy in pair]
    threading.Event().wait(LAG * 1.1)
    near.put_object(Bucket=bucket, Key="a", Body=b"x")
    near.put_object(Bucket=bucket, Key="a", Body=b"y")
    near.put_object(Bucket=bucket, Key="b", Body=b"x")
    near.delete_object(Bucket=bucket, Key="b")
    assert listed(far, bucket) == ([("a", "null", False, True)], [], {"guarded"})


def test_while_versioning_is_suspended_the_version_null_is_replaced(pair, lagging, buckets):  # noqa: F811
    bucket, [near, far] = next(buckets), [proxy.boto() for proxy in pair]
    first = near.put_object(Bucket=bucket, Key="a", Body=b"x")["VersionId"]
    alone(lagging).put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    null = ("a", "null", False, True)
    for body in (b"y", b"z"):
        near.put_object(Bucket=bucket, Key="a", Body=body)
        assert listed(far, bucket) == ([null, ("a", first, False, False)], [], {"guarded"})
    near.delete_object(Bucket=bucket, Key="a")
    entries, _, words = listed(far, bucket)
    assert sorted(entries) == [("a", first, False, False), ("a", "null", True, True)] and words == {"guarded"}
    near.delete_object(Bucket=bucket, Key="a", VersionId="null")
    assert listed(far, bucket) == ([("a", first, False, True)], [], {"guarded"})


def test_more_than_is_remembered_of_a_key_is_told(pair, buckets):  # noqa: F811
    near, far = (proxy.boto() for proxy in pair)
    for _ in range(10):
        bucket, began = next(buckets), time.monotonic()
        for _ in range(17):
            near.put_object(Bucket=bucket, Key="a", Body=b"x")
        words = listed(far, bucket)[2]
        # On a machine that is slow for once, the first of them was old before the last was written.
        if time.monotonic() - began < TOLD.lag:
            break
    assert words == {"store"}
    # Listings of keys know the last write.
    assert far.list_objects_v2(Bucket=bucket)["KeyCount"] == 1
    threading.Event().wait(TOLD.lag)
    entries, _, words = listed(far, bucket)
    assert len(entries) == 17 and words == {"guarded"}
