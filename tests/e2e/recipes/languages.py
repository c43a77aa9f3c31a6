"""Where the same recipe is there in several languages: the command of each."""

from __future__ import annotations

import shutil

import pytest

from recipes.scene import EXAMPLES


def python(name: str):
    return pytest.param(lambda: [EXAMPLES / "python" / name], id="python")


def counters() -> list:
    return [python("counter.py")]


def locks() -> list:
    return [python("lock.py"), pytest.param(lambda: [EXAMPLES / "shell" / "lock.sh"], id="shell")]
