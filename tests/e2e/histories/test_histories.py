"""No fault that the README promises to survive loses an update; and one that it does not is seen.

The runs that always take place last two minutes. Another one, as long as you like:

    make histories SECONDS=600 [SEED=7] [REGISTER=sentinel] [NODES=3]
    cd tests/e2e && python -m histories --seconds 600 --seed 7 [--register cluster]

A seed gives the faults, their order and the operations, but not the moment at which threads and
processes take their turns: a bad history need not come again. It is kept, in target/histories.
"""

from __future__ import annotations

import random
import threading
import time
from dataclasses import replace

import pytest

from clients import Raw
from conftest import new_bucket
from histories import run
from histories.checker import check
from histories.history import History
from histories.operation import CREATE, OK, READ, REPLACE, UNKNOWN
from histories.reduction import reduced
from histories.report import Report
from histories.scene import TERMS, KilledStore, Scene
from histories.workload import TIMEOUT, Crowd
from redis_server import RedisServer

SECONDS = 40
SECONDS_REPLACED = 25
SECONDS_NODES = 20


@pytest.mark.full
@pytest.mark.timeout(run.PATIENCE * SECONDS + 240)
def test_faults_of_all_kinds_lose_nothing(capsys):
    seed = random.SystemRandom().randrange(1 << 32)
    report = run.run(SECONDS, seed, enough=many_things_happened)
    with capsys.disabled():
        print(f"\n{report}")
    assert not report.complaints(), f"seed {seed}"
    assert many_things_happened(report), report


def many_things_happened(report: Report) -> bool:
    """A history in which nothing happens proves nothing."""
    outcomes = report.outcomes()
    return (outcomes[OK] > 150 and outcomes["412"] > 40 and outcomes[UNKNOWN] > 0
            and sum(report.kinds().values()) >= 5)


@pytest.mark.full
@pytest.mark.timeout(run.PATIENCE * SECONDS_REPLACED + 240)
@pytest.mark.parametrize("register", ["sentinel", "cluster"])
def test_masters_that_are_replaced_lose_nothing(register, capsys):
    seed = random.SystemRandom().randrange(1 << 32)
    report = run.run(SECONDS_REPLACED, seed, writers="exclusive", only="master",
                     register=register, enough=writers_met_a_fault)
    with capsys.disabled():
        print(f"\n{register}: {report}")
    assert not report.complaints(), f"seed {seed}"
    assert writers_met_a_fault(report), report


def writers_met_a_fault(report: Report) -> bool:
    outcomes = report.outcomes()
    return outcomes[OK] > 50 and outcomes["412"] > 20 and bool(report.kinds())


@pytest.mark.full
@pytest.mark.timeout(run.PATIENCE * SECONDS_NODES + 240)
def test_nodes_of_the_store_that_die_lose_nothing(capsys):
    seed = random.SystemRandom().randrange(1 << 32)
    report = run.run(SECONDS_NODES, seed, only="node", nodes=3, enough=writers_met_a_fault)
    with capsys.disabled():
        print(f"\n{report}")
    assert not report.complaints(), f"seed {seed}"
    assert writers_met_a_fault(report), report


def test_the_same_operations_at_the_store_alone_are_found_bad(tmp_path):
    """No process is killed for that."""
    store = KilledStore(tmp_path / "store")
    try:
        history = History()
        door = Raw(store.store.url, store.store.access_key, store.store.secret_key, TIMEOUT)
        with Crowd(run.CLIENTS, [door], new_bucket(store.store), run.KEYS, history,
                   random.Random(1)):
            history.wait_written(run.KEYS, since=2, timeout=30)
    finally:
        store.stop()
    violations = check(history.operations())
    assert {violation.key for violation in violations} == set(run.KEYS)
    assert all(check(reduced(violation)) for violation in violations)


@pytest.mark.parametrize("told", [True, False], ids=["told", "not-told"])
def test_a_store_that_lags_keeps_its_laws_if_it_was_told(tmp_path, told):
    """Reads and writes are linearizable. Where the proxies do not know of the lag, not even the writes alone are."""
    store, redis = KilledStore(tmp_path / "store", lag=1), RedisServer(tmp_path / "redis")
    scene = Scene(tmp_path, store, redis, "exclusive", replace(TERMS, settle=0.5), told=told)
    history = History()
    try:
        with Crowd(run.CLIENTS, scene.doors(), scene.bucket, run.KEYS, history, random.Random(1)):
            for second in range(3, 13, 3):
                history.wait_written(run.KEYS, since=second, timeout=30)
    finally:
        scene.stop()
        redis.stop()
        store.stop()
    operations = history.operations()
    assert sum(each.kind == READ and each.outcome == OK for each in operations) > 30
    if told:
        assert check(operations) == []
    else:
        assert check([each for each in operations if each.kind != READ])


@pytest.mark.parametrize("late", [False, True], ids=["within-settle", "later-than-settle"])
def test_a_write_that_lands_later_than_settle_is_found(tmp_path, late):
    """The fault is the one that the nemesis plays, but longer than is promised."""
    store, redis = KilledStore(tmp_path / "store"), RedisServer(tmp_path / "redis")
    scene = Scene(tmp_path, store, redis, "exclusive", replace(TERMS, settle=0.5), proxies=2)
    history = History()
    try:
        crowd = Crowd(2, scene.doors(), scene.bucket, ["key"], history, random.Random(1))
        doomed = replace(crowd.clients[0], doors=scene.doors()[:1], retries=False)
        other = replace(crowd.clients[1], doors=scene.doors()[1:], retries=False)
        assert doomed.perform("key", CREATE) == OK
        first = history.operations()[0].value
        post = scene.posts[0]
        post.to_store.hold_requests(f"PUT /{scene.bucket}/key ".encode())
        hanging = threading.Thread(target=doomed.perform, args=("key", REPLACE, first))
        hanging.start()
        assert post.to_store.held.wait(10), "the write never came to the store"
        post.proxy.kill9()
        hanging.join()
        if not late:
            post.to_store.release()
        # The other proxy takes the key over once nothing can land any more, as it must think.
        _until(lambda: other.perform("key", REPLACE, first) in (OK, "412"), scene.takeover + 10)
        post.to_store.release()
        zombie = history.operations()[1].value
        _until(lambda: other.perform("key", READ) == OK
               and history.operations()[-1].value == zombie, 10)
    finally:
        scene.stop()
        redis.stop()
        store.stop()
    violations = check(history.operations())
    assert bool(violations) == late, "\n".join(map(str, history.operations()))


def _until(happens, timeout: float) -> None:
    """Tries until it happens: what is waited for is a fact in the store."""
    deadline = time.monotonic() + timeout
    while not happens():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.05)
