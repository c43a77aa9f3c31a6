"""What came of a run: the figures, and all that must not be."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from histories.checker import Violation
from histories.nemesis import Strike
from histories.operation import FAILED, MISMATCH, MISSING, OK, READ, UNKNOWN, Operation
from histories.recovery import Figures, by_kind, in_words
from histories.reduction import reduced
from histories.workload import ETAG_OF_ANOTHER


@dataclass
class Round:
    writers: str
    keys: list[str]
    operations: list[Operation]
    strikes: list[Strike]
    violations: list[Violation]
    remarks: Counter[str]
    unread: list[str]
    """Keys that could not be read in the end."""
    file: Path | None = None
    """Where a history is kept that should be looked at."""

    def complaints(self) -> list[str]:
        """All that must not be."""
        found = []
        for violation in self.violations:
            lines = [str(violation), "reduced:", *map(str, reduced(violation))]
            found.append("\n      ".join(lines))
        found += [f"never written again after {strike.kind} ({strike.where}) at "
                  f"{strike.struck:.1f} s: {', '.join(strike.stuck)}"
                  for strike in self.strikes if strike.stuck]
        found += [f"{key} could not be read in the end" for key in self.unread]
        if self.remarks[ETAG_OF_ANOTHER]:
            found.append(f"{self.remarks[ETAG_OF_ANOTHER]} {ETAG_OF_ANOTHER}")
        return found


@dataclass
class Report:
    seed: int
    rounds: list[Round] = field(default_factory=list)
    seconds: float = 0
    stall: float = 0
    """The longest that this machine did not let us run: what looks like a violation may be that."""

    def complaints(self) -> list[str]:
        return [complaint for each in self.rounds for complaint in each.complaints()]

    @property
    def violations(self) -> list[Violation]:
        return [violation for each in self.rounds for violation in each.violations]

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
            for kind, figures in by_kind(each.strikes, each.operations, each.keys).items():
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
            lines += [f"    {each.writers}, {each.file}: {complaint}"
                      for complaint in each.complaints()]
        return "\n".join(lines)
