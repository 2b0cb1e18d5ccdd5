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
    return Chart(
        learned=np.zeros(n, np.int32),
        mean=np.zeros(n),
        variance=np.zeros(n),
        average=np.zeros(n),
        out=np.zeros(n, np.int32),
        since=np.zeros(n, np.int64),
    )


@compiled
def _advance(
    table: Table, kind: int, chart: Chart, track: int, at: int, value: float
) -> tuple[float, bool, bool]:
    """One reading of a track, in place: its score, whether that is outside the limits, and outside half of
    them. A track that has been out for so long that learning begins anew is outside of nothing."""
    weight, warmup = table.weight[kind], table.warmup[kind]
    learned = chart.learned[track]
    if learned == 0:
        chart.mean[track] = chart.average[track] = value
        chart.variance[track] = 0.0
    else:
        chart.average[track] = (1 - weight) * chart.average[track] + weight * value
    mean, variance, out_before = chart.mean[track], chart.variance[track], chart.out[track]
    sigma = np.sqrt(max(variance, table.floor[kind] ** 2))
    score = (chart.average[track] - mean) / (sigma * np.sqrt(weight / (2 - weight)))
    warm = learned >= warmup
    out = warm and not abs(score) <= table.limit[kind]
    outs = out_before + 1 if out else 0
    if out_before == 0:
        chart.since[track] = at
    # Plain averages first, then exponential moments with the memory of one warm-up.
    gain = 1.0 / min(learned + 1, max(warmup, 1))
    off = value - mean
    if not out and np.isfinite(off * off):
        chart.mean[track] = mean + gain * off
        chart.variance[track] = (1 - gain) * (variance + gain * off**2)
        chart.learned[track] = learned + 1
    chart.out[track] = outs
    if outs >= 10 * warmup:
        chart.learned[track] = chart.out[track] = 0
        return score, False, False
    return score, out, warm and not abs(score) <= table.limit[kind] / 2


@compiled
def _step(
    table: Table, chart: Chart, kind: np.ndarray, at: np.ndarray, value: np.ndarray,
    score: np.ndarray, out: np.ndarray, kept: np.ndarray,
) -> None:  # fmt: skip
    for i in range(len(kind)):
        score[i], out[i], kept[i] = _advance(table, kind[i], chart, i, at[i], value[i])


@compiled
def _sweep(table: Table, chart: Chart, spare: Chart, swept: Swept, block: Block) -> None:
    for i in range(len(block.track)):
        track, kind, column = block.track[i], block.kind[i], block.columns[i]
        _copy(chart, track, spare, 0)
        for nth in range(block.readings[column]):
            _, out, _ = _advance(table, kind, chart, track, block.at[nth, column], block.value[nth, column])
            if out:
                swept.speaks[i] = True
                _copy(spare, 0, chart, track)
                break


@compiled
def _copy(chart: Chart, track: int, to: Chart, place: int) -> None:
    to.learned[place], to.mean[place], to.variance[place] = (
        chart.learned[track], chart.mean[track], chart.variance[track],
    )  # fmt: skip
    to.average[place], to.out[place], to.since[place] = (
        chart.average[track],
        chart.out[track],
        chart.since[track],
    )


def step(table: Table, state: Chart, batch: Batch) -> tuple[Chart, Scores]:
    n = len(batch.kind)
    chart = Chart(*(array.copy() for array in state))
    score, out, kept = np.empty(n), np.zeros(n, bool), np.zeros(n, bool)
    _step(table, chart, batch.kind, batch.at, batch.value, score, out, kept)
    level = table.level[batch.kind]
    scores = no_scores(n)._replace(
        meets=np.where(out, level, 0).astype(np.uint8),
        keeps=np.where(kept, level, 0).astype(np.uint8),
        agrees=out,
        since=chart.since.copy(),
        score=score,
        slot=np.zeros(n, np.uint8),
    )
    return chart, scores


def room(table: Table) -> Chart:
    return fresh(table, ONE_TRACK)


def sweep(table: Table, state: Chart, block: Block, room: Chart) -> Swept:
    swept = nothing_swept(block)
    _sweep(table, state, room, swept, block)
    return swept


DETECTOR = Detector("ewma", bind, tabulate, fresh, step, sweep=sweep, room=room, compares=True)
