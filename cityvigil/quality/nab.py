"""NAB v1.1, standard profile: Lavin and Ahmad 2015, "Evaluating real-time anomaly detection algorithms".

A detection inside a labelled window earns a scaled sigmoid of its place, the earliest counts; a detection
outside costs 0.11 times a sigmoid of its distance from the window before; a window without one costs 1.
The first 15 % of a file (of at most 5,000 rows) are probation and not scored. The corpus total is scaled so
that the detector that never speaks scores 0 and the perfect one 100.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from cityvigil.errors import CannotRun
from cityvigil.quality import peers, plain
from cityvigil.quality.events import Row, Span, Tally, tally
from cityvigil.score import judge
from cityvigil.score_csv import Recording, read
from detectors.profiles import SERIES
from detectors.recorded import Limits

FALSE_POSITIVE = 0.11
REST_S = 12 * 3600.0  # between detections, for the plain methods as for ours


def sigmoid(x: float) -> float:
    """Scaled to (-1, 1): positive inside a window (x < 0), towards -1 far behind it."""
    return -1.0 if x >= 3.0 else 2.0 / (1.0 + math.exp(5.0 * x)) - 1.0


def probation(rows: int) -> int:
    """Rows that are not scored at the start of a file."""
    return int(min(math.floor(0.15 * rows), 0.15 * 5000))


def file_score(detections: np.ndarray, windows: Sequence[Span]) -> tuple[float, int]:
    """Raw score of one file, and how many of its windows count."""
    skip = probation(len(detections))
    inside = np.full(len(detections), -1)
    for number, (first, last) in enumerate(windows):
        inside[first : last + 1] = number
    ends = np.array([last for _, last in windows], np.int64)
    earned = {number: -1.0 for number, (_, last) in enumerate(windows) if last >= skip}
    total = 0.0
    for row in np.flatnonzero(detections):
        if row < skip:
            continue
        number = int(inside[row])
        if number >= 0:
            first, last = windows[number]
            gain = sigmoid(-(last - row + 1) / (last - first + 1)) / sigmoid(-1.0)
            earned[number] = max(earned[number], gain)
            continue
        before = int(np.searchsorted(ends, row)) - 1
        past = 3.0
        if before >= 0:
            first, last = windows[before]
            past = (row - last) / max(last - first, 1)
        total += FALSE_POSITIVE * sigmoid(past)
    return total + sum(earned.values()), len(earned)


def corpus_score(raw: float, windows: int) -> float:
    """The total of all files on the scale null 0, perfect 100."""
    return 100.0 * (raw + windows) / (2 * windows)


def perfect(rows: int, windows: Sequence[Span]) -> np.ndarray:
    """Detections of the detector that knows: the first scored row of every window."""
    detections = np.zeros(rows, bool)
    for first, last in windows:
        detections[min(max(first, probation(rows)), last)] = True
    return detections


def measure(folder: Path) -> Iterator[Row]:
    try:
        listed: dict[str, list[list[str]]] = json.loads((folder / "windows.json").read_text())
    except OSError as error:
        raise CannotRun(f"{folder / 'windows.json'}: {error.strerror}") from None
    files = []
    for name, windows in sorted(listed.items()):
        recording = read(folder / name, "timestamp", ("value",))
        rows = {time: row for row, time in enumerate(recording.times)}
        files.append((recording, [(rows[a[:19]], rows[b[:19]]) for a, b in windows]))
    yield _row("perfect detector", [perfect(len(f.at), w) for f, w in files], files)
    yield _row("null detector", [np.zeros(len(f.at), bool) for f, _ in files], files)
    yield _row("3 sigma, running", [_rested(f, _sigma(f)) for f, _ in files], files)
    yield _row("fixed limits of probation", [_rested(f, _fixed(f)) for f, _ in files], files)
    trees = [peers.half_space_trees(f.values, probation(len(f.at))) for f, _ in files]
    heard = [
        plain.refractory(f.at, t, REST_S) for t, (f, _) in zip(trees, files, strict=True) if t is not None
    ]
    if len(heard) == len(files):
        yield _row("river half-space trees", heard, files)
    others = [peers.by_pyod(f.values[: probation(len(f.at))], f.values) for f, _ in files]
    for name in others[0]:
        yield _row(
            f"pyod {name}", [_rested(f, o[name]) for o, (f, _) in zip(others, files, strict=True)], files
        )
    for profile in ("city", "nab", "shapes"):
        found = [judge(SERIES[profile], f, None, Limits()).alert for f, _ in files]
        yield _row(f"profile {profile}", found, files)


def _sigma(file: Recording) -> np.ndarray:
    return plain.running_three_sigma(file.values, probation(len(file.at)))


def _fixed(file: Recording) -> np.ndarray:
    return plain.fixed_limits(file.values[: probation(len(file.at))], file.values)


def _rested(file: Recording, score: np.ndarray) -> np.ndarray:
    return plain.refractory(file.at, score >= 1, REST_S)


def _row(method: str, found: list[np.ndarray], files: list[tuple[Recording, list[Span]]]) -> Row:
    scores = [file_score(alert, windows) for alert, (_, windows) in zip(found, files, strict=True)]
    raw, windows = sum(score for score, _ in scores), sum(count for _, count in scores)
    seen = Tally()
    for alert, (file, spans) in zip(found, files, strict=True):
        alert = alert & (np.arange(len(alert)) >= probation(len(alert)))
        seen += tally(file.at, alert, spans, late_s=0.0)
    figures = seen.figures()
    del figures["median_delay_min"]  # windows begin before what they are about
    return Row("nab", method, {"nab_score": corpus_score(raw, windows)} | figures)
