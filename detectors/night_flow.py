"""A district's least flow at night, night by night: what runs while its people sleep is mostly leaks.

The balance of a district's meters (detectors/balance.py) is averaged over each hour of the night, from 2 to 4
unless the rule says otherwise; the least of these hours, when the night is over, is held against the nights
before (mean and mean departure, memory four weeks). UK Water Industry 1994, "Managing leakage", report E;
CJJ 92-2016. Judged once a night: holds are `for N nights`. A night without half of its quarters is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from detectors import verdict
from detectors.balance import TAKEN, balance, signs_of
from detectors.contract import Batch, Bound, Detector, Scores
from detectors.departing import alone, nothing_told, padded, sources_of, unjudged
from detectors.learned import CALM, DAY_US, HOUR_US, LOCAL_US, SIGMA_OF_MEAN_SIZE
from detectors.members import Member
from detectors.verdict import NEVER, CellError, Held, Limits
from schemas.catalogue import Category
from schemas.rule import Members, Rule

ROLES = TAKEN
MEMORY_NIGHTS = 28.0
LEAST_SHARE = 0.5  # of an hour's turns


@dataclass(frozen=True)
class Facts:
    limits: Limits
    signs: tuple[float, ...]
    every_s: float
    begin: float
    end: float
    nights: float
    sigma: float
    floor: float


class Table(NamedTuple):
    every_us: np.ndarray
    limits: verdict.Table
    signs: np.ndarray
    share: np.ndarray  # bool
    begin: np.ndarray  # hours
    end: np.ndarray
    nights: np.ndarray
    sigma: np.ndarray
    floor: np.ndarray


class Night(NamedTuple):
    """The first four as in contract.Told; figures: least flow, its usual, departure, nights known."""

    turn: np.ndarray
    figures: np.ndarray
    shown: np.ndarray
    share: np.ndarray
    since: np.ndarray
    times_met: np.ndarray
    hour: np.ndarray  # i8, hours since 1970 by the city's clock; what follows is of this one
    total: np.ndarray
    turns: np.ndarray  # i4
    first: np.ndarray  # i8, when the night's first value was measured
    least: np.ndarray  # of the night, inf before its first hour
    known: np.ndarray  # f8, nights
    mean: np.ndarray
    size: np.ndarray


def bind_group(rule: Rule, category: Category, members: tuple[Member, ...]) -> Bound:
    try:
        limits = verdict.limits_of(rule)
    except CellError as error:
        return unjudged(str(error))
    if limits.measure == "sigma" or any(limits.hold_us):
        return unjudged("night-flow measures v or dev, and holds are of nights")
    asked = rule.members or Members()
    facts = Facts(
        limits,
        signs_of(members),
        asked.every_s,
        rule.params.get("from_h", 2.0),
        rule.params.get("to_h", 4.0),
        rule.params.get("learn_nights", 7.0),
        rule.params.get("sigma", 3.0),
        category.resolution,
    )
    names = tuple(f"{member.role}{member.sensor.sensor}" for member in members)
    shape = ("night-flow", f"{asked.every_s}", f"{facts.begin}-{facts.end}", *names)
    return Bound(facts, limits.levels, verdict.falls(rule, limits), shape, sources=sources_of(members))


def tabulate(bounds: Sequence[Bound]) -> Table:
    facts: list[Facts] = [bound.facts for bound in bounds]
    return Table(
        np.array([round(f.every_s * 1e6) for f in facts], np.int64),
        verdict.tabulate([f.limits for f in facts]),
        padded([f.signs for f in facts]),
        np.array([f.limits.measure == "dev" for f in facts]),
        np.array([f.begin for f in facts]),
        np.array([f.end for f in facts]),
        np.array([f.nights for f in facts]),
        np.array([f.sigma for f in facts]),
        np.array([f.floor for f in facts]),
    )


def fresh(table: Table, kind: np.ndarray) -> Night:
    n = len(kind)
    zero, never = np.zeros(n), np.full(n, NEVER)
    return Night(
        *nothing_told(n, table.signs.shape[1]), *verdict.fresh(n),
        never, zero, np.zeros(n, np.int32), never, np.full(n, np.inf), zero, zero, zero,
    )  # fmt: skip


@np.errstate(all="ignore")
def step(table: Table, state: Night, batch: Batch) -> tuple[Night, Scores]:
    assert batch.inputs is not None
    assert batch.inputs_at is not None
    kind, at = batch.kind, batch.at
    signs = table.signs[kind]
    there = signs != 0
    values = batch.inputs[:, : signs.shape[1]]
    values = np.where(there & (np.abs(values) < 1e100), values, np.nan)
    found = balance(signs, values)
    local = at + LOCAL_US
    hour, of_day = local // HOUR_US, local % DAY_US / HOUR_US
    night = (of_day >= table.begin[kind]) & (of_day < table.end[kind])
    # An hour that is over counts for the night if enough of it was heard.
    passed = state.hour != hour
    need = LEAST_SHARE * HOUR_US / table.every_us[kind]
    whole = passed & (state.turns >= need)
    least = np.where(whole, np.minimum(state.least, state.total / np.maximum(state.turns, 1)), state.least)
    over = ~night & np.isfinite(least)
    # Once a night is over it is judged.
    off = least - state.mean
    size = np.maximum(state.size * SIGMA_OF_MEAN_SIZE, table.floor[kind])
    ready = over & (state.known >= table.nights[kind])
    part = np.where(table.share[kind], off / np.maximum(np.abs(state.mean), 1e-9), off)
    counts = off >= table.sigma[kind] * size
    amount = np.where(ready, np.where(counts, part, np.minimum(part, 0.0)), np.nan)
    seen_at = np.where(state.first == NEVER, at, state.first)
    judged, scores = verdict.verdict(
        table.limits, kind, Held(state.since, state.times_met), at, seen_at, amount, batch.level
    )
    since = np.where(ready[:, None], judged.since, state.since)
    times = np.where(ready[:, None], judged.times, state.times_met)
    strange = ready & (np.abs(off) >= table.sigma[kind] * size)
    pace = np.where((batch.level > 0) | strange, CALM, 1.0)
    gain = np.where(over, pace * np.maximum(1 / (state.known + 1), 1 / MEMORY_NIGHTS), 0.0)
    first_night = over & (state.known == 0)
    mean = np.where(first_night, least, state.mean + gain * np.where(over, off, 0.0))
    sized = np.where(first_night, 0.0, state.size + gain * (np.abs(np.where(over, off, 0.0)) - state.size))
    heard = night & np.isfinite(found.value)
    newest = np.where(there, batch.inputs_at[:, : signs.shape[1]], NEVER).max(axis=1)
    fresh_figures = np.stack((least, state.mean, off, state.known), axis=1)
    figures = np.where(ready[:, None], fresh_figures, state.figures)
    added = np.where(heard, found.value, 0.0)
    after = Night(
        state.turn,
        figures,
        np.where(heard[:, None], values, state.shown),
        state.share,
        since,
        times,
        hour,
        np.where(passed, 0.0, state.total) + added,
        (np.where(passed, 0, state.turns) + heard).astype(np.int32),
        np.where(over, NEVER, np.where((state.first == NEVER) & heard, newest, state.first)),
        np.where(over, np.inf, least),
        state.known + over,
        mean,
        sized,
    )
    return after, scores


DETECTOR = Detector("night-flow", alone, tabulate, fresh, step, looks_at="groups", bind_group=bind_group)
