"""A gateway whose clock is off: it is heard, so it is not silent, and yet its readings are not judged.

What the clocks of gateways show is kept by detectors/clocks.py; here it becomes an episode at ticks. One
alert stands for all points of the gateway. Says how far the clock is off, not why; a gateway that is
silent, or one device among several whose clock is behind, is not its business.
"""

from __future__ import annotations

import numpy as np

from detectors import blind
from detectors.blind import Nothing, Table
from detectors.contract import Batch, Bound, Detector, Scores, no_scores
from schemas.catalogue import Category
from schemas.registry import Sensor
from schemas.rule import Rule

CELL = "clock_off"


def bind(rule: Rule, sensor: Sensor | None, category: Category | None, gateway_s: float) -> Bound:
    return blind.bound_by(rule, CELL, "clock")


def step(table: Table, state: Nothing, batch: Batch) -> tuple[Nothing, Scores]:
    """`value` is how far the clock is off in microseconds, above 0 ahead, below 0 behind."""
    level = np.where(batch.value != 0, table.level[batch.kind], 0).astype(np.uint8)
    scores = no_scores(len(level))._replace(
        meets=level, keeps=level, agrees=level > 0, since=batch.at, score=batch.value / 1e6, slot=level
    )
    return state, scores


DETECTOR = Detector("clock", bind, blind.tabulate, blind.fresh, step, looks_at="gateways", asks="clock")
