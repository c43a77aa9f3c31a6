"""The counters of examples/: 16 processes count at two proxies, some are killed, and the number is judged."""

from __future__ import annotations

import json

import pytest

from recipes.judges import miscounted
from recipes import languages
from recipes.scene import CREW, HERE, Crew

TIMES, KILLED = 5, 4


def value(pair, key: str) -> int:
    return json.loads(pair.body(key))["value"]


def acknowledged(crew: Crew) -> list[int]:
    return [int(line) for number in crew.pids for line in crew.lines(number) if line.isdigit()]


@pytest.mark.parametrize("counter", languages.of("counter", costly=("javascript", "rust")))
def test_no_acknowledged_increment_is_lost_or_counted_twice(pair, tmp_path, counter):
    key = f"counter-{tmp_path.name}"
    with Crew(pair, [*counter(), key, str(TIMES)], tmp_path) as crew:
        crew.until(lambda: any(crew.lines(number) for number in crew.pids), "the first has counted")
        victims = crew.kill_some(KILLED, lambda number: len(crew.lines(number)) < TIMES)
        crew.finish()
        assert not crew.failed(but=set(victims))
        told = acknowledged(crew)
    assert len(told) >= (CREW - KILLED) * TIMES
    assert not miscounted(value(pair, key), told, open_ends=len(victims))


def test_a_counter_without_a_condition_is_found_out(pair, tmp_path):
    key = "counter-broken"
    with Crew(pair, [HERE / "broken_counter.py", key, str(CREW), tmp_path / "all"], tmp_path) as crew:
        crew.finish()
        assert not crew.failed()
        told = acknowledged(crew)
    assert len(told) == CREW
    assert miscounted(value(pair, key), told, open_ends=0)
