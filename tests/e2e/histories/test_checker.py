"""The checker: on good histories, on bad ones, and beside a search that tries everything."""

from __future__ import annotations

import itertools
import random
import time
from dataclasses import replace

import pytest

from histories.checker import check, check_key
from histories.history import load, save
from histories.operation import (CREATE, DELETE, DELETE_IF, FAILED, MISMATCH, MISSING, OK, PUT,
                                 READ, REPLACE, UNKNOWN, Operation)
from histories.reduction import reduced


def history(*lines: str) -> list[Operation]:
    """Operations as lines: invoked, returned, what, outcome. `0 1 replace a b: ok`."""
    made = []
    for number, line in enumerate(lines, 1):
        what, _, outcome = line.partition(": ")
        invoked, returned, kind, *values = what.split()
        values = [None if value == "absent" else value for value in values]
        expected = values.pop(0) if kind in (REPLACE, DELETE_IF) else None
        made.append(Operation(number, "key", kind, float(invoked), float(returned), outcome,
                              values[0] if values else None, expected))
    return made


GOOD = {
    "nothing happened": [],
    "one after the other": [
        "0 1 read absent: ok", "2 3 create a: ok", "4 5 replace a b: ok", "6 7 read b: ok",
        "8 9 delete_if b: ok", "10 11 read absent: ok"],
    "refusals that are true": [
        "0 1 replace x a: 404", "2 3 create a: ok", "4 5 create b: 412", "6 7 replace x b: 412",
        "8 9 delete_if x: 412", "10 11 delete: ok", "12 13 delete_if a: 404"],
    "two creates at once, one wins": ["0 5 create a: ok", "1 4 create b: 412", "6 7 read a: ok"],
    "a read sees a write that has not returned": ["0 9 put a: ok", "1 2 read a: ok"],
    "reads before and after a write in flight": [
        "0 9 put a: ok", "1 2 read absent: ok", "3 4 read a: ok"],
    "an unknown write takes effect": ["0 1 put a: unknown", "2 3 read a: ok"],
    "an unknown write takes effect late": [
        "0 1 put a: ok", "2 3 put b: unknown", "4 5 read a: ok", "6 7 read b: ok"],
    "an unknown write never does": ["0 1 put a: unknown", "2 3 read absent: ok"],
    "an unknown swap explains the next one": [
        "0 1 put a: ok", "2 3 replace a b: unknown", "4 5 replace b c: ok", "6 7 read c: ok"],
    "a chain of unknown swaps": [
        "0 1 create a: unknown", "2 3 replace a b: unknown", "4 5 replace b c: unknown",
        "6 7 read c: ok"],
    "an unknown delete, and a create after it": [
        "0 1 put a: ok", "2 3 delete: unknown", "4 5 create b: ok"],
    "two unknown deletes": [
        "0 1 delete: unknown", "0 1 delete: unknown", "2 3 create a: ok", "4 5 create b: ok",
        "6 7 create c: ok"],
    "a write that is overwritten before anybody looks": [
        "0 9 put a: ok", "1 8 put b: ok", "10 11 read a: ok"],
    "absent, present, absent, present": [
        "0 1 create a: ok", "2 3 delete: ok", "4 5 create b: ok", "6 7 delete_if b: ok",
        "8 9 create c: ok", "10 11 read c: ok"],
    "a write that failed": ["0 1 put a: ok", "2 3 put b: failed", "4 5 read a: ok"],
    "a refusal beside the write that excuses it": [
        "0 1 put a: ok", "2 9 replace a b: ok", "3 4 replace a c: 412", "5 6 read b: ok"],
}

BAD = {
    "a lost update": ["0 1 put a: ok", "2 3 replace a b: ok", "4 5 replace a c: ok"],
    "a lost update of two at once": [
        "0 1 put a: ok", "2 9 replace a b: ok", "3 8 replace a c: ok"],
    "two creators": ["0 9 create a: ok", "1 8 create b: ok"],
    "a stale read after an acknowledgement": [
        "0 1 put a: ok", "2 3 put b: ok", "4 5 read a: ok"],
    "reads that go back": [
        "0 1 put a: ok", "2 20 put b: ok", "3 4 read b: ok", "5 6 read a: ok"],
    "a resurrected write": [
        "0 1 put a: unknown", "2 3 read a: ok", "4 5 put b: ok", "6 7 read a: ok"],
    "an unknown write that takes effect twice": [
        "0 1 put a: unknown", "2 3 read a: ok", "4 5 delete: ok", "6 7 read a: ok"],
    "a deleted object that comes back": ["0 1 put a: ok", "2 3 delete: ok", "4 5 read a: ok"],
    "a refused write that took effect": [
        "0 1 put a: ok", "2 3 replace x b: 412", "4 5 read b: ok"],
    "a refused create that took effect": [
        "0 1 put a: ok", "2 3 create b: 412", "4 5 replace b c: ok"],
    "a failed write that took effect": ["0 1 put a: ok", "2 3 put b: failed", "4 5 read b: ok"],
    "an acknowledged write that never shows": ["0 1 put a: ok", "2 3 read absent: ok"],
    "an acknowledged delete that never shows": [
        "0 1 put a: ok", "2 3 delete: ok", "4 5 create b: 412"],
    "a refusal without a reason": ["0 1 create a: ok", "2 3 replace a b: 412"],
    "a refused create of what is not there": ["0 1 create a: 412"],
    "404 of what is there": ["0 1 put a: ok", "2 3 delete_if a: 404"],
    "a read of what nobody wrote": ["0 1 put a: ok", "2 3 read b: ok"],
    "a read from the future": ["0 1 read a: ok", "2 3 put a: ok"],
    "a state that was left comes back (ABA)": [
        "0 1 put a: ok", "2 3 replace a b: ok", "4 5 replace b c: ok", "6 7 replace a d: ok"],
    "an unknown swap, and the swap that it excludes": [
        "0 1 put a: ok", "2 3 replace a b: unknown", "4 5 read b: ok", "6 7 replace a c: ok"],
    "one unknown delete for two absences": [
        "0 1 put a: ok", "2 3 delete: unknown", "4 5 read absent: ok", "6 7 put b: ok",
        "8 9 read absent: ok"],
    "a condition that an unknown write cannot have met": [
        "0 1 put a: ok", "2 3 replace x b: unknown", "4 5 read b: ok"],
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_history_is_found_good(name):
    assert not check_key(history(*GOOD[name])), check_key(history(*GOOD[name]))


@pytest.mark.parametrize("name", BAD)
def test_a_bad_history_is_found_bad(name):
    assert check_key(history(*BAD[name]))


@pytest.mark.parametrize("name", BAD)
def test_a_bad_history_is_still_bad_when_it_is_reduced(name):
    violation = check_key(history(*BAD[name]))
    noise = [replace(each, number=each.number + 100, key="other") for each in violation.history]
    assert [found.key for found in check([*violation.history, *noise])] == ["key", "other"]
    assert check_key(reduced(violation))
    assert len(reduced(violation)) <= len(violation.history)


def test_a_reduced_history_has_lost_what_does_not_matter():
    violation = check_key(history(
        "0 1 put a: ok", "1 2 read a: ok", "2 3 create x: 412", "3 4 delete_if y: unknown",
        "4 5 replace a b: ok", "6 7 read b: ok", "8 9 replace a c: ok", "10 11 read c: ok"))
    assert [(each.kind, each.value) for each in reduced(violation)] == [
        ("put", "a"), ("replace", "b"), ("replace", "c")]


def test_keys_are_judged_on_their_own():
    bad = history(*BAD["two creators"])
    good = [replace(each, number=each.number + 10, key="b") for each in history("0 1 put a: ok")]
    assert [violation.key for violation in check(good + bad)] == ["key"]


def test_a_history_survives_its_file(tmp_path):
    operations = history(*GOOD["refusals that are true"])
    assert load(save(tmp_path / "h.jsonl", operations, [{"kind": "x"}])) == operations


def test_many_unknown_writes_do_not_slow_it_down():
    """A hundred puts, swaps, deletes of unknown outcome under twenty reads and swaps."""
    lines = ["0 1 put a: ok"]
    for number in range(25):
        lines += [f"2 3 put p{number}: unknown", f"2 3 replace p{number} r{number}: unknown",
                  "2 3 delete: unknown", f"2 3 create c{number}: unknown"]
    for number in range(20):
        at = 10 + 4 * number
        lines += [f"{at} {at + 1} read r{number}: ok", f"{at + 2} {at + 3} create x{number}: ok"]
    began = time.monotonic()
    assert not check_key(history(*lines))
    assert check_key(history(*lines, "500 501 read r1: ok"))
    assert time.monotonic() - began < 30


# === beside a search that tries everything ===


def explicable(operations: list[Operation]) -> bool:
    """Whether some order of the operations, unknown ones left out at will, explains them."""
    certain = [each for each in operations if each.outcome not in (UNKNOWN, FAILED)]
    unknown = [each for each in operations if each.outcome == UNKNOWN and each.kind != READ]
    return any(_in_some_order(None, [*certain, *chosen])
               for size in range(len(unknown) + 1)
               for chosen in itertools.combinations(unknown, size))


def _in_some_order(state, left: list[Operation]) -> bool:
    for first in left:
        rest = [each for each in left if each is not first]
        overtaken = any(not each.open_ended and each.returned < first.invoked for each in rest)
        possible, new = first.after(state)
        if possible and not overtaken and _in_some_order(new, rest):
            return True
    return not left


def random_history(chance: random.Random) -> list[Operation]:
    names = ["a", "b", "c", "d", "e", "f"]
    made: list[Operation] = []
    for number in range(chance.randint(2, 6)):
        kind = chance.choice([READ, READ, PUT, CREATE, REPLACE, REPLACE, DELETE, DELETE_IF])
        invoked = chance.randint(0, 10)
        outcomes = [OK, OK, OK, UNKNOWN, FAILED]
        if kind in (CREATE, REPLACE, DELETE_IF):
            outcomes += [MISMATCH] + ([MISSING] if kind != CREATE else [])
        value = None
        if kind in (PUT, CREATE, REPLACE):
            value = names[number]
        elif kind == READ:
            value = chance.choice([None, *names[:4]])
        expected = chance.choice(names[:4]) if kind in (REPLACE, DELETE_IF) else None
        made.append(Operation(number, "key", kind, invoked, invoked + chance.randint(1, 5),
                              chance.choice(outcomes), value, expected))
    return made


def test_it_agrees_with_a_search_that_tries_everything():
    good = 0
    for seed in range(6000):
        operations = random_history(random.Random(seed))
        expected = explicable(operations)
        good += expected
        found = check_key(operations)
        told = "\n".join(map(str, operations))
        assert (found is None) == expected, f"seed {seed}: {found}\n{told}"
        if found:
            assert not explicable(reduced(found)), f"seed {seed}: reduced too far\n{told}"
    # Histories of both sorts, or the comparison says little.
    assert 600 < good < 5400, good
