"""A plant that runs and whose readings no longer fit one another: regression while it is on.

Gated and compensated like the energy signature of buildings (Fels 1986, PRISM): each column is explained by
the others and the hour, only while the plant has been on for two hours. Which column tells on from off is the
one whose best split in two (Otsu 1979) leaves the smallest residuals. These are winsorised; their average
over some hours (Roberts 1959) may not pass what blocks left out of the fit reached, nor may one row as it
stands (Shewhart 1931), which tells a gross fault before the plant goes off again. Fitted once, offline.
A CUSUM of daily means is left out on purpose: a plant is a little different every winter, and it said so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from detectors.group import GroupDetector, TooLittle, product, resolution
from detectors.marks import NEVER, GroupMarks, elapsed_s
from detectors.recursion import follow
from detectors.seasonal import DAY_US, LOCAL_US


@dataclass(frozen=True, slots=True)
class Settings:
    penalty: float = 10.0
    folds: int = 6
    on_s: float = 7200.0  # in its regime before anything is said
    span_s: float = 3 * 3600.0
    winsor: float = 8.0  # spreads
    days_beyond: int = 1  # the limit is what this many days of the history reached
    multiple: float = 1.05
    longest_step_s: float = 3600.0


class Model(NamedTuple):
    gate: np.ndarray  # i8 scalar, the column that tells on from off
    on_above: np.ndarray
    target: np.ndarray  # i8 [m]
    weights: np.ndarray  # [2 c + 4, m]
    offset: np.ndarray  # [m]
    spread: np.ndarray  # [m]
    limit: np.ndarray  # [m], of the average
    row_limit: np.ndarray  # [m], of one row, in spreads, not winsorised
    on_s: np.ndarray
    span_s: np.ndarray
    winsor: np.ndarray
    longest_step_s: np.ndarray


class Running(NamedTuple):
    at: np.ndarray  # i8 [1]
    on_for: np.ndarray  # f8 [1], s
    average: np.ndarray  # [m]


def learn(settings: Settings, names: tuple[str, ...], at: np.ndarray, values: np.ndarray) -> Model:
    whole = np.isfinite(values).all(axis=1)
    c = values.shape[1]
    if whole.sum() < 60 * (c + 6):
        raise TooLittle(f"{int(whole.sum())} rows of history without a gap; {c} columns need {60 * (c + 6)}")
    best, draft, residual, rows = np.inf, None, np.zeros((0, 0)), np.zeros(0, np.int64)
    for gate, above in _splits(values[whole]):
        model = _empty(settings, gate, above, c)
        heard, _, _ = _heard(model, fresh(model), at, values)
        on = np.flatnonzero(heard)
        if len(on) < max(30 * (c + 6), 0.15 * whole.sum()):
            continue
        fitted, out = _fit(settings, model, at[on], values[on])
        size = float(np.log(fitted.spread / np.maximum(values[whole].std(axis=0)[fitted.target], 1e-9)).sum())
        if size < best:
            best, draft, residual, rows = size, fitted, out, on
    if draft is None:
        raise TooLittle("no regime lasts long enough in the history")
    z = np.zeros((len(at), len(draft.target)))
    z[rows] = np.clip(residual / draft.spread, -settings.winsor, settings.winsor)
    heard, elapsed, _ = _heard(draft, fresh(draft), at, values)
    averages = np.abs(_averages(draft, np.zeros(len(draft.target)), elapsed, heard, z))
    days, place = np.unique((at[rows] + LOCAL_US) // DAY_US, return_inverse=True)
    peaks = np.zeros((len(days), z.shape[1]))
    np.maximum.at(peaks, place, averages[rows])
    singles = np.zeros((len(days), z.shape[1]))
    np.maximum.at(singles, place, np.abs(residual) / draft.spread)
    limit, row_limit = (
        settings.multiple * np.sort(each, axis=0)[-min(settings.days_beyond, len(days))]
        for each in (peaks, singles)
    )
    return draft._replace(
        limit=np.where(limit > 0, limit, np.inf), row_limit=np.where(row_limit > 0, row_limit, np.inf)
    )


def _empty(settings: Settings, gate: int, above: float, c: int) -> Model:
    none = np.zeros(0)
    return Model(
        np.array(gate), np.array(above), np.zeros(0, np.int64), np.zeros((2 * c + 4, 0)),
        none, none, none, none,
        *(np.array(getattr(settings, name)) for name in Model._fields[8:]),
    )  # fmt: skip


def _fit(settings: Settings, model: Model, at: np.ndarray, on: np.ndarray) -> tuple[Model, np.ndarray]:
    """The regressions, and the residuals of blocks left out."""
    c = on.shape[1]
    x = _features(on, at)
    target = np.flatnonzero(on.std(axis=0) > 0)
    weights, offset = np.zeros((x.shape[1], len(target))), np.zeros(len(target))
    residual = np.zeros((len(on), len(target)))
    for i, j in enumerate(target):
        chosen = np.delete(np.arange(x.shape[1]), [j, c + j])
        for part in np.array_split(np.arange(len(on)), settings.folds):
            rest = np.delete(np.arange(len(on)), part)
            w, b = _ridge(x[rest][:, chosen], on[rest, j], settings.penalty)
            residual[part, i] = on[part, j] - x[part][:, chosen] @ w - b
        weights[chosen, i], offset[i] = _ridge(x[:, chosen], on[:, j], settings.penalty)
    digits = np.array([resolution(on[:, j]) for j in target])
    spread = np.maximum(np.quantile(np.abs(residual), 0.683, axis=0), np.maximum(digits, 1e-9))
    fitted = model._replace(target=target, weights=weights, offset=offset, spread=spread)
    return fitted, residual


def fresh(model: Model) -> Running:
    return Running(np.full(1, NEVER), np.zeros(1), np.zeros(len(model.target)))


def scan(model: Model, state: Running, at: np.ndarray, values: np.ndarray) -> tuple[Running, GroupMarks]:
    heard, elapsed, on_for = _heard(model, state, at, values)
    filled = np.where(np.isfinite(values), np.clip(values, -1e100, 1e100), 0.0)
    residual = filled[:, model.target] - product(_features(filled, at), model.weights) - model.offset
    spreads = np.where(heard[:, None], residual / model.spread, 0.0)
    z = np.clip(spreads, -model.winsor, model.winsor)
    averages = _averages(model, state.average, elapsed, heard, z)
    share, single = np.abs(averages) / model.limit, np.abs(spreads) / model.row_limit
    score = np.where(heard, np.maximum(share.max(axis=1), single.max(axis=1)), 0.0)
    top = share.argmax(axis=1)
    gross = np.flatnonzero(heard & (single.max(axis=1) >= 1.0))
    top[gross] = _at_fault(model, at[gross], filled[gross], residual[gross])
    after = Running(at[-1:], on_for, averages[-1])
    return after, GroupMarks(score, score >= 1.0, model.target[top])


def _at_fault(model: Model, at: np.ndarray, values: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """Of each row the target without which the others are least strange: a grossly wrong column makes all
    look wrong that are explained by it, so each in turn stands at what the others say of it (reconstruction:
    Dunia and Qin 1998)."""
    left = np.empty(residual.shape)
    for i, column in enumerate(model.target.tolist()):
        mended = values.copy()
        mended[:, column] = np.clip(mended[:, column] - residual[:, i], -1e100, 1e100)
        strange = mended[:, model.target] - product(_features(mended, at), model.weights) - model.offset
        strange = np.abs(strange) / model.spread / model.row_limit
        strange[:, i] = 0.0
        left[:, i] = strange.max(axis=1)
    found: np.ndarray = left.argmin(axis=1)
    return found


def _splits(values: np.ndarray) -> list[tuple[int, float]]:
    """For each column the value that parts the rows best: most variance between the two sides; or none."""
    found = [(0, -np.inf)]
    for j, column in enumerate(values.T):
        x = np.sort(column)
        if not x.var() > 0:
            continue
        n = np.arange(1, len(x))
        low = np.cumsum(x)[:-1] / n
        high = (x.sum() - np.cumsum(x)[:-1]) / (len(x) - n)
        i = int((n * (len(x) - n) * (high - low) ** 2).argmax())
        found.append((j, float((x[i] + x[i + 1]) / 2)))
    return found


def _features(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    turn = 2 * np.pi * ((at + LOCAL_US) % DAY_US) / DAY_US
    hours = (np.sin(turn), np.cos(turn), np.sin(2 * turn), np.cos(2 * turn))
    return np.column_stack((values, values**2 / 100, *hours))


def _ridge(x: np.ndarray, y: np.ndarray, penalty: float) -> tuple[np.ndarray, float]:
    mean, spread = x.mean(axis=0), x.std(axis=0)
    used = spread > 1e-9
    z = np.where(used, (x - mean) / np.where(used, spread, 1.0), 0.0)
    w = np.linalg.solve(z.T @ z + penalty * np.eye(z.shape[1]), z.T @ (y - y.mean()))
    w = np.where(used, w / np.where(used, spread, 1.0), 0.0)
    return w, float(y.mean() - mean @ w)


def _heard(
    model: Model, state: Running, at: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows on which something can be said, time since the row before, and how long it is on at the end."""
    longest = float(model.longest_step_s)
    elapsed = np.minimum(elapsed_s(state.at, at[:, None]), longest)
    on = np.isfinite(values).all(axis=1) & (values[:, int(model.gate)] > model.on_above)
    on_for = follow(state.on_for, on[:, None].astype(float), np.where(on[:, None], elapsed, 0.0))
    return on & (on_for[:, 0] >= model.on_s), elapsed, on_for[-1]


def _averages(
    model: Model, start: np.ndarray, elapsed: np.ndarray, heard: np.ndarray, z: np.ndarray
) -> np.ndarray:
    weight = np.where(heard[:, None], 1 - np.exp(-elapsed / model.span_s), 0.0)
    weight = np.broadcast_to(weight, z.shape)
    return follow(start, 1.0 - weight, weight * z)


DETECTOR = GroupDetector("regime", Settings(), learn, fresh, scan)
