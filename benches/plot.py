#!/usr/bin/env python3
"""Draws what benches/end_to_end.py found.

    .venv-bench/bin/python benches/plot.py FOUND.json PLOT.svg
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
# The same picture from the same numbers.
matplotlib.rcParams.update({"svg.hashsalt": "ifmatch", "svg.fonttype": "none", "font.size": 9})

import matplotlib.pyplot as plt  # noqa: E402

COLOURS = {"nginx": "#777777", "HAProxy": "#b0b0b0", "ifmatch, memory": "#1f6fb4", "ifmatch, memory, shared": "#7fb2dd",
           "ifmatch, Redis": "#c8502d", "ifmatch, Redis, shared": "#e8a48f"}
BARS = ("PUT 4 KiB", "PUT 4 KiB with If-Match (shared: one HEAD for each)", "GET 4 KiB")
LINES = ("PUT 4 KiB by connections", "GET 4 KiB by connections")


def bars(axes, result: dict) -> None:
    """CPU time of the proxy, and of Redis on top of it."""
    names = [name for name in COLOURS if name in result["targets"]]
    proxy = [result["targets"][name]["proxy"] for name in names]
    redis = {name: result["targets"][name] for name in names if result["targets"][name]["redis"]}
    axes.barh(names, proxy, color=[COLOURS[name] for name in names])
    axes.barh(list(redis), [each["redis"] for each in redis.values()], left=[each["proxy"] for each in redis.values()],
              color="none", edgecolor="#c8502d", hatch="///")
    axes.invert_yaxis()
    axes.set_title(result["load"].partition(" (")[0])
    axes.set_xlabel("CPU time per request, µs (hatched: Redis)")


def lines(axes, results: list[dict]) -> None:
    sizes = [result["size"] for result in results]
    for name in results[0]["targets"]:
        axes.plot(sizes, [result["targets"][name]["rate"] for result in results], marker="o", color=COLOURS[name],
                  label=name)
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.set_ylim(bottom=0)
    axes.set_title(results[0]["load"])
    axes.set_ylabel("requests a second")
    axes.legend()


def main() -> None:
    source, target = map(Path, sys.argv[1:])
    found = json.loads(source.read_text())
    figure, axes = plt.subplots(len(BARS) + len(LINES), figsize=(8, 14), layout="constrained")
    for place, title in zip(axes, BARS):
        bars(place, next(each for each in found["results"] if each["load"] == title))
    for place, title in zip(axes[len(BARS):], LINES):
        lines(place, [each for each in found["results"] if each["load"] == title])
    figure.suptitle(found["about"], fontsize=8, wrap=True)
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    main()
