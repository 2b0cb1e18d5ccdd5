"""What a value did over the last T: sum, mean, extremes, change, fall, rise, for many sensors at once.

A window is a ring of 13 buckets of T/12 (the current one and 12 full ones), so its memory does not grow
with the reporting rate. Buckets are open on the left, (k T/12, (k+1) T/12]: twelve aligned ones are
exactly the readings since T. Of the oldest bucket, partly outside, a sum takes the share inside, an
extreme takes it whole, and a change uses its first reading only if that is inside.
A window with too few reports in T has no value (NaN): it is "too sparse", not normal. A rise is the sum of
the steps up (what a counter counted, what snow fell); `use` is the last step of a counter; `rate` is the
change a day; `count` is how many values lay between two limits. A value that is not known (NaN) adds nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from detectors.recursion import before

RING = 13
FUNCTIONS = ("sum", "mean", "max", "min", "roc", "drop", "rise", "rate", "use", "count")
SUM, MEAN, MAX, MIN, ROC, DROP, RISE, RATE, USE, COUNT = range(10)
DAY_US = 86_400_000_000
_EACH = np.arange(len(FUNCTIONS))
_TIMED = np.isin(_EACH, (ROC, RATE))
_TOTAL = np.isin(_EACH, (SUM, MEAN, RISE, COUNT))
_HIGHEST = np.isin(_EACH, (MAX, DROP))
_NEVER = np.iinfo(np.int64).min
_FAR = np.iinfo(np.int64).max


class Spec(NamedTuple):
    """What is computed, one element a window."""

    function: np.ndarray  # i8, index into FUNCTIONS
    span_us: np.ndarray  # i8, a multiple of 12
    need: np.ndarray  # i8, reports in T below which there is no value
    low: np.ndarray  # f8, of `count`
    high: np.ndarray


class Ring(NamedTuple):
    """What is remembered. Per bucket a sum, an extreme, or (roc) the first value; and how many readings,
    or (roc) the time of the first."""

    head: np.ndarray  # i8 [n], number of the newest bucket
    amount: np.ndarray  # f8 [n, RING]
    filled: np.ndarray  # i8 [n, RING]
    last: np.ndarray  # f8 [n], the newest result
    value: np.ndarray  # f8 [n], the newest value


def fresh(n: int) -> Ring:
    return Ring(
        np.full(n, _NEVER),
        np.zeros((n, RING)),
        np.zeros((n, RING), np.int64),
        np.full(n, np.nan),
        np.full(n, np.nan),
    )


def step(spec: Spec, ring: Ring, at: np.ndarray, value: np.ndarray) -> tuple[Ring, np.ndarray]:
    """Add a reading to each window; what the windows then show. `at` is newer than all before."""
    after, shown = turn(spec, ring, at[None], value[None])
    return after, shown[0]


@np.errstate(all="ignore")
def turn(spec: Spec, ring: Ring, at: np.ndarray, value: np.ndarray) -> tuple[Ring, np.ndarray]:
    """Add readings [T, n] to each window, in turn; what the windows showed after each."""
    known = ~np.isnan(value)
    every = bool(known.all())
    newest = value if every else _newest(ring.value, value, known)
    added = _added(spec, before(ring.value, newest), value)
    head = (at - 1) // (spec.span_us // (RING - 1))
    if not every:
        head = np.maximum(np.maximum.accumulate(np.where(known, head, _NEVER), axis=0), ring.head)
    timed, total, highest = _TIMED[spec.function], _TOTAL[spec.function], _HIGHEST[spec.function]
    amounts, counts = np.empty((*at.shape, RING)), np.empty((*at.shape, RING), np.int64)
    amount, count, last = ring.amount, ring.filled, ring.head
    rows, here = np.arange(at.shape[1]), head % RING
    for t, new in enumerate(added):
        amounts[t], counts[t] = amount, count
        amount, count = amounts[t], counts[t]
        moved = np.flatnonzero(head[t] != last)
        last = head[t]
        if len(moved):
            begun = ring.head[moved] if t == 0 else head[t - 1, moved]
            gone = _numbers(last[moved]) > begun[:, None]
            amount[moved], count[moved] = np.where(gone, 0.0, amount[moved]), np.where(gone, 0, count[moved])
        of = rows if every else np.flatnonzero(known[t])
        place = (rows, here[t]) if every else (of, here[t, of])
        held, had, new, when = amount[place], count[place], new[of], at[t, of]
        more = np.where(total[of], held + new, np.where(highest[of], np.fmax(held, new), np.fmin(held, new)))
        amount[place] = np.where(had == 0, new, np.where(timed[of], held, more))
        count[place] = np.where(timed[of], np.where(had == 0, when, had), had + 1)
    shown = _shown(spec, at, value, head, amounts, counts)
    if (spec.function == USE).any():
        shown = np.where(spec.function == USE, added, shown)
    if not every:
        shown = np.where(known, shown, np.nan)
    return Ring(last, amount, count, shown[-1], newest[-1]), shown


def _numbers(head: np.ndarray) -> np.ndarray:
    """The number of the bucket that each place of the ring stands for, seen from the head."""
    numbers: np.ndarray = head[:, None] - (head[:, None] - np.arange(RING)) % RING
    return numbers


def _newest(start: np.ndarray, value: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The newest known value after each reading."""
    if known.all():
        return value
    rows = np.maximum.accumulate(np.where(known, np.arange(len(value))[:, None], -1), axis=0)
    return np.where(rows >= 0, np.take_along_axis(value, np.maximum(rows, 0), axis=0), start)


def _added(spec: Spec, last: np.ndarray, value: np.ndarray) -> np.ndarray:
    """What each reading adds to its window; of a counter its last step, NaN where it was changed."""
    function = spec.function
    if not (function >= RISE).any():
        return value
    up = value - last
    inside = (value >= spec.low) & (value <= spec.high)
    value = np.where(function == RISE, np.fmax(up, 0.0), value)
    value = np.where(function == COUNT, inside.astype(np.float64), value)
    return np.where(function == USE, np.where(up >= 0, up, np.nan), value)


def _shown(
    spec: Spec, at: np.ndarray, value: np.ndarray, head: np.ndarray, amount: np.ndarray, count: np.ndarray
) -> np.ndarray:
    """What the windows show [T, n], of their buckets [T, n, RING] after each reading. Each kind of window is
    worked out for those that are of it."""
    timed = _TIMED[spec.function]
    if not timed.any():
        return _sums(spec, at, value, head, amount, count)
    if timed.all():
        return _changes(spec, at, value, amount, count)
    shown = np.empty(at.shape)
    of = np.flatnonzero(timed)
    part = Spec(*(array[of] for array in spec))
    shown[:, of] = _changes(part, at[:, of], value[:, of], amount[:, of], count[:, of])
    of = np.flatnonzero(~timed)
    part = Spec(*(array[of] for array in spec))
    shown[:, of] = _sums(part, at[:, of], value[:, of], head[:, of], amount[:, of], count[:, of])
    return shown


def _changes(
    spec: Spec, at: np.ndarray, value: np.ndarray, amount: np.ndarray, count: np.ndarray
) -> np.ndarray:
    inside = (count != 0) & (count >= (at - spec.span_us)[:, :, None])
    oldest = np.where(inside, count, _FAR).reshape(-1, RING)
    place = np.arange(len(oldest)), oldest.argmin(axis=1)
    first = oldest[place].reshape(at.shape)
    change = value - amount.reshape(-1, RING)[place].reshape(at.shape)
    passed = at - first
    of_rate = spec.function == RATE
    enough = (first < at) & (~of_rate | (2 * passed >= spec.span_us))
    change = np.where(of_rate, change * DAY_US / np.maximum(passed, 1), change)
    return np.where(enough, change, np.nan)


def _sums(
    spec: Spec, at: np.ndarray, value: np.ndarray, head: np.ndarray, amount: np.ndarray, count: np.ndarray
) -> np.ndarray:
    function = spec.function
    shown = np.full(at.shape, np.nan)
    if _TOTAL[function].any():
        width = spec.span_us // (RING - 1)
        # The share of the oldest bucket that lies inside T.
        share = 1.0 - (at - spec.span_us - (head - (RING - 1)) * width) / width
        eldest = (head + 1) % RING
        sums = _weighed(amount, eldest, share)
        shown = np.where(_TOTAL[function], sums, shown)
        if (function == MEAN).any():
            shown = np.where(function == MEAN, sums / _weighed(count, eldest, share), shown)
    if _HIGHEST[function].any():
        tops = np.where(count != 0, amount, -np.inf).max(axis=2)
        shown = np.where(function == MAX, tops, np.where(function == DROP, tops - value, shown))
    if (function == MIN).any():
        shown = np.where(function == MIN, np.where(count != 0, amount, np.inf).min(axis=2), shown)
    return np.where(count.sum(axis=2) < spec.need, np.nan, shown)


def _weighed(amount: np.ndarray, eldest: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Sums of buckets, of the eldest the share."""
    parts = amount.astype(np.float64).reshape(-1, RING)
    parts[np.arange(len(parts)), eldest.ravel()] *= share.ravel()
    sums: np.ndarray = parts.sum(axis=1).reshape(share.shape)
    return sums
