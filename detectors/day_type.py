"""Whether people work on a day of the city: by the week, and by what public holidays change of it."""

from __future__ import annotations

import datetime as dt

import numpy as np

from detectors.compiled import compiled
from schemas.days_off import exceptions

EXCEPTIONS = np.array([(day - dt.date(1970, 1, 1)).days for day in exceptions()], np.int64)


@compiled
def is_day_off(day: int) -> bool:
    """Of a day by its number from 1970-01-01, a Thursday, on."""
    weekend = (day + 3) % 7 >= 5
    at = np.searchsorted(EXCEPTIONS, day)
    return bool(weekend != (at < len(EXCEPTIONS) and EXCEPTIONS[at] == day))


def days_off(days: np.ndarray) -> np.ndarray:
    """The same of many."""
    found: np.ndarray = ((days + 3) % 7 >= 5) != np.isin(days, EXCEPTIONS)
    return found
