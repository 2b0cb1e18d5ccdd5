"""A machine that leaves its usual pattern: T2 and Q of principal components of smoothed readings.

Jackson and Mudholkar 1979, "Control procedures for residuals associated with principal component analysis".
Readings are standardised and smoothed (EWMA); components that carry 95 % of the variance span the pattern:
T2 is the distance within it, Q that from it. A channel that drifts while it is learnt (means of blocks
spread more than one block varies) is left out by itself: its level says nothing. Limits are a multiple of the
largest values in the history, and an alert holds for some seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from detectors.group import GroupDetector, TooLittle, product
from detectors.marks import NEVER, GroupMarks, held
from detectors.recursion import follow, latest


@dataclass(frozen=True, slots=True)
class Settings:
    weight: float = 0.5
    variance: float = 0.95
    multiple: float = 1.5
    hold_s: float = 20.0
    drift: float = 1.0
    blocks: int = 4
    warm_up: int = 20


class Model(NamedTuple):
    usual: np.ndarray  # [c]
    spread: np.ndarray  # [c]; 0 where the channel is left out
    centre: np.ndarray  # [c], of the smoothed ones
    pattern: np.ndarray  # [c, k]
    variance: np.ndarray  # [k]
    limits: np.ndarray  # of T2 and Q
    weight: np.ndarray
    hold_s: np.ndarray


class Smoothed(NamedTuple):
    last: np.ndarray  # [c]
    average: np.ndarray  # [c]
    over: np.ndarray  # i8 [1], when it was last over the limit


def learn(settings: Settings, names: tuple[str, ...], at: np.ndarray, values: np.ndarray) -> Model:
    if len(values) < 4 * settings.warm_up:
        raise TooLittle(f"{len(values)} rows of history; components need {4 * settings.warm_up}")
    filled = latest(np.full(values.shape[1], np.nan), np.where(np.isfinite(values), values, np.nan))
    filled = np.where(np.isfinite(filled), filled, 0.0)
    usual, spread = filled.mean(axis=0), filled.std(axis=0)
    blocks = np.array_split(filled, settings.blocks)
    wander = np.ptp([block.mean(axis=0) for block in blocks], axis=0)
    within = np.mean([block.std(axis=0) for block in blocks], axis=0)
    varies = spread > 1e-12 * np.maximum(1.0, np.abs(usual))
    steady = varies & (wander <= settings.drift * within)
    chosen = steady if steady.sum() >= 2 else varies
    spread = np.where(chosen, spread, 0.0)
    c = values.shape[1]
    draft = Model(
        usual, spread, np.zeros(c), np.zeros((c, 0)), np.ones(0), np.ones(2),
        np.array(settings.weight), np.array(settings.hold_s),
    )  # fmt: skip
    _, smooth = _smooth(draft, fresh(draft), filled)
    centre = smooth.mean(axis=0)
    variances, vectors = np.linalg.eigh(np.atleast_2d(np.cov(smooth.T)))
    variances, vectors = np.maximum(variances[::-1], 0.0), vectors[:, ::-1]
    if not variances[0] > 0:
        return draft
    share = np.cumsum(variances) / variances.sum()
    k = min(int(np.searchsorted(share, settings.variance) + 1), int((variances > 1e-9 * variances[0]).sum()))
    model = draft._replace(centre=centre, pattern=vectors[:, :k].copy(), variance=variances[:k].copy())
    t2, q, _ = _distances(model, smooth[settings.warm_up :])
    largest = np.array([t2.max(), q.max()])
    # Where the pattern spans all channels nothing is left for Q but rounding.
    limits = np.where(largest > 1e-9, settings.multiple * largest, np.inf)
    return model._replace(limits=limits)


def fresh(model: Model) -> Smoothed:
    return Smoothed(model.usual, np.zeros(len(model.usual)), np.full(1, NEVER))


def scan(model: Model, state: Smoothed, at: np.ndarray, values: np.ndarray) -> tuple[Smoothed, GroupMarks]:
    filled = latest(state.last, np.where(np.isfinite(values), values, np.nan))
    average, smooth = _smooth(model, state, filled)
    t2, q, top = _distances(model, smooth)
    score = np.maximum(t2 / model.limits[0], q / model.limits[1])
    over, alert = held(state.over[0], at, score >= 1.0, float(model.hold_s))
    return Smoothed(filled[-1], average, np.array([over])), GroupMarks(score, alert, top)


def _smooth(model: Model, state: Smoothed, filled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    chosen = model.spread > 0
    z = np.where(chosen, (filled - model.usual) / np.where(chosen, model.spread, 1.0), 0.0)
    z = np.clip(z, -1e6, 1e6)
    weight = float(model.weight)
    smooth = follow(state.average, np.full(z.shape, 1.0 - weight), weight * z)
    return smooth[-1], smooth


def _distances(model: Model, smooth: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """T2, Q, and the channel that departs most."""
    away = smooth - model.centre
    inside = product(away, model.pattern)
    left = away - product(inside, model.pattern.T)
    t2 = (inside**2 / np.where(model.variance > 0, model.variance, 1.0)).sum(axis=1)
    return t2, (left**2).sum(axis=1), np.abs(away).argmax(axis=1)


DETECTOR = GroupDetector("components", Settings(), learn, fresh, scan)
