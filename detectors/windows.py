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


@np.errstate(all="ignore")
def step(spec: Spec, ring: Ring, at: np.ndarray, value: np.ndarray) -> tuple[Ring, np.ndarray]:
    """Add a reading to each window; what the windows then show. `at` is newer than all before."""
    given, function = value, spec.function
    if (function >= RISE).any():
        step_up = np.where(np.isnan(ring.value), np.nan, value - ring.value)
        inside = (value >= spec.low) & (value <= spec.high)
        value = np.where(function == RISE, np.fmax(step_up, 0.0), value)
        value = np.where(function == COUNT, inside.astype(np.float64), value)
        use = np.where(step_up >= 0, step_up, np.nan)  # a counter that went down was changed
    width = spec.span_us // (RING - 1)
    head = (at - 1) // width
    # The number of the bucket that each place of the ring stands for, seen from the new head.
    places = np.arange(RING)
    number = head[:, None] - (head[:, None] - places) % RING
    kept = number <= ring.head[:, None]
    amount = np.where(kept, ring.amount, 0.0)
    count = np.where(kept, ring.filled, 0)
    rows = np.arange(len(at))
    here = head % RING
    held, had = amount[rows, here], count[rows, here]
    is_roc = (function == ROC) | (function == RATE)
    first = had == 0
    total = (function == SUM) | (function == MEAN) | (function == RISE) | (function == COUNT)
    highest = (function == MAX) | (function == DROP)
    new = np.where(total, held + value, np.where(highest, np.fmax(held, value), np.fmin(held, value)))
    amount[rows, here] = np.where(first, value, np.where(is_roc, held, new))
    count[rows, here] = np.where(is_roc, np.where(first, at, had), had + 1)
    filled = count != 0
    result = np.full(len(at), np.nan)

    if is_roc.any():
        start = (at - spec.span_us)[:, None]
        inside = filled & (count >= start) & is_roc[:, None]
        oldest = np.where(inside, count, _FAR)
        where = oldest.argmin(axis=1)
        known = is_roc & (oldest[rows, where] < at)
        change, passed = value - amount[rows, where], at - oldest[rows, where]
        known &= (function == ROC) | (2 * passed >= spec.span_us)
        daily = np.where(function == RATE, change * DAY_US / np.maximum(passed, 1), change)
        result = np.where(known, daily, result)
    if not is_roc.all():
        # The share of the oldest bucket that lies inside T.
        outside = (at - spec.span_us) - (head - (RING - 1)) * width
        share = 1.0 - outside / width
        weight = np.where(number == (head - (RING - 1))[:, None], share[:, None], 1.0)
        reports = np.where(filled, count, 0).sum(axis=1)
        sums = (amount * weight).sum(axis=1)
        weights = (np.where(filled, count, 0) * weight).sum(axis=1)
        means = sums / weights
        tops = np.where(filled, amount, -np.inf).max(axis=1)
        lows = np.where(filled, amount, np.inf).min(axis=1)
        shown = np.choose(
            function, (sums, means, tops, lows, result, tops - value, sums, result, result, sums)
        )
        result = np.where(is_roc | (reports >= spec.need), shown, result)
    if (function == USE).any():
        result = np.where(function == USE, use, result)
    unknown = np.isnan(given)
    if unknown.any():
        head = np.where(unknown, ring.head, head)
        amount = np.where(unknown[:, None], ring.amount, amount)
        count = np.where(unknown[:, None], ring.filled, count)
        result = np.where(unknown, np.nan, result)
        given = np.where(unknown, ring.value, given)
    return Ring(head, amount, count, result, given), result
