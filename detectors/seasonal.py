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

from detectors.compiled import compiled
from detectors.contract import ONE_TRACK, Batch, Block, Bound, Detector, Fall, Scores, Swept, nothing_swept
from detectors.marks import NEVER, Marks, live
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
    return Table(*(np.array([getattr(f, name) for f in facts], np.float64) for name in Table._fields))


def fresh(table: Table, kind: np.ndarray) -> Season:
    n = len(kind)
    zero, never = np.zeros(n), np.full(n, NEVER)
    return Season(
        never, never.copy(), np.zeros(n, np.int64), np.full((n, 24), np.nan),
        zero, zero.copy(), zero.copy(), zero.copy(), zero.copy(), zero.copy(),
        np.full(n, np.inf), np.full(n, -np.inf), never.copy(),
    )  # fmt: skip


def scan(table: Table, state: Season, at: np.ndarray, value: np.ndarray) -> tuple[Season, Marks]:
    """A block of readings [T, n]; `at` alike. `table` has a row for each column."""
    after = Season(*(array.copy() for array in state))
    score, alert = np.empty(value.shape), np.zeros(value.shape, bool)
    _scan(table, after, at, value, score, alert)
    return after, Marks(score, alert)


@compiled
def _scan(
    table: Table, state: Season, at: np.ndarray, value: np.ndarray, score: np.ndarray, alert: np.ndarray
) -> None:
    for column in range(value.shape[1]):
        for row in range(len(value)):
            found = _reading(table, column, state, column, at[row, column], value[row, column])
            score[row, column], alert[row, column] = found


@compiled
def _sweep(table: Table, state: Season, spare: Season, swept: Swept, block: Block) -> None:
    for i in range(len(block.track)):
        track, column = block.track[i], block.columns[i]
        _copy(state, track, spare, 0)
        for nth in range(block.readings[column]):
            at, value = block.at[nth, column], block.value[nth, column]
            score, _ = _reading(table, block.kind[i], state, track, at, value)
            if score >= 1.0:
                swept.speaks[i] = True
                _copy(spare, 0, state, track)
                break


@compiled
def _copy(state: Season, track: int, to: Season, place: int) -> None:
    to.first[place], to.at[place], to.seen[place] = state.first[track], state.at[track], state.seen[track]
    to.baseline[place] = state.baseline[track]
    to.short[place], to.short_mean[place] = state.short[track], state.short_mean[track]
    to.short_square[place] = state.short_square[track]
    to.long[place], to.long_mean[place] = state.long[track], state.long_mean[track]
    to.long_square[place] = state.long_square[track]
    to.lowest[place], to.highest[place] = state.lowest[track], state.highest[track]
    to.spoke[place] = state.spoke[track]


@compiled
def _reading(table: Table, kind: int, state: Season, track: int, at: int, value: float) -> tuple[float, bool]:
    """The score of one reading of a track, in place, and whether it would speak."""
    if state.first[track] == NEVER:
        state.first[track] = at
    before = state.at[track]
    elapsed = 0.0 if before == NEVER else max(at - before, 0) / 1e6
    state.at[track] = at
    if not (np.isfinite(value) and abs(value) < 1e100):
        return 0.0, False
    state.seen[track] += 1
    count = state.seen[track]
    hour = (at + LOCAL_US) % DAY_US // HOUR_US
    usual = state.baseline[track, hour]
    beyond = _extremes(table, kind, state, track, value)
    if np.isnan(usual):
        state.baseline[track, hour] = value
        return 0.0, False
    weight = table.weight[kind]
    state.baseline[track, hour] = (1.0 - weight) * usual + weight * value
    away = abs(value - usual)
    # Plain averages at first, then exponential memory.
    gain = max(1.0 / max(count, 1), 1 - np.exp(-elapsed / table.memory_s[kind]))
    short = _level(
        table, kind, state.short, state.short_mean, state.short_square, track,
        elapsed, table.short_s[kind], away, gain,
    )  # fmt: skip
    long = _level(
        table, kind, state.long, state.long_mean, state.long_square, track,
        elapsed, table.long_s[kind], away, gain,
    )  # fmt: skip
    if count <= table.quiet_readings[kind] or at - state.first[track] < table.quiet_s[kind] * 1e6:
        return 0.0, False
    score = max(short / table.short_limit[kind], long / table.long_limit[kind])
    score = max(score, beyond, 0.0)
    spoke = state.spoke[track]
    if score < 1.0 or (spoke != NEVER and at - spoke < table.refractory_s[kind] * 1e6):
        return score, False
    state.spoke[track] = at
    return score, True


@compiled
def _level(
    table: Table, kind: int, level: np.ndarray, mean: np.ndarray, square: np.ndarray, track: int,
    elapsed: float, span_s: float, away: float, gain: float,
) -> float:  # fmt: skip
    """Moves the average size of the residual and its moments; how far it is from its mean, in spreads."""
    most = 1.0 / (table.least_readings[kind] * span_s / table.short_s[kind])
    weight = min(1 - np.exp(-elapsed / span_s), most)
    now = (1.0 - weight) * level[track] + weight * away
    m, q = mean[track], square[track]
    level[track] = now
    mean[track] = (1.0 - gain) * m + gain * now
    square[track] = (1.0 - gain) * q + gain * now**2
    spread = np.sqrt(max(q - m**2, 0.0))
    # What arithmetic cannot tell from no spread at all is none.
    spread = max(spread, 1e-6 * np.sqrt(max(q, 0.0)), table.floor[kind])
    if spread > 0:
        return float((now - m) / spread)
    return 1e6 if now > m else 0.0


@compiled
def _extremes(table: Table, kind: int, state: Season, track: int, value: float) -> float:
    """Widens the range; how many margins the reading left the range it found."""
    low, high = state.lowest[track], state.highest[track]
    state.lowest[track], state.highest[track] = min(low, value), max(high, value)
    room = table.margin[kind] * (high - low)
    over = max(value - high, low - value)
    if table.margin[kind] <= 0 or not np.isfinite(room) or over <= table.floor[kind]:
        return 0.0
    return float(over / max(room, 1e-300))


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


def room(table: Table) -> Season:
    return fresh(table, ONE_TRACK)


def sweep(table: Table, state: Season, block: Block, room: Season) -> Swept:
    swept = nothing_swept(block)
    swept.running[:] = True
    _sweep(table, state, room, swept, block)
    return swept


DETECTOR = Detector("seasonal", bind, tabulate, fresh, step, sweep=sweep, room=room)
