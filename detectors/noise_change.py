"""How much a sensor's readings scatter from one to the next is no longer usual: much more, or much less.

Half the mean square of successive differences is the variance of noise whatever slow course lies under it
(von Neumann 1941, "Distribution of the ratio of the mean square successive difference to the variance").
Averaged over some thirty readings, its logarithm is compared with the mean and spread of that same logarithm
in the long run. More: a loose contact, a worn bearing, cavitation, interference. Less: a tap that is blocked,
a filter somebody set; what repeats one value exactly is the detector `stuck`'s.

A difference counts for at most sixteen times the usual square, so that a step, or a spike and its way back,
is no noise; none is taken over a gap of more than three usual intervals. Noise below the catalogue's floor
(noise, resolution) cannot be told from rounding. Quiet while it learns; a change that stays for as many
readings as it remembers is the new usual.
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

MOST = 16.0  # usual squares, that one difference counts for
GAP = 3.0  # usual intervals, beyond which two readings are not successive
LEAST = 0.15  # of the logarithm, a spread below this is none
KEPT = 0.5  # of the limit, above which an episode lasts


@dataclass(frozen=True, slots=True)
class Facts:
    level: int = 4
    limit: float = 5.0  # spreads of the logarithm
    readings: float = 30.0  # that the average stands on
    warmup: int = 300
    memory: float = 5000.0  # readings
    floor: float = 0.0  # noise below this is rounding


class Table(NamedTuple):
    """A row a kind; fields as in Facts."""

    level: np.ndarray
    limit: np.ndarray
    readings: np.ndarray
    warmup: np.ndarray
    memory: np.ndarray
    floor: np.ndarray


class Scatter(NamedTuple):
    at: np.ndarray  # i8, of the newest reading
    value: np.ndarray
    interval: np.ndarray  # s, usual
    taken: np.ndarray  # i8, differences
    short: np.ndarray  # mean half square of differences
    mean: np.ndarray  # of its logarithm, in the long run
    square: np.ndarray  # mean square of the logarithm's departures
    out: np.ndarray  # i8, readings in a row beyond the limit
    since: np.ndarray  # i8


def fresh(table: Table, kind: np.ndarray) -> Scatter:
    n = len(kind)
    whole, real = np.zeros((4, n), np.int64), np.zeros((5, n))
    return Scatter(whole[0], real[0], real[1], whole[1], real[2], real[3], real[4], whole[2], whole[3])


@compiled
def _advance(
    table: Table, kind: int, state: Scatter, track: int, at: int, value: float
) -> tuple[float, float]:
    """One reading of a track, in place: how far its scatter is from usual, in limits, negative for less; and
    how many times the usual noise it is."""
    if not (np.isfinite(value) and abs(value) < 1e100):
        return 0.0, 1.0
    elapsed = (at - state.at[track]) / 1e6 if state.at[track] else 0.0
    off = value - state.value[track]
    state.at[track], state.value[track] = at, value
    if elapsed <= 0:
        return 0.0, 1.0
    interval = state.interval[track]
    if interval == 0:
        state.interval[track] = elapsed
    else:
        state.interval[track] = interval + 0.05 * (min(elapsed, 2 * interval) - interval)
        if elapsed > GAP * interval:
            return _said(table, kind, state, track)
    taken = state.taken[track]
    warm = taken >= table.warmup[kind]
    half = 0.5 * off * off
    if taken > table.readings[kind]:
        half = min(half, MOST * np.exp(state.mean[track]))
    gain = max(1.0 / (taken + 1), 2.0 / (table.readings[kind] + 1))
    state.short[track] += gain * (half - state.short[track])
    away = _log(table, kind, state, track) - state.mean[track]
    if taken == 0:
        state.mean[track], away = state.mean[track] + away, 0.0
    score, times = _said(table, kind, state, track)
    out = warm and abs(score) > 1.0
    if out and state.out[track] == 0:
        state.since[track] = at
    state.out[track] = state.out[track] + 1 if out else 0
    if state.out[track] > table.memory[kind]:
        state.taken[track] = state.out[track] = 0
        state.mean[track] = state.square[track] = 0.0
        return 0.0, 1.0
    if not out:
        slow = max(1.0 / (taken + 1), 1.0 / table.memory[kind])
        state.mean[track] += slow * away
        state.square[track] = (1.0 - slow) * (state.square[track] + slow * away * away)
        state.taken[track] = taken + 1
    return score, times


@compiled
def _log(table: Table, kind: int, state: Scatter, track: int) -> float:
    return float(np.log(max(state.short[track], table.floor[kind] ** 2, 1e-200)))


@compiled
def _said(table: Table, kind: int, state: Scatter, track: int) -> tuple[float, float]:
    if state.taken[track] < table.warmup[kind]:
        return 0.0, 1.0
    away = _log(table, kind, state, track) - state.mean[track]
    spread = max(np.sqrt(state.square[track]), LEAST)
    return away / spread / table.limit[kind], np.exp(away / 2)


@compiled
def _step(
    table: Table, state: Scatter, kind: np.ndarray, at: np.ndarray, value: np.ndarray,
    score: np.ndarray, times: np.ndarray,
) -> None:  # fmt: skip
    for i in range(len(kind)):
        score[i], times[i] = _advance(table, kind[i], state, i, at[i], value[i])


@compiled
def _sweep(table: Table, state: Scatter, spare: Scatter, swept: Swept, block: Block) -> None:
    for i in range(len(block.track)):
        track, kind, column = block.track[i], block.kind[i], block.columns[i]
        _copy(state, track, spare, 0)
        for nth in range(block.readings[column]):
            score, _ = _advance(table, kind, state, track, block.at[nth, column], block.value[nth, column])
            if abs(score) > 1.0:
                swept.speaks[i] = True
                _copy(spare, 0, state, track)
                break


@compiled
def _copy(state: Scatter, track: int, to: Scatter, place: int) -> None:
    to.at[place], to.value[place] = state.at[track], state.value[track]
    to.interval[place], to.taken[place] = state.interval[track], state.taken[track]
    to.short[place], to.mean[place] = state.short[track], state.mean[track]
    to.square[place], to.out[place] = state.square[track], state.out[track]
    to.since[place] = state.since[track]


PARAMS = {"limit": (1.0, 100.0), "readings": (5.0, 1000.0), "warmup": (10.0, 1e6), "memory": (50.0, 1e9)}
"""What a rule may set, from where to where."""


def bind(rule: Rule, sensor: Sensor | None, category: Category | None, gateway_s: float) -> Bound:
    if category is None:
        raise ValueError(f"rule {rule.name}: noise-change needs a sensor with a category")
    level = min(rule.levels, default=4)
    if category.is_state:
        return Bound(Facts(), frozenset(), (Fall(),) * 4, (), ("a state has no noise",))
    given = {name: value for name, value in rule.params.items() if name in PARAMS}
    floor = max(category.noise or 0.0, category.resolution) / 2
    facts = replace(Facts(level=level, floor=floor), **given)  # type: ignore[arg-type]  # all are numbers
    return Bound(facts, frozenset({level}), (Fall(reports=3),) * 4, ("noise-change",))


def tabulate(bounds: Sequence[Bound]) -> Table:
    facts: list[Facts] = [bound.facts for bound in bounds]
    return Table(*(np.array([getattr(f, name) for f in facts], np.float64) for name in Table._fields))


def step(table: Table, state: Scatter, batch: Batch) -> tuple[Scatter, Scores]:
    n = len(batch.kind)
    after, score, times = Scatter(*(array.copy() for array in state)), np.empty(n), np.empty(n)
    _step(table, after, batch.kind, batch.at, batch.value, score, times)
    level, out = table.level[batch.kind], np.abs(score) > 1.0
    scores = no_scores(n)._replace(
        meets=np.where(out, level, 0).astype(np.uint8),
        keeps=np.where(np.abs(score) > KEPT, level, 0).astype(np.uint8),
        agrees=out,
        since=np.where(out, after.since, batch.at),
        score=times,
        slot=np.zeros(n, np.uint8),
        running=np.ones(n, bool),
    )
    return after, scores


def room(table: Table) -> Scatter:
    return fresh(table, ONE_TRACK)


def sweep(table: Table, state: Scatter, block: Block, room: Scatter) -> Swept:
    swept = nothing_swept(block)
    swept.running[:] = True
    _sweep(table, state, room, swept, block)
    return swept


DETECTOR = Detector("noise-change", bind, tabulate, fresh, step, sweep=sweep, room=room)
