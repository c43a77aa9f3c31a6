"""Strikes with one fault after the other, in an order that a seed gives."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass

from histories.faults import OF_NODES, OF_REGISTER, may_meet
from histories.history import History
from histories.scene import Scene

PATIENCE = 20
"""Seconds on top of the protocol's waits after which a key counts as lost to its writers."""
TWO_AT_ONCE = 0.3
"""How often a second fault strikes while the first lasts, where it may."""


@dataclass
class Strike:
    kind: str
    where: str
    struck: float
    """Just before."""
    hit: float
    """When it had surely taken effect."""
    healed: float
    alone: bool
    """Whether nothing else happened before everything was well again."""
    stuck: tuple[str, ...] = ()
    """Keys that could not be written again."""

    def as_json(self) -> dict:
        return asdict(self)


class Nemesis:
    """Goes through all kinds of faults, some of them twice, before it begins again."""

    def __init__(self, chance: random.Random, only: str = "", register: str = "standalone",
                 nodes: int = 1):
        self._chance = chance
        self._faults = OF_REGISTER[register] | (OF_NODES if nodes > 1 else {})
        self._kinds = [name for name, kind in self._faults.items() for _ in range(kind.times)
                       if only in name]
        self._deck: list[str] = []

    def strike(self, scene: Scene, history: History, keys: list[str]) -> list[Strike]:
        """One fault, sometimes a second while it lasts, until every key can be written again."""
        kinds = [self._draw()]
        second = self._draw()
        if may_meet(self._faults[kinds[0]], self._faults[second]) and self._chance.random() < TWO_AT_ONCE:
            kinds.append(second)
        else:
            self._deck.append(second)
        strikes = []
        with ExitStack() as lasting:
            for kind in kinds:
                blow = lasting.enter_context(self._faults[kind].play(scene, self._chance))
                strikes.append(Strike(kind, blow.where, history.at(blow.at), history.now(), 0,
                                      alone=len(kinds) == 1))
                time.sleep(self._chance.uniform(*self._faults[kind].seconds))
        healed = history.now()
        stuck = history.wait_written(keys, healed, 2 * scene.takeover + PATIENCE)
        for each in strikes:
            each.healed, each.stuck = healed, tuple(stuck)
        return strikes

    def _draw(self) -> str:
        if not self._deck:
            self._deck = list(self._kinds)
            self._chance.shuffle(self._deck)
        return self._deck.pop()
