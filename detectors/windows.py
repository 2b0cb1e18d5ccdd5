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
    newest = _newest(ring.value, value, known)
    added = _added(spec, before(ring.value, newest), value)
    head = (at - 1) // (spec.span_us // (RING - 1))
    every = bool(known.all())
    if not every:
        head = np.maximum(np.maximum.accumulate(np.where(known, head, _NEVER), axis=0), ring.head)
    # The number of the bucket that each place of the ring stands for, seen from the head.
    number = head[:, :, None] - (head[:, :, None] - np.arange(RING)) % RING
    kept = number <= before(ring.head, head)[:, :, None]
    timed = (spec.function == ROC) | (spec.function == RATE)
    total = np.isin(spec.function, (SUM, MEAN, RISE, COUNT))
    highest = (spec.function == MAX) | (spec.function == DROP)
    amounts, counts = np.empty(number.shape), np.empty(number.shape, np.int64)
    amount, count = ring.amount, ring.filled
    rows, here = np.arange(at.shape[1]), head % RING
    for t, new in enumerate(added):
        was = amount, count
        amount, count = np.where(kept[t], amount, 0.0), np.where(kept[t], count, 0)
        held, had = amount[rows, here[t]], count[rows, here[t]]
        first = had == 0
        more = np.where(total, held + new, np.where(highest, np.fmax(held, new), np.fmin(held, new)))
        amount[rows, here[t]] = np.where(first, new, np.where(timed, held, more))
        count[rows, here[t]] = np.where(timed, np.where(first, at[t], had), had + 1)
        if not every:
            there = known[t][:, None]
            amount, count = np.where(there, amount, was[0]), np.where(there, count, was[1])
        amounts[t], counts[t] = amount, count
    shown = _shown(spec, timed, at, value, head, number, amounts, counts)
    if (spec.function == USE).any():
        shown = np.where(spec.function == USE, added, shown)
    if not every:
        shown = np.where(known, shown, np.nan)
    return Ring(head[-1], amount, count, shown[-1], newest[-1]), shown


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
    spec: Spec,
    timed: np.ndarray,
    at: np.ndarray,
    value: np.ndarray,
    head: np.ndarray,
    number: np.ndarray,
    amount: np.ndarray,
    count: np.ndarray,
) -> np.ndarray:
    """What the windows show [T, n], of their buckets [T, n, RING] after each reading."""
    result = np.full(at.shape, np.nan)
    filled = count != 0
    since = at - spec.span_us
    if timed.any():
        inside = filled & (count >= since[:, :, None])
        oldest = np.where(inside, count, _FAR)
        place = oldest.argmin(axis=2)[:, :, None]
        first = np.take_along_axis(oldest, place, axis=2)[:, :, 0]
        change = value - np.take_along_axis(amount, place, axis=2)[:, :, 0]
        passed = at - first
        of_rate = spec.function == RATE
        enough = timed & (first < at) & (~of_rate | (2 * passed >= spec.span_us))
        change = np.where(of_rate, change * DAY_US / np.maximum(passed, 1), change)
        result = np.where(enough, change, result)
    if not timed.all():
        width = spec.span_us // (RING - 1)
        # The share of the oldest bucket that lies inside T.
        eldest = head - (RING - 1)
        share = 1.0 - (since - eldest * width) / width
        weight = np.where(number == eldest[:, :, None], share[:, :, None], 1.0)
        times = np.where(filled, count, 0)
        sums = (amount * weight).sum(axis=2)
        means = sums / (times * weight).sum(axis=2)
        tops = np.where(filled, amount, -np.inf).max(axis=2)
        lows = np.where(filled, amount, np.inf).min(axis=2)
        nothing = result
        shown = np.choose(
            np.broadcast_to(spec.function, at.shape),
            (sums, means, tops, lows, nothing, tops - value, sums, nothing, nothing, sums),
        )
        result = np.where(timed | (times.sum(axis=2) < spec.need), result, shown)
    return result
