"""docs/stores.md, where it is about what was measured: its tables, its settings and its sentences are those of the
kept tables."""

from __future__ import annotations

import re
from typing import Callable

import pytest

from probe_tables import PAGE, TABLES, block_of, kept, kept_settings, marked, rendered

REMEDY = "python3 tests/e2e/probe_tables.py writes the page"
NAMES = sorted(path.stem for path in TABLES.glob("*.json"))
HOLDS = "honoured"


class Found:
    """What was found of a store."""

    def __init__(self, name: str):
        self.alone = {(part, row): alone for part, row, alone, _ in kept(name)}
        self.through = {(part, row): through for part, row, _, through in kept(name)}

    def conditions(self, operation: str, through: bool = False) -> dict[str, str]:
        """Of an operation, by the form of the condition."""
        side = self.through if through else self.alone
        found = {row.removeprefix(f"{operation}, "): text for (part, row), text in side.items()
                 if part == "conditions" and row.startswith(f"{operation}, ")}
        assert found, operation
        return found

    def of(self, part: str, row: str) -> str:
        return self.alone[part, row]


OPERATIONS = ("put", "complete", "copy", "delete", "batch delete")
ETAG = 'If-None-Match: "etag"'
"""AWS refuses it."""


def ignores(found: Found, operation: str) -> bool:
    """A condition that does not hold refuses nothing."""
    texts = found.conditions(operation).values()
    return not any(re.search("stale: (honoured|refused|DENIED)|present: DENIED", text) for text in texts) and \
        all(": " in text for text in texts)


def judges(found: Found, operation: str) -> bool:
    return all(text == HOLDS for form, text in found.conditions(operation).items() if form != ETAG)


def refuses(found: Found, operation: str) -> bool:
    return all(text.startswith("refused ") for text in found.conditions(operation).values())


def trailers(found: Found) -> list[str]:
    return [text for (part, row), text in found.alone.items() if part == "bodies" and "trailer" in row]


def chunked(found: Found) -> list[str]:
    return [text for (part, row), text in found.alone.items() if part == "bodies" and "chunks" in row]


def as_aws_through(found: Found) -> bool:
    """What the other sentences are about."""
    return all(text == HOLDS for operation in OPERATIONS
               for form, text in found.conditions(operation, through=True).items() if form != ETAG) and \
        all(found.through["bodies", row] == "taken" for part, row in found.alone if part == "bodies" and "trailer" in row) and \
        found.through["answers", "ETag of a complete"] == "as the HEAD says"


NOT_MEASURED = None
Sentence = tuple[str, Callable[[Found], bool] | None]

SENTENCES: dict[str, list[Sentence]] = {
    "embedded": [
        ("`ifmatch store`, and `serve --embedded`.", NOT_MEASURED),
        ("It has AWS's conditional writes of its own.", lambda it: all(judges(it, each) for each in OPERATIONS)),
    ],
    "embedded-ignoring": [
        ("With `--ignore-conditions` it does what a store does that does not look at them (Garage, Wasabi):",
         lambda it: all(ignores(it, each) for each in OPERATIONS)),
    ],
    "ceph": [
        ("The RADOS Gateway of Debian 12 (Ceph 16.2).", NOT_MEASURED),
        ("It judges conditions of a put, but a quoted ETag in `If-Match` never fits; all other writes ignore theirs.",
         lambda it: it.of("conditions", "put, If-None-Match: *") == it.of("conditions", "put, If-Match: etag") == HOLDS
         and it.of("conditions", 'put, If-Match: "etag"').startswith("right: DENIED 412")
         and all(ignores(it, each) for each in OPERATIONS[1:])),
        ("It does not take bodies with a trailer, as newer SDKs send them, and its answer to a complete names no ETag.",
         lambda it: all(text.startswith("refused ") for text in trailers(it))
         and it.of("answers", "ETag of a complete") == "not told"),
        ("The proxy puts all of that right.", as_aws_through),
    ],
    "swift": [
        ("Version 2.30.", NOT_MEASURED),
        ("Its S3 interface refuses conditions of a put and of a copy, and evaluates some of a complete.",
         lambda it: refuses(it, "put") and refuses(it, "copy")
         and it.of("conditions", "complete, If-None-Match: *") == HOLDS and not judges(it, "complete")),
        ("It keeps the write with the newest time: read about "
         "[`register.spacing`](operations.md#a-store-that-lags) if it has several nodes.", NOT_MEASURED),
        ("It refuses chunked bodies and tags.",
         lambda it: all(text.startswith("refused ") for text in chunked(it))
         and "write: refused " in it.of("subresources", "?tagging")),
        ("A replica that missed a write shows what stood there before until it is replicated: a third of all reads, with "
         "three replicas, and listings too.", NOT_MEASURED),
        ("`x-newest` asks all replicas of an object, and no listing: "
         "`test_x_newest_makes_reads_of_objects_strong_and_listings_not`.", NOT_MEASURED),
        ("So listings need `register.lag`, and that a replica is up to date again within it.", NOT_MEASURED),
        ('With several replicas, set `strong_headers = ["x-newest: true"]`, too.', NOT_MEASURED),
    ],
    "moto": [
        ("A store for tests, in memory (Python).", NOT_MEASURED),
        ("It judges conditions of a put and of a delete.",
         lambda it: judges(it, "put") and it.of("conditions", 'delete, If-Match: "etag"') == HOLDS),
        ("Of a complete it looks at `If-None-Match` only, of a copy at none: a copy overwrites what "
         "`If-None-Match: *` is to protect.",
         lambda it: it.of("conditions", "complete, If-None-Match: *") == HOLDS
         and "stale: IGNORED" in it.of("conditions", "complete, If-Match: etag")
         and ignores(it, "copy") and "present: IGNORED" in it.of("conditions", "copy, If-None-Match: *")),
    ],
    "s3rver": [
        ("A store for tests, in files (Node).", NOT_MEASURED),
        ("It ignores all conditions.", lambda it: all(ignores(it, each) for each in OPERATIONS)),
        ("It keeps the framing of `aws-chunked` bodies as content, and keys that a path cannot hold are refused or are "
         "one object.",
         lambda it: set(chunked(it)) == {"FRAMING STORED", "ANOTHER CONTENT"}
         and it.of("keys", "a//b and a/b").startswith("refused ") and it.of("keys", "a/../b and b") == "ONE OBJECT"),
        ("Its listings are in an order of their own, which the proxy passes on.",
         lambda it: it.of("listings", "V2, order") == it.through["listings", "V2, order"] == "OTHER ORDER"),
    ],
}
"""Each sentence beside a table, and what it says of it."""


@pytest.mark.parametrize("name", NAMES)
def test_the_page_shows_what_was_found(name):
    page = PAGE.read_text()
    shown = marked(name).search(page)
    assert shown and shown[0] == rendered(kept(name)), REMEDY
    shown = marked(name, "settings").search(page)
    assert shown and shown[0] == block_of(kept_settings(name)), REMEDY


def prose() -> dict[str, str]:
    """What the page says beside each table, on one line."""
    measured = PAGE.read_text().split("\n## Measured\n")[1].split("\n## ")[0]
    parts = re.split(r"<!-- probe of ([\w-]+) -->.*?<!-- end -->", measured, flags=re.DOTALL)
    texts = dict(zip(parts[1::2], parts[0::2]))
    for name, text in texts.items():
        text = re.sub(r"<!-- settings of [\w-]+ -->.*?<!-- end -->", "", text, flags=re.DOTALL)
        text = re.sub(r"^#.*$", "", text, flags=re.MULTILINE)
        texts[name] = " ".join(text.split())
    return texts


@pytest.mark.parametrize("name", NAMES)
def test_each_sentence_beside_a_table_says_what_is_in_it(name):
    assert prose()[name] == " ".join(sentence for sentence, _ in SENTENCES[name])
    for sentence, holds in SENTENCES[name]:
        assert holds is NOT_MEASURED or holds(Found(name)), sentence


def test_a_sentence_that_does_not_hold_is_found():
    honest, ignoring = Found("embedded"), Found("embedded-ignoring")
    assert judges(honest, "put") and not judges(ignoring, "put")
    assert ignores(ignoring, "copy") and not ignores(honest, "copy")
    assert as_aws_through(ignoring) and not refuses(honest, "put")
