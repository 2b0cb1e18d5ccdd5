"""Days that are off though the week has work, and days of work though they are a weekend's.

`days_off.csv` has those of the State Council's yearly notices on public holidays
(国务院办公厅关于部分节假日安排的通知): holidays on working days, and weekends worked in exchange (调休). The
notice of a year appears in November of the one before; days that the file does not reach are as the week
says.
"""

from __future__ import annotations

import csv
import datetime as dt
import functools
from importlib import resources

SOURCE = "days_off.csv"


@functools.cache
def exceptions() -> tuple[dt.date, ...]:
    """The days, ascending, on which the week is wrong. Raises ValueError with the line of a bad row."""
    found: set[dt.date] = set()
    for line, row in enumerate(csv.DictReader(text().splitlines()), 2):
        try:
            day = dt.date.fromisoformat(row["date"])
        except ValueError as error:
            raise ValueError(
                f"{SOURCE}:{line}: expected a date as 2026-10-01, got {row['date']!r}"
            ) from error
        weekend = "off" if day.weekday() >= 5 else "working"
        if row["is"] not in ("off", "working") or row["is"] == weekend:
            expected = "working" if weekend == "off" else "off"
            raise ValueError(f"{SOURCE}:{line}: expected {expected} on {day:%A} {day}, got {row['is']!r}")
        if day in found:
            raise ValueError(f"{SOURCE}:{line}: {day} stands there twice")
        found.add(day)
    return tuple(sorted(found))


def text() -> str:
    return resources.files("schemas").joinpath(SOURCE).read_text(encoding="utf-8")
