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

from detectors.contract import Batch, Bound, Detector, Fall, Scores, no_scores
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


@np.errstate(all="ignore")
def step(table: Table, state: Chart, batch: Batch) -> tuple[Chart, Scores]:
    kind, value = batch.kind, batch.value
    weight, limit, warmup = table.weight[kind], table.limit[kind], table.warmup[kind]
    first = state.learned == 0
    mean = np.where(first, value, state.mean)
    average = np.where(first, value, (1 - weight) * state.average + weight * value)
    sigma = np.sqrt(np.maximum(state.variance, table.floor[kind] ** 2))
    score = (average - mean) / (sigma * np.sqrt(weight / (2 - weight)))
    beyond = ~(np.abs(score) <= limit)
    warm = state.learned >= warmup
    out = warm & beyond
    kept = warm & ~(np.abs(score) <= limit / 2)
    outs = np.where(out, state.out + 1, 0).astype(np.int32)
    since = np.where(state.out == 0, batch.at, state.since)
    # Plain averages first, then exponential moments with the memory of one warm-up.
    gain = 1.0 / np.minimum(state.learned + 1, np.maximum(warmup, 1))
    off = value - mean
    learns = ~out & np.isfinite(off**2)
    again = outs >= 10 * warmup
    chart = Chart(
        np.where(again, 0, state.learned + learns).astype(np.int32),
        np.where(learns, mean + gain * off, mean),
        np.where(learns, (1 - gain) * (np.where(first, 0.0, state.variance) + gain * off**2), state.variance),
        average,
        np.where(again, 0, outs).astype(np.int32),
        since,
    )
    level = np.where(out & ~again, table.level[kind], 0).astype(np.uint8)
    scores = no_scores(len(kind))._replace(
        meets=level,
        keeps=np.where(kept & ~again, table.level[kind], 0).astype(np.uint8),
        agrees=out,
        since=since,
        score=score,
        slot=np.zeros(len(kind), np.uint8),
    )
    return chart, scores


DETECTOR = Detector("ewma", bind, tabulate, fresh, step, compares=True)
