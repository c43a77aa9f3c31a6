"""Notices when this machine does not let us run: no promise is made for such times."""

from __future__ import annotations

import threading
import time

PERIOD = 0.05


class Heart:
    """`stall` is the longest time for which nothing here ran."""

    def __init__(self):
        self.stall = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def _beat(self) -> None:
        last = time.monotonic()
        while not self._stop.wait(PERIOD):
            now = time.monotonic()
            self.stall, last = max(self.stall, now - last - PERIOD), now

    def __enter__(self) -> "Heart":
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        self._thread.join()
