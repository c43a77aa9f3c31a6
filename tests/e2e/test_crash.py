"""Proxies killed in the middle of a write; a register that forgets, restarts or is gone."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import pytest
from botocore.config import Config

from clients import UNSIGNED, Answer
from conftest import new_bucket
from hammer import CasCounter
from proxies import Proxy, Settings, in_front_of
from relay import Relay
from stores import Store

LAG = 4
"""Seconds granted on top of the protocol's waits on a busy two-core machine."""


@dataclass
class Fleet:
    """Two proxies with one register; what `one` says to the store passes the relay."""

    store: Store
    bucket: str
    relay: Relay
    one: Proxy
    two: Proxy
    settings: Settings

    def path(self, key: str) -> str:
        return f"/{self.bucket}/{key}"

    @property
    def takeover(self) -> float:
        """The longest that an armed lease of a dead holder keeps others out."""
        return self.settings.lease + self.settings.grace + self.settings.settle

    def write_in_background(self, key: str, body: bytes, headers: dict[str, str]) -> list:
        """A PUT through `one`; the list gets its answer, or the error that ended it."""
        result: list = []

        def write() -> None:
            try:
                result.append(self.one.raw().put(self.path(key), body, headers=headers))
            except Exception as error:  # noqa: BLE001 - whatever a killed proxy does to a client
                result.append(error)

        threading.Thread(target=write, daemon=True).start()
        return result

    def swap_when_free(self, key: str, etag: str | None, body: bytes,
                       timeout: float) -> tuple[Answer, float]:
        """Tries through `two` until the answer is definite; returns it and the wait for it."""
        headers = {"If-Match": etag} if etag else {"If-None-Match": "*"}
        began = time.monotonic()
        while True:
            answer = self.two.raw().put(self.path(key), body, headers=headers)
            waited = time.monotonic() - began
            if answer.status not in (409, 503):
                return answer, waited
            assert answer.status == 409 or "retry-after" in answer.headers, str(answer)
            assert waited < timeout, f"the key is still not usable after {waited:.1f} s: {answer}"
            time.sleep(0.1)


@pytest.fixture(params=["shared", "exclusive"])
def fleet(request, store_named, own_redis, tmp_path):
    store = store_named("embedded-ignoring")
    bucket = new_bucket(store)
    relay = Relay(store.url)
    settings = Settings(register=own_redis.new_database(), writers=request.param, settle=2,
                        lease_wait=1)
    two = in_front_of(store, bucket, tmp_path / "two", settings, "ifmatch-two")
    one = Proxy(tmp_path / "one", store, settings, "ifmatch-one", backend_url=relay.url)
    one.wait_writable(bucket)
    yield Fleet(store, bucket, relay, one, two, settings)
    one.stop()
    two.stop()
    relay.close()


def start_doomed_write(fleet: Fleet, key: str, how: str) -> str:
    """Leaves a write of `one` hanging at the relay; returns the ETag that it replaces."""
    etag = fleet.two.raw().put(fleet.path(key), b"before").etag
    pattern = f"PUT {fleet.path(key)} ".encode()
    (fleet.relay.hold_requests if how == "request" else fleet.relay.hold_answers)(pattern)
    fleet.write_in_background(key, b"doomed", {"If-Match": etag})
    assert fleet.relay.held.wait(15), "the write never came to the store"
    return etag


def test_a_key_is_usable_again_after_a_kill_before_the_store_saw_the_write(fleet):
    etag = start_doomed_write(fleet, "never-landed", "request")
    fleet.one.kill9()
    fleet.relay.cut()
    answer, _ = fleet.swap_when_free("never-landed", etag, b"after", fleet.takeover + LAG)
    assert answer.status == 200, str(answer)
    assert fleet.two.raw().get(fleet.path("never-landed")).body == b"after"


def test_a_key_is_usable_again_after_a_kill_when_the_write_had_landed(fleet):
    etag = start_doomed_write(fleet, "landed", "answer")
    fleet.one.kill9()
    # The object is there although no client was told; a swap against the old state must fail.
    answer, _ = fleet.swap_when_free("landed", etag, b"after", fleet.takeover + LAG)
    assert (answer.status, answer.code) == (412, "PreconditionFailed"), str(answer)
    landed = fleet.two.raw().get(fleet.path("landed"))
    assert landed.body == b"doomed"
    answer, _ = fleet.swap_when_free("landed", landed.etag, b"after", LAG)
    assert answer.status == 200, str(answer)


def test_a_write_that_lands_after_its_proxy_was_killed_loses_nobodys_update(fleet):
    """The bytes were on their way: the store reads them within `settle` of the kill."""
    etag = start_doomed_write(fleet, "zombie", "request")
    fleet.one.kill9()
    timer = threading.Timer(fleet.settings.settle / 2, fleet.relay.release)
    timer.start()
    answer, _ = fleet.swap_when_free("zombie", etag, b"after", fleet.takeover + LAG)
    timer.join()
    seen = fleet.two.raw().get(fleet.path("zombie")).body
    # Had the takeover come too early, the answer would be 200 and the object the zombie's.
    assert (answer.status, seen) == (412, b"doomed"), str(answer)


def test_readers_are_served_while_a_write_hangs_and_a_busy_key_says_so(fleet):
    etag = start_doomed_write(fleet, "busy", "request")
    began = time.monotonic()
    assert fleet.two.raw().get(fleet.path("busy")).body == b"before"
    assert time.monotonic() - began < 1
    assert fleet.two.raw().put(fleet.path("other"), b"x").status == 200
    conditional = fleet.two.raw().put(fleet.path("busy"), b"x", headers={"If-Match": etag})
    assert (conditional.status, conditional.code) == (409, "ConditionalRequestConflict")
    plain = fleet.two.raw().put(fleet.path("busy"), b"x")
    assert (plain.status, plain.code) == (503, "ServiceUnavailable")
    assert "Another write of this key has not ended" in plain.fields["Message"]
    assert "retry-after" in plain.headers
    fleet.relay.release()
    answer, _ = fleet.swap_when_free("busy", etag, b"late", LAG)
    assert (answer.status, answer.code) == (412, "PreconditionFailed"), str(answer)


def test_a_client_that_hangs_up_at_the_gate_does_not_abort_the_write(fleet):
    raw = fleet.one.raw(timeout=1)
    pattern = f"PUT {fleet.path('hung-up')} ".encode()
    fleet.relay.hold_requests(pattern)
    with pytest.raises(TimeoutError):
        raw.put(fleet.path("hung-up"), b"whole", headers={"If-None-Match": "*"}, payload=UNSIGNED)
    fleet.relay.release()
    answer, waited = fleet.swap_when_free("hung-up", None, b"other", LAG)
    assert (answer.status, answer.code) == (412, "PreconditionFailed"), str(answer)
    assert fleet.two.raw().get(fleet.path("hung-up")).body == b"whole"


@pytest.mark.full
def test_no_acknowledged_increment_is_lost_when_proxies_are_killed(fleet):
    counter = CasCounter([fleet.two.boto()], fleet.bucket, "counter").create()
    counter.start(4)
    # Writers of the proxy that dies, made anew for each of its lives.
    try:
        for _ in range(3):
            doomed = CasCounter([fleet.one.boto(config=_one_attempt())], fleet.bucket, "counter")
            doomed.start(4)
            doomed.wait_acknowledged(3, 60)
            fleet.one.kill9()
            doomed.stop()
            counter.acknowledged += doomed.acknowledged
            counter.undetermined += doomed.undetermined
            counter.outcomes += doomed.outcomes
            counter.wait_more(5, 60)
            fleet.one.start()
    finally:
        counter.stop()
    counter.check()


def restart_redis(redis) -> None:
    redis.stop()
    redis.start()


def kill_redis(redis) -> None:
    redis.kill9()
    redis.start()


HARMS = {
    "FLUSHALL": lambda redis: redis.flush_all(),
    "restart": restart_redis,
    "kill -9": kill_redis,
}


@pytest.mark.full
@pytest.mark.parametrize("own_redis", [False, True], indirect=True, ids=["memory", "appendonly"])
@pytest.mark.parametrize("harm", HARMS)
def test_no_update_is_lost_when_redis_forgets_under_load(store_named, own_redis, tmp_path, harm):
    store = store_named("embedded-ignoring")
    bucket = new_bucket(store)
    settings = Settings(register=own_redis.new_database(), writers="exclusive", lease_wait=1)
    one = in_front_of(store, bucket, tmp_path / "one", settings, "ifmatch-one")
    two = Proxy(tmp_path / "two", store, settings, "ifmatch-two")
    try:
        counter = CasCounter([one.boto(config=_one_attempt()), two.boto(config=_one_attempt())],
                             bucket, "counter").create()
        counter.start(8)
        counter.wait_more(30, 60)
        reads_before = counter.reads
        HARMS[harm](own_redis)
        harmed = time.monotonic()
        refused = one.raw().put(f"/{bucket}/probe", b"x")
        assert refused.status == 503, f"a write in the quarantine: {refused}"
        assert "retry-after" in refused.headers
        assert one.raw().head(f"/{bucket}/counter").status == 200
        counter.wait_more(30, settings.quarantine + 60)
        waited = time.monotonic() - harmed
        counter.stop()
        assert waited >= settings.quarantine - 0.5, "writes were granted within the quarantine"
        assert any(what.startswith("503 ") for what in counter.outcomes), counter.outcomes
        assert counter.reads > reads_before
        assert not counter.reads_failed, counter.reads_failed[:3]
        counter.check()
    finally:
        one.stop()
        two.stop()


def test_without_redis_writes_get_503_and_reads_go_on(fleet, own_redis):
    front, path = fleet.two.raw(), fleet.path("held-up")
    etag = front.put(path, b"kept").etag
    own_redis.stop()
    for headers in ({}, {"If-Match": etag}, {"If-None-Match": "*"}):
        began = time.monotonic()
        for answer in (front.put(path, b"x", headers=headers),
                       front.delete(path, headers=headers if "If-Match" in headers else {})):
            assert answer.status == 503, str(answer)
            assert answer.code == "ServiceUnavailable"
            assert int(answer.headers["retry-after"]) >= 1
        assert time.monotonic() - began < 15
    assert front.get(path).body == b"kept"
    assert front.head(path).etag == etag
    assert front.get(f"/{fleet.bucket}?list-type=2").status == 200
    own_redis.start()
    fleet.two.wait_writable(fleet.bucket, fleet.settings.quarantine + 30)
    assert front.put(path, b"again", headers={"If-Match": etag}).status == 200


def test_a_new_register_keeps_a_quarantine_and_an_operator_can_skip_it(store_named, own_redis,
                                                                      tmp_path):
    store = store_named("embedded-ignoring")
    bucket = new_bucket(store)
    settings = Settings(register=own_redis.new_database(), lease=20, grace=5, settle=5,
                        settle_long=10)
    proxy = Proxy(tmp_path / "one", store, settings)
    try:
        refused = proxy.raw().put(f"/{bucket}/key", b"x")
        assert refused.status == 503, str(refused)
        assert "retry-after" in refused.headers
        proxy.skip_quarantine()
        assert proxy.wait_writable(bucket, 5) < 5
    finally:
        proxy.stop()


def _one_attempt():
    return Config(retries={"total_max_attempts": 1, "mode": "standard"})

