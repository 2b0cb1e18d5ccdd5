"""VUS-PR: the volume under the precision-recall surface over tolerances (Paparrizos et al., VLDB 2022).

Labels are widened by a buffer of falling weight on both sides, for every buffer from 0 to `widest` rows; the
range-aware average precision is averaged over them. Thresholds are 250 ranks of the score. This gives what
the authors' own program gives; sums over sorted scores take the place of its loops.
"""

from __future__ import annotations

import numpy as np

from cityvigil.quality.events import Span, spans

RANKS = 250


def vus_pr(label: np.ndarray, score: np.ndarray, widest: int = 100) -> float:
    events = spans(label)
    rows = len(label)
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    limits = ranked[np.linspace(0, rows - 1, RANKS).astype(int)]
    flagged = np.searchsorted(-ranked, -limits, side="right")  # rows at or above each limit
    positive = float(label.sum())
    found = []
    for width in range(widest + 1):
        soft = _widened(label, events, width)
        regions = _regions(events, width, rows)
        peaks = np.sort([score[first : last + 1].max() for first, last in regions])
        seen = (len(peaks) - np.searchsorted(peaks, limits, side="left")) / len(peaks)
        hit = _sums(soft[order])[flagged]
        weight = _sums(np.where(label > 0, 0.0, soft)[order])[flagged] + positive
        recall = np.minimum(hit / ((positive + weight) / 2), 1.0) * seen
        found.append(float((np.diff(recall, prepend=0.0) * (hit / flagged)).sum()))
    return float(np.mean(found))


def _sums(values: np.ndarray) -> np.ndarray:
    return np.concatenate(([0.0], np.cumsum(values)))


def _widened(label: np.ndarray, events: list[Span], width: int) -> np.ndarray:
    soft = label.astype(float)
    reach = width // 2
    for first, last in events:
        after = np.arange(last + 1, min(last + reach + 1, len(label)))
        soft[after] += np.sqrt(1 - (after - last) / max(width, 1))
        before = np.arange(max(first - reach, 0), first)
        soft[before] += np.sqrt(1 - (first - before) / max(width, 1))
    widened: np.ndarray = np.minimum(soft, 1.0)
    return widened


def _regions(events: list[Span], width: int, rows: int) -> list[Span]:
    """Events with their buffers, joined where these meet."""
    reach = width // 2
    out: list[Span] = []
    for first, last in events:
        start, end = max(first - reach, 0), min(last + reach, rows - 1)
        if out and out[-1][1] >= start:
            out[-1] = (out[-1][0], end)
        else:
            out.append((start, end))
    return out
