"""Nothing is held while a client trickles; a stale upload costs no body."""

from __future__ import annotations

import threading
import time

import pytest

from clients import Wire

SECONDS = 12


class Slow(threading.Thread):
    """An upload of one byte per second."""

    def __init__(self, front, key: str, letter: bytes, headers=None):
        super().__init__(daemon=True)
        self.wire = Wire(front.raw, "PUT", front.path(key), SECONDS, headers)
        self.letter, self.answer, self.took, self.under_way = letter, None, None, True
        self.start()

    def run(self) -> None:
        began = time.monotonic()
        self.wire.trickle(self.letter * SECONDS, 1.0)
        self.under_way = False
        self.answer = self.wire.read_answer()
        self.took = time.monotonic() - began
        self.wire.close()

    def wait_sent(self, count: int) -> None:
        deadline = time.monotonic() + SECONDS + 5
        while self.wire.sent_body_bytes < count:
            assert time.monotonic() < deadline, "the slow upload does not get on"
            time.sleep(0.02)


@pytest.fixture(params=[("embedded", "memory"), ("swift", "redis")], ids=lambda p: "-".join(p))
def slow_front(request, front_on):
    return front_on(*request.param)


def test_a_slow_upload_does_not_delay_another_writers_commit(slow_front):
    front, key = slow_front, slow_front.new_key("slow")
    slow = Slow(front, key, b"s")
    slow.wait_sent(2)
    times = []
    etag = None
    for number in range(10):
        began = time.monotonic()
        condition = {"If-Match": etag} if etag else {"If-None-Match": "*"}
        answer = front.raw.put(front.path(key), f"fast {number}".encode(), headers=condition)
        times.append(time.monotonic() - began)
        assert answer.status == 200, str(answer)
        etag = answer.etag
    assert slow.under_way, "the slow upload ended before the fast writes did"
    assert max(times) < 1.0, times
    slow.join(SECONDS + 20)
    assert slow.answer.status == 200, str(slow.answer)
    # The slow one finished last, unconditionally: its bytes are the object, on Swift too, which
    # orders PUTs by when they start.
    assert front.raw.get(front.path(key)).body == b"s" * SECONDS


def test_a_slow_conditional_upload_that_was_overtaken_is_refused(slow_front):
    front, key = slow_front, slow_front.new_key("overtaken")
    slow = Slow(front, key, b"s", {"If-None-Match": "*"})
    slow.wait_sent(2)
    assert front.raw.put(front.path(key), b"fast", headers={"If-None-Match": "*"}).status == 200
    slow.join(SECONDS + 20)
    assert (slow.answer.status, slow.answer.code) == (412, "PreconditionFailed")
    assert front.raw.get(front.path(key)).body == b"fast"


def test_two_slow_uploads_do_not_hold_each_other_up(plain_front):
    front, key = plain_front, plain_front.new_key("two-slow")
    began = time.monotonic()
    pair = [Slow(front, key, letter) for letter in (b"a", b"b")]
    for slow in pair:
        slow.join(2 * SECONDS + 20)
        assert slow.answer.status == 200, str(slow.answer)
    assert time.monotonic() - began < SECONDS + 4
    assert front.raw.get(front.path(key)).body in (b"a" * SECONDS, b"b" * SECONDS)


def expecting(front, key: str, length: int, condition: dict[str, str]) -> Wire:
    return Wire(front.raw, "PUT", front.path(key), length, condition,
                unsigned={"Expect": "100-continue"})


def test_a_stale_condition_is_refused_before_the_body(plain_front):
    front, key = plain_front, plain_front.new_key("stale")
    etag = front.raw.put(front.path(key), b"first").etag
    front.raw.put(front.path(key), b"second")
    for condition, status, code in [
        ({"If-Match": etag}, 412, "PreconditionFailed"),
        ({"If-None-Match": "*"}, 412, "PreconditionFailed"),
    ]:
        with expecting(front, key, 20 << 20, condition) as wire:
            answer = wire.read_answer()
            assert (answer.status, answer.code) == (status, code), str(answer)
            assert wire.sent_body_bytes == 0
    with expecting(front, front.new_key("missing"), 20 << 20, {"If-Match": etag}) as wire:
        answer = wire.read_answer()
        assert (answer.status, answer.code) == (404, "NoSuchKey"), str(answer)


@pytest.mark.parametrize("condition", ["none", "good If-Match", "If-None-Match on a new key"])
def test_a_good_condition_gets_100_then_200(plain_front, condition):
    front, key = plain_front, plain_front.new_key("good")
    headers = {}
    if condition == "good If-Match":
        headers = {"If-Match": front.raw.put(front.path(key), b"first").etag}
    elif condition != "none":
        headers = {"If-None-Match": "*"}
    body = b"b" * 100_000
    with expecting(front, key, len(body), headers) as wire:
        assert wire.read_answer().status == 100
        wire.send_body(body)
        assert wire.read_answer().status == 200
    assert front.raw.get(front.path(key)).body == body


def test_a_client_that_vanishes_in_its_body_has_written_nothing(slow_front):
    front, key = slow_front, slow_front.new_key("vanished")
    front.raw.put(front.path(key), b"old")
    with Wire(front.raw, "PUT", front.path(key), 100_000) as wire:
        wire.send_body(b"x" * 99_999)
    # The key is free: nothing was held for the client that went away.
    began = time.monotonic()
    assert front.raw.get(front.path(key)).body == b"old"
    assert front.raw.put(front.path(key), b"new").status == 200
    assert time.monotonic() - began < 2
    assert front.raw.get(front.path(key)).body == b"new"
