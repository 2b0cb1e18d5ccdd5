"""What a value did over the last T: sum, mean, extremes, change, fall, rise, for many sensors at once.

A window is a ring of 13 buckets of T/12 (the current one and 12 full ones), so its memory does not grow
with the reporting rate. Buckets are open on the left, (k T/12, (k+1) T/12]: twelve aligned ones are
exactly the readings since T. Of the oldest bucket, partly outside, a sum takes the share inside, an
extreme takes it whole, and a change uses its first reading only if that is inside.
A window with too few reports in T, or none from its older half where more than one is needed, has no value
(NaN): it is "too sparse", not normal. A rise is the sum of the steps up (what a counter counted, what snow
fell); `use` is the last step of a counter; `rate` is the change a day; `count` is how many values lay
between two limits. A value that is not known (NaN) adds nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from detectors.compiled import compiled

RING = 13
FUNCTIONS = ("sum", "mean", "max", "min", "roc", "drop", "rise", "rate", "use", "count")
SUM, MEAN, MAX, MIN, ROC, DROP, RISE, RATE, USE, COUNT = range(10)
DAY_US = 86_400_000_000
_NEVER = np.iinfo(np.int64).min


class Spec(NamedTuple):
    """What is computed, one element a window."""

    function: np.ndarray  # i8, index into FUNCTIONS
    span_us: np.ndarray  # i8, a multiple of 12
    need: np.ndarray  # i8, reports in T below which there is no value
    low: np.ndarray  # f8, of `count`
    high: np.ndarray


class Ring(NamedTuple):
    """What is remembered, by track and window. Per bucket a sum, an extreme, or (roc) the first value; and
    how many readings, or (roc) the time of the first."""

    head: np.ndarray  # i8 [n, w], number of the newest bucket
    amount: np.ndarray  # f8 [n, w, RING]
    filled: np.ndarray  # i8 [n, w, RING]
    last: np.ndarray  # f8 [n, w], the newest result
    value: np.ndarray  # f8 [n, w], the newest value


def fresh(n: int, w: int = 1) -> Ring:
    return Ring(
        np.full((n, w), _NEVER),
        np.zeros((n, w, RING)),
        np.zeros((n, w, RING), np.int64),
        np.full((n, w), np.nan),
        np.full((n, w), np.nan),
    )


def step(spec: Spec, ring: Ring, at: np.ndarray, value: np.ndarray) -> tuple[Ring, np.ndarray]:
    """Add a reading to the window of each track; what it then shows. `at` is newer than all before."""
    after = Ring(*(array.copy() for array in ring))
    _step(spec, after, at, value)
    return after, after.last[:, 0].copy()


@compiled
def _step(spec: Spec, ring: Ring, at: np.ndarray, value: np.ndarray) -> None:
    for i in range(len(at)):
        function, span_us, need = spec.function[i], spec.span_us[i], spec.need[i]
        turn(function, span_us, need, spec.low[i], spec.high[i], ring, i, 0, at[i], value[i])


@compiled
def turn(
    function: int, span_us: int, need: int, low: float, high: float,
    ring: Ring, track: int, window: int, at: int, value: float,
) -> None:  # fmt: skip
    """Add a reading to one window, in place; what it shows is then its `last`."""
    if np.isnan(value):
        ring.last[track, window] = np.nan
        return
    amount, filled = ring.amount[track, window], ring.filled[track, window]
    new = _added(function, low, high, value, ring.value[track, window])
    ring.value[track, window] = value
    begun = ring.head[track, window]
    head = max(begun, (at - 1) // (span_us // (RING - 1)))
    if head != begun:
        ring.head[track, window] = head
        for bucket in range(max(begun + 1, head - RING + 1), head + 1):
            amount[bucket % RING], filled[bucket % RING] = 0.0, 0
    here = head % RING
    if filled[here] == 0:
        amount[here] = new
        filled[here] = at if function in (ROC, RATE) else 1
    elif function not in (ROC, RATE):
        filled[here] += 1
        if function in (SUM, MEAN, RISE, COUNT):
            amount[here] += new
        elif function in (MAX, DROP):
            amount[here] = max(amount[here], new)
        elif function == MIN:
            amount[here] = min(amount[here], new)
    if function == USE:
        ring.last[track, window] = new
    elif function in (ROC, RATE):
        ring.last[track, window] = _change(function == RATE, span_us, amount, filled, at, value)
    else:
        ring.last[track, window] = _shown(function, span_us, need, amount, filled, head, at, value)


@compiled
def _added(function: int, low: float, high: float, value: float, before: float) -> float:
    """What a reading adds to its window; of a counter its last step, NaN where it was changed."""
    if function == RISE:
        return value - before if value > before else 0.0
    if function == COUNT:
        return 1.0 if low <= value <= high else 0.0
    if function == USE:
        return value - before if value >= before else np.nan
    return value


@compiled
def _change(
    of_rate: bool, span_us: int, amount: np.ndarray, filled: np.ndarray, at: int, value: float
) -> float:
    """Against the oldest first value of a bucket that lies within the span."""
    first, oldest = at, 0
    for place in range(RING):
        if filled[place] != 0 and at - span_us <= filled[place] < first:
            first, oldest = filled[place], place
    passed = at - first
    if passed == 0 or (of_rate and 2 * passed < span_us):
        return np.nan
    change = value - amount[oldest]
    if of_rate:
        change = change * DAY_US / passed
    return float(change)


@compiled
def _reaches_back(filled: np.ndarray, head: int) -> bool:
    """Whether the readings cover half of T: many reports within minutes say nothing about a day."""
    older = 0
    for back in range((RING - 1) // 2, RING):
        older += filled[(head - back) % RING]
    return older > 0


@compiled
def _shown(
    function: int, span_us: int, need: int,
    amount: np.ndarray, filled: np.ndarray, head: int, at: int, value: float,
) -> float:  # fmt: skip
    readings = 0
    for place in range(RING):
        readings += filled[place]
    if readings < need or (need > 1 and function != DROP and not _reaches_back(filled, head)):
        return np.nan
    if function in (SUM, MEAN, RISE, COUNT):
        width = span_us // (RING - 1)
        # The share of the oldest bucket that lies inside T.
        share = 1.0 - (at - span_us - (head - (RING - 1)) * width) / width
        eldest = (head + 1) % RING
        total, number = 0.0, 0.0
        for place in range(RING):
            weight = share if place == eldest else 1.0
            total += weight * amount[place]
            number += weight * filled[place]
        return total / number if function == MEAN else total
    extreme = np.nan
    for place in range(RING):
        if filled[place] != 0:
            further = amount[place] > extreme if function in (MAX, DROP) else amount[place] < extreme
            if further or np.isnan(extreme):
                extreme = amount[place]
    return extreme - value if function == DROP else extreme
