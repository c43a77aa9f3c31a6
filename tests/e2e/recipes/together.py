"""A place where processes wait for each other."""

from __future__ import annotations

import os
import time
from pathlib import Path


def all_here(directory: str, count: int, timeout: float = 60) -> None:
    """Returns once it has been called by `count` processes."""
    place = Path(directory)
    place.mkdir(parents=True, exist_ok=True)
    (place / str(os.getpid())).touch()
    deadline = time.monotonic() + timeout
    while len(os.listdir(place)) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(os.listdir(place))} of {count} came")
        time.sleep(0.01)
