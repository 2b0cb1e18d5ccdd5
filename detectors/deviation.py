"""Several quantities at one place leave their recent course together: Mahalanobis distance of the deviation.

Mahalanobis 1936, "On the generalised distance in statistics"; the deviation is taken from an exponential
average of the last hour (as in the multivariate EWMA chart: Lowry et al. 1992), so slow drift and the daily
course are no news. Mean and covariance come from a clean history and stay frozen; spreads are never below one
digit of the display; a channel counts at most `clip` spreads, so one dead channel does not drown the rest; a
median of three takes single readings out. The limit is a multiple of the largest distance in the history.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from detectors.group import GroupDetector, TooLittle, product, resolution
from detectors.marks import NEVER, GroupMarks, elapsed_s
from detectors.recursion import before, follow, latest

LONGEST_STEP_S = 600.0


@dataclass(frozen=True, slots=True)
class Settings:
    span_s: float = 3600.0
    clip: float = 10.0
    multiple: float = 1.3
    warm_up: int = 60  # rows


class Model(NamedTuple):
    usual: np.ndarray  # [c], stands in for a value that never came
    spread: np.ndarray
    inverse: np.ndarray  # [c, c]
    limit: np.ndarray  # scalars from here on
    span_s: np.ndarray
    clip: np.ndarray
    warm_up: np.ndarray


class Course(NamedTuple):
    at: np.ndarray  # i8 [1]
    seen: np.ndarray  # i8 [1]
    recent: np.ndarray  # [2, c], the two rows before
    average: np.ndarray  # [c]


def learn(settings: Settings, names: tuple[str, ...], at: np.ndarray, values: np.ndarray) -> Model:
    if len(values) < 4 * settings.warm_up:
        raise TooLittle(f"{len(values)} rows of history; the group deviation needs {4 * settings.warm_up}")
    usual = np.array([_median(column) for column in values.T])
    draft = Model(
        usual, np.ones(len(usual)), np.eye(len(usual)), np.array(1.0),
        np.array(settings.span_s), np.array(settings.clip), np.array(settings.warm_up),
    )  # fmt: skip
    _, away = _deviation(draft, fresh(draft), at, values)
    away = away[settings.warm_up :]
    spread = np.maximum(away.std(axis=0), [resolution(column) for column in values.T])
    spread = np.where(spread > 0, spread, 1.0)
    covariance = np.atleast_2d(np.cov((away / spread).T))
    inverse = np.linalg.inv(covariance + 1e-6 * np.eye(len(usual)))
    model = draft._replace(spread=spread, inverse=inverse)
    distance, _ = _distance(model, away)
    limit = settings.multiple * float(distance.max())
    return model._replace(limit=np.array(limit if limit > 0 else 1.0))


def fresh(model: Model) -> Course:
    c = len(model.usual)
    return Course(np.full(1, NEVER), np.zeros(1, np.int64), np.full((2, c), np.nan), model.usual)


def scan(model: Model, state: Course, at: np.ndarray, values: np.ndarray) -> tuple[Course, GroupMarks]:
    after, away = _deviation(model, state, at, values)
    distance, top = _distance(model, away)
    count = int(state.seen[0]) + np.arange(1, len(at) + 1)
    score = np.where(count > model.warm_up, distance / model.limit, 0.0)
    return after, GroupMarks(score, score >= 1.0, top)


def _deviation(model: Model, state: Course, at: np.ndarray, values: np.ndarray) -> tuple[Course, np.ndarray]:
    known = np.where(np.isfinite(values), values, np.nan)
    filled = latest(state.recent[1], known)
    first = int(state.seen[0]) == 0
    filled = np.where(np.isnan(filled), model.usual, filled)
    recent = np.repeat(filled[:1], 2, axis=0) if first else state.recent
    three = np.concatenate((recent, filled))
    middle = np.median(np.stack((three[:-2], three[1:-1], three[2:])), axis=0)
    start = middle[0] if first else state.average
    elapsed = np.minimum(elapsed_s(state.at, at[:, None]), LONGEST_STEP_S)
    weight = np.broadcast_to(1 - np.exp(-elapsed / model.span_s), values.shape)
    averages = follow(start, 1.0 - weight, weight * middle)
    course = Course(at[-1:], state.seen + len(at), three[-2:], averages[-1])
    return course, middle - before(start, averages)


def _distance(model: Model, away: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    z = np.clip(away / model.spread, -model.clip, model.clip)
    shares = product(z, model.inverse) * z
    return np.sqrt(np.maximum(shares.sum(axis=1), 0.0)), shares.argmax(axis=1)


def _median(column: np.ndarray) -> float:
    finite = column[np.isfinite(column)]
    return float(np.median(finite)) if len(finite) else 0.0


DETECTOR = GroupDetector("deviation", Settings(), learn, fresh, scan)
