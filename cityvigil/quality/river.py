"""Logan River Observatory: six quantities of river water at 15 minutes, with a technician's qualifiers.

A labelled event is a run of qualified rows of one quantity; many are drift or ice that a pass forward cannot
know. Events found, and false alerts per sensor-day, over all series. Ranges are what such a sensor can show;
three sigma and fixed limits learn from the first 30 days.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from cityvigil.errors import CannotRun
from cityvigil.quality import plain
from cityvigil.quality.events import Row, Span, Tally, spans, tally
from cityvigil.score import judge
from cityvigil.score_csv import Recording, read
from detectors import profiles
from detectors.profiles import SERIES
from detectors.recorded import Limits

RANGES = {
    "temp": Limits(-5.0, 40.0),
    "cond": Limits(5.0, 5000.0),
    "ph": Limits(2.0, 14.0),
    "do": Limits(1.0, 25.0),
    "turb": Limits(0.0, 4000.0),
    "stage": Limits(-5.0, 5000.0),
}
LEARN_ROWS = 30 * 96

Series = tuple[Recording, Limits, list[Span]]


def measure(folder: Path) -> Iterator[Row]:
    series: list[Series] = []
    for path in sorted(folder.glob("*.csv")):
        for name, limits in RANGES.items():
            label = read(path, "timestamp", (f"{name}_label",)).values[:, 0]
            series.append((read(path, "timestamp", (name,)), limits, spans(label > 0)))
    if not series:
        raise CannotRun(f"{folder}: expected CSV files")
    yield _row("null detector", series, lambda file, _: np.zeros(len(file.at), bool))
    yield _row("range only", series, _range)
    yield _row("3 sigma, running", series, _sigma)
    yield _row("fixed limits", series, _fixed)
    for profile in ("spikes", "city"):
        yield _row(f"profile {profile}", series, partial(_ours, SERIES[profile]))


def _ours(profile: profiles.Series, file: Recording, limits: Limits) -> np.ndarray:
    return judge(profile, file, None, limits).alert


def _range(file: Recording, limits: Limits) -> np.ndarray:
    wrong: np.ndarray = ~np.isfinite(_clean(file, limits)[:, 0])
    return wrong


def _sigma(file: Recording, limits: Limits) -> np.ndarray:
    return _range(file, limits) | (plain.running_three_sigma(_clean(file, limits), LEARN_ROWS) >= 1)


def _fixed(file: Recording, limits: Limits) -> np.ndarray:
    values = _clean(file, limits)
    return _range(file, limits) | (plain.fixed_limits(values[:LEARN_ROWS], values) >= 1)


def _clean(file: Recording, limits: Limits) -> np.ndarray:
    return np.where((file.values < limits.low) | (file.values > limits.high), np.nan, file.values)


def _row(method: str, series: list[Series], detect: Callable[[Recording, Limits], np.ndarray]) -> Row:
    seen = Tally()
    for file, limits, events in series:
        seen += tally(file.at, detect(file, limits), events)
    return Row("river", method, seen.figures())
