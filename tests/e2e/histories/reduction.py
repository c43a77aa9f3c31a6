"""The part of a bad history that is bad: less to read, and nothing that the rest excuses.

First what makes a history easier to explain is taken away: a read or a refusal is left out, an
acknowledged write becomes one of unknown outcome. What is still not linearizable then shows the
violation by itself. Then, for the reader's sake, writes that nothing else mentions are left out.
"""

from __future__ import annotations

from dataclasses import replace

from histories.checker import Violation, check_key
from histories.operation import FAILED, OK, READ, UNKNOWN, WRITES, Operation


def reduced(violation: Violation) -> list[Operation]:
    history = [each for each in violation.history if each.outcome != FAILED
               and (each.outcome, each.kind) != (UNKNOWN, READ)]
    for operation in sorted(history, key=lambda each: -each.invoked):
        if operation.outcome == UNKNOWN:
            continue
        weaker = [each for each in history if each.number != operation.number]
        if operation.outcome == OK and operation.kind in WRITES:
            weaker.append(replace(operation, outcome=UNKNOWN))
        if check_key(weaker):
            history = weaker
    return _without_strangers(sorted(history, key=lambda each: each.invoked))


def _without_strangers(history: list[Operation]) -> list[Operation]:
    """Without the writes of values that nothing else mentions, where it stays bad without them."""
    kept = list(history)
    # From the end, so that what a stranger mentions is mentioned no more.
    for operation in reversed(history):
        named = {value for other in kept if other is not operation
                 for value in (other.value, other.expected)}
        without = [each for each in kept if each is not operation]
        stranger = operation.kind in WRITES and (
            operation.value not in named if operation.value else operation.outcome == UNKNOWN)
        if stranger and check_key(without):
            kept = without
    return kept
