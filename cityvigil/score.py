"""A recorded file through the product's detectors, once and causally: a score and an alert for each row.

Which detectors is a profile (detectors/profiles.py): named, or chosen by how many columns there are and how
often rows come, never by a label. Row i's result depends on rows up to i only.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cityvigil.errors import CannotRun
from cityvigil.score_csv import Recording, read
from detectors.group import TooLittle
from detectors.marks import GroupMarks
from detectors.profiles import GROUPS, NAMES, SERIES, Group, Series, choose_group
from detectors.recorded import HEAD, Limits, one_by_one, together
from schemas.catalogue import catalogue


def score_file(
    path: Path,
    out: Path,
    *,
    time_column: str | None = None,
    columns: Sequence[str] = (),
    fit: Path | None = None,
    category: str | None = None,
    profile: str | None = None,
) -> str:
    """Writes `out`; the name of the profile that was used."""
    limits = limits_of(category)
    recording = read(path, time_column, columns)
    history = _history(fit, recording, time_column) if fit is not None else None
    chosen = choose(profile, recording, history)
    try:
        marks = judge(chosen, recording, history, limits)
    except TooLittle as error:
        raise CannotRun(f"{fit}: {error}") from None
    _write(out, recording, marks)
    return chosen.name


def judge(
    profile: Series | Group, recording: Recording, history: Recording | None, limits: Limits
) -> GroupMarks:
    fit = (history.at, history.values) if history is not None else None
    if isinstance(profile, Group):
        return together(profile, recording.names, recording.at, recording.values, fit)
    every = [limits] * len(recording.names)
    return one_by_one(profile, every, recording.at, recording.values, fit)


def choose(profile: str | None, recording: Recording, history: Recording | None) -> Series | Group:
    """The profile of this name; without one, by the number of columns and how often the first rows come."""
    if profile is not None:
        if profile not in NAMES:
            raise CannotRun(f"there is no profile {profile}; there is {', '.join(NAMES)}")
        return SERIES[profile] if profile in SERIES else GROUPS[profile]
    if len(recording.names) == 1:
        return SERIES["city"]
    times = history.at if history is not None else recording.at
    steps = np.diff(times[:HEAD])
    steps = steps[steps > 0]
    interval_s = float(np.median(steps)) / 1e6 if len(steps) else 60.0
    return choose_group(interval_s, fitted=history is not None)


def limits_of(category: str | None) -> Limits:
    """What the catalogue says of a quantity: plausible range, resolution."""
    if category is None:
        return Limits()
    row = catalogue().get(category)
    if row is None:
        raise CannotRun(f"the catalogue has no category {category}")
    return Limits(row.plausible_min, row.plausible_max, max(row.resolution, row.noise or 0.0))


def _history(path: Path, recording: Recording, time_column: str | None) -> Recording:
    history = read(path, time_column, recording.names)
    if not history.times:
        raise CannotRun(f"{path}: row 2: expected a clean history, got the end of the file")
    return history


def _write(out: Path, recording: Recording, marks: GroupMarks) -> None:
    names = recording.names
    rows = zip(
        recording.times,
        (f"{score:.6g}" for score in marks.score.tolist()),
        marks.alert.astype(int).tolist(),
        (names[top] for top in marks.top.tolist()),
        strict=True,
    )
    try:
        with out.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("time", "score", "alert", "top"))
            writer.writerows(rows)
    except OSError as error:
        raise CannotRun(f"{out}: {error.strerror}") from None
