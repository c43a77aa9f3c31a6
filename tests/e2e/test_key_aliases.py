"""Which names are one object at a store, and that through the proxy no two accepted names are."""

from __future__ import annotations

import unicodedata
from urllib.parse import quote

import pytest

from clients import UNSIGNED, Raw
from conftest import new_bucket

NFC, NFD = unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")

# Names that some store or other takes for one another: each group in a bucket of its own.
GROUPS = {
    "slashes": ["a/b", "a//b", "/a/b", "//a/b", "a///b", "a/b/"],
    "lone slash": ["a", "/a", "a/", "//a", "a//"],
    "dots": ["b", "a/../b", "./b", "a/./b", "a/b/..", "../b", "a/b", "b/.", "..", "."],
    "more dots": ["a...", "a..", "a.", "a", "...", ".a", "..a"],
    "case": ["key", "KEY", "Key", "dir/key", "DIR/key"],
    "backslash": ["a/b", "a\\b", "a\\\\b", "..\\a", "a"],
    "normal forms": [NFC, NFD, "\ufb01", "fi", "\u212b", "\u00c5"],
    "spaces": ["a", "a ", " a", "a\t", "a\n", "a+", "a%20", "a\u00a0"],
    "percent": ["a/b", "a%2Fb", "a%2fb", "a%252Fb", "a%5Cb", "a%2E%2E/b"],
    "control": ["a", "a\x01", "a\x7f", "a\x00", "a\x00b", "\ufeffa", "a\u200b"],
    "query": ["a", "a?", "a?versionId=null", "a#", "a;b", "a&b"],
    "long": ["x" * 100, "x" * 100 + "y", "x" * 200, "x" * 201, "x" * 255, "x" * 256, "y/" * 511 + "xx",
             "y/" * 511 + "xy"],
    "own names": ["a", "a._S3rver_object", "a._S3rver_metadata.json", "a._S3rver_object.md5",
                  ".bucket.json", ".internal.json", "a.meta", "a/.metadata", "._a"],
    "nested": ["a", "a/b", "a/b/c"],
}
SKIP = {("s3rver", "long"): "s3rver ends when a file name is too long"}

# What is one object at a store, seen without the proxy: (store, group) -> sets of names.
FOLDED: dict[tuple[str, str], list[set[str]]] = {
    ("s3rver", "dots"): [{"a/b", "a/./b"}, {"b", "./b", "a/../b"}],
}


class Names:
    """A way to a bucket in which every name of a group is written and read back."""

    def __init__(self, raw: Raw, bucket: str):
        self.raw, self.bucket = raw, bucket

    def path(self, key: str) -> str:
        return f"/{self.bucket}/{quote(key, safe='/')}"

    def accepted(self, names: list[str]) -> list[str]:
        """Writes each name's own bytes, in order; those that were taken."""
        return [name for name in names if self.raw.put(
            self.path(name), self.bytes_of(name), payload=UNSIGNED).status == 200]

    def read(self, name: str) -> bytes | None:
        answer = self.raw.get(self.path(name))
        return answer.body if answer.status == 200 else None

    @staticmethod
    def bytes_of(name: str) -> bytes:
        return b"the object " + ascii(name).encode()

    def folded(self, names: list[str]) -> list[set[str]]:
        """Of the names accepted, those under which one and the same object is found."""
        found: dict[bytes | None, set[str]] = {}
        for name in names:
            found.setdefault(self.read(name), set()).add(name)
        return [together for body, together in found.items() if body is None or len(together) > 1
                or {body} != {self.bytes_of(name) for name in together}]


@pytest.fixture
def group_of(request, store_front):
    group = request.param
    if reason := SKIP.get((store_front.store.name, group)):
        pytest.skip(reason)
    return group


every_group = pytest.mark.parametrize("group_of", GROUPS, indirect=True,
                                      ids=[name.replace(" ", "_") for name in GROUPS])


@every_group
def test_what_is_one_object_at_the_store_itself(store_front, group_of):
    """Without the proxy. The table documents the facts, so that the reason for a refused name is clear."""
    store = store_front.store
    names = Names(Raw(store.url, store.access_key, store.secret_key), new_bucket(store))
    folded = names.folded(names.accepted(GROUPS[group_of]))
    assert sorted(map(sorted, folded)) == sorted(
        map(sorted, FOLDED.get((store.name, group_of), [])))


@every_group
@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
def test_no_two_accepted_names_reach_one_object(store_front, group_of, backwards):
    """In both orders: the earlier name may be the one that the later is folded into."""
    names = Names(store_front.raw, new_bucket(store_front.store))
    wanted = GROUPS[group_of][::-1] if backwards else GROUPS[group_of]
    accepted = names.accepted(wanted)
    assert accepted, "nothing was accepted at all"
    assert not names.folded(accepted), f"of those accepted: {accepted}"


@every_group
def test_a_name_shows_nothing_before_it_was_written(store_front, group_of):
    """Else a create would be refused because of another name's object."""
    names = Names(store_front.raw, new_bucket(store_front.store))
    written: list[str] = []
    for name in GROUPS[group_of]:
        shown = [other for other in GROUPS[group_of] if names.read(other) is not None]
        assert sorted(shown) == sorted(written), f"before {name!r}"
        written += names.accepted([name])
