"""A network of sensors whose readings no longer explain one another: residuals of two one-step ridge models.

Hoerl and Kennard 1970, "Ridge regression"; the split into what physics ties together follows entries of the
BATADAL contest (Taormina et al. 2018). The first model explains a column by the columns of other families now
(levels from flows, states and pressures, ...), a level also by its own last value; the second explains it by
all columns one step before; both know hour and weekend. Families are the leading letters of names.
Squared residuals, each clipped, are averaged over some hours; the limit is a quantile of the same statistic
over blocks that were left out of the fit in turn, so it needs no label. Fitted once, offline.
"""

from __future__ import annotations

import re
from copy import copy
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from detectors.group import GroupDetector, TooLittle, product, resolution
from detectors.marks import NEVER, GroupMarks, elapsed_s, held
from detectors.recursion import follow, latest
from detectors.seasonal import DAY_US, HOUR_US, LOCAL_US

LEVELS = ("l", "level", "tank", "stage")  # families whose columns integrate what flows
LONGEST_STEPS = 1.0


@dataclass(frozen=True, slots=True)
class Settings:
    penalty: float = 1.0
    folds: int = 6
    quantile: float = 0.998
    clip: float = 8.0
    steps: float = 3.0  # of the usual interval, over which residuals are averaged
    hold_steps: float = 6.0


class Model(NamedTuple):
    usual: np.ndarray  # [c]
    target: np.ndarray  # i8 [m], the column that each residual is of
    weights: np.ndarray  # [features, m], both models side by side
    offset: np.ndarray  # [m]
    spread: np.ndarray  # [m]
    which: np.ndarray  # i8 [m], 0 the first model, 1 the second
    limits: np.ndarray  # [2]
    clip: np.ndarray
    interval_s: np.ndarray
    span_s: np.ndarray
    hold_s: np.ndarray


class Step(NamedTuple):
    at: np.ndarray  # i8 [1]
    last: np.ndarray  # [c]
    level: np.ndarray  # [2], averaged squares
    over: np.ndarray  # i8 [1]


def family(name: str) -> str:
    """The leading letters of a name.

    >>> family("P_J280"), family("flow2"), family("12")
    ('P', 'flow', '')
    """
    found = re.match(r"[^\W\d_]+", name)
    return found.group() if found else ""


def learn(settings: Settings, names: tuple[str, ...], at: np.ndarray, values: np.ndarray) -> Model:
    rows, c = values.shape
    if rows < 20 * (c + 48):
        raise TooLittle(f"{rows} rows of history; {c} columns and the hours need {20 * (c + 48)}")
    known = np.where(np.isfinite(values), values, np.nan)
    usual = np.array([float(np.nanmedian(x)) if np.isfinite(x).any() else 0.0 for x in known.T])
    filled = latest(usual, known)
    features = _features(filled, np.concatenate((filled[:1], filled[:-1])), at)
    families = np.array([family(name) for name in names])
    targets, columns = _plan(families, filled)
    normal = _Normal(features)
    parts = np.array_split(np.arange(rows), settings.folds)
    without = [normal.without(features[part]) for part in parts]
    weights = np.zeros((features.shape[1], len(targets)))
    offset, spread = np.zeros(len(targets)), np.ones(len(targets))
    residual = np.zeros((rows, len(targets)))
    for i, (_, target) in enumerate(targets):
        chosen, y = columns[i], filled[:, target]
        for part, rest in zip(parts, without, strict=True):
            w, b = rest.solve(chosen, target, settings.penalty)
            residual[part, i] = y[part] - features[part][:, chosen] @ w - b
        weights[chosen, i], offset[i] = normal.solve(chosen, target, settings.penalty)
        spread[i] = max(residual[:, i].std(), resolution(y), 1e-9)
    which = np.array([model for model, _ in targets], np.int64)
    steps = np.diff(at)
    interval_s = float(np.median(steps[steps > 0])) / 1e6 if (steps > 0).any() else 1.0
    model = Model(
        usual, np.array([target for _, target in targets], np.int64), weights, offset, spread, which,
        np.ones(2), np.array(settings.clip), np.array(interval_s),
        np.array(settings.steps * interval_s), np.array(settings.hold_steps * interval_s),
    )  # fmt: skip
    _, levels = _levels(model, fresh(model), at, _squares(model, residual))
    limits = np.array([np.quantile(levels[:, k], settings.quantile) for k in range(2)])
    return model._replace(limits=np.where(limits > 0, limits, np.inf))


def fresh(model: Model) -> Step:
    return Step(np.full(1, NEVER), np.full(len(model.usual), np.nan), np.full(2, np.nan), np.full(1, NEVER))


def scan(model: Model, state: Step, at: np.ndarray, values: np.ndarray) -> tuple[Step, GroupMarks]:
    known = np.where(np.isfinite(values), values, np.nan)
    filled = latest(state.last, known)
    filled = np.where(np.isnan(filled), model.usual, filled)
    first = np.where(np.isnan(state.last), filled[0], state.last)
    features = _features(filled, np.concatenate((first[None], filled[:-1])), at)
    residual = filled[:, model.target] - product(features, model.weights) - model.offset
    squares = _squares(model, residual)
    level, levels = _levels(model, state, at, squares)
    score = (levels / model.limits).max(axis=1)
    over, alert = held(state.over[0], at, score >= 1.0, float(model.hold_s))
    top = model.target[np.abs(residual / model.spread).argmax(axis=1)]
    return Step(at[-1:], filled[-1], level, np.array([over])), GroupMarks(score, alert, top)


def _features(now: np.ndarray, last: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Columns now, columns one step before, hour of day by kind of day."""
    local = at + LOCAL_US
    hour = (local % DAY_US) // HOUR_US
    weekend = ((local // DAY_US) + 3) % 7 >= 5  # 1970-01-01 was a Thursday
    return np.hstack((now, last, np.eye(48)[hour + 24 * weekend]))


def _plan(families: np.ndarray, filled: np.ndarray) -> tuple[list[tuple[int, int]], list[np.ndarray]]:
    """(model, column) of each residual, and the features that explain it. States only explain."""
    c = filled.shape[1]
    states = np.array([np.isin(column, (0.0, 1.0, 2.0)).all() for column in filled.T])
    calendar = np.arange(2 * c, 2 * c + 48)
    targets: list[tuple[int, int]] = []
    columns: list[np.ndarray] = []
    for j in range(c):
        if states[j] or not filled[:, j].std() > 0:
            continue
        others = np.flatnonzero(families != families[j])
        if len(others):
            own = [c + j] if families[j].lower() in LEVELS else []
            targets.append((0, j))
            columns.append(np.concatenate((others, np.array(own, np.int64), calendar)))
        targets.append((1, j))
        columns.append(np.concatenate((np.arange(c, 2 * c), calendar)))
    if not targets:
        raise TooLittle("no column varies")
    return targets, columns


class _Normal:
    """The normal equations of every column on every other, made once; targets are columns of it."""

    def __init__(self, features: np.ndarray) -> None:
        self.mean, spread = features.mean(axis=0), features.std(axis=0)
        self.used = spread > 1e-9
        self.spread = np.where(self.used, spread, 1.0)
        z = self._standard(features)
        self.rows, self.sums, self.products = len(z), z.sum(axis=0), z.T @ z

    def without(self, features: np.ndarray) -> _Normal:
        other = copy(self)
        z = self._standard(features)
        other.rows, other.sums = self.rows - len(z), self.sums - z.sum(axis=0)
        other.products = self.products - z.T @ z
        return other

    def solve(self, chosen: np.ndarray, target: int, penalty: float) -> tuple[np.ndarray, float]:
        """Weights and offset of the ridge regression of `target` on the chosen columns."""
        centre = self.sums / self.rows
        covariance = self.products[np.ix_(chosen, chosen)] - self.rows * np.outer(
            centre[chosen], centre[chosen]
        )
        towards = self.products[chosen, target] - self.rows * centre[chosen] * centre[target]
        w = np.linalg.solve(covariance + penalty * np.eye(len(chosen)), towards)
        offset = centre[target] - w @ centre[chosen]
        w = w * self.spread[target] / self.spread[chosen]
        b = offset * self.spread[target] + self.mean[target] - w @ self.mean[chosen]
        return w, float(b)

    def _standard(self, features: np.ndarray) -> np.ndarray:
        return np.where(self.used, (features - self.mean) / self.spread, 0.0)


def _squares(model: Model, residual: np.ndarray) -> np.ndarray:
    """Summed clipped squares of each model [T, 2]."""
    z2 = np.clip(residual / model.spread, -model.clip, model.clip) ** 2
    return np.stack([z2[:, model.which == k].sum(axis=1) for k in range(2)], axis=1)


def _levels(model: Model, state: Step, at: np.ndarray, squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    elapsed = np.minimum(elapsed_s(state.at, at[:, None]), LONGEST_STEPS * float(model.interval_s))
    weight = np.broadcast_to(1 - np.exp(-elapsed / model.span_s), squares.shape)
    start = np.where(np.isnan(state.level), squares[0], state.level)
    levels = follow(start, 1.0 - weight, weight * squares)
    return levels[-1], levels


DETECTOR = GroupDetector("onestep", Settings(), learn, fresh, scan)
