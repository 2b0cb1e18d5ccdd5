"""How far a quantity made of several sensors departs from what is usual at this hour.

The quantity is smoothed (EWMA: Roberts 1959) and held against a baseline of 48 hours (detectors/learned.py:
working days, days off, memory four weeks). A departure counts from so many standard deviations of its hour.
From what departs, and while an episode is open, the baseline learns at a tenth of the pace. Each member has a
baseline of its own, so that a departure can be laid at somebody's door.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from detectors import learned
from detectors.day_type import days_off
from detectors.verdict import NEVER

HOURS = learned.BINS


class Usual(NamedTuple):
    """[n, ...]; the last is by member and hour, flat."""

    newest: np.ndarray  # i8, NEVER before the first
    mean: np.ndarray  # f8, smoothed quantity
    usual: np.ndarray
    size: np.ndarray
    times: np.ndarray
    course: np.ndarray
    each: np.ndarray  # f4 [n, members * 48]


class Departure(NamedTuple):
    """`off` is NaN while nothing is known."""

    mean: np.ndarray
    usual: np.ndarray
    off: np.ndarray
    sigmas: np.ndarray  # of `off`, signed
    parts: np.ndarray  # [n, members], each member's own departure


def fresh(n: int, members: int) -> Usual:
    blank = learned.fresh(n, baseline=True, line=False)
    return Usual(
        np.full(n, NEVER),
        np.full(n, np.nan),
        blank.usual,
        blank.size,
        blank.times,
        blank.course,
        np.full((n, members * HOURS), np.nan, np.float32),
    )


@np.errstate(all="ignore")
def depart(
    state: Usual,
    at: np.ndarray,
    quantity: np.ndarray,
    values: np.ndarray,
    span_us: np.ndarray,
    floor: np.ndarray,
    learn_us: np.ndarray,
    sigma: np.ndarray,
    open_now: np.ndarray,
) -> tuple[Usual, Departure]:
    """One moment of each track. `floor`: a size below it is rounding. An unknown quantity changes nothing."""
    n, members = values.shape  # no members: nothing is laid at anybody's door
    calm = ~open_now
    rows = np.arange(n)
    known = np.isfinite(quantity)
    passed = np.where(state.newest == NEVER, 0, at - state.newest)
    # After a long gap the old mean says nothing.
    stale = (state.newest == NEVER) | (passed > 4 * span_us)
    weight = np.where(stale, 1.0, 1 - np.exp(-passed / span_us))
    mean = np.where(stale, quantity, state.mean + weight * (quantity - state.mean))
    mean = np.where(known, mean, state.mean)
    before = learned.Learned(state.usual, state.size, state.times, state.course, np.zeros((n, 0)))
    column = hour_column(at)
    usual = state.usual[rows, column].astype(np.float64)
    size = np.maximum(state.size[rows, column].astype(np.float64) * learned.SIGMA_OF_MEAN_SIZE, floor)
    first = np.where(state.course[:, 0] == 0, at, state.course[:, 0])
    times = state.times[rows, column].astype(np.float64)
    ready = known & (times >= learned.LEAST_TIMES) & (at - first >= learn_us)
    off = np.where(ready, mean - usual, np.nan)
    calm &= ~(np.abs(off) >= sigma * size)
    after, _, _ = learned.against_baseline(before, at, np.where(known, mean, 0.0), calm)
    each = state.each.reshape(n, members, HOURS)
    own = each[rows[:, None], np.arange(members), column[:, None]].astype(np.float64)
    pace = np.where(calm, 1.0, learned.CALM)
    gain = pace * np.maximum(1 / (times + 1), 24 * np.clip(passed, 0, learned.HOUR_US) / learned.MEMORY_US)
    moved = np.where(np.isfinite(own), own + gain[:, None] * (values - own), values)
    moved = np.where(np.isfinite(values), moved, own)
    new = each.copy()
    new[rows[:, None], np.arange(members), column[:, None]] = moved
    new = np.where(known[:, None, None], new, each)

    def kept(fresh: np.ndarray, old: np.ndarray) -> np.ndarray:
        return np.where(known[:, None], fresh, old).astype(old.dtype)

    fresh_state = Usual(
        np.where(known, at, state.newest),
        mean,
        kept(after.usual, state.usual),
        kept(after.size, state.size),
        kept(after.times, state.times),
        kept(after.course, state.course),
        new.reshape(n, members * HOURS),
    )
    return fresh_state, Departure(mean, usual, off, off / size, values - own)


def hour_column(at: np.ndarray) -> np.ndarray:
    local = at + learned.LOCAL_US
    off = days_off(local // learned.DAY_US)
    return np.asarray(local % learned.DAY_US // learned.HOUR_US + np.where(off, 24, 0))
