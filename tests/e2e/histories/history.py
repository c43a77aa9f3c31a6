"""What all clients did, in the order in which they returned; kept as JSON lines."""

from __future__ import annotations

import itertools
import json
import threading
import time
from pathlib import Path
from typing import Iterable

from histories.operation import Operation


class History:
    """The seconds of a history count from its beginning."""

    def __init__(self):
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._operations: list[Operation] = []

    def now(self) -> float:
        return time.monotonic() - self._began

    def number(self) -> int:
        with self._lock:
            return next(self._numbers)

    def add(self, operation: Operation) -> None:
        with self._lock:
            self._operations.append(operation)

    def operations(self) -> list[Operation]:
        with self._lock:
            return list(self._operations)


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
