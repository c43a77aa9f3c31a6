"""The clock of a machine that is paused, or set, while tests run on it.

A proxy that sees the clock of its Redis jump begins a new epoch, takes no writes for `settle`, and what was young is old:
rightly so, and no test that counts on seconds can pass then. Such a test is run once more.
"""

from __future__ import annotations

import time
from typing import Callable

JUMP = 0.25
"""Seconds; the proxies allow less than that without an alarm."""
LASTS = 30
"""Seconds for which a jump is felt: the longest quarantine of a proxy that several tests share, and some."""


class WallClock:
    """Compares the wall clock with the monotonic one, each time that it is asked."""

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic):
        self._wall, self._monotonic = wall, monotonic
        self._offset = wall() - monotonic()
        self._jumped: float | None = None

    def jumped_since(self, moment: float) -> bool:
        """Whether it jumped after `moment` (monotonic), or so shortly before it that this is still felt."""
        offset = self._wall() - self._monotonic()
        if abs(offset - self._offset) > JUMP:
            self._jumped = self._monotonic()
        self._offset = offset
        return self._jumped is not None and self._jumped > moment - LASTS
