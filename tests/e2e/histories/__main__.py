"""`python -m histories`: as many histories as you have time for; ends with 1 if one is bad."""

from __future__ import annotations

import argparse
import random
import sys


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m histories", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long, about (60)")
    parser.add_argument("--seed", type=int, help="of the faults and the operations (random)")
    parser.add_argument("--writers", choices=["exclusive", "shared"],
                        help="what proxies believe of the register (in turn)")
    parser.add_argument("--only", default="", metavar="NAME",
                        help="faults that have this in their names")
    parser.add_argument("--register", choices=["standalone", "sentinel", "cluster"],
                        default="standalone", help="where the register is (standalone)")
    parser.add_argument("--lag", type=float, default=0, metavar="SECONDS",
                        help="by how much the store lags (0)")
    parser.add_argument("--nodes", type=int, default=1, metavar="COUNT",
                        help="how many nodes the store has (1)")
    given = parser.parse_args()
    import conftest  # noqa: F401 - takes this machine's own settings out of the environment
    from histories.run import run

    seed = random.SystemRandom().randrange(1 << 32) if given.seed is None else given.seed
    print(f"seed {seed}", flush=True)
    report = run(given.seconds, seed, given.writers, given.only, given.register, given.lag, given.nodes,
                 progress=lambda text: print(text, flush=True))
    print(report)
    return 1 if report.complaints() else 0


if __name__ == "__main__":
    sys.exit(main())
