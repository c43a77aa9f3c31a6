"""Where the same recipe is there in several languages: the command of each."""

from __future__ import annotations

import os
import subprocess
from functools import cache

import pytest

from processes import ROOT
from recipes.scene import EXAMPLES

RUST_TARGET = ROOT / "target" / "recipes"


def rust(name: str) -> list:
    _build()
    return [RUST_TARGET / "debug" / name]


@cache
def _build() -> None:
    """The programs of examples/rust, which takes minutes the first time."""
    done = subprocess.run(
        ["cargo", "build", "--locked", "--manifest-path", EXAMPLES / "rust" / "Cargo.toml", "--target-dir", RUST_TARGET],
        capture_output=True, text=True, timeout=1500, env={**os.environ, "CARGO_PROFILE_DEV_DEBUG": "0"})
    assert done.returncode == 0, done.stderr


def of(name: str, costly: tuple[str, ...] = ("rust",)) -> list:
    """The recipe of this name, in all languages. Those that are `costly` are left to the full run: to build Rust's takes
    minutes, to start 16 of Node half of one."""
    ways = {"python": lambda: [EXAMPLES / "python" / f"{name}.py"], "shell": lambda: [EXAMPLES / "shell" / f"{name}.sh"],
            "javascript": lambda: ["node", EXAMPLES / "javascript" / f"{name}.mjs"], "rust": lambda: rust(name)}
    if not (EXAMPLES / "shell" / f"{name}.sh").exists():
        del ways["shell"]
    full = [pytest.mark.full, pytest.mark.timeout(1800)]
    return [pytest.param(command, id=language, marks=full if language in costly else [])
            for language, command in ways.items()]
