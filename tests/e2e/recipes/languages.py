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


def of(name: str) -> list:
    """The recipe of this name, in all languages."""
    python, shell, node = (EXAMPLES / "python" / f"{name}.py", EXAMPLES / "shell" / f"{name}.sh",
                           EXAMPLES / "javascript" / f"{name}.mjs")
    return [pytest.param(lambda: [python], id="python"),
            *([pytest.param(lambda: [shell], id="shell")] if shell.exists() else []),
            pytest.param(lambda: ["node", node], id="javascript"),
            # With 200 crates to build, it is left to the full run.
            pytest.param(lambda: rust(name), id="rust", marks=[pytest.mark.full, pytest.mark.timeout(1800)])]
