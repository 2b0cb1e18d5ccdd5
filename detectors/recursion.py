"""First-order recursions over a block of readings: y[t] = keep[t] y[t-1] + add[t], for each column.

Blocks are rows of time by columns of sensors. Long blocks of few sensors run along time, others across
sensors; both do the same floating-point operations in the same order, so cutting a block anywhere gives
the same bits. This is what lets one detector serve a live batch (one row) and a recorded file (one column).

>>> follow(np.array([1.0]), np.array([[0.5], [0.5]]), np.array([[1.0], [0.0]])).ravel().tolist()
[1.5, 0.75]
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, chain

import numpy as np


def follow(start: np.ndarray, keep: np.ndarray, add: np.ndarray) -> np.ndarray:
    """Every y of each column; `start` is the y before the first row. Shapes [n], [T, n], [T, n]."""
    rows, columns = add.shape
    out = np.empty((rows, columns))
    if rows > 8 * columns:
        for column in range(columns):
            pairs = zip(keep[:, column].tolist(), add[:, column].tolist(), strict=True)
            out[:, column] = list(_along(float(start[column]), pairs))
        return out
    y = start
    for row in range(rows):
        y = keep[row] * y + add[row]
        out[row] = y
    return out


def _along(start: float, pairs: Iterator[tuple[float, float]]) -> Iterator[float]:
    found = accumulate(chain([(start, 0.0)], pairs), lambda y, pair: (pair[0] * y[0] + pair[1], 0.0))
    next(found)
    return (y for y, _ in found)


def before(start: np.ndarray, after: np.ndarray) -> np.ndarray:
    """What each row found: `start`, then the rows of `after` but the last."""
    return np.concatenate((start[None], after[:-1]))


def latest(start: np.ndarray, value: np.ndarray) -> np.ndarray:
    """The newest finite value at each row, `start` before the first."""
    rows = np.where(np.isfinite(value), np.arange(len(value))[:, None], -1)
    rows = np.maximum.accumulate(rows, axis=0)
    return np.where(rows >= 0, np.take_along_axis(value, np.maximum(rows, 0), axis=0), start)
