"""What flows into a district and does not come out of it: the mass balance of a water district, loop or main.

The balance is the sum of the selector's meters, less those of role `out` and of role `used` (metered
consumers): for a district it is what its people use and what it loses, for a closed heat loop or a gas main
it is nearly nothing. Held against the same hour of other days (detectors/usual.py), more than usual is a leak
(minimum night flow and water balance: Lambert and Hirner 2000, "Losses from water supply systems", IWA;
CJJ 92-2016). All meters must be known; what is missing pauses the rule. Less than usual is not judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from detectors import verdict
from detectors.around import Source
from detectors.contract import Batch, Bound, Detector, Fall, Scores
from detectors.members import Member
from detectors.usual import Usual, depart
from detectors.usual import fresh as nothing_usual
from detectors.verdict import NEVER, CellError, Held, Limits
from schemas.catalogue import Category
from schemas.inputs import Part
from schemas.registry import Sensor
from schemas.rule import Members, Rule

TAKEN = ("out", "used")
"""Roles whose meters are subtracted; a rule of this detector knows no others."""


@dataclass(frozen=True)
class Facts:
    limits: Limits
    signs: tuple[float, ...]
    every_s: float
    span_s: float
    sigma: float
    floor: float
    learn_days: float


class Table(NamedTuple):
    every_us: np.ndarray
    limits: verdict.Table
    signs: np.ndarray  # [kinds, members], 0 where there is none
    share: np.ndarray  # bool, the amount is a share of what flows in
    span_us: np.ndarray
    sigma: np.ndarray
    floor: np.ndarray
    learn_us: np.ndarray


class Balance(NamedTuple):
    """The first four as in contract.Told; figures: balance, its usual, departure, what flows in."""

    turn: np.ndarray
    figures: np.ndarray
    shown: np.ndarray
    share: np.ndarray
    since: np.ndarray
    times_met: np.ndarray
    newest: np.ndarray
    mean: np.ndarray
    usual: np.ndarray
    size: np.ndarray
    times: np.ndarray
    course: np.ndarray
    each: np.ndarray


def bind(rule: Rule, sensor: Sensor | None, category: Category | None, gateway_s: float) -> Bound:
    raise ValueError(f"rule {rule.name}: detector {rule.detector} judges groups, not sensors")


def bind_group(rule: Rule, category: Category, members: tuple[Member, ...]) -> Bound:
    try:
        limits = verdict.limits_of(rule)
    except CellError as error:
        return unjudged(str(error))
    asked = rule.members or Members()
    facts = Facts(
        limits,
        tuple(-1.0 if member.role in TAKEN else 1.0 for member in members),
        asked.every_s,
        rule.params.get("span_s", 3600.0),
        rule.params.get("sigma", 4.0),
        category.resolution,
        rule.params.get("learn_days", 14.0),
    )
    names = tuple(f"{member.role}{member.sensor.sensor}" for member in members)
    shape = ("balance", f"{asked.every_s}", *names)
    return Bound(facts, limits.levels, verdict.falls(rule, limits), shape, sources=sources_of(members))


def unjudged(why: str) -> Bound:
    return Bound(None, frozenset(), (Fall(),) * 4, (), (why,))


def sources_of(members: tuple[Member, ...]) -> tuple[Source, ...]:
    """A column of inputs for each member."""
    return tuple(
        Source("member", "number", (Part(""),), False, member.within_us, number=member.sensor.sensor)
        for member in members
    )


def tabulate(bounds: Sequence[Bound]) -> Table:
    facts: list[Facts] = [bound.facts for bound in bounds]
    width = max((len(f.signs) for f in facts), default=0)
    signs = np.zeros((len(facts), width))
    for row, f in enumerate(facts):
        signs[row, : len(f.signs)] = f.signs
    return Table(
        np.array([round(f.every_s * 1e6) for f in facts], np.int64),
        verdict.tabulate([f.limits for f in facts]),
        signs,
        np.array([f.limits.measure == "dev" for f in facts]),
        np.array([f.span_s * 1e6 for f in facts]),
        np.array([f.sigma for f in facts]),
        np.array([f.floor for f in facts]),
        np.array([f.learn_days * 86400e6 for f in facts]),
    )


def fresh(table: Table, kind: np.ndarray) -> Balance:
    n, width = len(kind), table.signs.shape[1]
    blank, held = nothing_usual(n, width), verdict.fresh(n)
    return Balance(
        np.full(n, NEVER), np.full((n, 4), np.nan), np.full((n, width), np.nan), np.full((n, width), np.nan),
        *held, *blank,
    )  # fmt: skip


@np.errstate(all="ignore")
def step(table: Table, state: Balance, batch: Batch) -> tuple[Balance, Scores]:
    assert batch.inputs is not None
    assert batch.inputs_at is not None
    kind, at = batch.kind, batch.at
    signs = table.signs[kind]
    width = signs.shape[1]
    values = batch.inputs[:, :width]
    there = signs != 0
    complete = (np.isfinite(values) | ~there).all(axis=1)
    flows = np.where(there, values, 0.0)
    balance = np.where(complete, (signs * flows).sum(axis=1), np.nan)
    flowing_in = np.where(complete, np.where(signs > 0, flows, 0.0).sum(axis=1), np.nan)
    learned, found = depart(
        Usual(*state[6:]), at, balance, values, table.span_us[kind], table.floor[kind],
        table.learn_us[kind], table.sigma[kind], batch.level > 0,
    )  # fmt: skip
    counts = np.where(found.sigmas >= table.sigma[kind], found.off, np.minimum(found.off, 0.0))
    amount = np.where(table.share[kind], counts / np.maximum(np.abs(flowing_in), 1e-9), counts)
    seen_at = np.where(there, batch.inputs_at[:, :width], NEVER).max(axis=1)
    held, scores = verdict.verdict(
        table.limits, kind, Held(state.since, state.times_met), at, seen_at, amount, batch.level
    )
    share = np.where(there, signs * found.parts / np.where(found.off > 0, found.off, np.nan)[:, None], np.nan)
    figures = np.stack((found.mean, found.usual, found.off, flowing_in), axis=1)
    after = Balance(at // table.every_us[kind], figures, values, share, *held, *learned)
    return after, scores


DETECTOR = Detector("balance", bind, tabulate, fresh, step, looks_at="groups", bind_group=bind_group)
