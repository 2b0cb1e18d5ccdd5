"""A small shift of the mean that stays: the cumulative sum of departures passes its decision interval.

The two-sided tabular chart of Page 1954, "Continuous inspection schemes": of each reading, in spreads of the
sensor, what exceeds the reference value is added up, on either side apart, and a sum never falls below zero.
It finds shifts of half a spread to two that a chart of single values or of short averages does not see. With
k = 0.5 and h = 13 noise alone passes it once in some million readings (Siegmund 1985, "Sequential analysis":
exp(2 k (h + 1.166)) / (4 k^2) for two sides), a shift of one spread after 26 readings in the mean. An
episode begins where the sum left zero, which is the chart's estimate of when the shift happened.

Mean and spread are learned: plain averages while it warms up, then with exponential memory, of readings whose
sums stay below half of the interval; a reading counts for at most four spreads, and the spread has a floor
(noise, resolution). A shift that stays for as many readings as it remembers is the new normal, and learning
begins anew. It asks for readings that scatter about one mean: a daily course is a shift every morning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from detectors.compiled import compiled
from detectors.contract import (
    ONE_TRACK,
    Batch,
    Block,
    Bound,
    Detector,
    Fall,
    Scores,
    Swept,
    no_scores,
    nothing_swept,
)
from schemas.catalogue import Category
from schemas.registry import Sensor
from schemas.rule import Rule

MOST = 4.0  # spreads, that one reading counts for
CEILING = 1.5  # intervals, so that a sum comes down again
KEPT = 0.5  # of the interval, above which an episode lasts


@dataclass(frozen=True, slots=True)
class Facts:
    level: int = 4
    k: float = 0.5  # reference value, spreads
    h: float = 13.0  # decision interval, spreads
    warmup: int = 500  # readings
    memory: float = 2000.0  # readings
    floor: float = 0.0  # a spread below this is noise or rounding

    @property
    def limit(self) -> float:
        """As evidence states it."""
        return self.h


class Table(NamedTuple):
    """A row a kind; fields as in Facts."""

    level: np.ndarray
    k: np.ndarray
    h: np.ndarray
    warmup: np.ndarray
    memory: np.ndarray
    floor: np.ndarray


class Sums(NamedTuple):
    learned: np.ndarray  # i8, readings
    mean: np.ndarray
    square: np.ndarray  # mean square of departures
    above: np.ndarray  # the two sums, spreads
    below: np.ndarray
    above_since: np.ndarray  # i8, the first reading after a sum was zero
    below_since: np.ndarray
    out: np.ndarray  # i8, readings in a row beyond the interval


def fresh(table: Table, kind: np.ndarray) -> Sums:
    n = len(kind)
    whole, real = np.zeros((4, n), np.int64), np.zeros((4, n))
    return Sums(whole[0], real[0], real[1], real[2], real[3], whole[1], whole[2], whole[3])


@compiled
def _advance(table: Table, kind: int, sums: Sums, track: int, at: int, value: float) -> float:
    """One reading of a track, in place: the larger sum in decision intervals, negative for a fall."""
    if not (np.isfinite(value) and abs(value) < 1e100):
        return 0.0
    k, h, warmup = table.k[kind], table.h[kind], table.warmup[kind]
    learned = sums.learned[track]
    if learned == 0:
        sums.mean[track] = value
    spread = max(np.sqrt(sums.square[track]), table.floor[kind])
    off = value - sums.mean[track]
    away = 0.0
    if spread > 0:
        away = min(max(off / spread, -MOST), MOST)
    elif off != 0:
        away = MOST if off > 0 else -MOST
    warm = learned >= warmup
    if warm:
        if sums.above[track] <= 0:
            sums.above_since[track] = at
        if sums.below[track] <= 0:
            sums.below_since[track] = at
        sums.above[track] = min(max(sums.above[track] + away - k, 0.0), CEILING * h)
        sums.below[track] = min(max(sums.below[track] - away - k, 0.0), CEILING * h)
    largest = max(sums.above[track], sums.below[track])
    sums.out[track] = sums.out[track] + 1 if largest > h else 0
    if sums.out[track] > table.memory[kind]:
        sums.learned[track] = sums.out[track] = 0
        sums.above[track] = sums.below[track] = sums.square[track] = 0.0
        return 0.0
    if largest < KEPT * h:
        gain = 1.0 / (learned + 1) if not warm else max(1.0 / (learned + 1), 1.0 / table.memory[kind])
        if warm:
            off = away * spread
        sums.mean[track] += gain * off
        sums.square[track] = (1.0 - gain) * (sums.square[track] + gain * off**2)
        sums.learned[track] = learned + 1
    return float(largest / h if sums.above[track] >= sums.below[track] else -largest / h)


@compiled
def _step(
    table: Table, sums: Sums, kind: np.ndarray, at: np.ndarray, value: np.ndarray, score: np.ndarray
) -> None:
    for i in range(len(kind)):
        score[i] = _advance(table, kind[i], sums, i, at[i], value[i])


@compiled
def _sweep(table: Table, sums: Sums, spare: Sums, swept: Swept, block: Block) -> None:
    for i in range(len(block.track)):
        track, kind, column = block.track[i], block.kind[i], block.columns[i]
        _copy(sums, track, spare, 0)
        for nth in range(block.readings[column]):
            if abs(_advance(table, kind, sums, track, block.at[nth, column], block.value[nth, column])) > 1.0:
                swept.speaks[i] = True
                _copy(spare, 0, sums, track)
                break


@compiled
def _copy(sums: Sums, track: int, to: Sums, place: int) -> None:
    to.learned[place], to.out[place] = sums.learned[track], sums.out[track]
    to.mean[place], to.square[place] = sums.mean[track], sums.square[track]
    to.above[place], to.below[place] = sums.above[track], sums.below[track]
    to.above_since[place], to.below_since[place] = sums.above_since[track], sums.below_since[track]


PARAMS = {"k": (0.05, 5.0), "h": (1.0, 1000.0), "warmup": (2.0, 1e6), "memory": (10.0, 1e9)}
"""What a rule may set, from where to where."""


def bind(rule: Rule, sensor: Sensor | None, category: Category | None, gateway_s: float) -> Bound:
    if category is None:
        raise ValueError(f"rule {rule.name}: cusum needs a sensor with a category")
    level = min(rule.levels, default=4)
    if category.is_state:
        return Bound(Facts(), frozenset(), (Fall(),) * 4, (), ("a state has no mean to leave",))
    given = {name: value for name, value in rule.params.items() if name in PARAMS}
    floor = max(category.noise or 0.0, category.resolution)
    facts = replace(Facts(level=level, floor=floor), **given)  # type: ignore[arg-type]  # all are numbers
    return Bound(facts, frozenset({level}), (Fall(reports=3),) * 4, ("cusum",))


def tabulate(bounds: Sequence[Bound]) -> Table:
    facts: list[Facts] = [bound.facts for bound in bounds]
    return Table(*(np.array([getattr(f, name) for f in facts], np.float64) for name in Table._fields))


def step(table: Table, state: Sums, batch: Batch) -> tuple[Sums, Scores]:
    n = len(batch.kind)
    sums, score = Sums(*(array.copy() for array in state)), np.empty(n)
    _step(table, sums, batch.kind, batch.at, batch.value, score)
    level, out = table.level[batch.kind], np.abs(score) > 1.0
    scores = no_scores(n)._replace(
        meets=np.where(out, level, 0).astype(np.uint8),
        keeps=np.where(np.abs(score) > KEPT, level, 0).astype(np.uint8),
        agrees=out,
        since=np.where(score >= 0, sums.above_since, sums.below_since),
        score=score * table.h[batch.kind],
        slot=np.zeros(n, np.uint8),
        running=np.ones(n, bool),
    )
    return sums, scores


def room(table: Table) -> Sums:
    return fresh(table, ONE_TRACK)


def sweep(table: Table, state: Sums, block: Block, room: Sums) -> Swept:
    swept = nothing_swept(block)
    swept.running[:] = True
    _sweep(table, state, room, swept, block)
    return swept


DETECTOR = Detector("cusum", bind, tabulate, fresh, step, sweep=sweep, room=room)
