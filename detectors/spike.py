"""A reading that leaves the median of the three before it, and one that comes back to it.

The running median as the reference: Tukey 1977, "Exploratory Data Analysis"; scaled like the filter of Hampel
1974 ("The influence curve and its role in robust estimation"), with the mean size of such departures over a
day, never below the sensor's resolution. Two ways to speak:
a departure that returns within a few readings is a fault of the sensor (water, gas and heat do not do
that) and counts from `returned` on; one that stays may be the city, so it has to be the largest of the last
60 to 120 days, at least `least`: the false alerts of a quiet sensor have a budget without any label.
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

GAP = 5.0  # usual intervals without a reading
LONGEST_STEP_S = 3600.0  # a gap counts as this in the mean of a day


@dataclass(frozen=True)
class Facts:
    level: int = 4
    returned: float = 15.0  # of a departure that comes back
    most: int = 6  # readings after which it is no longer a spike
    back: float = 0.3  # of the departure, within which it is back
    least: float = 10.0  # of one that stays
    epoch_s: float = 60 * 86400.0
    memory_s: float = 86400.0
    quiet_readings: int = 24
    resolution: float = 0.0  # 0: the smallest step seen so far


class Table(NamedTuple):
    """A row a kind; fields as in Facts."""

    level: np.ndarray
    returned: np.ndarray
    most: np.ndarray
    back: np.ndarray
    least: np.ndarray
    epoch_s: np.ndarray
    memory_s: np.ndarray
    quiet_readings: np.ndarray
    resolution: np.ndarray


class Spikes(NamedTuple):
    at: np.ndarray  # i8, of the newest known reading
    seen: np.ndarray  # i8
    interval: np.ndarray  # f8, s, the usual one
    joined: np.ndarray  # i8, readings since the last gap
    recent: np.ndarray  # f8 [n, 3], the newest last
    step: np.ndarray  # f8, smallest step seen
    size: np.ndarray  # f8, mean departure
    away: np.ndarray  # i8, readings since a departure began, 0 none
    base: np.ndarray  # f8, where it began
    peak: np.ndarray  # f8, how far it went
    strength: np.ndarray  # f8, the same in scales
    epoch: np.ndarray  # i8, when the present record began
    record: np.ndarray  # f8, largest departure of this epoch
    former: np.ndarray  # f8, of the epoch before


def tabulate_facts(facts: Sequence[Facts]) -> Table:
    return Table(*(np.array([getattr(f, name) for f in facts], np.float64) for name in Table._fields))


def fresh(table: Table, kind: np.ndarray) -> Spikes:
    n = len(kind)
    return Spikes(
        np.full(n, NEVER), np.zeros(n, np.int64), np.zeros(n), np.zeros(n, np.int64),
        np.full((n, 3), np.nan), np.full(n, np.inf), np.zeros(n),
        np.zeros(n, np.int64), np.zeros(n), np.zeros(n), np.zeros(n),
        np.full(n, NEVER), np.zeros(n), np.zeros(n),
    )  # fmt: skip


def scan(table: Table, state: Spikes, at: np.ndarray, value: np.ndarray) -> tuple[Spikes, Marks]:
    """A block of readings [T, n]; `at` alike. `table` has a row for each column."""
    after, score = Spikes(*(array.copy() for array in state)), np.empty(value.shape)
    _scan(table, after, at, value, score)
    return after, Marks(score, score >= 1.0)


@compiled
def _scan(table: Table, state: Spikes, at: np.ndarray, value: np.ndarray, score: np.ndarray) -> None:
    for column in range(value.shape[1]):
        for row in range(len(value)):
            score[row, column] = _reading(table, column, state, column, at[row, column], value[row, column])


@compiled
def _sweep(table: Table, state: Spikes, spare: Spikes, swept: Swept, block: Block) -> None:
    for i in range(len(block.track)):
        track, column = block.track[i], block.columns[i]
        _copy(state, track, spare, 0)
        for nth in range(block.readings[column]):
            at, value = block.at[nth, column], block.value[nth, column]
            if _reading(table, block.kind[i], state, track, at, value) >= 1.0:
                swept.speaks[i] = True
                _copy(spare, 0, state, track)
                break


@compiled
def _copy(state: Spikes, track: int, to: Spikes, place: int) -> None:
    to.at[place], to.seen[place], to.interval[place] = (
        state.at[track],
        state.seen[track],
        state.interval[track],
    )
    to.joined[place], to.recent[place] = state.joined[track], state.recent[track]
    to.step[place], to.size[place], to.away[place] = state.step[track], state.size[track], state.away[track]
    to.base[place], to.peak[place] = state.base[track], state.peak[track]
    to.strength[place], to.epoch[place] = state.strength[track], state.epoch[track]
    to.record[place], to.former[place] = state.record[track], state.former[track]


@compiled
def _reading(table: Table, kind: int, state: Spikes, track: int, at: int, value: float) -> float:
    """The score of one reading of a track, in place."""
    if state.epoch[track] == NEVER:
        state.epoch[track] = at
    if not (np.isfinite(value) and abs(value) < 1e100):
        return 0.0
    state.seen[track] += 1
    count = state.seen[track]
    elapsed = _interval(state, track, at, count)
    recent = state.recent[track]
    middle, smallest = _middle(recent[0], recent[1], recent[2]), state.step[track]
    if abs(value - recent[2]) > 0:
        state.step[track] = min(smallest, abs(value - recent[2]))
    recent[0], recent[1], recent[2] = recent[1], recent[2], value
    z = 0.0
    if np.isfinite(middle) and state.joined[track] > 3:
        off, size = abs(value - middle), state.size[track]
        gain = 1 - np.exp(-min(elapsed, LONGEST_STEP_S) / table.memory_s[kind])
        gain = max(gain, 1.0 / max(count - 3, 1))
        state.size[track] = (1.0 - gain) * size + gain * off
        floor = table.resolution[kind] if table.resolution[kind] > 0 else smallest
        scale = max(size, floor if np.isfinite(floor) else 0.0)
        if count > table.quiet_readings[kind] and scale > 0:
            z = min(off / scale, 1e9)
    stays = _stays(table, kind, state, track, at, z)
    return max(stays, _returns(table, kind, state, track, value, middle, z))


@compiled
def _interval(state: Spikes, track: int, at: int, count: int) -> float:
    """Seconds since the known reading before. The usual of that is learned, and how many readings came since
    the last gap: what was before a gap is no reference."""
    last, usual = state.at[track], state.interval[track]
    elapsed = 0.0 if last == NEVER else max(at - last, 0) / 1e6
    gain = max(1.0 / max(count, 1), 0.01)
    state.at[track] = at
    state.interval[track] = (1.0 - gain) * usual + gain * elapsed
    gap = count > 10 and elapsed > GAP * usual
    state.joined[track] = 1 if gap else state.joined[track] + 1
    return elapsed


@compiled
def _middle(a: float, b: float, c: float) -> float:
    """The median, NaN where one of the three is."""
    if np.isnan(a + b + c):
        return np.nan
    return max(min(a, b), min(max(a, b), c))


@compiled
def _stays(table: Table, kind: int, state: Spikes, track: int, at: int, z: float) -> float:
    """A departure against the record of this epoch and the one before; only one beyond `least` sets one."""
    least = table.least[kind]
    if z < least:
        return float(min(z / least, 0.999))
    long = int(table.epoch_s[kind] * 1e6)
    passed = max((at - state.epoch[track]) // long, 0)
    if passed:
        state.former[track] = state.record[track] if passed == 1 else 0.0
        state.record[track] = 0.0
        state.epoch[track] += passed * long
    limit = max(least, max(state.record[track], state.former[track]))
    state.record[track] = max(state.record[track], z)
    return float(z / limit)


@compiled
def _returns(
    table: Table, kind: int, state: Spikes, track: int, value: float, middle: float, z: float
) -> float:
    """A departure that came back, at the reading that shows it."""
    if state.away[track] == 0:
        if z >= table.returned[kind]:
            state.away[track] = 1
            state.base[track], state.peak[track] = middle, abs(value - middle)
            state.strength[track] = z
        return 0.0
    off = abs(value - state.base[track])
    if off <= table.back[kind] * state.peak[track]:
        state.away[track] = 0
        return float(state.strength[track] / table.returned[kind])
    if state.away[track] >= table.most[kind]:
        state.away[track] = 0
        return 0.0
    state.away[track] += 1
    state.peak[track], state.strength[track] = max(state.peak[track], off), max(state.strength[track], z)
    return 0.0


def bind(rule: Rule, sensor: Sensor | None, category: Category | None, gateway_s: float) -> Bound:
    if category is None:
        raise ValueError(f"rule {rule.name}: spike needs a sensor with a category")
    level = min(rule.levels, default=4)
    if category.is_state:
        return Bound(Facts(), frozenset(), (Fall(),) * 4, (), ("a state has no spikes",))
    facts = Facts(
        level=level,
        returned=rule.params.get("returned", Facts.returned),
        least=rule.params.get("least", Facts.least),
        resolution=max(category.resolution, category.noise or 0.0),
    )
    return Bound(facts, frozenset({level}), (Fall(reports=3),) * 4, ("spike",))


def tabulate(bounds: Sequence[Bound]) -> Table:
    return tabulate_facts([bound.facts for bound in bounds])


def step(table: Table, state: Spikes, batch: Batch) -> tuple[Spikes, Scores]:
    own = Table(*(array[batch.kind] for array in table))
    after, marks = scan(own, state, batch.at[None], batch.value[None])
    return after, live(marks, own.level, batch)


def room(table: Table) -> Spikes:
    return fresh(table, ONE_TRACK)


def sweep(table: Table, state: Spikes, block: Block, room: Spikes) -> Swept:
    swept = nothing_swept(block)
    swept.running[:] = True
    _sweep(table, state, room, swept, block)
    return swept


DETECTOR = Detector("spike", bind, tabulate, fresh, step, sweep=sweep, room=room)
