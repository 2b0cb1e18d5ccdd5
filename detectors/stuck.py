"""A sensor that repeats its value to the last bit although the quantity is noisy.

How many repeats prove it follows from noise and resolution: rounding noise of sigma s to steps of r makes
two readings equal with a chance of at most p = erf(r / (2 sqrt(2) s)), and n in a row are called stuck when
p^(n-1) < 1e-6, for half of the catalogue's noise, as quiet sites show less than it says. Coarser than the
noise, repeats are normal and nothing is judged. Values at zero or at an end of the plausible range are left
alone: many quantities rest there (an empty pipe, a dry road, 100 % humidity).

>>> repeats_needed(noise=0.02, resolution=0.01, least=8)
10
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from detectors.compiled import compiled
from detectors.contract import (
    Arrays,
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

FALSE_RATE = 1e-6
QUIET = 0.5
"""Share of the catalogue's noise that a sensor shows at the least: judgement."""


@dataclass(frozen=True, slots=True)
class Facts:
    level: int
    repeats: int
    low: float
    high: float
    step: float


class Table(NamedTuple):
    level: np.ndarray
    repeats: np.ndarray
    low: np.ndarray
    high: np.ndarray
    step: np.ndarray


class Run(NamedTuple):
    value: np.ndarray
    repeats: np.ndarray
    since: np.ndarray


def repeats_needed(noise: float, resolution: float, least: int) -> int:
    equal = math.erf(resolution / (2 * math.sqrt(2) * noise))
    return max(least, 1 + math.ceil(math.log(FALSE_RATE) / math.log(equal)))


def bind(rule: Rule, sensor: Sensor | None, category: Category | None, gateway_s: float) -> Bound:
    if category is None:
        raise ValueError(f"rule {rule.name}: stuck needs a sensor with a category")
    level = min(rule.levels, default=4)
    fall = Fall(reports=2)
    nothing = Facts(0, 0, 0.0, 0.0, 0.0)
    if category.is_state or not category.noise:
        return Bound(nothing, frozenset(), (fall,) * 4, (), ("its noise is not known in its unit",))
    if category.noise < category.resolution:
        return Bound(nothing, frozenset(), (fall,) * 4, (), ("its resolution is coarser than its noise",))
    repeats = repeats_needed(QUIET * category.noise, category.resolution, int(rule.params.get("reports", 8)))
    facts = Facts(level, repeats, category.plausible_min, category.plausible_max, category.resolution)
    return Bound(facts, frozenset({level}), (fall,) * 4, ("stuck",))


def tabulate(bounds: Sequence[Bound]) -> Table:
    facts: list[Facts] = [bound.facts for bound in bounds]
    return Table(
        np.array([f.level for f in facts], np.uint8),
        np.array([f.repeats for f in facts], np.int32),
        np.array([f.low for f in facts]),
        np.array([f.high for f in facts]),
        np.array([f.step for f in facts]),
    )


def fresh(table: Table, kind: np.ndarray) -> Run:
    n = len(kind)
    return Run(np.full(n, np.nan), np.zeros(n, np.int32), np.zeros(n, np.int64))


def step(table: Table, state: Run, batch: Batch) -> tuple[Run, Scores]:
    kind, value = batch.kind, batch.value
    same = value == state.value
    count = np.where(same, state.repeats + 1, 1).astype(np.int32)
    since = np.where(same, state.since, batch.at)
    stuck = (count >= table.repeats[kind]) & ~_resting(table, kind, value)
    level = np.where(stuck, table.level[kind], 0).astype(np.uint8)
    scores = no_scores(len(kind))._replace(
        meets=level,
        keeps=level,
        agrees=stuck,
        since=since,
        score=count.astype(float),
        slot=np.zeros(len(kind), np.uint8),
    )
    return Run(value, count, since), scores


def sweep(table: Table, state: Run, block: Block, _room: Arrays) -> Swept:
    swept = nothing_swept(block)
    _sweep(table, state, swept, block)
    return swept


@compiled
def _sweep(table: Table, state: Run, swept: Swept, block: Block) -> None:
    """Whoever repeats often enough speaks, at rest or not."""
    for i in range(len(block.track)):
        track, column = block.track[i], block.columns[i]
        value, repeats, since = state.value[track], state.repeats[track], state.since[track]
        for nth in range(block.readings[column]):
            if block.value[nth, column] == value:
                repeats += 1
            else:
                value, repeats, since = block.value[nth, column], 1, block.at[nth, column]
            if repeats >= table.repeats[block.kind[i]]:
                swept.speaks[i] = True
                break
        if not swept.speaks[i]:
            state.value[track], state.repeats[track], state.since[track] = value, repeats, since


def _resting(table: Table, kind: np.ndarray, value: np.ndarray) -> np.ndarray:
    half = table.step[kind] / 2
    low, high = table.low[kind] + half, table.high[kind] - half
    at_rest: np.ndarray = (np.abs(value) <= half) | (value <= low) | (value >= high)
    return at_rest


DETECTOR = Detector("stuck", bind, tabulate, fresh, step, sweep=sweep)
