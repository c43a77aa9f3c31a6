"""A run: rounds of a fresh scene each, and what came of them."""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from histories.checker import Violation, check
from histories.history import History, save
from histories.nemesis import Nemesis, Strike
from histories.operation import FAILED, MISMATCH, MISSING, OK, READ, UNKNOWN, Operation
from histories.recovery import Figures, by_kind, in_words
from histories.reduction import reduced
from histories.scene import KilledStore, Scene
from histories.workload import Crowd
from processes import ROOT
from redis_server import RedisServer

CLIENTS = 8
KEYS = [f"key-{number}" for number in range(4)]
ROUND = 30
"""Seconds, about: long enough for half of the faults, short enough to search its history."""
CALM_MAX = 0.5
KEPT = ROOT / "target" / "histories"


@dataclass
class Round:
    writers: str
    operations: list[Operation]
    strikes: list[Strike]
    violations: list[Violation]
    remarks: Counter[str]
    unread: list[str]
    """Keys that could not be read in the end."""
    file: Path | None = None


@dataclass
class Report:
    seed: int
    rounds: list[Round] = field(default_factory=list)
    seconds: float = 0
    stall: float = 0
    """The longest that this machine did not let us run: what looks like a violation may be that."""

    @property
    def violations(self) -> list[Violation]:
        return [violation for each in self.rounds for violation in each.violations]

    @property
    def stuck(self) -> list[Strike]:
        return [strike for each in self.rounds for strike in each.strikes if strike.stuck]

    @property
    def remarks(self) -> Counter[str]:
        return sum((each.remarks for each in self.rounds), Counter())

    def outcomes(self) -> Counter[str]:
        return Counter(operation.outcome for each in self.rounds for operation in each.operations
                       if operation.kind != READ)

    def kinds(self) -> Counter[str]:
        return Counter(strike.kind for each in self.rounds for strike in each.strikes)

    def figures(self) -> dict[str, Figures]:
        found: dict[str, Figures] = defaultdict(Figures)
        for each in self.rounds:
            for kind, figures in by_kind(each.strikes, each.operations, KEYS).items():
                found[kind].add(figures)
        return found

    def __str__(self) -> str:
        outcomes, operations = self.outcomes(), [o for r in self.rounds for o in r.operations]
        reads = [each for each in operations if each.kind == READ]
        lines = [
            f"seed {self.seed}: {len(operations)} operations in {self.seconds:.0f} s, "
            f"{len(self.rounds)} rounds ({', '.join(each.writers for each in self.rounds)})",
            f"  writes: {outcomes[OK]} ok, {outcomes[MISMATCH] + outcomes[MISSING]} refused, "
            f"{outcomes[FAILED]} failed for certain, {outcomes[UNKNOWN]} unknown",
            f"  {sum('replayed' in each.said for each in operations)} answered with the success of "
            f"an earlier attempt",
            f"  reads: {sum(each.outcome == OK for each in reads)} of {len(reads)} told something",
            *(f"  {count} {what}" for what, count in self.remarks.items()),
            f"  the machine stood still for {self.stall:.2f} s at most",
            f"  faults: {sum(self.kinds().values())}; seconds from one that came alone to the next "
            f"write: median, longest (keys)",
            f"    {'':30} {'times':>5}   {'keys with a write in flight':28}other keys",
        ]
        figures = self.figures()
        for kind, times in sorted(self.kinds().items()):
            of_kind = figures.get(kind, Figures())
            lines.append(f"    {kind:30} {times:5}   {in_words(of_kind.affected):28}"
                         f"{in_words(of_kind.others)}")
        lines.append(f"  violations: {len(self.violations)}")
        for each in self.rounds:
            for violation in each.violations:
                lines += [f"  {each.writers}, {each.file}: {violation}", "  reduced:",
                          *(f"    {operation}" for operation in reduced(violation))]
        lines += [f"  never written again after {strike.kind} ({strike.where}) at "
                  f"{strike.struck:.1f} s: {', '.join(strike.stuck)}" for strike in self.stuck]
        lines += [f"  could not be read in the end: {', '.join(each.unread)}"
                  for each in self.rounds if each.unread]
        return "\n".join(lines)


def run(seconds: float, seed: int, writers: str | None = None, progress=lambda text: None) -> Report:
    """`writers` is what the proxies believe of the register in all rounds; in turn otherwise."""
    chance = random.Random(seed)
    nemesis, report = Nemesis(chance), Report(seed)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="histories-") as name, Heart() as heart:
        directory = Path(name)
        store = KilledStore(directory / "store")
        redis = RedisServer(directory / "redis", appendonly=True)
        try:
            while (left := seconds - (time.monotonic() - began)) > ROUND / 4:
                number = len(report.rounds)
                mode = writers or ("exclusive", "shared")[number % 2]
                scene = Scene(directory / f"round-{number}", store, redis, mode)
                try:
                    done = play(scene, nemesis, chance, mode, min(left, ROUND))
                finally:
                    scene.stop()
                done.file = save(KEPT / f"seed-{seed}-round-{number}.jsonl", done.operations,
                                 [strike.as_json() for strike in done.strikes])
                report.rounds.append(done)
                report.seconds = time.monotonic() - began
                progress(f"round {number} ({mode}): {len(done.operations)} operations, "
                         f"{len(done.strikes)} faults, {len(done.violations)} violations")
        finally:
            redis.stop()
            store.stop()
    report.seconds, report.stall = time.monotonic() - began, heart.stall
    return report


def play(scene: Scene, nemesis: Nemesis, chance: random.Random, writers: str,
         seconds: float) -> Round:
    """One history: faults until the time is over, then a last look at every key."""
    history = History()
    strikes: list[Strike] = []
    crowd = Crowd(CLIENTS, scene.doors(), scene.bucket, KEYS, history, chance)
    with crowd:
        while not strikes or history.now() < seconds - scene.takeover:
            time.sleep(chance.uniform(0, CALM_MAX))
            strikes += nemesis.strike(scene, history, KEYS)
            if strikes[-1].stuck:
                break
    unread = crowd.last_reads(2 * scene.takeover)
    operations = history.operations()
    return Round(writers, operations, strikes, check(operations), history.remarks, unread)


class Heart:
    """Notices when this machine does not let us run."""

    PERIOD = 0.05

    def __init__(self):
        self.stall = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def _beat(self) -> None:
        last = time.monotonic()
        while not self._stop.wait(self.PERIOD):
            now = time.monotonic()
            self.stall, last = max(self.stall, now - last - self.PERIOD), now

    def __enter__(self) -> "Heart":
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        self._thread.join()
