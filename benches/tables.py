"""What was found, as text."""

from __future__ import annotations

import memory
from measure import Result


def cell(value: float | None, width: int, digits: int = 0) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:>{width},.{digits}f}"


def table(result: Result) -> str:
    """One load, a line for each target."""
    lines = [result.load.title,
             f"  {'':<26}{'rate':>20}{'CPU time per request, µs':>39}{'latency, ms':>18}",
             f"  {'':<26}{'req/s':>10}{'of nginx':>10}{'proxy':>9}{'of nginx':>10}{'Redis':>9}{'store':>11}"
             f"{'p50':>9}{'p99':>9}"]
    for name in result.load.targets:
        lines.append(
            f"  {name:<26}{cell(result.median(name, 'rate'), 10)}{cell(result.of_nginx(name, 'rate'), 10, 2)}"
            f"{cell(result.median(name, 'proxy'), 9, 1)}{cell(result.of_nginx(name, 'proxy'), 10, 2)}"
            f"{cell(result.median(name, 'redis'), 9, 1)}{cell(result.median(name, 'store'), 11, 1)}"
            f"{cell(result.median(name, 'p50_ms'), 9, 2)}{cell(result.median(name, 'p99_ms'), 9, 2)}")
    return "\n".join(lines)


def series(title: str, unit: str, results: dict[int, Result]) -> str:
    """One load in several sizes: a line for each size, rate and CPU time for each target."""
    names = next(iter(results.values())).load.targets
    wide = max(18, *(len(name) + 2 for name in names))
    lines = [f"{title}: requests a second, and CPU time of proxy and Redis per request in µs",
             f"  {unit:>14}" + "".join(f"{name:>{wide}}" for name in names)]
    for size, result in results.items():
        cells = []
        for name in names:
            cpu = (result.median(name, "proxy") or 0) + (result.median(name, "redis") or 0)
            cells.append(f"{cell(result.median(name, 'rate'), wide - 7)}{cell(cpu, 7, 1)}")
        lines.append(f"  {size:>14}" + "".join(cells))
    return "\n".join(lines)


def memories(found: dict[str, memory.Memory]) -> str:
    mib = 1 << 20
    half = memory.CROWD * memory.HALF
    lines = [f"Memory, MiB; {memory.CROWD:,} connections, and as many uploads of which {memory.HALF >> 10} KiB each have come "
             f"({half / mib:.1f} MiB)",
             f"  {'':<26}{'after the loads':>16}{'connections':>14}{'uploads':>12}{'of bytes':>10}{'left':>8}"]
    for name, each in found.items():
        lines.append(f"  {name:<26}{each.after_loads / mib:>16.1f}{each.idle / mib:>14.1f}{each.half / mib:>12.1f}"
                     f"{each.half / half:>10.2f}{each.left / mib:>8.1f}")
    return "\n".join(lines)
