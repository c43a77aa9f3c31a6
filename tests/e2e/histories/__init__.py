"""Histories under real faults: what clients saw while things died, and whether it can be explained.

`python -m histories --seconds 600 --seed 7` from tests/e2e runs as long as you like (`make
histories SECONDS=600`), with the register in one Redis, behind Sentinels or in a cluster
(`--register`); `test_histories.py` runs a minute and a half of it. File by file:

- `operation.py`, `history.py`: what one client did; what all of them did, as JSON lines;
- `checker.py`, `reduction.py`: whether a history is linearizable; the part that shows it is not;
- `answers.py`, `workload.py`: what an answer promises; clients that do random operations;
- `scene.py`, `faults.py`, `nemesis.py`: the processes, what happens to them, in which order;
- `recovery.py`, `report.py`, `heart.py`: how long keys were unavailable, and what else is told;
- `run.py`, `__main__.py`: everything put together.
"""
