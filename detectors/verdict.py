"""What a group is judged by: one amount, its limits for levels 1-4, and how long each must be met.

Cells are `v>=N` (in the category's unit), `v>=Nsigma`, `dev>=N%`, each with `for TIME`, `for N reports` or
`for N nights`; all cells of a rule measure alike. A level is kept down to four fifths of its limit, or as
far back as the rule's hysteresis says. An unknown amount (NaN) neither meets nor leaves a level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from detectors.contract import NO_SLOT, Fall, Scores, no_scores
from detectors.expression import Condition, ExpressionError, parse_cell
from detectors.hold import Hold, parse_hold
from schemas.rule import Rule

NEVER = np.iinfo(np.int64).min
KEPT = 0.8


@dataclass(frozen=True, slots=True)
class Limits:
    """By level 1-4; inf where the rule has none."""

    measure: str  # v | sigma | dev
    limit: tuple[float, ...]
    keep: tuple[float, ...]
    hold_us: tuple[int, ...]
    reports: tuple[int, ...]

    @property
    def levels(self) -> frozenset[int]:
        return frozenset(i + 1 for i, limit in enumerate(self.limit) if np.isfinite(limit))


class Table(NamedTuple):
    """[kinds, 4]"""

    limit: np.ndarray
    keep: np.ndarray
    hold_us: np.ndarray
    reports: np.ndarray


class Held(NamedTuple):
    """[tracks, 4], by level: since when it is met, and how often in a row."""

    since: np.ndarray  # i8, NEVER while it is not
    times: np.ndarray  # i4


class CellError(ValueError):
    """A cell that a group cannot be judged by."""


def limits_of(rule: Rule) -> Limits:
    """Raises CellError."""
    limit, keep = [np.inf] * 4, [np.inf] * 4
    hold_us, reports = [0] * 4, [1] * 4
    measures = set()
    usual = parse_hold(rule.hold)
    for level, cell in rule.levels.items():
        condition = read(cell)
        assert condition.value is not None
        measure, number = _measure(condition)
        measures.add(measure)
        i = level - 1
        limit[i] = number
        keep[i] = KEPT * number if rule.hysteresis is None else number - rule.hysteresis
        if condition.hold is not None:
            hold_us[i], reports[i] = condition.hold.us, max(condition.hold.reports, 1)
        elif isinstance(usual, Hold):
            own = usual.of(level, condition.term.name)
            hold_us[i], reports[i] = own.us, max(own.reports, 1)
    if len(measures) > 1:
        raise CellError(f"expected cells that measure alike, got {', '.join(sorted(measures))}")
    measured = measures.pop() if measures else "v"
    return Limits(measured, tuple(limit), tuple(keep), tuple(hold_us), tuple(reports))


@lru_cache(maxsize=1024)
def read(cell: str) -> Condition:
    """The one condition of a cell. Raises CellError.

    >>> read("dev>=15% for 3 nights").hold.reports
    3
    """
    try:
        (group,) = parse_cell(cell)
        (condition,) = group.conditions
    except (ExpressionError, ValueError):
        raise CellError(f"expected one condition as v>=N, v>=Nsigma or dev>=N%, got {cell!r}") from None
    value = condition.value
    plain = value is not None and value.name is None and value.suffix in ("", "%", "sigma")
    plain = plain and (value is None or value.unit != "sigma")
    known = condition.term.name in ("v", "dev") and not condition.term.span_us and not condition.is_input
    timed = condition.hold is None or (condition.hold.name is None and not condition.hold.within_us)
    if condition.op != ">=" or not (plain and known and timed):
        raise CellError(f"expected v>=N, v>=Nsigma or dev>=N%, and at most `for`, got {cell!r}")
    _measure(condition)
    return condition


def _measure(condition: Condition) -> tuple[str, float]:
    value = condition.value
    assert value is not None
    if (condition.term.name == "dev") != (value.suffix == "%"):
        raise CellError(f"expected dev in %, or v without, got {condition.text!r}")
    if condition.term.name == "dev":
        return "dev", value.number / 100
    return ("sigma" if value.suffix else "v"), value.number


def falls(rule: Rule, limits: Limits) -> tuple[Fall, Fall, Fall, Fall]:
    clear = parse_hold(rule.clear) if rule.clear else None
    if isinstance(clear, Hold):
        fall = Fall(max(1, clear.usual.reports), clear.usual.us)
        return fall, fall, fall, fall
    a, b, c, d = (Fall(max(1, n), us) for n, us in zip(limits.reports, limits.hold_us, strict=True))
    return a, b, c, d


def tabulate(limits: Sequence[Limits]) -> Table:
    return Table(
        np.array([x.limit for x in limits]).reshape(-1, 4),
        np.array([x.keep for x in limits]).reshape(-1, 4),
        np.array([x.hold_us for x in limits], np.int64).reshape(-1, 4),
        np.array([x.reports for x in limits], np.int32).reshape(-1, 4),
    )


def fresh(n: int) -> Held:
    return Held(np.full((n, 4), NEVER), np.zeros((n, 4), np.int32))


def verdict(
    table: Table,
    kind: np.ndarray,
    held: Held,
    at: np.ndarray,
    seen_at: np.ndarray,
    amount: np.ndarray,
    level: np.ndarray,
) -> tuple[Held, Scores]:
    """`seen_at`: when the newest of the values was measured that make the amount; an episode begins there."""
    known = np.isfinite(amount)
    met = known[:, None] & (amount[:, None] >= table.limit[kind])
    since = np.where(met, np.where(held.since == NEVER, seen_at[:, None], held.since), NEVER)
    times = np.where(met, held.times + 1, 0).astype(np.int32)
    lasted = at[:, None] - np.where(met, since, at[:, None]) >= table.hold_us[kind]
    ripe = met & lasted & (times >= table.reports[kind])
    meets = _severest(ripe)
    kept = _severest(known[:, None] & (amount[:, None] >= table.keep[kind]))
    keeps = np.where(known, kept, level).astype(np.uint8)
    n = len(amount)
    of = np.maximum(np.where(meets > 0, meets, level), 1) - 1
    rows = np.arange(n)
    limit = table.limit[kind[rows], of]
    finite = np.isfinite(limit)
    begun = np.where(meets > 0, since[rows, of], 0)
    scores = no_scores(n)._replace(
        meets=meets,
        keeps=keeps,
        agrees=meets > 0,
        since=begun,
        slot=np.where(meets > 0, of, NO_SLOT).astype(np.uint8),
        score=amount,
        excess=np.where(finite & known, amount - np.where(finite, limit, 0.0), 0.0),
        grain=np.where(finite, 0.5 * np.where(finite, limit, 0.0), np.inf),
        running=met.any(axis=1),
    )
    return Held(since, times), scores


def waits(n: int, level: np.ndarray) -> Scores:
    """Scores of tracks that have nothing new to say: levels stay."""
    return no_scores(n)._replace(keeps=level)


def _severest(of: np.ndarray) -> np.ndarray:
    """The first level that is true, 0 for none."""
    return np.where(of.any(axis=1), of.argmax(axis=1) + 1, 0).astype(np.uint8)
