"""A value that the quantity cannot have, or one that loggers write when they have none.

The gross range test of QARTOD and of WMO-No. 8: outside the range the device is at fault, not the city. Codes
such as -9999 are no measurement whatever the range. Where a live rule tells people, such values are kept from
all other detectors (detectors/checked.py).

>>> table = tabulate_facts([Facts(low=0.0, high=14.0)])
>>> marks(table, np.array([[7.1], [-9999.0], [15.0]])).alert.ravel().tolist()
[False, True, True]
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from detectors.contract import Batch, Bound, Detector, Fall, Scores
from detectors.marks import Marks, live
from schemas.catalogue import Category
from schemas.registry import Sensor
from schemas.rule import Rule

NO_DATA = (-9999.0, -99999.0, -999999.0)


@dataclass(frozen=True)
class Facts:
    level: int = 4
    low: float = -math.inf
    high: float = math.inf


class Table(NamedTuple):
    """A row a kind; fields as in Facts."""

    level: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Nothing(NamedTuple):
    """This detector remembers nothing; the array only says how many tracks there are."""

    tracks: np.ndarray


def tabulate_facts(facts: Sequence[Facts]) -> Table:
    return Table(*(np.array([getattr(f, name) for f in facts]) for name in Table._fields))


def marks(table: Table, value: np.ndarray) -> Marks:
    """Of a block of values [T, n]. No value (NaN) is not a value that cannot be."""
    wrong = (value < table.low) | (value > table.high) | np.isin(value, NO_DATA) | np.isinf(value)
    return Marks(wrong.astype(float), wrong)


def bind(rule: Rule, sensor: Sensor | None, category: Category | None, gateway_s: float) -> Bound:
    if category is None:
        raise ValueError(f"rule {rule.name}: plausible needs a sensor with a category")
    level = min(rule.levels, default=4)
    facts = Facts(level, category.plausible_min, category.plausible_max)
    return Bound(facts, frozenset({level}), (Fall(reports=2),) * 4, ("plausible",))


def tabulate(bounds: Sequence[Bound]) -> Table:
    return tabulate_facts([bound.facts for bound in bounds])


def fresh(table: Table, kind: np.ndarray) -> Nothing:
    return Nothing(np.zeros(len(kind), np.uint8))


def step(table: Table, state: Nothing, batch: Batch) -> tuple[Nothing, Scores]:
    own = Table(*(array[batch.kind] for array in table))
    scores = live(marks(own, batch.value[None]), own.level, batch)
    return state, scores._replace(running=np.zeros(len(batch.kind), bool))


def checks(table: Table) -> tuple[np.ndarray, np.ndarray]:
    """A range that holds a code is cut off above it: no range of the catalogue is so wide."""
    return np.where(table.low <= max(NO_DATA), np.nextafter(max(NO_DATA), np.inf), table.low), table.high


def screen(table: Table, kind: np.ndarray, value: np.ndarray) -> np.ndarray | None:
    """Values that may be wrong. Codes for no data lie far from zero."""
    may: np.ndarray = ~((value >= table.low[kind]) & (value <= table.high[kind])) | (value <= max(NO_DATA))
    return may


DETECTOR = Detector("plausible", bind, tabulate, fresh, step, screen=screen, checks=checks)
