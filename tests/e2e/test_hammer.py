"""32 writers on one key, two proxy processes, one Redis, a store that ignores conditions."""

from __future__ import annotations

from collections import Counter as Tally
from concurrent.futures import ThreadPoolExecutor

import pytest

from amounts import amount
from conftest import new_bucket
from hammer import WRITERS, CasCounter, create_race
from proxies import Proxy, Settings, in_front_of
from clients import boto

ROUNDS = amount(60, 200)
STORE = "embedded-ignoring"


@pytest.fixture(scope="module", params=["shared", "exclusive"])
def pair(request, store_named, redis_server, tmp_path_factory):
    """Two proxies that share one register, and a bucket."""
    store = store_named(STORE)
    bucket = new_bucket(store)
    # The default lease: 32 clients share two cores with everything else.
    settings = Settings(register=redis_server.new_database(), writers=request.param, lease=6,
                        lease_wait=20)
    one = in_front_of(store, bucket, tmp_path_factory.mktemp("one"), settings, "ifmatch-one")
    two = Proxy(tmp_path_factory.mktemp("two"), store, settings, "ifmatch-two")
    yield bucket, [one, two]
    one.stop()
    two.stop()


@pytest.mark.full
@pytest.mark.timeout(900)
def test_every_create_race_has_exactly_one_winner(pair, store_named):
    bucket, proxies = pair
    clients = [proxy.boto() for proxy in proxies]
    at_store = _store_client(store_named)
    outcomes, won = Tally(), Tally()
    with ThreadPoolExecutor(WRITERS) as pool:
        for number in range(ROUNDS):
            key = f"race-{number}"
            done = create_race(clients, bucket, key, pool)
            outcomes += done.outcomes
            assert len(done.winners) == 1, f"round {number}: {done}"
            body = at_store.get_object(Bucket=bucket, Key=key)["Body"].read()
            assert body == f"writer {done.winners[0]}".encode()
            won[done.winners[0] % 2] += 1
    assert set(outcomes) <= {"200", "412 PreconditionFailed", "409 ConditionalRequestConflict"}, (
        outcomes)
    assert ROUNDS < 50 or min(won[0], won[1]) > 0, f"one proxy never won: {won}"


@pytest.mark.full
@pytest.mark.timeout(900)
def test_every_acknowledged_increment_is_in_the_counter(pair):
    bucket, proxies = pair
    counter = CasCounter([proxy.boto() for proxy in proxies], bucket, "counter").create()
    counter.run(ROUNDS)
    assert counter.undetermined == 0, counter.outcomes
    counter.check()
    assert counter.final() == len(counter.acknowledged) >= ROUNDS


def test_the_store_alone_lets_several_creators_win(store_named):
    bucket, s3 = new_bucket(store_named(STORE)), _store_client(store_named)
    with ThreadPoolExecutor(WRITERS) as pool:
        rounds = [create_race([s3], bucket, f"race-{number}", pool) for number in range(5)]
    assert max(len(done.winners) for done in rounds) > 1, rounds


def test_the_store_alone_loses_increments(store_named):
    bucket, s3 = new_bucket(store_named(STORE)), _store_client(store_named)
    counter = CasCounter([s3], bucket, "counter").create().run(100)
    assert counter.final() < len(counter.acknowledged)
    assert counter.lost_updates()


def _store_client(store_named):
    store = store_named(STORE)
    return boto(store.url, store.access_key, store.secret_key)
