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

from detectors.contract import Batch, Block, Bound, Detector, Fall, Scores, Swept
from detectors.marks import NEVER, Marks, live, swept
from detectors.recursion import before, follow
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
    return Table(*(np.array([getattr(f, name) for f in facts]) for name in Table._fields))


def fresh(table: Table, kind: np.ndarray) -> Spikes:
    n = len(kind)
    zero, count, never = np.zeros(n), np.zeros(n, np.int64), np.full(n, NEVER)
    return Spikes(
        never, count, zero, count, np.full((n, 3), np.nan), np.full(n, np.inf), zero,
        count, zero, zero, zero, never, zero, zero,
    )  # fmt: skip


@np.errstate(all="ignore")
def scan(table: Table, state: Spikes, at: np.ndarray, value: np.ndarray) -> tuple[Spikes, Marks]:
    """A block of readings [T, n]; `at` alike. `table` has a row for each column."""
    known = np.isfinite(value) & (np.abs(value) < 1e100)
    count = state.seen + np.cumsum(known, axis=0)
    three = _recent(state.recent, value, known)  # [T, n, 3], before each reading
    middle = _middle(three)
    steps = np.abs(value - three[:, :, 2])
    smallest = np.where(known & (steps > 0), steps, np.inf)
    finest = np.minimum(state.step, np.minimum.accumulate(smallest, axis=0))
    floor = np.where(table.resolution > 0, table.resolution, before(state.step, finest))
    since, elapsed, interval, joined = _gaps(state, at, known, count)
    usable = known & np.isfinite(middle) & (joined > 3)
    off = np.where(usable, np.abs(value - middle), 0.0)
    elapsed = np.minimum(elapsed, LONGEST_STEP_S)
    gain = np.maximum(1 - np.exp(-elapsed / table.memory_s), 1.0 / np.maximum(count - 3, 1))
    gain = np.where(usable, gain, 0.0)
    sizes = follow(state.size, 1.0 - gain, gain * off)
    scale = np.maximum(before(state.size, sizes), np.where(np.isfinite(floor), floor, 0.0))
    ready = usable & (count > table.quiet_readings) & (scale > 0)
    z = np.where(ready, np.minimum(off / np.where(scale > 0, scale, 1.0), 1e9), 0.0)
    stays, records = _stays(table, state, at, z)
    returns, departure = _returns(table, state, value, middle, z, known)
    score = np.maximum(stays, returns)
    recent = _recent(state.recent, np.vstack((value, value[-1:])), np.vstack((known, known[-1:])))[-1]
    after = Spikes(
        since, count[-1], interval, joined[-1], recent, finest[-1], sizes[-1], *departure, *records
    )
    return after, Marks(score, score >= 1.0)


def _gaps(
    state: Spikes, at: np.ndarray, known: np.ndarray, count: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Time of the newest known reading, seconds since the one before at each row, the usual of that, and how
    many readings came since the last gap: what was before a gap is no reference."""
    rows = np.maximum.accumulate(np.where(known, np.arange(len(at))[:, None], -1), axis=0)
    newest = np.where(rows >= 0, np.take_along_axis(at, np.maximum(rows, 0), axis=0), state.at)
    last = before(state.at, newest)
    elapsed = np.where(last == NEVER, 0, np.maximum(at - np.where(last == NEVER, at, last), 0)) / 1e6
    gain = np.where(known, np.maximum(1.0 / np.maximum(count, 1), 0.01), 0.0)
    usual = follow(state.interval, 1.0 - gain, gain * elapsed)
    gap = known & (count > 10) & (elapsed > GAP * before(state.interval, usual))
    place = np.cumsum(known, axis=0)
    begun = np.maximum.accumulate(np.where(gap, place - 1, -state.joined), axis=0)
    return newest[-1], elapsed, usual[-1], place - begun


def _recent(recent: np.ndarray, value: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The three newest known values before each row, oldest first."""
    rows, columns = value.shape
    out = np.empty((rows, columns, 3))
    for column in range(columns) if rows > 8 * columns else ():
        of = known[:, column]
        all_known = np.concatenate((recent[column], value[of, column]))
        number = np.concatenate(([0], np.cumsum(of)))[:-1]
        for back in range(3):
            out[:, column, back] = all_known[number + back]
    if rows > 8 * columns:
        return out
    now = recent
    for row in range(rows):
        out[row] = now
        shifted = np.concatenate((now[:, 1:], value[row][:, None]), axis=1)
        now = np.where(known[row][:, None], shifted, now)
    return out


def _middle(three: np.ndarray) -> np.ndarray:
    """The median of the last axis, NaN where one of the three is; numpy's own is made for many more."""
    a, b, c = three[..., 0], three[..., 1], three[..., 2]
    middle: np.ndarray = np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))
    return middle


def _stays(
    table: Table, state: Spikes, at: np.ndarray, z: np.ndarray
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Departures against the record of this epoch and the one before; only those beyond `least` set one."""
    score = np.minimum(z / table.least, 0.999)
    epoch = np.where(state.epoch == NEVER, at[0], state.epoch)
    record, former = state.record, state.former
    long = (table.epoch_s * 1e6).astype(np.int64)
    for row in np.flatnonzero((z >= table.least).any(axis=1)):
        passed = np.maximum((at[row] - epoch) // long, 0)
        former = np.where(passed == 0, former, np.where(passed == 1, record, 0.0))
        record = np.where(passed == 0, record, 0.0)
        epoch = epoch + passed * long
        limit = np.maximum(table.least, np.maximum(record, former))
        score[row] = z[row] / limit
        record = np.where(z[row] >= table.least, np.maximum(record, z[row]), record)
    return score, (epoch, record, former)


def _returns(
    table: Table, state: Spikes, value: np.ndarray, middle: np.ndarray, z: np.ndarray, known: np.ndarray
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Departures that came back, at the reading that shows it."""
    score = np.zeros(z.shape)
    away, base, peak, strength = state.away, state.base, state.peak, state.strength
    starts = np.flatnonzero(((z >= table.returned) & known).any(axis=1))
    row, rows = 0, len(z)
    while True:
        if not away.any():
            following = np.searchsorted(starts, row)
            if following == len(starts):
                break
            row = int(starts[following])
        if row >= rows:
            break
        here, off = known[row], np.abs(value[row] - base)
        out = here & (away > 0)
        came = out & (off <= table.back * peak)
        score[row] = np.where(came, strength / table.returned, 0.0)
        tired = out & (away >= table.most)
        begins = here & (away == 0) & (z[row] >= table.returned)
        goes = out & ~came & ~tired
        peak = np.where(begins, np.abs(value[row] - middle[row]), np.where(goes, np.maximum(peak, off), peak))
        strength = np.where(begins, z[row], np.where(goes, np.maximum(strength, z[row]), strength))
        base = np.where(begins, middle[row], base)
        away = np.where(begins, 1, np.where(goes, away + 1, np.where(came | tired, 0, away)))
        row += 1
    return score, (away, base, peak, strength)


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


def sweep(table: Table, state: Spikes, block: Block) -> tuple[Spikes, Swept]:
    after, marks = scan(Table(*(array[block.kind] for array in table)), state, block.at, block.value)
    return after, swept(marks)


DETECTOR = Detector("spike", bind, tabulate, fresh, step, sweep=sweep)
