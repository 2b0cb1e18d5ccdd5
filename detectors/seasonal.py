"""A value that departs from what is usual at this hour of the day.

A baseline for each hour of the day (seasonal exponential smoothing: Winters 1960, "Forecasting sales by
exponentially weighted moving averages") leaves a residual. Its size, averaged over about half an hour and
over two and a half, is compared with the mean and spread of that same average in the long run (Roberts 1959);
a new extreme that leaves the range seen so far by a share of it counts as well. All memory is
exponential: 33 numbers a sensor and no window. Nothing is clipped or left out of learning: on recorded data
both cost more than they gave. After an alert the detector says nothing for the refractory time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from detectors.contract import Batch, Block, Bound, Detector, Fall, Scores, Swept
from detectors.marks import NEVER, Marks, elapsed_s, live, swept
from detectors.recursion import before, follow
from schemas.catalogue import Category
from schemas.registry import Sensor
from schemas.rule import Rule

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
LOCAL_US = 8 * HOUR_US  # the city's day begins at midnight, +08:00


@dataclass(frozen=True)
class Facts:
    level: int = 4
    weight: float = 0.05  # of a reading in its hour's baseline
    short_s: float = 1800.0
    long_s: float = 9000.0
    least_readings: float = 6.5  # that an average stands on, however far apart they are
    memory_s: float = 28 * 86400.0
    short_limit: float = 5.0
    long_limit: float = 3.5
    margin: float = 0.02  # of the range, by which an extreme must be new; 0: extremes do not count
    quiet_s: float = 2 * 86400.0  # while it learns
    quiet_readings: int = 150
    refractory_s: float = 43200.0
    floor: float = 0.0  # a spread below this is rounding


# The city's budget of false alerts is far below what suits a benchmark: higher limits, extremes do not count.
CITY = Facts(short_limit=10.0, long_limit=7.0, margin=0.0, quiet_s=7 * 86400.0, refractory_s=86400.0)


class Table(NamedTuple):
    """A row a kind; fields as in Facts."""

    level: np.ndarray
    weight: np.ndarray
    short_s: np.ndarray
    long_s: np.ndarray
    least_readings: np.ndarray
    memory_s: np.ndarray
    short_limit: np.ndarray
    long_limit: np.ndarray
    margin: np.ndarray
    quiet_s: np.ndarray
    quiet_readings: np.ndarray
    refractory_s: np.ndarray
    floor: np.ndarray


class Season(NamedTuple):
    first: np.ndarray  # i8, time of the first reading
    at: np.ndarray  # i8, of the newest
    seen: np.ndarray  # i8, readings
    baseline: np.ndarray  # f8 [n, 24], NaN where no reading fell yet
    short: np.ndarray  # mean size of the residual
    short_mean: np.ndarray  # its moments in the long run
    short_square: np.ndarray
    long: np.ndarray
    long_mean: np.ndarray
    long_square: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    spoke: np.ndarray  # i8, time of the newest alert


def tabulate_facts(facts: Sequence[Facts]) -> Table:
    return Table(*(np.array([getattr(f, name) for f in facts]) for name in Table._fields))


def fresh(table: Table, kind: np.ndarray) -> Season:
    n = len(kind)
    zero, never = np.zeros(n), np.full(n, NEVER)
    return Season(
        never, never, np.zeros(n, np.int64), np.full((n, 24), np.nan),
        zero, zero, zero, zero, zero, zero, np.full(n, np.inf), np.full(n, -np.inf), never,
    )  # fmt: skip


@np.errstate(all="ignore")
def scan(table: Table, state: Season, at: np.ndarray, value: np.ndarray) -> tuple[Season, Marks]:
    """A block of readings [T, n]; `at` alike. `table` has a row for each column."""
    known = np.isfinite(value) & (np.abs(value) < 1e100)
    held = np.where(known, value, 0.0)
    elapsed = elapsed_s(state.at, at)
    first = np.where(state.first == NEVER, at[0], state.first)
    count = state.seen + np.cumsum(known, axis=0)
    baseline, usual = _seasons(table, state.baseline, at, held, known)
    away = np.where(known & np.isfinite(usual), np.abs(held - usual), 0.0)
    scored = known & np.isfinite(usual)
    # Plain averages at first, then exponential memory.
    gain = np.maximum(1.0 / np.maximum(count, 1), 1 - np.exp(-elapsed / table.memory_s))
    gain = np.where(scored, gain, 0.0)
    short, short_mean, short_square, z_short = _level(
        table, state.short, state.short_mean, state.short_square, elapsed, table.short_s, away, scored, gain
    )
    long, long_mean, long_square, z_long = _level(
        table, state.long, state.long_mean, state.long_square, elapsed, table.long_s, away, scored, gain
    )
    low, high, beyond = _extremes(table, state, held, known)
    ready = scored & (count > table.quiet_readings) & (at - first >= table.quiet_s * 1e6)
    score = np.maximum(z_short / table.short_limit, z_long / table.long_limit)
    score = np.where(ready, np.maximum(np.maximum(score, beyond), 0.0), 0.0)
    alert, spoke = _speak(table, state.spoke, at, score)
    fresh_state = Season(
        first, at[-1], count[-1], baseline, short, short_mean, short_square, long, long_mean, long_square,
        low, high, spoke,
    )  # fmt: skip
    return fresh_state, Marks(score, alert)


def _seasons(
    table: Table, baseline: np.ndarray, at: np.ndarray, value: np.ndarray, known: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The baselines after the block, and what each reading found as its hour's baseline."""
    hour = ((at + LOCAL_US) % DAY_US) // HOUR_US
    columns = np.arange(value.shape[1])
    baseline = baseline.copy()
    usual = np.empty(value.shape)
    if len(value) <= 8 * len(columns):
        keep, adds = 1.0 - table.weight, table.weight * value
        for row, here in enumerate(hour):
            found = baseline[columns, here]
            usual[row] = found
            moved = np.where(np.isnan(found), value[row], keep * found + adds[row])
            baseline[columns, here] = np.where(known[row], moved, found)
        return baseline, usual
    for column in columns:
        weight = float(table.weight[column])
        for h in range(24):
            rows = np.flatnonzero(hour[:, column] == h)
            if not len(rows):
                continue
            xs, ks = value[rows, column], known[rows, column]
            start = baseline[column, h]
            begin = 0
            if np.isnan(start):
                begin = int(ks.argmax()) + 1 if ks.any() else len(rows)
                usual[rows[:begin], column] = np.nan
                if not ks.any():
                    continue
                start = xs[begin - 1]
            part = ks[begin:]
            keep = np.where(part, 1.0 - weight, 1.0)[:, None]
            add = np.where(part, weight * xs[begin:], 0.0)[:, None]
            after = follow(np.array([start]), keep, add)[:, 0] if len(part) else np.empty(0)
            usual[rows[begin:], column] = np.concatenate(([start], after))[:-1] if len(part) else after
            baseline[column, h] = after[-1] if len(part) else start
    return baseline, usual


def _level(
    table: Table,
    level: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    elapsed: np.ndarray,
    span_s: np.ndarray,
    away: np.ndarray,
    scored: np.ndarray,
    gain: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The average size of the residual and its moments after the block, and its z at each reading."""
    most = 1.0 / (table.least_readings * span_s / table.short_s)
    weight = np.where(scored, np.minimum(1 - np.exp(-elapsed / span_s), most), 0.0)
    levels = follow(level, 1.0 - weight, weight * away)
    means = follow(mean, 1.0 - gain, gain * levels)
    squares = follow(square, 1.0 - gain, gain * levels**2)
    m, q = before(mean, means), before(square, squares)
    spread = np.sqrt(np.maximum(q - m**2, 0.0))
    # What arithmetic cannot tell from no spread at all is none.
    spread = np.maximum(np.maximum(spread, 1e-6 * np.sqrt(np.maximum(q, 0.0))), table.floor)
    z = np.where(spread > 0, (levels - m) / np.where(spread > 0, spread, 1.0), np.where(levels > m, 1e6, 0.0))
    return levels[-1], means[-1], squares[-1], z


def _extremes(
    table: Table, state: Season, value: np.ndarray, known: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The range after the block, and how many margins each reading left the range it found."""
    lows = np.minimum(state.lowest, np.minimum.accumulate(np.where(known, value, np.inf), axis=0))
    highs = np.maximum(state.highest, np.maximum.accumulate(np.where(known, value, -np.inf), axis=0))
    low, high = before(state.lowest, lows), before(state.highest, highs)
    room = table.margin * (high - low)
    over = np.maximum(value - high, low - value)
    counts = known & (table.margin > 0) & np.isfinite(room) & (over > table.floor)
    return lows[-1], highs[-1], np.where(counts, over / np.maximum(room, 1e-300), 0.0)


def _speak(
    table: Table, spoke: np.ndarray, at: np.ndarray, score: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where it speaks: at its limit, unless it spoke within the refractory time."""
    alert = np.zeros(score.shape, bool)
    spoke = spoke.copy()
    over = score >= 1.0
    for row in np.flatnonzero(over.any(axis=1)):
        silent = (spoke == NEVER) | (at[row] - spoke >= table.refractory_s * 1e6)
        alert[row] = over[row] & silent
        spoke = np.where(alert[row], at[row], spoke)
    return alert, spoke


def bind(rule: Rule, sensor: Sensor | None, category: Category | None, gateway_s: float) -> Bound:
    if category is None:
        raise ValueError(f"rule {rule.name}: seasonal needs a sensor with a category")
    level = min(rule.levels, default=4)
    if category.is_state:
        return Bound(Facts(), frozenset(), (Fall(),) * 4, (), ("a state has no daily course",))
    facts = Facts(
        level=level,
        short_limit=rule.params.get("short_limit", CITY.short_limit),
        long_limit=rule.params.get("long_limit", CITY.long_limit),
        margin=rule.params.get("margin", CITY.margin),
        quiet_s=rule.params.get("quiet_s", CITY.quiet_s),
        refractory_s=rule.params.get("refractory_s", CITY.refractory_s),
        floor=category.resolution,
    )
    fall = Fall(us=round(facts.refractory_s * 1e6))
    return Bound(facts, frozenset({level}), (fall,) * 4, ("seasonal",))


def tabulate(bounds: Sequence[Bound]) -> Table:
    return tabulate_facts([bound.facts for bound in bounds])


def step(table: Table, state: Season, batch: Batch) -> tuple[Season, Scores]:
    """An episode's fall takes the place of the refractory time, so one disturbance is one alert."""
    own = Table(*(array[batch.kind] for array in table))
    after, marks = scan(own, state, batch.at[None], batch.value[None])
    return after, live(marks, own.level, batch)


def sweep(table: Table, state: Season, block: Block) -> tuple[Season, Swept]:
    after, marks = scan(Table(*(array[block.kind] for array in table)), state, block.at, block.value)
    return after, swept(marks)


DETECTOR = Detector("seasonal", bind, tabulate, fresh, step, sweep=sweep)
