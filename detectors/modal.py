"""A bridge whose frequency falls by more than the weather explains: it has lost stiffness.

Each selected frequency is freed of temperature by a line that is fitted on the stream, exponentially
weighted (Peeters and De Roeck 2001, "One-year monitoring of the Z24-Bridge"; the fit is that of
detectors/learned.py, silent for fourteen days), and what is left is smoothed over half a day (EWMA: Roberts
1959), because a single estimate of a mode is noisy. The amount is the fall as a share of the mean frequency.
Role `temperature` at the same place is required; the first one known is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from detectors import learned, verdict
from detectors.contract import Batch, Bound, Detector, Scores
from detectors.departing import alone, nothing_told, sources_of, unjudged
from detectors.members import Member
from detectors.verdict import NEVER, CellError, Held, Limits
from schemas.catalogue import Category
from schemas.rule import Members, Rule

ROLE = "temperature"


@dataclass(frozen=True)
class Facts:
    limits: Limits
    warmth: tuple[bool, ...]  # by member: tells the temperature
    every_s: float
    span_s: float
    sigma: float


class Table(NamedTuple):
    every_us: np.ndarray
    limits: verdict.Table
    warmth: np.ndarray  # [kinds, members]
    span_us: np.ndarray
    sigma: np.ndarray


class Modal(NamedTuple):
    """The first four as in contract.Told; figures: frequency, its share lost, temperature, sigmas."""

    turn: np.ndarray
    figures: np.ndarray
    shown: np.ndarray
    share: np.ndarray
    since: np.ndarray
    times_met: np.ndarray
    newest: np.ndarray  # i8
    line: np.ndarray  # f8 [n, 8], as in learned.py
    left: np.ndarray  # f8, smoothed residual, NaN before the first


def bind_group(rule: Rule, category: Category, members: tuple[Member, ...]) -> Bound:
    try:
        limits = verdict.limits_of(rule)
    except CellError as error:
        return unjudged(str(error))
    if limits.measure != "dev":
        return unjudged(f"modal measures dev, not {limits.measure}")
    chosen = tuple(m for i, m in enumerate(members) if i == 0 or m.role == ROLE)
    asked = rule.members or Members()
    facts = Facts(
        limits,
        tuple(member.role == ROLE for member in chosen),
        asked.every_s,
        rule.params.get("span_s", 12 * 3600.0),
        rule.params.get("sigma", 4.0),
    )
    if not any(facts.warmth):
        return unjudged("nobody at the place has the role temperature")
    shape = ("modal", *(f"{member.sensor.sensor}" for member in chosen))
    return Bound(facts, limits.levels, verdict.falls(rule, limits), shape, sources=sources_of(chosen))


def tabulate(bounds: Sequence[Bound]) -> Table:
    facts: list[Facts] = [bound.facts for bound in bounds]
    warmth = np.zeros((len(facts), max((len(f.warmth) for f in facts), default=0)), bool)
    for i, f in enumerate(facts):
        warmth[i, : len(f.warmth)] = f.warmth
    return Table(
        np.array([round(f.every_s * 1e6) for f in facts], np.int64),
        verdict.tabulate([f.limits for f in facts]),
        warmth,
        np.array([f.span_s * 1e6 for f in facts]),
        np.array([f.sigma for f in facts]),
    )


def fresh(table: Table, kind: np.ndarray) -> Modal:
    n, width = len(kind), table.warmth.shape[1]
    line = learned.fresh(n, baseline=False, line=True).line
    return Modal(
        *nothing_told(n, width), *verdict.fresh(n), np.full(n, NEVER), line, np.full(n, np.nan)
    )  # fmt: skip


@np.errstate(all="ignore")
def step(table: Table, state: Modal, batch: Batch) -> tuple[Modal, Scores]:
    assert batch.inputs is not None
    assert batch.inputs_at is not None
    warmth = table.warmth[batch.kind]
    n, width = warmth.shape
    rows, at = np.arange(n), batch.at
    values = np.where(np.abs(batch.inputs[:, :width]) < 1e100, batch.inputs[:, :width], np.nan)
    heard = warmth & np.isfinite(values)
    warm = np.where(heard.any(axis=1), values[rows, heard.argmax(axis=1)], np.nan)
    value = values[:, 0]
    known = np.isfinite(value) & np.isfinite(warm)
    span_us = table.span_us[batch.kind]
    passed = np.where(state.newest == NEVER, 0, at - state.newest)
    narrow = np.sqrt(span_us / np.maximum(passed, 1))  # a mean of many departs less than one
    blank = learned.fresh(n, baseline=False, line=False)._replace(line=state.line)
    spread = np.sqrt(state.line[:, 7]) / np.maximum(narrow, 1.0)
    strange = np.abs(state.left) >= table.sigma[batch.kind] * spread
    calm = (batch.level == 0) & ~strange
    after, _, residual = learned.against_line(blank, at, np.where(known, value, 0.0), warm, calm)
    ready = known & np.isfinite(residual)
    stale = np.isnan(state.left) | (passed > 4 * span_us)
    weight = 1 - np.exp(-passed / span_us)
    left = np.where(stale, residual * weight, state.left + weight * (residual - state.left))
    left = np.where(ready, left, state.left)
    mean = state.line[:, 4]
    sigmas = -left / np.maximum(spread, 1e-12)
    lost = np.where(ready, -left / np.maximum(np.abs(mean), 1e-12), np.nan)
    amount = np.where(np.isnan(lost) | (sigmas >= table.sigma[batch.kind]), lost, np.minimum(lost, 0.0))
    taken = warmth.copy()
    taken[:, 0] = True
    seen_at = np.where(taken, batch.inputs_at[:, :width], NEVER).max(axis=1)
    held, scores = verdict.verdict(
        table.limits, batch.kind, Held(state.since, state.times_met), at, seen_at, amount, batch.level
    )
    figures = np.stack((value, lost, warm, sigmas), axis=1)
    line = np.where(known[:, None], after.line, state.line)
    newest = np.where(known, at, state.newest)
    blank_share = np.full(values.shape, np.nan)
    return Modal(state.turn, figures, values, blank_share, *held, newest, line, left), scores


DETECTOR = Detector(
    "modal", alone, tabulate, fresh, step, looks_at="groups", bind_group=bind_group, each=True
)
