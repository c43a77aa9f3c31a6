"""Many writers on one key: the create race and the compare-and-swap counter, with their laws."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter as Tally
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from botocore.exceptions import BotoCoreError, ClientError, FlexibleChecksumError

from clients import attempts_of, code_of

WRITERS = 32

LANDED, REFUSED, UNDETERMINED = "landed", "refused", "undetermined"


def put_outcome(call) -> tuple[str, str, dict | None]:
    """Runs one conditional PUT of boto3: how it ended, as what, and boto3's answer."""
    try:
        return LANDED, "200", call()
    except ClientError as error:
        status, code = code_of(error)
        # A refusal of a retry proves nothing: the first attempt may have landed unheard.
        definite = status in (404, 409, 412) and attempts_of(error) == 1
        return (REFUSED if definite else UNDETERMINED), f"{status} {code}", None
    except BotoCoreError as error:
        return UNDETERMINED, type(error).__name__, None


@dataclass
class Round:
    winners: list[int]
    outcomes: Tally


def create_race(clients: list, bucket: str, key: str, pool: ThreadPoolExecutor) -> Round:
    """All writers at once: PUT If-None-Match: * of one new key, each with its own body."""
    start = threading.Barrier(WRITERS)

    def write(number: int) -> tuple[str, str]:
        s3 = clients[number % len(clients)]
        start.wait(30)
        return put_outcome(lambda: s3.put_object(
            Bucket=bucket, Key=key, Body=f"writer {number}".encode(), IfNoneMatch="*"))[:2]

    outcomes = list(pool.map(write, range(WRITERS)))
    return Round(
        [number for number, (ended, _) in enumerate(outcomes) if ended == LANDED],
        Tally(what for _, what in outcomes),
    )


@dataclass
class CasCounter:
    """Writers that read a number, add one and write it back with If-Match, until told to stop.

    The law: no number is acknowledged twice (two writers both told that they made 17 out of 16 is
    a lost update), and the final number is the count of the writes that landed.
    """

    clients: list
    bucket: str
    key: str
    acknowledged: list[int] = field(default_factory=list)
    undetermined: int = 0
    outcomes: Tally = field(default_factory=Tally)
    reads_failed: list[str] = field(default_factory=list)
    reads_torn: int = 0
    reads: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._progress = threading.Condition(self._lock)
        self._threads: list[threading.Thread] = []

    def create(self) -> "CasCounter":
        self.clients[0].put_object(Bucket=self.bucket, Key=self.key, Body=b"0")
        return self

    def run(self, increments: int, writers: int = WRITERS) -> "CasCounter":
        """Runs until so many increments are acknowledged."""
        self.start(writers)
        try:
            self.wait_acknowledged(increments, 240)
        finally:
            self.stop()
        return self

    def start(self, writers: int) -> None:
        for number in range(writers):
            thread = threading.Thread(target=self._write, args=(number,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(90)
            assert not thread.is_alive(), "a writer hangs"

    def wait_acknowledged(self, count: int, timeout: float) -> None:
        """Waits until `count` increments have been acknowledged in all."""
        with self._progress:
            done = self._progress.wait_for(lambda: len(self.acknowledged) >= count, timeout)
        assert done, (f"only {len(self.acknowledged)} of {count} increments in {timeout} s; "
                      f"outcomes {dict(self.outcomes)}")

    def wait_more(self, count: int, timeout: float) -> None:
        self.wait_acknowledged(len(self.acknowledged) + count, timeout)

    def _write(self, number: int) -> None:
        turn = number
        while not self._stop.is_set():
            turn += 1
            s3 = self.clients[turn % len(self.clients)]
            try:
                got = s3.get_object(Bucket=self.bucket, Key=self.key)
                body = got["Body"].read()
                self.reads += 1
            except FlexibleChecksumError:
                self.reads_torn += 1
                continue
            except (ClientError, BotoCoreError) as error:
                self.reads_failed.append(str(error))
                time.sleep(0.05)
                continue
            # A store may keep content, checksum and ETag apart: then a read beside a write pairs the old of
            # one with the new of another (with no proxy before it as well).
            if hashlib.md5(body).hexdigest() != got["ETag"].strip('"'):
                self.reads_torn += 1
                continue
            value = int(body) + 1
            ended, what, _ = put_outcome(lambda: s3.put_object(
                Bucket=self.bucket, Key=self.key, Body=str(value).encode(), IfMatch=got["ETag"]))
            with self._progress:
                self.outcomes[what] += 1
                if ended == LANDED:
                    self.acknowledged.append(value)
                    self._progress.notify_all()
                elif ended == UNDETERMINED:
                    self.undetermined += 1
            if ended == UNDETERMINED:
                time.sleep(0.1)

    def final(self) -> int:
        return int(self.clients[0].get_object(
            Bucket=self.bucket, Key=self.key)["Body"].read())

    def lost_updates(self) -> dict[int, int]:
        """Numbers that more than one writer was told to have written."""
        return {value: times for value, times in Tally(self.acknowledged).items() if times > 1}

    def check(self) -> None:
        final = self.final()
        story = (f"final {final}, acknowledged {len(self.acknowledged)}, undetermined "
                 f"{self.undetermined}, outcomes {dict(self.outcomes)}")
        assert not self.lost_updates(), f"lost updates {self.lost_updates()}: {story}"
        least = len(self.acknowledged)
        assert least <= final <= least + self.undetermined, story
