"""A run: rounds, each with proxies, a bucket and a history of its own."""

from __future__ import annotations

import random
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Callable

from histories.checker import check
from histories.heart import Heart
from histories.history import History, save
from histories.nemesis import Nemesis, Strike
from histories.report import Report, Round
from histories.scene import KEYS, TERMS, KilledStore, Registers, Scene
from histories.workload import Crowd
from processes import ROOT
from redis_server import RedisCluster, RedisServer, SentinelSet

CLIENTS = 8
ROUND = 30
"""Seconds, about: long enough for half of the faults, short enough to search its history."""
CALM_MAX = 0.5
PATIENCE = 4
KEPT = ROOT / "target" / "histories"


REGISTERS: dict[str, Callable[[Path], Registers]] = {
    "standalone": lambda directory: RedisServer(directory, appendonly=True),
    "sentinel": SentinelSet,
    "cluster": RedisCluster,
}


def run(seconds: float, seed: int, writers: str | None = None, only: str = "",
        register: str = "standalone", lag: float = 0, nodes: int = 1,
        enough: Callable[[Report], bool] = lambda _: True,
        progress: Callable[[str], None] = lambda _: None) -> Report:
    """`writers` is what the proxies believe of the register in all rounds; in turn otherwise.
    `only` is part of the names of the faults that are wanted. `register` is one of `REGISTERS`.
    `lag` is by how many seconds the store lags, `nodes` how many nodes it has.
    Rounds are added until `enough` holds, since a slow machine does less in the same time; but
    none is begun after `PATIENCE` times `seconds`."""
    chance = random.Random(seed)
    nemesis, report = Nemesis(chance, only, register, nodes), Report(seed)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="histories-") as name, Heart() as heart:
        directory = Path(name)
        store = KilledStore(directory / "store", lag)
        redis = REGISTERS[register](directory / "redis")
        try:
            while True:
                spent = time.monotonic() - began
                left = seconds - spent
                if left <= ROUND / 4:
                    if enough(report) or spent > PATIENCE * seconds:
                        break
                    left = min(seconds, ROUND)
                number = len(report.rounds)
                mode = "exclusive" if lag else writers or ("exclusive", "shared")[number % 2]
                terms = replace(TERMS, write_ids=chance.random() < 0.5)
                scene = Scene(directory / f"round-{number}", store, redis, mode, terms, nodes=nodes)
                mode += " with ids" * terms.write_ids + f", a lag of {lag} s" * bool(lag)
                mode += f", {nodes} nodes" * (nodes > 1)
                try:
                    done = play(scene, nemesis, chance, mode, min(left, ROUND))
                finally:
                    scene.stop()
                if done.complaints():
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
    for _ in scene.alarms():
        history.remark("alarms of proxies, true or false (target/e2e-logs)")
    operations = history.operations()
    return Round(writers, KEYS, operations, strikes, check(operations), history.remarks, unread)
