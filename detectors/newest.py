"""What other sensors told, as it stood at a place of the log: the same however the log is cut.

`Newest` is what a run found of every sensor and what the run itself holds, by position; outside a run it
holds nothing and everything is as the last run left it. `gather` works out the columns of a track's inputs
(detectors/around.py: which sensors they mean).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from detectors.around import NEVER, Sources
from detectors.compiled import compiled


class Newest(NamedTuple):
    """Values and times by row before a run; of the rows that the run has records of, where these are."""

    value: np.ndarray  # f8 [sensors]
    at: np.ndarray  # i8 [sensors], NEVER where nothing was heard
    place: np.ndarray  # i4 [sensors], which of those rows it is, -1 of the others
    starts: np.ndarray  # i8 [rows + 1], their share of `records`
    records: np.ndarray  # i8, positions in the run, ascending for each row
    run_value: np.ndarray  # f8, by position
    run_at: np.ndarray


_NO_RUN = np.zeros(1, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64)


def nowhere(sensors: int) -> np.ndarray:
    """The `place` of sensors that a run has no records of."""
    return np.full(sensors, -1, np.int32)


def outside(value: np.ndarray, at: np.ndarray, place: np.ndarray) -> Newest:
    """Of no run; `place` is `nowhere`."""
    return Newest(value, at, place, *_NO_RUN)


@compiled
def newest_of(newest: Newest, row: int, position: int) -> tuple[float, int]:
    """Value and time of a sensor's newest record before `position`."""
    place = newest.place[row]
    if place >= 0:
        for nth in range(newest.starts[place + 1] - 1, newest.starts[place] - 1, -1):
            record = newest.records[nth]
            if record < position:
                return newest.run_value[record], newest.run_at[record]
    return newest.value[row], newest.at[row]


@compiled
def gather_one(
    sources: Sources, track: int, at: int, newest: Newest, position: int, out: np.ndarray, when: np.ndarray
) -> None:
    """Writes a track's inputs as they stand when it asks at `at`, and when they were measured.

    NaN where nobody has told anything of late; a count of none is 0 from sensors never heard, too.
    """
    kind = sources.kind[track]
    for j in range(len(out)):
        out[j], when[j] = np.nan, NEVER
        first, many = sources.first[track, j], sources.many[track, j]
        if many == 0:
            continue
        within_us = sources.within_us[kind, j]
        if not sources.counting[kind, j]:
            value, seen = newest_of(newest, sources.rows[first], position)
            when[j] = seen
            if seen != NEVER and abs(at - seen) <= within_us:
                out[j] = value * sources.factor[kind, j] + sources.offset[kind, j]
            continue
        count = 0.0
        for place in range(first, first + many):
            row = sources.rows[place]
            if row == sources.row[track]:
                continue
            value, seen = newest_of(newest, row, position)
            if seen == NEVER or abs(at - seen) > within_us:
                continue
            if sources.low[place] <= value <= sources.high[place]:
                count += 1.0
                when[j] = max(when[j], seen)
        out[j] = count * sources.factor[kind, j] + sources.offset[kind, j]


@compiled
def _gather(
    sources: Sources, track: np.ndarray, at: np.ndarray, newest: Newest, position: np.ndarray,
    out: np.ndarray, when: np.ndarray,
) -> None:  # fmt: skip
    for i in range(len(track)):
        gather_one(sources, track[i], at[i], newest, position[i], out[i], when[i])


def gather(
    sources: Sources, track: np.ndarray, at: np.ndarray, newest: Newest, position: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The inputs of several tracks [n, columns], each asked at `at` and standing at `position` of the run,
    and when they were measured."""
    out = np.empty((len(track), sources.many.shape[1]))
    when = np.empty(out.shape, np.int64)
    _gather(sources, track, at, newest, position, out, when)
    return out, when
