"""The locks of examples/ that do not expire: 16 processes want one lock, holders are killed, and an operator
takes the lock from the dead."""

from __future__ import annotations

import sys

import pytest

from recipes.judges import too_many_inside
from recipes import languages
from recipes.scene import CREW, EXAMPLES, HERE, Crew, Witness

KILLED = 2


def break_lock(pair, key: str, owner: str) -> None:
    done = pair.endpoint().run(sys.executable, EXAMPLES / "python" / "lock.py", "--break", key, owner)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("lock", languages.of("lock", costly=("javascript", "rust")))
def test_one_process_at_a_time_is_inside(pair, tmp_path, lock):
    key, witness = f"lock-{tmp_path.name}", Witness(tmp_path / "witness")
    with Crew(pair, [*lock(), key, HERE / "witness.sh"], tmp_path, **witness.env(holds=KILLED)) as crew:
        for turn in range(KILLED):
            victim, owner = crew.until(lambda: witness.said("hold")[turn:], "one holds the lock")[0]
            assert pair.body(key).decode() == owner
            witness.note(f"dead {victim}")
            crew.kill9(int(victim))
            assert pair.body(key).decode() == owner, "the lock does not expire"
            break_lock(pair, key, owner)
        crew.finish()
        victims = {int(victim) for victim, _ in witness.said("hold")}
        assert not crew.failed(but=victims)
    assert len(witness.said("leave")) == CREW - KILLED
    assert not too_many_inside(witness.lines(), limit=1)


def test_a_lock_is_taken_from_its_owner_only(pair, tmp_path):
    key = "lock-of-another"
    pair.endpoint().boto().put_object(Bucket=pair.bucket, Key=key, Body=b"host/1/live")
    break_lock(pair, key, "host/1/dead")
    assert pair.body(key) == b"host/1/live"


def test_a_lock_without_a_condition_is_found_out(pair, tmp_path):
    witness = Witness(tmp_path / "witness")
    command = [HERE / "broken_lock.py", "lock-broken", CREW, tmp_path / "all", HERE / "meeting.sh", "2"]
    with Crew(pair, command, tmp_path, **witness.env()) as crew:
        crew.finish()
        assert not crew.failed()
    assert too_many_inside(witness.lines(), limit=1)
