"""How long keys could not be written after a fault: the recovery figures."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from statistics import median

from histories.nemesis import Strike
from histories.operation import FAILED, OK, UNKNOWN, WRITES, Operation

AT_ONCE = 0.5
"""A write in flight that is answered within this time was not struck."""


@dataclass
class Figures:
    """Of one kind of fault, seconds until the next write of a key succeeded."""

    times: int = 0
    affected: list[float] = field(default_factory=list)
    """Keys of which a write was in flight and came to no answer at once."""
    others: list[float] = field(default_factory=list)

    def add(self, other: "Figures") -> None:
        self.times += other.times
        self.affected += other.affected
        self.others += other.others


def after(strike: Strike, operations: list[Operation], keys: list[str]) -> Figures:
    """Counted from the strike, so what the fault itself lasts is part of it."""
    figures = Figures(times=1)
    for key in keys:
        writes = [each for each in operations if each.key == key and each.kind in WRITES]
        struck = any(each.invoked <= strike.hit and strike.struck < each.returned
                     and (each.outcome in (UNKNOWN, FAILED)
                          or each.returned > strike.struck + AT_ONCE) for each in writes)
        next_returns = [each.returned for each in writes
                        if each.outcome == OK and each.invoked >= strike.hit]
        if next_returns:
            seconds = min(next_returns) - strike.struck
            (figures.affected if struck else figures.others).append(seconds)
    return figures


def by_kind(strikes: list[Strike], operations: list[Operation],
            keys: list[str]) -> dict[str, Figures]:
    """Faults that came alone; two at once belong to neither."""
    found: dict[str, Figures] = defaultdict(Figures)
    for strike in strikes:
        if strike.alone:
            found[strike.kind].add(after(strike, operations, keys))
    return found


def in_words(seconds: list[float]) -> str:
    if not seconds:
        return "-"
    return f"{median(seconds):5.2f} {max(seconds):5.2f} ({len(seconds)})"
