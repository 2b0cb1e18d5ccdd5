"""Spans: the stretches of event time that `readings` is cut into, a table each.

Near the city's present a span has the width that the historian was given (an hour; a day where city time
runs fast). A time further away - an old file replayed, a gateway back after weeks - gets the whole month, or
what of it is free, so that a year of history is a dozen tables and not 8,760. Spans never overlap and never
change. This only reckons; streams/span_tables.py makes the tables.
"""

from __future__ import annotations

import bisect
import datetime as dt
from typing import NamedTuple

import numpy as np

from schemas.clock import to_datetime, to_us

HOUR_US = 3600 * 1_000_000
DAY_US = 24 * HOUR_US

LAST_US = 4_102_444_800_000_000  # 2100-01-01; with schemas.reading.EARLIEST_US the times that can be stored


class Span(NamedTuple):
    """From `start` up to (not including) `end`, microseconds UTC."""

    start: int
    end: int

    @property
    def name(self) -> str:
        """The name of its table: its first minute and its minutes, so that no two are alike."""
        minutes = (self.end - self.start) // 60_000_000
        return f"r{to_datetime(self.start):%Y%m%d_%H%M}_{minutes}"


def width_us(scale: float) -> int:
    """The width of spans near the present for a city clock of this scale.

    An hour in production is at most some hundred million rows and one index to build. At 60 times the
    speed it would be a table a minute.
    """
    return HOUR_US if scale <= 2 else DAY_US


def missing(times: np.ndarray, spans: list[Span], city_us: int, width: int) -> list[Span]:
    """The spans to be made so that every one of `times` lies in one. `spans` is sorted.

    >>> missing(np.array([5, HOUR_US + 5]), [], 0, HOUR_US)
    [Span(start=0, end=3600000000), Span(start=3600000000, end=7200000000)]
    """
    made: list[Span] = []
    known = list(spans)
    left = np.unique(times // 60_000_000) * 60_000_000  # every bound is a whole minute
    while (left := _outside(left, known)).size:
        span = _clipped(_ideal(int(left[0]), city_us, width), int(left[0]), known)
        bisect.insort(known, span)
        made.append(span)
    return made


def _outside(times: np.ndarray, spans: list[Span]) -> np.ndarray:
    if not spans:
        return times
    starts = np.array([span.start for span in spans])
    ends = np.array([span.end for span in spans])
    at = np.searchsorted(starts, times, side="right") - 1
    return times[(at < 0) | (times >= ends[at])]


def _ideal(time: int, city_us: int, width: int) -> Span:
    """Without regard to what is there. The past month stops short of the near times, which come next."""
    today = city_us // DAY_US * DAY_US
    near = Span(today - DAY_US, today + 3 * DAY_US)
    if near.start <= time < near.end:
        start = time // width * width
        return Span(start, start + width)
    first = to_datetime(time).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = (first + dt.timedelta(days=32)).replace(day=1)
    month = Span(to_us(first), to_us(following))
    if time < near.start:
        return Span(month.start, min(month.end, near.start))
    return Span(max(month.start, near.end), month.end)


def _clipped(span: Span, time: int, spans: list[Span]) -> Span:
    at = bisect.bisect_right(spans, Span(time, LAST_US))
    start = max(span.start, spans[at - 1].end) if at else span.start
    end = min(span.end, spans[at].start) if at < len(spans) else span.end
    return Span(start, end)
