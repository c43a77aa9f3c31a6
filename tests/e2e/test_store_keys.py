"""Keys of the embedded store: every one is its own, and comes back as it was sent."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from urllib.parse import quote

import pytest

from embedded import Bucket

KEYS = [
    "a+b", "a b", "a%20b", "a%2Bb", "a%2Fb", "%2F", "%", "%zz", "a/b", "a", "trailing/", "trailing", "trailing//",
    "/", "//", "///", "/leading", "a//b", ".", "..", "./", "../", "../up", "a/./b", "a/../b", "a/..", "...", ".hidden",
    "\u00e4", "a\u0308", "\uff5e", "\ue000", "\U00010000", "\U0010ffff", "\u200b", "\u2028", "A", "\u0130",
    "\x01", "\x1f", "\x7f", "tab\there", "cr\rhere", "lf\nhere", "crlf\r\nhere", "\r", "\n", " ", " leading",
    "ending ", "'\"<>&;", "?query=1", "#hash", "back\\slash", "a=b&c=d", "{}|^`~[]", ":", "*", "@,!$()",
    "index.redb", "objects", "k" * 1024, "\u00fc" * 512, "d/" * 512, "con", "nul",
]
IN_ORDER = sorted(KEYS, key=str.encode)
IN_XML = [key for key in KEYS if not any(char < " " and char not in "\t\n" for char in key)]
"""Those that XML can have without more ado. Other control characters it cannot have at all, but for CR."""


def body_of(key: str) -> bytes:
    return b"the object called " + key.encode()


@pytest.fixture(scope="module")
def filled(store_named) -> Bucket:
    """A bucket with all of the keys."""
    bucket = Bucket.new(store_named("embedded"))
    for key in reversed(KEYS):
        bucket.put(key, body_of(key), Metadata={"number": str(KEYS.index(key))})
    return bucket


def test_the_list_of_keys_names_each_once():
    assert len(set(KEYS)) == len(KEYS)


def test_each_key_has_its_own_bytes_and_metadata(filled):
    for number, key in enumerate(KEYS):
        told = filled("get_object", key)
        assert (told["Body"].read(), told["Metadata"]) == (body_of(key), {"number": str(number)}), ascii(key)
        assert filled("head_object", key)["ContentLength"] == len(body_of(key)), ascii(key)


def test_a_listing_has_all_keys_in_the_order_of_their_bytes(filled):
    assert filled.keys() == IN_ORDER
    assert IN_ORDER.index("\uff5e") < IN_ORDER.index("\U00010000"), "not the order of UTF-16"
    told = filled("list_objects")
    assert [each["Key"] for each in told["Contents"]] == IN_ORDER
    assert [each["Size"] for each in told["Contents"]] == [len(body_of(key)) for key in IN_ORDER]


def test_versions_are_listed_in_the_order_of_the_keys_bytes(filled):
    told = filled("list_object_versions")
    assert [each["Key"] for each in told["Versions"]] == IN_ORDER
    assert {(each["VersionId"], each["IsLatest"]) for each in told["Versions"]} == {("null", True)}


def test_pages_end_and_begin_at_every_key(filled):
    for size in (1, 7):
        pages = filled.s3.get_paginator("list_objects_v2").paginate(
            Bucket=filled.name, PaginationConfig={"PageSize": size})
        assert [each["Key"] for page in pages for each in page["Contents"]] == IN_ORDER, size


def test_each_key_is_a_place_to_go_on_from(filled):
    for place, key in enumerate(IN_ORDER):
        for operation, after in (("list_objects_v2", "StartAfter"), ("list_objects", "Marker")):
            told = filled(operation, MaxKeys=1, **{after: key})
            assert [each["Key"] for each in told.get("Contents", [])] == IN_ORDER[place + 1:place + 2], ascii(key)


def test_each_key_is_a_prefix(filled):
    for key in KEYS:
        told = filled("list_objects_v2", Prefix=key)
        assert [each["Key"] for each in told["Contents"]] == [each for each in IN_ORDER if each.startswith(key)]
        assert told["Prefix"] == key


def key_elements(document: bytes) -> list[str]:
    return [each.text for each in ElementTree.fromstring(document).iter() if each.tag.endswith("}Key")]


@pytest.mark.parametrize("listing", ["list-type=2&", ""], ids=["version 2", "version 1"])
def test_a_listing_without_an_encoding_has_the_keys_as_they_are(filled, listing):
    for key in IN_XML:
        answer = filled.raw.get(filled.path(query=f"{listing}max-keys=1&prefix={quote(key, safe='')}"))
        first = next(each for each in IN_ORDER if each.startswith(key))
        if first in IN_XML:
            assert key_elements(answer.body) == [first], ascii(key)


def test_a_carriage_return_is_written_so_that_it_comes_back(embedded):
    key = "cr\rhere"
    assert embedded.put_in_parts(key, b"x")["Key"] == key
    assert key_elements(embedded.raw.get(embedded.path()).body) == [key]
    told = embedded("delete_objects", Delete={"Objects": [{"Key": key}]})
    assert [each["Key"] for each in told["Deleted"]] == [key]


def test_a_key_is_copied_from_and_to(embedded):
    for number, key in enumerate(KEYS):
        embedded.put(key, body_of(key))
        embedded("copy_object", f"copy of {number}", CopySource={"Bucket": embedded.name, "Key": key})
        embedded("delete_object", key)
        embedded("copy_object", key, CopySource={"Bucket": embedded.name, "Key": f"copy of {number}"})
        assert embedded.body(key) == body_of(key), ascii(key)


def test_a_key_is_uploaded_in_parts(embedded):
    for key in IN_XML:
        told = embedded.put_in_parts(key, body_of(key))
        assert told["Key"] == key, ascii(key)
        assert embedded.body(key) == body_of(key), ascii(key)
    assert embedded.keys() == [key for key in IN_ORDER if key in IN_XML]


def test_a_key_is_deleted_and_only_it(embedded):
    left = set(KEYS)
    for key in KEYS:
        embedded.put(key, body_of(key))
    for key in KEYS:
        embedded("delete_object", key)
        left.discard(key)
        assert embedded.refuses("get_object", key) == (404, "NoSuchKey"), ascii(key)
        assert set(embedded.keys()) == left, ascii(key)


@pytest.mark.parametrize("versioned", [False, True])
def test_a_batch_deletes_every_key(embedded, versioned):
    if versioned:
        embedded.versioned()
    for key in IN_XML:
        embedded.put(key)
    told = embedded("delete_objects", Delete={"Objects": [{"Key": key} for key in IN_XML]})
    assert sorted(each["Key"] for each in told["Deleted"]) == sorted(IN_XML)
    assert "Errors" not in told and embedded.keys() == []


TOO_LONG = ["k" * 1025, "\u00fc" * 512 + "k", "\U0010ffff" * 256 + "k"]


@pytest.mark.parametrize("key", TOO_LONG, ids=["ASCII", "two bytes each", "four bytes each"])
def test_a_key_of_more_than_1024_bytes_is_refused(embedded, key):
    embedded.put("source")
    source = f"{embedded.name}/source"
    refused = (400, "KeyTooLongError")
    assert embedded.refuses("put_object", key, Body=b"x") == refused
    assert embedded.refuses("copy_object", key, CopySource=source) == refused
    assert embedded.refuses("create_multipart_upload", key) == refused
    assert embedded.keys() == ["source"]


def test_a_key_that_is_no_utf_8_is_refused(embedded):
    for target in (b"%FF", b"a%C3", b"%ED%A0%80", b"%C0%AF"):
        answer = embedded.raw.put(f"/{embedded.name}/{target.decode()}", b"x")
        assert answer.status == 400, f"{target}: {answer}"
    assert embedded.keys() == []
