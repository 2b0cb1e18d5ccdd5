"""A sensor that stays silent while its gateway goes on reporting.

The measure is the gateway's own working time (detectors/intake.py): it advances with the event times of the
gateway's frames, so an outage of the gateway or of ours, or the backlog after it, silences nobody. A level's
cell names the number of missed intervals, "v>=2". A sensor that reports on events only is never silent, and
neither is one that was never heard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from detectors.binding import interval_s
from detectors.contract import Batch, Bound, Detector, Fall, Scores, no_scores
from detectors.expression import Condition, ExpressionError, parse_cell
from schemas.catalogue import Category
from schemas.registry import Sensor
from schemas.rule import Rule


@dataclass(frozen=True, slots=True)
class Facts:
    interval_s: float
    intervals: tuple[float, float, float, float]  # for levels 1-4; inf: no such level


class Table(NamedTuple):
    interval_us: np.ndarray
    intervals: np.ndarray  # [kinds, 4]


class Nothing(NamedTuple):
    """What was heard and when is the partition's own state."""

    unused: np.ndarray


def bind(rule: Rule, sensor: Sensor | None, category: Category | None, gateway_s: float) -> Bound:
    if sensor is None:
        raise ValueError(f"rule {rule.name}: silence needs a sensor")
    intervals = [np.inf] * 4
    reasons = []
    for level, cell in sorted(rule.levels.items()):
        limit = _intervals(cell)
        if isinstance(limit, str):
            reasons.append(f"level {level}: {limit}")
        else:
            intervals[level - 1] = limit
    usual = interval_s(sensor, category)
    falls = (Fall(),) * 4
    if usual is None or not np.isfinite(intervals).any():
        return Bound(Facts(np.inf, (np.inf,) * 4), frozenset(), falls, (), tuple(reasons))
    facts = Facts(max(usual, gateway_s), (intervals[0], intervals[1], intervals[2], intervals[3]))
    levels = frozenset(i + 1 for i, x in enumerate(intervals) if np.isfinite(x))
    return Bound(facts, levels, falls, ("silence",), tuple(reasons))


def _intervals(cell: str) -> float | str:
    try:
        (group,) = parse_cell(cell)
        match group.conditions:
            case (Condition(op=">=", value=value, hold=None, is_input=False),) if (
                value and value.name is None
            ):
                return value.number
    except (ExpressionError, ValueError):
        pass
    return f"expected v>=NUMBER of missed intervals, got {cell!r}"


def tabulate(bounds: Sequence[Bound]) -> Table:
    facts: list[Facts] = [bound.facts for bound in bounds]
    return Table(
        np.array([f.interval_s * 1e6 for f in facts]), np.array([f.intervals for f in facts]).reshape(-1, 4)
    )


def fresh(table: Table, kind: np.ndarray) -> Nothing:
    return Nothing(np.zeros((len(kind), 0)))


def step(table: Table, state: Nothing, batch: Batch) -> tuple[Nothing, Scores]:
    """`value` is the working time since the last reading, `at` that reading's own time."""
    missed = batch.value / table.interval_us[batch.kind]
    over = missed[:, None] >= table.intervals[batch.kind]
    level = np.where(over.any(axis=1), over.argmax(axis=1) + 1, 0).astype(np.uint8)
    scores = no_scores(len(level))._replace(
        meets=level, keeps=level, agrees=level > 0, since=batch.at, score=missed, slot=level
    )
    return state, scores


DETECTOR = Detector("silence", bind, tabulate, fresh, step, looks_at="gaps")
