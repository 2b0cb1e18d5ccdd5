"""When rules look: hours, days and months of the city's time, as masks over arrays of times.

Outside its schedule a rule raises nothing, and what is open falls as if it were no longer kept; detectors
go on learning.

>>> mask = masks([Schedule(hours=("22:00-06:00",))])
>>> open_at(mask, np.array([0, 0]), np.array([1_772_409_600_000_000, 1_772_463_600_000_000])).tolist()
[False, True]
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from detectors.day_type import days_off
from schemas.rule import Schedule

_HOURS = re.compile(r"([01]\d|2[0-4]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LOCAL_US = 8 * 3_600_000_000
DAY_US = 24 * 3_600_000_000
MINUTES = 24 * 60
KINDS = ("workday", "dayoff")


class ScheduleError(ValueError):
    """Text that names no hours."""


def parse_hours(text: str) -> tuple[int, int]:
    """Minutes of the day from and to; to <= from passes midnight."""
    found = _HOURS.fullmatch(text)
    minutes = [60 * int(found[i]) + int(found[i + 1]) for i in (1, 3)] if found else [0, 9999]
    if max(minutes) > MINUTES:
        raise ScheduleError(f"expected hours as 06:00-22:00, got {text!r}")
    return minutes[0], minutes[1]


def masks(schedules: Sequence[Schedule | None]) -> np.ndarray:
    """bool [schedules, 12 months, 14 days, minutes of the day / 15]; weekdays of work, then of days off."""
    out = np.ones((len(schedules), 12, 14, MINUTES // 15), bool)
    for i, schedule in enumerate(schedules):
        if schedule is None:
            continue
        if schedule.months:
            out[i, [m for m in range(12) if m + 1 not in schedule.months]] = False
        if schedule.days:
            named = set(schedule.days)
            out[i, :, [d for d in range(14) if not named & {DAYS[d % 7], KINDS[d // 7]}]] = False
        if schedule.hours:
            quarter = np.arange(0, MINUTES, 15)
            wanted = np.zeros(len(quarter), bool)
            for start, end in map(parse_hours, schedule.hours):
                inside = (quarter >= start) & (quarter < end)
                wanted |= inside if start < end else (quarter >= start) | (quarter < end)
            out[i, :, :, ~wanted] = False
    return out


def open_at(mask: np.ndarray, which: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Whether schedule `which` is open at each time."""
    local = at + LOCAL_US
    day = local // DAY_US
    month = (local.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)) % 12
    which_day = (day + 3) % 7 + 7 * days_off(day)
    found: np.ndarray = mask[which, month, which_day, (local % DAY_US) // (15 * 60_000_000)]
    return found
