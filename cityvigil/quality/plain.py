"""What a user would set up without us, for comparison: three sigma, and fixed limits.

Both learn from the rows that the product's own detector learns from, columns one by one: mean and standard
deviation, or the range seen there widened by a tenth. Three sigma without such rows runs along.
"""

from __future__ import annotations

import numpy as np


@np.errstate(all="ignore")
def three_sigma(history: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Score of each row, 1 at three standard deviations of the history."""
    mean, spread = np.nanmean(history, axis=0), np.nanstd(history, axis=0)
    return _worst(np.abs(values - mean) / (3 * np.where(spread > 0, spread, np.inf)))


@np.errstate(all="ignore")
def running_three_sigma(values: np.ndarray, quiet: int) -> np.ndarray:
    """Against mean and deviation of all rows before; nothing is said in the first `quiet` rows."""
    known = np.isfinite(values)
    held = np.where(known, values, 0.0)
    count = np.cumsum(known, axis=0)
    centre = held[known.argmax(axis=0), np.arange(values.shape[1])]
    off = np.where(known, held - centre, 0.0)
    mean = np.cumsum(off, axis=0) / count
    spread = np.sqrt(np.maximum(np.cumsum(off**2, axis=0) / count - mean**2, 0.0))
    before_mean, before = np.vstack((mean[:1] * 0, mean[:-1])), np.vstack((spread[:1] * 0, spread[:-1]))
    score = np.abs(off - before_mean) / (3 * np.where(before > 0, before, np.inf))
    score[:quiet] = 0.0
    return _worst(np.where(known, score, 0.0))


@np.errstate(all="ignore")
def fixed_limits(history: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Score of each row, 1 where a value leaves the range of the history by a tenth of it."""
    low, high = np.nanmin(history, axis=0), np.nanmax(history, axis=0)
    middle, half = (low + high) / 2, (high - low) / 2
    half = np.where(half > 0, half, np.inf)
    return _worst(np.abs(values - middle) / (1.2 * half))


def _worst(score: np.ndarray) -> np.ndarray:
    """A row's score is its strangest column's; a score of infinity is one of a lot."""
    worst: np.ndarray = np.where(np.isfinite(score), score, 0.0).max(axis=1)
    return worst


def refractory(at: np.ndarray, alert: np.ndarray, rest_s: float) -> np.ndarray:
    """Alerts at least `rest_s` apart."""
    out = np.zeros(len(alert), bool)
    last = None
    for row in np.flatnonzero(alert):
        if last is None or at[row] - last >= rest_s * 1e6:
            out[row], last = True, at[row]
    return out
