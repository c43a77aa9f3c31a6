"""Histories under real faults: what clients saw while things died, and whether one register explains it.

`python -m histories --seconds 600 --seed 7` from tests/e2e runs as long as you like (`make histories
SECONDS=600`); `test_histories.py` runs a minute of it. Room by room:

- `operation.py`, `history.py`: what one client did, and all of it, as JSON lines;
- `checker.py`: whether a history of one key is linearizable; `reduction.py`: the part that shows it is not;
- `answers.py`, `workload.py`: what an answer promises; clients that do random operations;
- `scene.py`, `faults.py`, `nemesis.py`: the processes, what can happen to them, and the order it comes in;
- `recovery.py`, `run.py`: how long keys were unavailable; everything put together.
"""
