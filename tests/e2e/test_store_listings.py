"""Listings of the embedded store: what a simple model says, page by page, and every field of AWS's."""

from __future__ import annotations

import itertools
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from embedded import Bucket

KEYS = sorted([
    "a", "a/", "a/1", "a/2", "a/b/1", "a/b/2", "a//", "a--b", "a--b--c", "ab", "b", "b/1", "b--1", "c d/e f", "c+d/e",
    "x%y", "x%z", "\u00e4/1", "\u00e4/2", "\u00f6", "/", "//1", "z/", "z/z/z/z", "\U0010ffff/1", "\U0010ffff/2",
], key=str.encode)
PREFIXES = ["", "a", "a/", "a/b", "a--", "nothing", "\u00e4", "/", "c+", "c ", "\U0010ffff"]
DELIMITERS = [None, "/", "--", "/b/", "%", " ", "b", "\u00e4", "nothing"]


def entries(prefix: str, delimiter: str | None, keys=None) -> list[str]:
    """The keys and common prefixes of a listing, in their order: what a page shows a part of."""
    shown = []
    for key in KEYS if keys is None else keys:
        if key.startswith(prefix):
            head, found, _ = key[len(prefix):].partition(delimiter) if delimiter else (key, "", "")
            entry = prefix + head + found if found else key
            if entry not in shown:
                shown.append(entry)
    return shown


def shown_by(page: dict) -> list[str]:
    """The entries of a page. They are parted in keys and common prefixes, each in order."""
    keys = [each["Key"] for each in page.get("Contents", [])]
    prefixes = [each["Prefix"] for each in page.get("CommonPrefixes", [])]
    assert keys == sorted(keys, key=str.encode) and prefixes == sorted(prefixes, key=str.encode)
    return sorted(keys + prefixes, key=str.encode)


@pytest.fixture(scope="module")
def filled(store_named) -> Bucket:
    bucket = Bucket.new(store_named("embedded"))
    for number, key in enumerate(KEYS):
        bucket.put(key, b"x" * number)
    return bucket


def walk(bucket: Bucket, version: int, size: int, **asked) -> list[list[str]]:
    """All pages, each with what it shows."""
    pages: list[list[str]] = []
    more: dict[str, str] = {}
    while True:
        if version == 2:
            page = bucket("list_objects_v2", MaxKeys=size, **asked, **more)
            assert page["KeyCount"] == len(shown_by(page))
            more = {"ContinuationToken": page.get("NextContinuationToken")}
        else:
            page = bucket("list_objects", MaxKeys=size, **asked, **more)
            # Only beside a delimiter does AWS say where the next page begins.
            assert ("NextMarker" in page) == (page["IsTruncated"] and "Delimiter" in asked)
            last = (shown_by(page) or [None])[-1]
            assert page.get("NextMarker", last) == last
            more = {"Marker": last}
        pages.append(shown_by(page))
        assert len(pages[-1]) <= size and page["MaxKeys"] == size
        if not page["IsTruncated"]:
            assert "NextContinuationToken" not in page
            return pages


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_pages_show_what_the_model_says(filled, version, size):
    for prefix, delimiter in itertools.product(PREFIXES, DELIMITERS):
        asked = {"Prefix": prefix, **({"Delimiter": delimiter} if delimiter else {})}
        wanted = entries(prefix, delimiter)
        pages = walk(filled, version, size, **asked)
        assert sum(pages, []) == wanted, asked
        # No page is short but the last, and there is no empty one at the end.
        assert [len(page) for page in pages[:-1]] == [size] * (len(pages) - 1), asked
        assert pages[-1] or not wanted, asked


def test_a_common_prefix_is_no_key_and_a_key_that_ends_in_the_delimiter_is_one_itself(filled):
    page = filled("list_objects_v2", Prefix="a/", Delimiter="/")
    assert [each["Key"] for each in page["Contents"]] == ["a/", "a/1", "a/2"]
    assert [each["Prefix"] for each in page["CommonPrefixes"]] == ["a//", "a/b/"]
    page = filled("list_objects_v2", Prefix="z/", Delimiter="/")
    assert ([each["Key"] for each in page["Contents"]], page["CommonPrefixes"]) == (["z/"], [{"Prefix": "z/z/"}])


@pytest.mark.parametrize("operation, after", [("list_objects_v2", "StartAfter"), ("list_objects", "Marker")])
def test_a_listing_begins_behind_a_name_that_need_not_be_there(filled, operation, after):
    for name in [*KEYS, "", "0", "a/0", "a/1\x01", "a0", "zz", "\U0010ffff/3"]:
        behind = [key for key in KEYS if key.encode() > name.encode()]
        page = filled(operation, **{after: name})
        assert (shown_by(page), page.get(after, "")) == (behind, name), ascii(name)
        page = filled(operation, Prefix="a/", **{after: name})
        assert shown_by(page) == [key for key in behind if key.startswith("a/")], ascii(name)


def test_a_token_counts_and_a_name_to_start_after_no_more(filled):
    first = filled("list_objects_v2", MaxKeys=3, StartAfter="a/1")
    assert shown_by(first) == KEYS[KEYS.index("a/1") + 1:][:3]
    second = filled("list_objects_v2", MaxKeys=3, StartAfter="a/1", ContinuationToken=first["NextContinuationToken"])
    assert shown_by(second) == KEYS[KEYS.index("a/1") + 4:][:3]
    assert second["ContinuationToken"] == first["NextContinuationToken"]
    assert first["StartAfter"] == "a/1" and "StartAfter" not in second, "AWS repeats what counted"


def test_pages_go_on_where_their_last_key_was_deleted(embedded):
    for number in range(6):
        embedded.put(f"dir{number}/key")
        embedded.put(f"key{number}")
    seen, more = [], {}
    while True:
        page = embedded("list_objects_v2", MaxKeys=2, Delimiter="/", **more)
        seen += shown_by(page)
        for key in [f"{seen[-1]}key", seen[-1]]:
            embedded("delete_object", key)
        if not page["IsTruncated"]:
            break
        more = {"ContinuationToken": page["NextContinuationToken"]}
    assert seen == [f"dir{number}/" for number in range(6)] + [f"key{number}" for number in range(6)]


def test_a_page_has_a_thousand_entries_at_most(embedded):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: embedded.put(f"{number:04}/key"), range(1001)))
    for asked in ({}, {"MaxKeys": 1000}, {"MaxKeys": 5000}):
        for operation in ("list_objects", "list_objects_v2", "list_object_versions"):
            page = embedded(operation, **asked)
            names = page.get("Contents") or page.get("Versions")
            assert (len(names), page["IsTruncated"], page["MaxKeys"]) == (1000, True, 1000), operation
            page = embedded(operation, Delimiter="/", **asked)
            assert (len(page["CommonPrefixes"]), page["IsTruncated"]) == (1000, True), operation


@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2", "list_object_versions"])
def test_a_page_of_nothing_is_the_last(filled, operation):
    page = filled(operation, MaxKeys=0)
    assert (page["IsTruncated"], page["MaxKeys"]) == (False, 0)
    assert not {"Contents", "Versions", "CommonPrefixes", "NextContinuationToken", "NextMarker"} & page.keys()


@pytest.mark.parametrize("query", [
    "max-keys=-1", "max-keys=x", "max-keys=1.5", "encoding-type=other", "list-type=2&max-keys=-1",
    "list-type=2&encoding-type=base64", "list-type=2&continuation-token=%21",
    "versions&max-keys=-1", "versions&version-id-marker=null", "uploads&max-uploads=-1", "uploads&encoding-type=x"])
def test_what_makes_no_sense_is_refused(filled, query):
    answer = filled.raw.get(filled.path(query=query))
    assert (answer.status, answer.code) == (400, "InvalidArgument"), answer


def test_an_object_s_entry_has_aws_s_fields(embedded):
    etag = embedded.put("key", b"12345", StorageClass="STANDARD_IA")
    modified = embedded("head_object", "key")["LastModified"]
    for operation in ("list_objects", "list_objects_v2"):
        [entry] = embedded(operation)["Contents"]
        entry.pop("ChecksumAlgorithm", None), entry.pop("ChecksumType", None)
        owner = entry.pop("Owner", None)
        assert entry.pop("LastModified").replace(microsecond=0) == modified
        assert entry == {"Key": "key", "Size": 5, "ETag": etag, "StorageClass": "STANDARD_IA"}
        assert (owner is not None) == (operation == "list_objects")
    [entry] = embedded("list_objects_v2", FetchOwner=True)["Contents"]
    assert entry["Owner"]["ID"]


def test_times_are_written_with_milliseconds(embedded):
    embedded.put("key")
    answer = embedded.raw.get(embedded.path(query="list-type=2"))
    assert re.search(rb"<LastModified>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z</LastModified>", answer.body), answer.body


ECHOES = [
    ("list_objects", {"Prefix": "a/", "Marker": "a/1", "Delimiter": "/", "MaxKeys": 7}),
    ("list_objects_v2", {"Prefix": "c ", "StartAfter": "a+b", "Delimiter": "+", "MaxKeys": 7}),
    ("list_object_versions", {"Prefix": "\u00e4", "KeyMarker": "a b", "Delimiter": "%", "MaxKeys": 7}),
]


@pytest.mark.parametrize("operation, asked", ECHOES, ids=[operation for operation, _ in ECHOES])
def test_an_answer_repeats_what_was_asked(filled, operation, asked):
    page = filled(operation, **asked)
    assert {name: page[name] for name in asked} == asked
    assert page["Name"] == filled.name
    bare = filled(operation)
    assert "Delimiter" not in bare and bare["Prefix"] == ""
    assert "Delimiter" not in filled(operation, Delimiter=""), "an empty one is none"


ENCODED = [("a+b", "a%2Bb"), ("a b", "a+b"), ("\u00e4", "%C3%A4"), ("a%b", "a%25b"), ("a/b", "a/b"), ("\r", "%0D"),
           ("\x01", "%01"), ("a-_.*z", "a-_.*z"), ("<&>", "%3C%26%3E"), ("\U0010ffff", "%F4%8F%BF%BF")]


@pytest.mark.parametrize("listing, marker", [("list-type=2&", "start-after"), ("", "marker"),
                                             ("versions&", "key-marker")], ids=["2", "1", "versions"])
def test_names_are_encoded_when_that_is_asked(embedded, listing, marker):
    for key, _ in ENCODED:
        embedded.put(key)
    query = f"{listing}encoding-type=url&delimiter=%2B%20&prefix=&{marker}=%20%2B"
    body = embedded.raw.get(embedded.path(query=query)).body.decode()
    assert set(re.findall("<Key>(.*?)</Key>", body)) == {
        encoded for key, encoded in ENCODED if key.encode() > b" +"}, body
    assert "<EncodingType>url</EncodingType>" in body
    assert "<Delimiter>%2B+</Delimiter>" in body
    name = {"start-after": "StartAfter", "marker": "Marker", "key-marker": "KeyMarker"}[marker]
    assert f"<{name}>+%2B</{name}>" in body


def test_prefixes_and_next_markers_are_encoded_too(embedded):
    for key in ("a b/1", "a b/2", "c+d"):
        embedded.put(key)
    query = "delimiter=%2F&max-keys=1&encoding-type=url&prefix=a%20"
    body = embedded.raw.get(embedded.path(query=query)).body
    assert b"<CommonPrefixes><Prefix>a+b/</Prefix></CommonPrefixes>" in body
    assert b"<Prefix>a+</Prefix>" in body
    query = "delimiter=%2F&max-keys=1&encoding-type=url"
    assert b"<NextMarker>a+b/</NextMarker>" in embedded.raw.get(embedded.path(query=query)).body


def test_a_space_in_a_query_may_be_written_as_a_plus(embedded):
    for key in ("foo bar/1", "foo+bar/1"):
        embedded.put(key)
    raw, sent = embedded.raw, embedded.path(query="list-type=2&prefix=foo+bar%2F")
    answer = raw.send("GET", sent, raw.signed("GET", sent.replace("+", "%20")), b"")
    assert b"<Key>foo bar/1</Key>" in answer.body and b"foo+bar" not in answer.body, answer


def test_a_missing_bucket_has_no_listing(embedded):
    missing = Bucket(embedded.store, embedded.name + "-missing")
    for operation in ("list_objects", "list_objects_v2", "list_object_versions", "list_multipart_uploads"):
        assert missing.refuses(operation) == (404, "NoSuchBucket"), operation
    assert missing.refuses("head_bucket") == (404, "404")


# === versions ===

VERSIONS = {"a": 3, "a/1": 2, "a/2": 1, "b": 4, "c/1": 1, "c/2": 2}


@pytest.fixture(scope="module")
def history(store_named) -> tuple[Bucket, list[tuple[str, str]]]:
    """A bucket with several versions of its keys, and all of them, newest first under each key."""
    bucket = Bucket.new(store_named("embedded")).versioned()
    written: dict[str, list[str]] = {key: [] for key in VERSIONS}
    for turn in range(max(VERSIONS.values())):
        for key, count in VERSIONS.items():
            if turn < count:
                marker = key == "b" and turn in (1, 3)
                told = bucket("delete_object", key) if marker else bucket("put_object", key, Body=b"x" * turn)
                written[key].insert(0, told["VersionId"])
    return bucket, [(key, each) for key in sorted(written) for each in written[key]]


def versions_of(page: dict) -> set[tuple[str, str]]:
    return {(each["Key"], each["VersionId"]) for name in ("Versions", "DeleteMarkers") for each in page.get(name, [])}


@pytest.mark.parametrize("size", [1, 2, 3, 4, 1000])
def test_versions_come_newest_first_page_by_page(history, size):
    bucket, written = history
    latest = {dict(reversed(written))[key] for key in VERSIONS}
    shown, more = [], {}
    while True:
        page = bucket("list_object_versions", MaxKeys=size, **more)
        expected = written[len(shown):][:size]
        assert versions_of(page) == set(expected)
        for each in page.get("Versions", []) + page.get("DeleteMarkers", []):
            assert each["IsLatest"] == (each["VersionId"] in latest), each
        shown += expected
        if not page["IsTruncated"]:
            break
        more = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}
        assert tuple(more.values()) == shown[-1]
    assert shown == written


def test_versions_and_markers_are_told_apart(history):
    bucket, written = history
    page = bucket("list_object_versions", Prefix="b")
    b = [version for key, version in written if key == "b"]
    assert [each["VersionId"] for each in page["DeleteMarkers"]] == [b[0], b[2]]
    assert [(each["VersionId"], each["Size"]) for each in page["Versions"]] == [(b[1], 2), (b[3], 0)]


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_versions_are_gathered_under_common_prefixes(history, size):
    bucket, written = history
    shown, more = [], {}
    while True:
        page = bucket("list_object_versions", Delimiter="/", MaxKeys=size, **more)
        prefixes = [each["Prefix"] for each in page.get("CommonPrefixes", [])]
        assert len(prefixes) + len(versions_of(page)) <= size
        shown += sorted({key for key, _ in versions_of(page)} | set(prefixes))
        if not page["IsTruncated"]:
            break
        more = {"KeyMarker": page["NextKeyMarker"]}
        if "NextVersionIdMarker" in page:
            more["VersionIdMarker"] = page["NextVersionIdMarker"]
    assert list(dict.fromkeys(shown)) == ["a", "a/", "b", "c/"]


def test_a_key_marker_alone_leaves_out_all_versions_of_its_key(history):
    bucket, written = history
    page = bucket("list_object_versions", KeyMarker="a/1")
    assert versions_of(page) == {(key, version) for key, version in written if key > "a/1"}


def test_versions_go_on_behind_one_that_was_deleted_meanwhile(embedded):
    embedded.versioned()
    ids = [embedded("put_object", "key")["VersionId"] for _ in range(3)][::-1]
    page = embedded("list_object_versions", MaxKeys=2)
    embedded("delete_object", "key", VersionId=ids[1])
    rest = embedded("list_object_versions", KeyMarker="key", VersionIdMarker=page["NextVersionIdMarker"])
    assert versions_of(rest) == {("key", ids[2])}


def test_a_listing_of_objects_leaves_out_what_is_hidden_by_a_marker(history):
    bucket, _ = history
    assert bucket.keys() == ["a", "a/1", "a/2", "c/1", "c/2"]
    for key in ("c/1", "c/2"):
        bucket("delete_object", key)
    page = bucket("list_objects_v2", Delimiter="/")
    assert shown_by(page) == ["a", "a/"], "a prefix with nothing but markers is none"


@pytest.mark.parametrize("operation, after", [("list_objects_v2", "StartAfter"), ("list_objects", "Marker"),
                                              ("list_object_versions", "KeyMarker")])
def test_a_common_prefix_stands_before_all_its_keys(filled, operation, after):
    """So a listing that begins behind one of these does not show it again."""
    for name in ("a/b/", "a/b/1", "a/b/zzz"):
        page = filled(operation, Prefix="a/", Delimiter="/", **{after: name})
        keys = [each["Key"] for each in page.get("Contents", page.get("Versions", []))]
        assert (keys, page.get("CommonPrefixes", [])) == ([], []), name
    page = filled(operation, Prefix="a/", Delimiter="/", **{after: "a/b"})
    assert [each["Prefix"] for each in page["CommonPrefixes"]] == ["a/b/"]


def test_an_entry_of_a_version_has_aws_s_fields(embedded):
    embedded.put("key", b"x", ChecksumAlgorithm="SHA256")
    page = embedded("list_object_versions")
    assert page["VersionIdMarker"] == ""
    [version] = page["Versions"]
    assert (version["ChecksumAlgorithm"], version["ChecksumType"]) == (["SHA256"], "FULL_OBJECT")
