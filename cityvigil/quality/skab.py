"""SKAB v0.9, valve1: Katser and Kozitsin 2020, "Skoltech Anomaly Benchmark".

The first 400 rows of each file are there to learn from, the rest is judged row by row: F1, false-alarm and
missing-alarm rate over all files together. Beside it the set's NAB score of change points: the first
detection within 30 s of one earns a sigmoid of its place, every other costs 0.11; an alert's first row
counts as a detection.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cityvigil.errors import CannotRun
from cityvigil.quality import peers, plain
from cityvigil.quality.events import Row, Tally, spans, tally
from cityvigil.score import judge
from cityvigil.score_csv import Recording, read
from detectors.profiles import GROUPS
from detectors.recorded import Limits

LEARN = 400
WINDOW_S = 30.0
FALSE_POSITIVE = 0.11
LABELS = ("label", "changepoint")


def changepoint_score(at: np.ndarray, detections: np.ndarray, points: np.ndarray) -> float:
    """Raw: 1 for a point found at once, -1 for one that is missed, -0.11 for each detection elsewhere."""
    free = detections.copy()
    total = 0.0
    for point in np.flatnonzero(points):
        end = int(np.searchsorted(at, at[point] + WINDOW_S * 1e6, side="right"))
        width = end - int(point)
        slow = max(width // 4, 1)
        rows = np.flatnonzero(free[point : end + slow])
        free[point : end + slow] = False
        if not len(rows):
            total -= 1.0
            continue
        place = float(rows[0] - width)
        total += (1 + FALSE_POSITIVE) / (1 + math.exp(5 * place / slow)) - FALSE_POSITIVE
    return total - FALSE_POSITIVE * int(free.sum())


def measure(folder: Path) -> Iterator[Row]:
    files = []
    for path in sorted((folder / "valve1").glob("*.csv")):
        files.append((read(path, "timestamp"), read(path, "timestamp", LABELS).values > 0))
    if not files:
        raise CannotRun(f"{folder / 'valve1'}: expected CSV files")
    yield _row("perfect detector", [(labels[:, 0], labels[:, 1]) for _, labels in files], files)
    yield _row("null detector", [(np.zeros(len(f.at), bool),) * 2 for f, _ in files], files)
    for method, score in (("3 sigma", plain.three_sigma), ("fixed limits", plain.fixed_limits)):
        found = [score(f.values[:LEARN], f.values) >= 1 for f, _ in files]
        yield _row(method, [(alert, _begins(alert)) for alert in found], files)
    forest = [peers.isolation_forest(f.values[:LEARN], f.values) for f, _ in files]
    if all(score is not None for score in forest):
        found = [score >= 1 for score in forest if score is not None]
        yield _row("isolation forest", [(alert, _begins(alert)) for alert in found], files)
    others = [peers.by_pyod(f.values[:LEARN], f.values) for f, _ in files]
    for name in others[0]:
        found = [scores[name] >= 1 for scores in others]
        yield _row(f"pyod {name}", [(alert, _begins(alert)) for alert in found], files)
    walked = peers.our_forest(GROUPS["machine"])
    if walked is not None:
        found = [judge(walked, f, None, Limits()).alert for f, _ in files]
        yield _row("our forest", [(alert, _begins(alert)) for alert in found], files)
    found = [judge(GROUPS["machine"], f, None, Limits()).alert for f, _ in files]
    yield _row("profile machine", [(alert, _begins(alert)) for alert in found], files)


def _begins(alert: np.ndarray) -> np.ndarray:
    return alert & ~np.concatenate(([False], alert[:-1]))


def _row(
    method: str, found: list[tuple[np.ndarray, np.ndarray]], files: list[tuple[Recording, np.ndarray]]
) -> Row:
    right = false = missed = quiet = points = 0
    raw, seen = 0.0, Tally()
    for (alert, begins), (file, labels) in zip(found, files, strict=True):
        alert, begins = alert[LEARN:], begins[LEARN:]
        truth, change, at = labels[LEARN:, 0], labels[LEARN:, 1], file.at[LEARN:]
        right += int((alert & truth).sum())
        false += int((alert & ~truth).sum())
        missed += int((~alert & truth).sum())
        quiet += int((~alert & ~truth).sum())
        points += int(change.sum())
        raw += changepoint_score(at, begins, change)
        seen += tally(at, alert, spans(truth), sensors=file.values.shape[1], merge_s=20.0, late_s=0.0)
    figures = {
        "f1": right / max(right + (false + missed) / 2, 1),
        "false_alarm_rate": false / (false + quiet),
        "missing_alarm_rate": missed / (missed + right),
        "changepoint_nab": 100 * (raw + points) / (2 * points),
    }
    return Row("skab", method, figures | seen.figures())
