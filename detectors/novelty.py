"""A stretch of readings whose shape this sensor has not shown before.

The last 24 steps (a ring of equal steps, each one or more usual intervals), less their mean and over the
spread that is usual for the sensor, are compared with shapes that it has shown. The distance to the nearest
is that of a discord among what came before (Keogh, Lin and Fu 2005, "HOT SAX: efficiently finding the most
unusual time series subsequence"), with eight shapes in place of all of the past, by leader clustering
(Hartigan 1975, "Clustering algorithms"): a stretch within `near` of one moves it a little, another takes the
place of the least used. The limit is so many spreads above the mean of the sensor's own distances, with
exponential memory. What was told is learned, too: it has been shown then. Over its own spread, as in those
papers, a distance has a greatest value, which no limit of four spreads or more let pass (docs/quality.md).
A gap empties the ring; nothing is said until it is full again, nor while it learns, nor for the refractory
time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from detectors.compiled import compiled
from detectors.contract import ONE_TRACK, Batch, Block, Bound, Detector, Fall, Scores, Swept, nothing_swept
from detectors.marks import NEVER, Marks, live
from schemas.catalogue import Category
from schemas.registry import Sensor
from schemas.rule import Rule

STEPS = 24  # of a shape
SHAPES = 8
GAP = 3.0  # steps without a reading that empty the ring
ALIKE = 1e-9  # of the values: a smaller spread is arithmetic
LEAST = 0.02  # of distances, a spread below this is none
ABOVE = 1.5  # noises or digits, by which a stretch must differ more than usual
MOST = 1e6  # of a step of a stretch, in usual spreads


@dataclass(frozen=True)
class Facts:
    level: int = 4
    merge: int = 1  # usual intervals that are one step
    near: float = 0.5  # distance, in usual spreads, within which a stretch is of a shape
    weight: float = 0.05  # of a stretch in its shape
    memory: float = 2000.0  # stretches
    limit: float = 6.0  # spreads
    quiet: int = 240  # stretches while it learns
    refractory_s: float = 43200.0
    floor: float = 0.0  # a spread below this is noise or rounding


class Table(NamedTuple):
    """A row a kind; fields as in Facts."""

    level: np.ndarray
    merge: np.ndarray
    near: np.ndarray
    weight: np.ndarray
    memory: np.ndarray
    limit: np.ndarray
    quiet: np.ndarray
    refractory_s: np.ndarray
    floor: np.ndarray


class Shown(NamedTuple):
    at: np.ndarray  # i8, of the newest known reading
    step: np.ndarray  # f8, s; 0 while the ring still gathers distances in time
    begun: np.ndarray  # i8, when the newest step did
    readings: np.ndarray  # i4, in it
    filled: np.ndarray  # i4, of the ring
    ring: np.ndarray  # f8 [n, STEPS], the newest last
    learned: np.ndarray  # i8, stretches
    usual: np.ndarray  # f8, their spread
    mean: np.ndarray  # f8, of their distances
    square: np.ndarray
    shape: np.ndarray  # f4 [n, STEPS, SHAPES]
    used: np.ndarray  # f4 [n, SHAPES], how often, fading; 0: free
    spoke: np.ndarray  # i8, time of the newest alert


def tabulate_facts(facts: Sequence[Facts]) -> Table:
    return Table(*(np.array([getattr(f, name) for f in facts], np.float64) for name in Table._fields))


def fresh(table: Table, kind: np.ndarray) -> Shown:
    n = len(kind)
    return Shown(
        np.full(n, NEVER), np.zeros(n), np.full(n, NEVER), np.zeros(n, np.int32), np.zeros(n, np.int32),
        np.zeros((n, STEPS)), np.zeros(n, np.int64), np.zeros(n), np.zeros(n), np.zeros(n),
        np.zeros((n, STEPS, SHAPES), np.float32), np.zeros((n, SHAPES), np.float32), np.full(n, NEVER),
    )  # fmt: skip


def scan(table: Table, state: Shown, at: np.ndarray, value: np.ndarray) -> tuple[Shown, Marks]:
    """A block of readings [T, n]; `at` alike. `table` has a row for each column."""
    after = Shown(*(array.copy() for array in state))
    score, alert = np.empty(value.shape), np.zeros(value.shape, bool)
    _scan(table, after, at, value, score, alert)
    return after, Marks(score, alert)


@compiled
def _scan(
    table: Table, state: Shown, at: np.ndarray, value: np.ndarray, score: np.ndarray, alert: np.ndarray
) -> None:
    form = np.empty(STEPS + SHAPES)
    for column in range(value.shape[1]):
        for row in range(len(value)):
            found = _reading(table, column, state, column, at[row, column], value[row, column], form)
            score[row, column], alert[row, column] = found


@compiled
def _sweep(table: Table, state: Shown, spare: Shown, swept: Swept, block: Block) -> None:
    form = np.empty(STEPS + SHAPES)
    for i in range(len(block.track)):
        track, column = block.track[i], block.columns[i]
        _copy(state, track, spare, 0)
        for nth in range(block.readings[column]):
            at, value = block.at[nth, column], block.value[nth, column]
            score, _ = _reading(table, block.kind[i], state, track, at, value, form)
            if score >= 1.0:
                swept.speaks[i] = True
                _copy(spare, 0, state, track)
                break


@compiled
def _copy(state: Shown, track: int, to: Shown, place: int) -> None:
    to.at[place], to.step[place], to.begun[place] = state.at[track], state.step[track], state.begun[track]
    to.readings[place], to.filled[place] = state.readings[track], state.filled[track]
    to.ring[place], to.shape[place], to.used[place] = state.ring[track], state.shape[track], state.used[track]
    to.learned[place], to.usual[place] = state.learned[track], state.usual[track]
    to.mean[place], to.square[place] = state.mean[track], state.square[track]
    to.spoke[place] = state.spoke[track]


@compiled
def _reading(
    table: Table, kind: int, state: Shown, track: int, at: int, value: float, form: np.ndarray
) -> tuple[float, bool]:
    """The score of one reading of a track, in place, and whether it would speak. `form` is scratch: a
    stretch, then distances."""
    if not (np.isfinite(value) and abs(value) < 1e100):
        return 0.0, False
    before = state.at[track]
    elapsed = 0.0 if before == NEVER else (at - before) / 1e6
    if elapsed < 0:
        return 0.0, False
    state.at[track] = at
    if state.step[track] == 0:
        _gather(table, kind, state, track, elapsed)
        return 0.0, False
    begins = _place(table, kind, state, track, at, value, elapsed)
    if state.filled[track] < STEPS:
        return 0.0, False
    spread = _formed(table, kind, state, track, form)
    learned = state.learned[track]
    away, which = 0.0, -1
    if learned >= STEPS:
        away, which = _nearest(state, track, form)
    score = 0.0
    if learned >= STEPS + table.quiet[kind]:
        usual = state.mean[track]
        wide = np.sqrt(max(state.square[track] - usual**2, 0.0))
        floor = table.floor[kind]
        least = ABOVE * floor / max(floor, state.usual[track], 1e-300)
        score = max((away - usual) / max(max(wide, LEAST) * table.limit[kind], least), 0.0)
    if begins:
        _learn(table, kind, state, track, form, spread, away, which)
    spoke = state.spoke[track]
    if score < 1.0 or (spoke != NEVER and at - spoke < table.refractory_s[kind] * 1e6):
        return score, False
    state.spoke[track] = at
    return score, True


@compiled
def _gather(table: Table, kind: int, state: Shown, track: int, elapsed: float) -> None:
    """The usual interval is the median of the first distances in time."""
    if elapsed <= 0:
        return
    state.ring[track, state.filled[track]] = elapsed
    state.filled[track] += 1
    if state.filled[track] == STEPS:
        state.step[track] = np.median(state.ring[track]) * table.merge[kind]
        state.filled[track] = 0


@compiled
def _place(table: Table, kind: int, state: Shown, track: int, at: int, value: float, elapsed: float) -> bool:
    """Into the newest step, or into one more: whether that begins."""
    ring, step = state.ring[track], state.step[track]
    if elapsed > GAP * step:
        state.filled[track] = 0
    passed = (at - state.begun[track]) / 1e6 / step if state.filled[track] else 1.0
    if passed < 1 - 0.5 / table.merge[kind]:
        state.readings[track] += 1
        ring[-1] += (value - ring[-1]) / state.readings[track]
        return False
    steps = min(max(int(passed + 0.5), 1), STEPS)
    last = ring[-1]
    for i in range(STEPS - steps):
        ring[i] = ring[i + steps]
    for i in range(STEPS - steps, STEPS - 1):
        ring[i] = last
    ring[-1] = value
    state.filled[track] = min(state.filled[track] + steps, STEPS)
    state.begun[track], state.readings[track] = at, 1
    return True


@compiled
def _formed(table: Table, kind: int, state: Shown, track: int, form: np.ndarray) -> float:
    """The ring less its mean and over the usual spread, into `form`; its own spread."""
    ring = state.ring[track]
    size = 1e-300
    for i in range(STEPS):
        size = max(size, abs(ring[i]))
    middle = 0.0
    for i in range(STEPS):
        middle += ring[i] / size
    middle /= STEPS
    total = 0.0
    for i in range(STEPS):
        form[i] = ring[i] / size - middle
        total += form[i] ** 2
    spread = np.sqrt(total / STEPS)
    by = max(ALIKE, max(table.floor[kind], state.usual[track]) / size) * np.sqrt(STEPS)
    for i in range(STEPS):
        form[i] = min(max(form[i] / by, -MOST), MOST)
    return float(spread * size)


@compiled
def _nearest(state: Shown, track: int, form: np.ndarray) -> tuple[float, int]:
    """How far the stretch is from the nearest shape, flatness among them, and which that is, -1 for that."""
    nearest, which = 0.0, -1
    for i in range(STEPS):
        nearest += form[i] ** 2
    shape, used = state.shape[track], state.used[track]
    away = form[STEPS:]
    away[:] = 0.0
    for i in range(STEPS):
        for k in range(SHAPES):
            away[k] += (form[i] - shape[i, k]) ** 2
    for k in range(SHAPES):
        if used[k] > 0 and away[k] < nearest:
            nearest, which = away[k], k
    return np.sqrt(nearest), which


@compiled
def _learn(
    table: Table,
    kind: int,
    state: Shown,
    track: int,
    form: np.ndarray,
    spread: float,
    away: float,
    which: int,
) -> None:
    """First what spread is usual, then shapes and how far stretches are from them."""
    state.learned[track] += 1
    learned = state.learned[track]
    gain = max(1.0 / learned, 1.0 / table.memory[kind])
    state.usual[track] += gain * (min(spread, 1e100) - state.usual[track])
    if learned <= STEPS:
        return
    gain = max(1.0 / (learned - STEPS), 1.0 / table.memory[kind])
    state.mean[track] += gain * (away - state.mean[track])
    state.square[track] += gain * (away**2 - state.square[track])
    used, shape = state.used[track], state.shape[track]
    for k in range(SHAPES):
        used[k] *= 1.0 - 1.0 / table.memory[kind]
    if away > table.near[kind]:
        which = 0
        for k in range(SHAPES):
            if used[k] < used[which]:
                which = k
        used[which] = 1.0
        for i in range(STEPS):
            shape[i, which] = form[i]
    elif which >= 0:
        used[which] += 1.0
        for i in range(STEPS):
            shape[i, which] += table.weight[kind] * (form[i] - shape[i, which])


PARAMS = {
    "merge": (1.0, 288.0),
    "near": (0.1, 10.0),
    "limit": (1.0, 100.0),
    "memory": (50.0, 1e6),
    "quiet": (1.0, 1e6),
    "refractory_s": (0.0, 1e8),
}
"""What a rule may set, from where to where."""


def bind(rule: Rule, sensor: Sensor | None, category: Category | None, gateway_s: float) -> Bound:
    if category is None:
        raise ValueError(f"rule {rule.name}: novelty needs a sensor with a category")
    level = min(rule.levels, default=4)
    if category.is_state:
        return Bound(Facts(), frozenset(), (Fall(),) * 4, (), ("a state has no shape",))
    given = {name: value for name, value in rule.params.items() if name in PARAMS}
    floor = max(category.noise or 0.0, category.resolution)
    facts = replace(Facts(level=level, floor=floor), **given)  # type: ignore[arg-type]  # all are numbers
    fall = Fall(us=round(facts.refractory_s * 1e6))
    return Bound(facts, frozenset({level}), (fall,) * 4, ("novelty",))


def tabulate(bounds: Sequence[Bound]) -> Table:
    return tabulate_facts([bound.facts for bound in bounds])


def step(table: Table, state: Shown, batch: Batch) -> tuple[Shown, Scores]:
    """An episode's fall takes the place of the refractory time, so one disturbance is one alert."""
    own = Table(*(array[batch.kind] for array in table))
    after, marks = scan(own, state, batch.at[None], batch.value[None])
    return after, live(marks, own.level, batch)


def room(table: Table) -> Shown:
    return fresh(table, ONE_TRACK)


def sweep(table: Table, state: Shown, block: Block, room: Shown) -> Swept:
    swept = nothing_swept(block)
    swept.running[:] = True
    _sweep(table, state, room, swept, block)
    return swept


DETECTOR = Detector("novelty", bind, tabulate, fresh, step, sweep=sweep, room=room)
