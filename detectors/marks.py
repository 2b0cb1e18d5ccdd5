"""What a scoring detector says of a block of readings, and words shared by all of them.

Scoring detectors run over blocks: rows of time by columns of sensors, one row live, a whole file offline.
A score of 1 is the detector's own limit, 0 is not scored; an alert is where it would speak.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from detectors.contract import Batch, Scores, no_scores

NEVER = np.iinfo(np.int64).min
KEEPS = 0.5  # an episode lasts while the score is at least this


class Marks(NamedTuple):
    score: np.ndarray  # f8
    alert: np.ndarray  # bool


class GroupMarks(NamedTuple):
    """Of several columns that are judged together."""

    score: np.ndarray  # f8 [T]
    alert: np.ndarray  # bool [T]
    top: np.ndarray  # i8 [T], the column that explains it


def elapsed_s(before: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Seconds since the row before, 0 where there is none, at least 0; `before` [n], `at` [T, n]."""
    times = np.concatenate((before[None], at[:-1]))
    return np.where(times == NEVER, 0, np.maximum(at - np.where(times == NEVER, at, times), 0)) / 1e6


def held(last: np.ndarray, at: np.ndarray, over: np.ndarray, hold_s: float) -> tuple[np.ndarray, np.ndarray]:
    """When it was last over its limit, and at which rows that is at most `hold_s` ago. `last` is a scalar."""
    when = np.maximum(np.maximum.accumulate(np.where(over, at, NEVER)), last)
    spoken = when != NEVER
    return when[-1], spoken & (at - np.where(spoken, when, at) <= hold_s * 1e6)


def live(marks: Marks, level: np.ndarray, batch: Batch) -> Scores:
    """The scores of one row of tracks, for episodes: raised at the limit, kept from half of it on."""
    score = marks.score[0]
    met = score >= 1.0
    n = len(score)
    return no_scores(n)._replace(
        meets=np.where(met, level, 0).astype(np.uint8),
        keeps=np.where(score >= KEEPS, level, 0).astype(np.uint8),
        agrees=met,
        since=batch.at,
        score=score,
        slot=np.zeros(n, np.uint8),
        running=np.ones(n, bool),
    )
