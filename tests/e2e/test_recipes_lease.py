"""The lease of examples/ and what is built on it: tokens, the semaphore, the election. Holders are killed and
stand still in the middle of their work."""

from __future__ import annotations

import re
import signal
import sys

import pytest

from recipes.judges import out_of_order, rows_wrong, too_many_inside, two_leaders
from recipes.scene import CREW, EXAMPLES, HERE, Crew, Witness

PYTHON = EXAMPLES / "python"
TTL = "4"
"""Seconds: a busy machine must not make a holder lose its lease."""
WRITES, KILLED = 2, 2


def accepted(pair, key: str) -> list[str]:
    return pair.body(key).decode().splitlines()


def by_token(lines: list[str]) -> list[tuple[int, str]]:
    return [(int(token), name) for token, name, _ in map(str.split, lines)]


def holders(pair, tmp_path, count: int, *how: str) -> Crew:
    return Crew(pair, [HERE / "holder.py", f"lease-{tmp_path.name}", f"log-{tmp_path.name}", WRITES, *how],
                tmp_path / "holders", count, LEASE_TTL=TTL, RECIPES=str(PYTHON),
                WITNESS=str(tmp_path / "witness"))


def one_is_late(pair, tmp_path, *how: str) -> tuple[Crew, str, list[str]]:
    """The first holder stands still until all others have written. What it says, and what was accepted."""
    witness = Witness(tmp_path / "witness")
    with holders(pair, tmp_path, 4, *how) as crew:
        first = int(crew.until(lambda: [n for n in crew.pids if crew.lines(n)], "one has the lease")[0])
        others = set(crew.pids) - {first}
        crew.until(lambda: all(len(crew.lines(n)) >= 1 + WRITES for n in others), "the others have written")
        with (witness.directory / "never").open("w"):
            pass
        crew.finish()
        assert not crew.failed(but={first})
        return crew, crew.tail(first), accepted(pair, f"log-{tmp_path.name}")


def test_a_late_holder_is_refused_by_its_token(pair, tmp_path):
    _, said, lines = one_is_late(pair, tmp_path)
    assert "Fenced" in said and "Lost" in said, said
    assert len(lines) == 3 * WRITES
    assert not out_of_order(by_token(lines))


def test_a_resource_that_ignores_tokens_is_found_out(pair, tmp_path):
    _, said, lines = one_is_late(pair, tmp_path, "broken")
    assert len(lines) == 4 * WRITES, said
    assert out_of_order(by_token(lines))


def test_holders_are_killed_and_no_acknowledged_write_is_lost(pair, tmp_path):
    Witness(tmp_path / "witness")
    with holders(pair, tmp_path, CREW) as crew:
        victims: list[int] = []
        while len(victims) < KILLED:
            # One that has the lease, and has not done all its work: the first of them does none.
            victims += crew.until(lambda: [n for n in crew.pids if n not in victims
                                        and 0 < len(crew.lines(n)) <= WRITES][:1], "one has the lease")
            crew.kill9(victims[-1])
        crew.finish()
        assert not crew.failed(but=set(victims))
        wrote = [line.partition(" ")[2] for n in crew.pids for line in crew.lines(n) if line.startswith("wrote")]
        tokens = {n: crew.lines(n)[0].split()[1] for n in crew.pids}
    open_ends = [f"{tokens[n]} {n} {turn}" for n in victims for turn in range(WRITES)]
    lines = accepted(pair, f"log-{tmp_path.name}")
    assert len(wrote) >= (CREW - KILLED) * WRITES
    assert not rows_wrong(lines, wrote, open_ends)
    assert not out_of_order(by_token(lines))


def test_the_command_of_a_holder_that_stood_still_is_ended(pair, tmp_path):
    key, witness = f"lease-{tmp_path.name}", Witness(tmp_path / "witness")
    command = [PYTHON / "lease.py", key, HERE / "witness.sh"]
    with Crew(pair, command, tmp_path, 2, LEASE_TTL=TTL, **witness.env(holds=1)) as crew:
        first = crew.until(lambda: witness.said("hold"), "one has the lease")[0][0]
        crew.signal(int(first), signal.SIGSTOP)
        crew.until(lambda: witness.said("leave"), "the other has got it")
        crew.signal(int(first), signal.SIGCONT)
        crew.finish()
        assert crew.statuses[1 - int(first)] == 0, crew.tails()
        assert crew.statuses[int(first)] != 0 and "Lost" in crew.tail(int(first)), crew.tails()


@pytest.mark.parametrize("limit", [3])
def test_the_semaphore_keeps_its_limit(pair, tmp_path, limit):
    key, witness = f"semaphore-{tmp_path.name}", Witness(tmp_path / "witness")
    command = [PYTHON / "semaphore.py", key, limit, HERE / "witness.sh"]
    with Crew(pair, command, tmp_path, LEASE_TTL=TTL, **witness.env(holds=limit)) as crew:
        victims = crew.until(lambda: witness.said("hold")[limit - 1:] and witness.said("hold"), "all slots are taken")
        for [victim] in victims:
            witness.note(f"dead {victim}")
            crew.kill9(int(victim))
        crew.finish()
        assert not crew.failed(but={int(victim) for [victim] in victims})
    assert len(witness.said("leave")) == CREW - limit
    assert not too_many_inside(witness.lines(), limit)


def test_a_semaphore_that_counts_first_is_found_out(pair, tmp_path):
    witness, limit = Witness(tmp_path / "witness"), 3
    command = [HERE / "broken_semaphore.py", "broken/", limit, CREW, tmp_path / "all",
               HERE / "meeting.sh", limit + 1]
    with Crew(pair, command, tmp_path, **witness.env()) as crew:
        crew.finish()
        assert not crew.failed()
    assert too_many_inside(witness.lines(), limit)


def test_each_term_has_one_leader(pair, tmp_path):
    key, witness = f"election-{tmp_path.name}", Witness(tmp_path / "witness")
    work = 'echo "term $TERM_NUMBER $NAME" >>"$WITNESS/log"; read -r _ <"$WITNESS/never"'
    with Crew(pair, [PYTHON / "election.py", key, "sh", "-c", work], tmp_path, LEASE_TTL=TTL,
              **witness.env()) as crew:
        for turn in range(2):
            term, leader = crew.until(lambda: witness.said("term")[turn:], "there is a leader")[0]
            done = pair.endpoint(turn).run(sys.executable, PYTHON / "election.py", "--leader", key)
            said = re.match(r"term (\d+): \S+/(\d+)/", done.stdout)
            # A busy machine may have made it lose the lead since.
            assert int(said[1]) > int(term) or int(said[2]) == crew.pids[int(leader)], done
            crew.kill9(int(leader))
        crew.until(lambda: witness.said("term")[2:], "there is a leader after them")
    terms = [(int(term), leader) for term, leader in witness.said("term")]
    assert len(terms) >= 3
    assert not two_leaders(terms)
