"""A blind area: a gateway that is silent as a whole; one alert in place of one for each of its sensors.

Ingest says in its ticks which gateways it has not heard for longer than their allowance; here that becomes
an episode. A gateway that was never heard is not blind: it was never in service.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from detectors.contract import Batch, Bound, Detector, Fall, Scores, no_scores
from schemas.catalogue import Category
from schemas.registry import Sensor
from schemas.rule import Rule

CELL = "gateway_down"


class Table(NamedTuple):
    level: np.ndarray


class Nothing(NamedTuple):
    unused: np.ndarray


def bind(rule: Rule, sensor: Sensor | None, category: Category | None, gateway_s: float) -> Bound:
    return bound_by(rule, CELL, "blind")


def bound_by(rule: Rule, expected: str, shape: str) -> Bound:
    """Of a rule about gateways that knows one cell only."""
    levels = [level for level, cell in sorted(rule.levels.items()) if cell.strip() == expected]
    reasons = tuple(
        f"level {level}: expected {expected}, got {cell!r}"
        for level, cell in sorted(rule.levels.items())
        if cell.strip() != expected
    )
    return Bound(levels[0] if levels else 0, frozenset(levels[:1]), (Fall(),) * 4, (shape,), reasons)


def tabulate(bounds: Sequence[Bound]) -> Table:
    return Table(np.array([bound.facts for bound in bounds], np.uint8))


def fresh(table: Table, kind: np.ndarray) -> Nothing:
    return Nothing(np.zeros((len(kind), 0)))


def step(table: Table, state: Nothing, batch: Batch) -> tuple[Nothing, Scores]:
    """`value` is 1 while the gateway is silent, `at` the time it was last heard."""
    level = np.where(batch.value > 0, table.level[batch.kind], 0).astype(np.uint8)
    scores = no_scores(len(level))._replace(
        meets=level, keeps=level, agrees=level > 0, since=batch.at, score=batch.value, slot=level
    )
    return state, scores


DETECTOR = Detector("blind-area", bind, tabulate, fresh, step, looks_at="gateways")
