"""What all clients did, in the order in which they returned; kept as JSON lines."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Iterable

from histories.operation import OK, WRITES, Operation


class History:
    """The seconds of a history count from its beginning."""

    def __init__(self):
        self._began = time.monotonic()
        self._numbers = itertools.count(1)
        self._news = threading.Condition()
        self._operations: list[Operation] = []
        self._last_write: dict[str, float] = {}
        self.remarks: Counter[str] = Counter()
        """Observations that are no operations: torn reads, unexpected answers."""

    def now(self) -> float:
        return self.at(time.monotonic())

    def at(self, moment: float) -> float:
        """A moment of the monotonic clock, in seconds of this history."""
        return moment - self._began

    def number(self) -> int:
        with self._news:
            return next(self._numbers)

    def add(self, operation: Operation) -> None:
        with self._news:
            self._operations.append(operation)
            if operation.kind in WRITES and operation.outcome == OK:
                last = self._last_write.get(operation.key, 0)
                self._last_write[operation.key] = max(last, operation.invoked)
                self._news.notify_all()

    def remark(self, what: str) -> None:
        with self._news:
            self.remarks[what] += 1

    def operations(self) -> list[Operation]:
        with self._news:
            return list(self._operations)

    def wait_written(self, keys: Iterable[str], since: float, timeout: float) -> list[str]:
        """Waits until a write of each key that began after `since` has succeeded; returns those
        of which none has."""
        def unwritten() -> list[str]:
            return [key for key in keys if self._last_write.get(key, 0) < since]

        with self._news:
            self._news.wait_for(lambda: not unwritten(), timeout)
            return unwritten()


def save(path: Path, operations: Iterable[Operation], faults: Iterable[dict] = ()) -> Path:
    """One line for each operation and each fault."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [*(operation.as_json() for operation in operations),
             *({"fault": fault} for fault in faults)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def load(path: Path) -> list[Operation]:
    """The operations of a saved history."""
    lines = map(json.loads, path.read_text().splitlines())
    return [Operation.from_json(line) for line in lines if "fault" not in line]
