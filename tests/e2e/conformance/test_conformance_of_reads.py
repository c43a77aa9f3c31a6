"""GetObject's and HeadObject's conditions: the table of `reads.md`, and the whole matrix."""

from __future__ import annotations

import itertools

import pytest

import tables
from scene import Scene, content

CASES = tables.read("reads.md")
PRESENT = [case for case in CASES if "headers" in case.cells]
MISSING = [case for case in CASES if "headers" not in case.cells]


def ids(cases: list[tables.Case]) -> list[str]:
    return [case.id for case in cases]


@pytest.fixture(scope="module")
def read(store_front):
    """One object that all reads are about, old enough to have a time after it. The register has
    no part in reads, so each store is asked once."""
    scene = Scene(store_front)
    scene.steps(["put A"])
    scene.learn_times(scene.key)
    return scene


@pytest.mark.parametrize("case", PRESENT, ids=ids(PRESENT))
def test_conformance_of_reads(read, case):
    front = read.front
    headers = read.headers(case["headers"])
    got = front.raw.get(read.path(), headers=headers)
    head = front.raw.head(read.path(), headers=headers)
    status, code = case.answer
    # What a HEAD does with a range is each store's own.
    assert head.status == status or status == 206 and head.status in (200, 206), str(head)
    assert head.body == b""
    if code:
        read.check(case, got)
        return
    assert got.status == status, str(got)
    assert got.headers["etag"] == head.headers["etag"] == f'"{read.words["A"]}"'
    assert got.body == {200: content("A"), 206: content("A")[:3], 304: b""}[status]


@pytest.mark.parametrize("case", MISSING, ids=ids(MISSING))
def test_conformance_of_reads_of_nothing(read, case):
    front = read.front
    target = front.path(front.new_key("never"))
    headers = read.headers(case["headers of a key that never was"])
    got = front.raw.get(target, headers=headers)
    assert (got.status, got.code) == case.answer, str(got)
    head = front.raw.head(target, headers=headers)
    assert (head.status, head.body) == (404, b"")


# RFC 9110 §13.2.2, which AWS follows. Each header is missing, or one of these:
MATRIX = {
    "If-Match": {"true": '"{A}"', "bare": "{A}", "star": "*", "false": '"{other}"'},
    "If-None-Match": {"true": '"{other}"', "star": "*", "false": '"{A}"', "bare": "{A}"},
    "If-Unmodified-Since": {"true": "{after}", "equal": "{time}", "false": "{before}"},
    "If-Modified-Since": {"true": "{before}", "future": "{future}", "equal": "{time}",
                          "false": "{after}"},
}


def expected(im, inm, ius, ims) -> int:
    if im == "false" or im is None and ius == "false":
        return 412
    if inm in ("false", "bare", "star") or inm is None and ims in ("equal", "false"):
        return 304
    return 200


@pytest.mark.full
def test_the_full_matrix_of_read_conditions(read):
    """500 combinations, GET and HEAD by turns."""
    choices = [[None, *values] for values in MATRIX.values()]
    methods, wrong = itertools.cycle(["GET", "HEAD", "HEAD", "GET", "GET"]), []
    for combination in itertools.product(*choices):
        headers = {name: read.fill(MATRIX[name][value])
                   for name, value in zip(MATRIX, combination) if value}
        method, status = next(methods), expected(*combination)
        answer = read.front.raw.request(method, read.path(), headers)
        if answer.status != status:
            wrong.append(f"{method} {headers} -> {answer.status}, not {status}")
    assert not wrong, f"{len(wrong)} are wrong:\n" + "\n".join(wrong[:20])
