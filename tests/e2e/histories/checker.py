"""Whether a history is linearizable: each key alone, as a compare-and-swap register.

The search is Wing and Gong's, in the order of Lowe's just-in-time linearization: it goes from
return to return, and lets pending operations take effect only when the one that returns needs it.
What has been tried is remembered as configurations: the state of the key, which operations that
have yet to return took effect already, and which of those with an unknown outcome did.

Three observations keep it small. A read or a refusal changes nothing, so it may take effect as soon
as it can. Of two configurations that differ only in which unknown writes they have used up, the one
that has used fewer can do everything the other can. And unknown writes that do the same are one.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Iterable

from histories.operation import FAILED, READ, UNKNOWN, Operation

NOTHING: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Violation:
    key: str
    operation: Operation
    """The first whose return no order of operations explains."""
    states: tuple[str | None, ...]
    """What the key may have held before it."""
    history: tuple[Operation, ...]
    """The operations on the key up to then."""

    def __str__(self) -> str:
        states = ", ".join(sorted(state or "absent" for state in self.states))
        return f"not linearizable: {self.operation}\n  the key could only hold: {states}"


class Configurations:
    """States of the search; of those that differ in unknown writes used, the most frugal ones."""

    def __init__(self):
        self._frugal: dict[tuple[str | None, frozenset[int]], list[frozenset[int]]] = {}

    def add(self, state: str | None, done: frozenset[int], used: frozenset[int]) -> bool:
        """Whether this could be anything new."""
        known = self._frugal.setdefault((state, done), [])
        if any(other <= used for other in known):
            return False
        known[:] = [other for other in known if not used <= other]
        known.append(used)
        return True

    def __iter__(self):
        return ((state, done, used) for (state, done), sets in self._frugal.items()
                for used in list(sets))

    def __bool__(self) -> bool:
        return bool(self._frugal)

    def states(self) -> tuple[str | None, ...]:
        return tuple({state for state, _ in self._frugal})


def check(operations: Iterable[Operation]) -> list[Violation]:
    """The violations, one for each key whose history is not linearizable."""
    by_key: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        by_key[operation.key].append(operation)
    found = (check_key(history) for _, history in sorted(by_key.items()))
    return [violation for violation in found if violation]


def check_key(history: list[Operation]) -> Violation | None:
    """Of one key, absent in the beginning."""
    relevant = [each for each in history if each.outcome != FAILED
                and not (each.kind == READ and each.outcome == UNKNOWN)]
    operations = {each.number: each for each in relevant}
    assert len(operations) == len(relevant), "operations need numbers of their own"
    # Of an invocation and a return at one moment the invocation comes first: that excuses more.
    events = sorted([(each.invoked, 0, each.number) for each in relevant]
                    + [(each.returned, 1, each.number) for each in relevant
                       if not each.open_ended])
    search = _Search(operations)
    for _, is_return, number in events:
        if not is_return:
            search.invoke(operations[number])
            continue
        before = search.configurations
        search.returns(operations[number])
        if not search.configurations:
            upto = operations[number].returned
            return Violation(operations[number].key, operations[number], before.states(),
                             tuple(each for each in history if each.invoked <= upto))
    return None


class _Search:
    def __init__(self, operations: dict[int, Operation]):
        self._operations = operations
        self._pending: dict[int, Operation] = {}
        """Invoked, and to return later with a known outcome."""
        self._unknown: dict[tuple, list[int]] = defaultdict(list)
        """Writes of unknown outcome by what they would do; those that do the same, in order."""
        self.configurations = Configurations()
        self.configurations.add(None, NOTHING, NOTHING)

    def invoke(self, operation: Operation) -> None:
        if operation.open_ended:
            same = (operation.kind, operation.expected, operation.value)
            self._unknown[same].append(operation.number)
        else:
            self._pending[operation.number] = operation

    def returns(self, operation: Operation) -> None:
        """Leaves the configurations in which the operation has taken effect."""
        after = Configurations()
        for state, done, used in self.configurations:
            if operation.number in done:
                after.add(state, done - {operation.number}, used)
            else:
                self._explore(operation, state, done, used, after)
        del self._pending[operation.number]
        self.configurations = after

    def _explore(self, wanted: Operation, state, done, used, after: Configurations) -> None:
        """All ways from here to the effect of `wanted`."""
        seen = Configurations()
        waiting = [(state, self._with_spectators(state, done), used)]
        seen.add(*waiting[0])
        while waiting:
            state, done, used = waiting.pop()
            if wanted.number in done:
                # A spectator. Whatever else is pending can as well happen later.
                after.add(state, done - {wanted.number}, used)
                continue
            for number, is_unknown in self._candidates(done, used):
                possible, new = self._operations[number].after(state)
                if not possible:
                    continue
                if is_unknown:
                    step = (new, self._with_spectators(new, done), used | {number})
                else:
                    step = (new, self._with_spectators(new, done | {number}), used)
                if number == wanted.number:
                    after.add(new, step[1] - {number}, used)
                elif seen.add(*step):
                    waiting.append(step)

    def _candidates(self, done: frozenset[int], used: frozenset[int]):
        for number, operation in self._pending.items():
            if operation.changes and number not in done:
                yield number, False
        for alike in self._unknown.values():
            unused = next((number for number in alike if number not in used), None)
            if unused is not None:
                yield unused, True

    def _with_spectators(self, state, done: frozenset[int]) -> frozenset[int]:
        """Together with the pending reads and refusals that fit this state."""
        fitting = [number for number, operation in self._pending.items()
                   if not operation.changes and number not in done and operation.after(state)[0]]
        return done.union(fitting) if fitting else done
