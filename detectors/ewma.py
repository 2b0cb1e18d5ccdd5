"""A shift of the mean: the exponentially weighted moving average leaves its control limits.

Roberts 1959, "Control chart tests based on geometric moving averages". Mean and variance are themselves
exponential moments with a longer memory; they learn only from readings inside the limits, and the variance
has a floor (noise, resolution) so that a flat sensor does not alarm at its last digit. Quiet while it warms
up; a shift that stays for ten warm-ups is the new normal and learning begins again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from detectors.contract import Batch, Block, Bound, Detector, Fall, Scores, Swept, no_scores
from schemas.catalogue import Category
from schemas.registry import Sensor
from schemas.rule import Rule


@dataclass(frozen=True, slots=True)
class Facts:
    level: int
    weight: float
    limit: float
    warmup: int
    floor: float


class Table(NamedTuple):
    level: np.ndarray
    weight: np.ndarray
    limit: np.ndarray
    warmup: np.ndarray
    floor: np.ndarray


class Chart(NamedTuple):
    learned: np.ndarray  # readings
    mean: np.ndarray
    variance: np.ndarray
    average: np.ndarray
    out: np.ndarray  # readings in a row outside
    since: np.ndarray


def bind(rule: Rule, sensor: Sensor | None, category: Category | None, gateway_s: float) -> Bound:
    if category is None:
        raise ValueError(f"rule {rule.name}: ewma needs a sensor with a category")
    level = min(rule.levels, default=4)
    facts = Facts(
        level=level,
        weight=rule.params.get("lambda", 0.2),
        limit=rule.params.get("limit", 6.0),
        warmup=int(rule.params.get("warmup", 60)),
        floor=max(category.noise or 0.0, category.resolution),
    )
    return Bound(facts, frozenset({level}), (Fall(reports=3),) * 4, ("ewma",))


def tabulate(bounds: Sequence[Bound]) -> Table:
    facts: list[Facts] = [bound.facts for bound in bounds]
    return Table(
        np.array([f.level for f in facts], np.uint8),
        np.array([f.weight for f in facts]),
        np.array([f.limit for f in facts]),
        np.array([f.warmup for f in facts], np.int32),
        np.array([f.floor for f in facts]),
    )


def fresh(table: Table, kind: np.ndarray) -> Chart:
    n = len(kind)
    zero = np.zeros(n)
    return Chart(np.zeros(n, np.int32), zero, zero, zero, np.zeros(n, np.int32), np.zeros(n, np.int64))


class Judged(NamedTuple):
    score: np.ndarray
    out: np.ndarray  # bool, outside the limits
    kept: np.ndarray  # bool, outside half of them
    again: np.ndarray  # bool, it has been out for so long that learning begins anew


@np.errstate(all="ignore")
def _advance(own: Table, state: Chart, at: np.ndarray, value: np.ndarray) -> tuple[Chart, Judged]:
    """One reading a track; `own` has a row for each."""
    first = state.learned == 0
    mean = np.where(first, value, state.mean)
    average = np.where(first, value, (1 - own.weight) * state.average + own.weight * value)
    sigma = np.sqrt(np.maximum(state.variance, own.floor**2))
    score = (average - mean) / (sigma * np.sqrt(own.weight / (2 - own.weight)))
    warm = state.learned >= own.warmup
    out = warm & ~(np.abs(score) <= own.limit)
    outs = np.where(out, state.out + 1, 0).astype(np.int32)
    # Plain averages first, then exponential moments with the memory of one warm-up.
    gain = 1.0 / np.minimum(state.learned + 1, np.maximum(own.warmup, 1))
    off = value - mean
    learns = ~out & np.isfinite(off**2)
    again = outs >= 10 * own.warmup
    chart = Chart(
        np.where(again, 0, state.learned + learns).astype(np.int32),
        np.where(learns, mean + gain * off, mean),
        np.where(learns, (1 - gain) * (np.where(first, 0.0, state.variance) + gain * off**2), state.variance),
        average,
        np.where(again, 0, outs).astype(np.int32),
        np.where(state.out == 0, at, state.since),
    )
    return chart, Judged(score, out, warm & ~(np.abs(score) <= own.limit / 2), again)


def step(table: Table, state: Chart, batch: Batch) -> tuple[Chart, Scores]:
    own = Table(*(array[batch.kind] for array in table))
    chart, judged = _advance(own, state, batch.at, batch.value)
    speaks = ~judged.again
    scores = no_scores(len(batch.kind))._replace(
        meets=np.where(judged.out & speaks, own.level, 0).astype(np.uint8),
        keeps=np.where(judged.kept & speaks, own.level, 0).astype(np.uint8),
        agrees=judged.out,
        since=chart.since,
        score=judged.score,
        slot=np.zeros(len(batch.kind), np.uint8),
    )
    return chart, scores


def sweep(table: Table, state: Chart, block: Block) -> tuple[Chart, Swept]:
    own = Table(*(array[block.kind] for array in table))
    speaks = np.zeros(len(block.kind), bool)
    least = int(block.readings.min())
    for row, (at, value) in enumerate(zip(block.at, block.value, strict=True)):
        after, judged = _advance(own, state, at, value)
        if row < least:
            state, speaks = after, speaks | judged.out
        else:
            there = block.readings > row
            state = Chart(*(np.where(there, new, old) for new, old in zip(after, state, strict=True)))
            speaks = speaks | (there & judged.out)
    nothing = np.zeros(len(speaks), bool)
    return state, Swept(speaks, nothing, nothing)


DETECTOR = Detector("ewma", bind, tabulate, fresh, step, sweep=sweep, compares=True)
