"""Detectors of a quantity made of several sensors that departs from what is usual at this hour.

What the quantity is, a `Kind` says (detectors/balance.py, detectors/neighbours.py); smoothing, learning,
limits and explanation are the same for all and stand here. An amount counts from `sigma` standard deviations
of its hour and from `least` in the category's unit on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from detectors import verdict
from detectors.around import Source
from detectors.contract import Batch, Bound, Detector, Fall, Scores
from detectors.members import Member
from detectors.usual import HOURS, Usual, depart
from detectors.usual import fresh as nothing_usual
from detectors.verdict import NEVER, CellError, Held, Limits
from schemas.catalogue import Category
from schemas.inputs import Part
from schemas.registry import Sensor
from schemas.rule import Members, Rule


class Quantity(NamedTuple):
    value: np.ndarray  # [n], NaN while too little is known
    whole: np.ndarray  # [n], what `dev` is a share of
    weight: np.ndarray  # [n, members], how a member's own departure enters; NaN where it explains nothing


@dataclass(frozen=True)
class Kind:
    name: str
    roles: frozenset[str]
    measures: frozenset[str]
    of: Callable[[np.ndarray, np.ndarray], Quantity]  # signs and values, [n, members]; sign 0: nobody there
    signs: Callable[[tuple[Member, ...]], tuple[float, ...]]
    both_ways: bool = False  # less than usual counts as well
    each: bool = False
    lays: bool = True  # members have baselines of their own, so that a departure is laid at one's door
    span_s: float = 3600.0
    least_noises: float = 0.0  # default of `least`


@dataclass(frozen=True)
class Facts:
    limits: Limits
    signs: tuple[float, ...]
    every_s: float
    span_s: float
    sigma: float
    floor: float
    learn_days: float
    least: float


class Table(NamedTuple):
    every_us: np.ndarray
    limits: verdict.Table
    signs: np.ndarray  # [kinds, members], 0 where there is none
    share: np.ndarray  # bool, the amount is a share
    in_sigmas: np.ndarray  # bool
    span_us: np.ndarray
    sigma: np.ndarray
    floor: np.ndarray
    learn_us: np.ndarray
    least: np.ndarray


class Departing(NamedTuple):
    """The first four as in contract.Told; figures: quantity, its usual, departure, the whole."""

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


def detector(kind: Kind) -> Detector:
    def bind_group(rule: Rule, category: Category, members: tuple[Member, ...]) -> Bound:
        try:
            limits = verdict.limits_of(rule)
        except CellError as error:
            return unjudged(str(error))
        if limits.measure not in kind.measures:
            return unjudged(f"{kind.name} measures {', '.join(sorted(kind.measures))}, not {limits.measure}")
        asked = rule.members or Members()
        facts = Facts(
            limits,
            kind.signs(members),
            asked.every_s,
            rule.params.get("span_s", kind.span_s),
            rule.params.get("sigma", 4.0),
            category.resolution,
            rule.params.get("learn_days", 14.0),
            rule.params.get("least", kind.least_noises * (category.noise or 0.0)),
        )
        names = tuple(f"{member.role}{member.sensor.sensor}" for member in members)
        shape = (kind.name, f"{asked.every_s}", *names)
        return Bound(facts, limits.levels, verdict.falls(rule, limits), shape, sources=sources_of(members))

    def fresh(table: Table, kinds: np.ndarray) -> Departing:
        n, width = len(kinds), table.signs.shape[1]
        blank, held = nothing_usual(n, width if kind.lays else 0), verdict.fresh(n)
        return Departing(*nothing_told(n, width), *held, *blank)

    @np.errstate(all="ignore")
    def step(table: Table, state: Departing, batch: Batch) -> tuple[Departing, Scores]:
        assert batch.inputs is not None
        assert batch.inputs_at is not None
        at, signs = batch.at, table.signs[batch.kind]
        values = batch.inputs[:, : signs.shape[1]]
        there = signs != 0
        found = kind.of(signs, np.where(there, values, np.nan))
        learned, away = depart(
            Usual(*state[6:]),
            at,
            found.value,
            values[:, : state.each.shape[1] // HOURS],
            table.span_us[batch.kind],
            table.floor[batch.kind],
            table.learn_us[batch.kind],
            table.sigma[batch.kind],
            batch.level > 0,
        )
        off = np.abs(away.off) if kind.both_ways else away.off
        sigmas = np.abs(away.sigmas) if kind.both_ways else away.sigmas
        counts = (sigmas >= table.sigma[batch.kind]) & (off >= table.least[batch.kind])
        whole = np.maximum(np.abs(found.whole), 1e-9)
        amount = np.where(table.share[batch.kind], off / whole, off)
        amount = np.where(table.in_sigmas[batch.kind], sigmas, amount)
        amount = np.where(counts | np.isnan(away.off), amount, np.minimum(amount, 0.0))
        seen_at = np.where(there, batch.inputs_at[:, : signs.shape[1]], NEVER).max(axis=1)
        held, scores = verdict.verdict(
            table.limits, batch.kind, Held(state.since, state.times_met), at, seen_at, amount, batch.level
        )
        share = np.full(values.shape, np.nan)
        if kind.lays:
            share = found.weight * away.parts / np.where(away.off != 0, away.off, np.nan)[:, None]
        figures = np.stack((away.mean, away.usual, away.off, found.whole), axis=1)
        return Departing(state.turn, figures, values, share, *held, *learned), scores

    return Detector(
        kind.name, alone, tabulate, fresh, step, looks_at="groups", bind_group=bind_group, each=kind.each
    )


def alone(rule: Rule, sensor: Sensor | None, category: Category | None, gateway_s: float) -> Bound:
    raise ValueError(f"rule {rule.name}: detector {rule.detector} judges groups, not sensors")


def unjudged(why: str) -> Bound:
    return Bound(None, frozenset(), (Fall(),) * 4, (), (why,))


def sources_of(members: tuple[Member, ...]) -> tuple[Source, ...]:
    """A column of inputs for each member."""
    return tuple(
        Source("member", "number", (Part(""),), False, member.within_us, number=member.sensor.sensor)
        for member in members
    )


def nothing_told(n: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    blank = np.full((n, width), np.nan)
    return np.full(n, NEVER), np.full((n, 4), np.nan), blank, blank


def tabulate(bounds: Sequence[Bound]) -> Table:
    facts: list[Facts] = [bound.facts for bound in bounds]
    return Table(
        np.array([round(f.every_s * 1e6) for f in facts], np.int64),
        verdict.tabulate([f.limits for f in facts]),
        padded([f.signs for f in facts]),
        np.array([f.limits.measure == "dev" for f in facts]),
        np.array([f.limits.measure == "sigma" for f in facts]),
        np.array([f.span_s * 1e6 for f in facts]),
        np.array([f.sigma for f in facts]),
        np.array([f.floor for f in facts]),
        np.array([f.learn_days * 86400e6 for f in facts]),
        np.array([f.least for f in facts]),
    )


def padded(rows: Sequence[tuple[float, ...]]) -> np.ndarray:
    out = np.zeros((len(rows), max((len(row) for row in rows), default=0)))
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return out
