"""DeleteObjects: each key of `delete_objects.md` alone and all in one batch, and odd batches."""

from __future__ import annotations

import base64
import hashlib
import xml.etree.ElementTree as ElementTree
from xml.sax.saxutils import escape

import pytest

import tables
from scene import MESSAGES, OTHER, Scene

CASES = tables.read("delete_objects.md")


def entry(scene: Scene, case: tables.Case) -> str:
    etag = scene.fill("" if case["ETag"] == "empty" else case["ETag"])
    condition = f"<ETag>{escape(etag)}</ETag>" if case["ETag"] else ""
    return f"<Object><Key>{escape(scene.key)}</Key>{condition}</Object>"


def batch(front, entries: list[str], quiet: bool = False):
    """Sends the entries as they are; returns the status, the code and the outcomes by key."""
    quietly = "<Quiet>true</Quiet>" if quiet else ""
    body = f"<Delete>{quietly}{''.join(entries)}</Delete>".encode()
    md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
    answer = front.raw.request("POST", f"/{front.bucket}?delete", {"Content-MD5": md5}, body)
    if answer.status != 200:
        return answer.status, answer.code, []
    return 200, None, [outcome(child) for child in ElementTree.fromstring(answer.body)]


def outcome(element) -> tuple[str, str]:
    """(key, "Deleted" or the code of the error)"""
    fields = {child.tag.rpartition("}")[2]: child.text or "" for child in element}
    kind = element.tag.rpartition("}")[2]
    if kind == "Error":
        assert fields["Message"].rstrip(".") == MESSAGES[fields["Code"]].rstrip(".")
        return fields["Key"], fields["Code"]
    assert kind == "Deleted", kind
    return fields["Key"], "Deleted"


def prepared(front, cases: list[tables.Case]) -> list[Scene]:
    scenes = [Scene(front) for _ in cases]
    for scene, case in zip(scenes, cases):
        scene.steps(case.before)
    return scenes


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_conformance_of_a_batch_of_one(front, case):
    [scene] = prepared(front, [case])
    assert batch(front, [entry(scene, case)]) == (200, None, [(scene.key, case["outcome"])])
    assert scene.letter_at_store() == case["afterwards"]


@pytest.mark.parametrize("quiet", [False, True], ids=["loud", "quiet"])
def test_conformance_of_a_batch_of_all(front, quiet):
    scenes = prepared(front, CASES)
    entries = [entry(scene, case) for scene, case in zip(scenes, CASES)]
    status, _, outcomes = batch(front, entries, quiet)
    wanted = [(scene.key, case["outcome"]) for scene, case in zip(scenes, CASES)
              if not (quiet and case["outcome"] == "Deleted")]
    assert (status, sorted(outcomes)) == (200, sorted(wanted))
    for scene, case in zip(scenes, CASES):
        assert scene.letter_at_store() == case["afterwards"], case.id


def test_a_key_that_stands_twice_is_deleted_once(front):
    """Each entry is judged on its own, one after the other: the second finds nothing."""
    scene = Scene(front)
    scene.steps(["put A"])
    twice = [f'<Object><Key>{scene.key}</Key><ETag>{scene.words["A"]}</ETag></Object>'] * 2
    status, _, outcomes = batch(front, twice)
    assert (status, sorted(outcomes)) == (200, [(scene.key, "Deleted"), (scene.key, "NoSuchKey")])
    plain = [f"<Object><Key>{scene.key}</Key></Object>"] * 3
    assert batch(front, plain) == (200, None, [(scene.key, "Deleted")] * 3)


def test_contradicting_entries_of_a_key_are_judged_each(front):
    scene = Scene(front)
    scene.steps(["put A"])
    entries = [f"<Object><Key>{scene.key}</Key><ETag>{OTHER}</ETag></Object>",
               f"<Object><Key>{scene.key}</Key></Object>"]
    status, _, outcomes = batch(front, entries)
    refusals = [code for _, code in outcomes if code != "Deleted"]
    assert status == 200 and [code for _, code in outcomes].count("Deleted") == 1, outcomes
    assert refusals in (["PreconditionFailed"], ["NoSuchKey"])
    assert scene.letter_at_store() == "nothing"


def test_two_spellings_of_a_key_are_one_key(front):
    """XML may write a letter as a reference; a percent sign means itself."""
    scene = Scene(front)
    scene.steps(["put A"])
    spelt = "".join(f"&#x{ord(letter):x};" for letter in scene.key)
    etag = scene.words["A"]
    entries = [f"<Object><Key>{scene.key}</Key><ETag>{etag}</ETag></Object>",
               f"<Object><Key>{spelt}</Key><ETag>{etag}</ETag></Object>"]
    status, _, outcomes = batch(front, entries)
    assert (status, sorted(outcomes)) == (200, [(scene.key, "Deleted"), (scene.key, "NoSuchKey")])
    encoded = "".join(f"%{ord(letter):02x}" for letter in scene.key)
    scene.steps(["put A"])
    assert batch(front, [f"<Object><Key>{encoded}</Key></Object>"])[2] == [(encoded, "Deleted")]
    assert scene.letter_at_store() == "A"


def test_a_thousand_keys_are_a_batch_and_one_more_is_none(store_front):
    front = store_front
    present = [Scene(front) for _ in range(20)]
    for scene in present:
        scene.steps(["put A"])
    missing = [front.new_key("none") for _ in range(970)]
    stale = [Scene(front) for _ in range(10)]
    for scene in stale:
        scene.steps(["put B"])
    entries = [f"<Object><Key>{scene.key}</Key></Object>" for scene in present]
    entries += [f"<Object><Key>{key}</Key></Object>" for key in missing]
    entries += [f"<Object><Key>{scene.key}</Key><ETag>{OTHER}</ETag></Object>" for scene in stale]
    assert batch(front, [*entries, entries[0]]) == (400, "MalformedXML", [])
    assert {scene.letter_at_store() for scene in present} == {"A"}
    status, _, outcomes = batch(front, entries)
    assert status == 200
    assert sorted(outcomes) == sorted(
        [(scene.key, "Deleted") for scene in present] + [(key, "Deleted") for key in missing]
        + [(scene.key, "PreconditionFailed") for scene in stale])
    assert {scene.letter_at_store() for scene in present} == {"nothing"}
    assert {scene.letter_at_store() for scene in stale} == {"B"}


@pytest.mark.parametrize("entries", [
    [], ["<Object><ETag>x</ETag></Object>"], ["<Object><Key></Key></Object>"],
    ["<Object><Key>a</Key><Key>b</Key></Object>"], ["<Key>a</Key>"], ["<Object>"],
    ["<Object><Key>a</Key><ETag>x</ETag><ETag>y</ETag></Object>"]],
    ids=["none", "no_key", "empty_key", "two_keys", "no_object", "not_closed", "two_etags"])
def test_a_batch_that_is_none_deletes_nothing(plain_front, entries):
    scene = Scene(plain_front)
    scene.steps(["put A"])
    sound = f"<Object><Key>{scene.key}</Key></Object>"
    assert batch(plain_front, [sound, *entries] if entries else []) == (400, "MalformedXML", [])
    assert scene.letter_at_store() == "A"
