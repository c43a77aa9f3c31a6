"""How much a costly test does: a part of it every day, all of it in the full run."""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")
IS_FULL = bool(os.environ.get("E2E_FULL"))
"""`make full` sets it."""


def amount(everyday: T, full: T) -> T:
    return full if IS_FULL else everyday
