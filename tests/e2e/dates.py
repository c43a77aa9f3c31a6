"""Dates around an object's, for conditions: by name, in every form that HTTP has."""

from __future__ import annotations

import email.utils
import time


def dates_around(last_modified: str) -> dict[str, str]:
    """`before`, `equal` and `after` by a second; returns when the last of them has passed."""
    second = email.utils.parsedate_to_datetime(last_modified).timestamp()
    while time.time() < second + 1:
        time.sleep(0.02)
    dates = {"future": imf(time.time() + 86400), "no date": "yesterday"}
    for name, moment in (("before", second - 1), ("equal", second), ("after", second + 1)):
        dates[name] = imf(moment)
        dates[f"{name}, as asctime"] = time.asctime(time.gmtime(moment))
        dates[f"{name}, as RFC 850"] = time.strftime("%A, %d-%b-%y %H:%M:%S GMT",
                                                     time.gmtime(moment))
    return dates


def imf(moment: float) -> str:
    return email.utils.formatdate(moment, usegmt=True)
