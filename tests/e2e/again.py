"""Runs a test once more that failed while the machine's clock jumped: a plugin of pytest, which conftest takes in."""

from __future__ import annotations

import time
import warnings

import pytest
from _pytest.runner import runtestprotocol

import processes
import wall_clock

_clock = wall_clock.WallClock()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem) -> bool:
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    began = time.monotonic()
    reports = run_once(item, nextitem)
    # Asked after each test, so that it is known when it jumped.
    if _clock.jumped_since(began) and any(report.failed for report in reports):
        warnings.warn(f"{item.nodeid} failed, and the clock of this machine had jumped: run once more", stacklevel=1)
        time.sleep(wall_clock.LASTS)
        reports = run_once(item, nextitem)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def run_once(item, nextitem) -> list[pytest.TestReport]:
    item.log_positions = processes.log_positions()
    return runtestprotocol(item, log=False, nextitem=nextitem)
