"""Records of a run, each sensor's in its own order, and what was known of others at each place.

A reading that is not newer than all before it of its sensor does not count. The k-th readings of all sensors
make a row of a series, so that detectors work on arrays. Alerts are put back into log order afterwards, so a
neighbour's value must be the one that stood in the log before the alert's record, not the batch's newest.
"""

from __future__ import annotations

import numpy as np

from detectors.intake import Run
from detectors.newest import Newest
from detectors.tracks import Series, Tracks

SPARSE = 4
"""A series may be so many times larger than its readings; sensors with many more than others stand apart."""
SMALL = 4096


class Rounds:
    def __init__(
        self,
        run: Run,
        chosen: np.ndarray,
        last_value: np.ndarray,
        last_at: np.ndarray,
        tracks: list[Tracks],
        place: np.ndarray,
    ) -> None:
        """Of the records at the positions `chosen`; `last_at` is what they must be newer than. `place` is
        detectors.newest.nowhere, and is that again when the rounds are `over`."""
        self._value, self._at = run.value, run.at
        self._last_at = last_at
        self._arrange(chosen[np.argsort(run.row[chosen], kind="stable")], run.row)
        stale = self._stale()
        if stale.any():
            self._arrange(self._by_row[~stale], run.row)
        self._before = last_value[self.rows]
        place[self.rows] = np.arange(len(self.rows))
        self.newest = Newest(last_value, last_at, place, self._starts, self._by_row, run.value, run.at)
        self._agreed_before = [_agrees(t, self.rows) for t in tracks]
        self.agreed = [np.zeros(len(run.row), bool) for _ in tracks]

    def _arrange(self, by_row: np.ndarray, row: np.ndarray) -> None:
        """Positions sorted by row and then by place in the log; each row's share of them."""
        self._by_row = by_row
        ordered = row[by_row]
        starts = np.flatnonzero(np.diff(ordered, prepend=-1))
        self.rows = ordered[starts]  # ascending, each once
        self._starts = np.append(starts, len(ordered))

    def _stale(self) -> np.ndarray:
        """Of the positions by row: whether the sensor had a reading as new before."""
        at = self._at[self._by_row]
        first = self._starts[:-1]
        before = np.concatenate((at[:1], at[:-1]))
        before[first] = self._last_at[self.rows]
        stale: np.ndarray = at <= before
        if stale.any():
            counts = np.diff(self._starts)
            for i in np.unique(np.repeat(np.arange(len(first)), counts)[stale]).tolist():
                span = slice(self._starts[i], self._starts[i + 1])
                times = np.concatenate((self._last_at[self.rows[i : i + 1]], at[span]))
                stale[span] = times[1:] <= np.maximum.accumulate(times)[:-1]
        return stale

    def over(self) -> None:
        self.newest.place[self.rows] = -1

    @property
    def first(self) -> np.ndarray:
        """The position of each row's first reading; `rows` says which rows."""
        first: np.ndarray = self._by_row[self._starts[:-1]]
        return first

    @property
    def last(self) -> np.ndarray:
        last: np.ndarray = self._by_row[self._starts[1:] - 1]
        return last

    def series(self, paused_us: np.ndarray) -> list[Series]:
        """All readings, in as few arrays as is sensible. `paused_us` is by row, before its first reading."""
        counts = np.diff(self._starts)
        left = np.arange(len(counts))
        found = []
        while len(left):
            most = int(counts[left].max())
            part = left
            if most * len(left) > SPARSE * int(counts[left].sum()) + SMALL:
                part = left[SPARSE * counts[left] > most]
            left = left[SPARSE * counts[left] <= most] if len(part) < len(left) else left[:0]
            nth = np.arange(most)[:, None]
            here = nth < counts[part]
            place = self._by_row[self._starts[part] + np.minimum(nth, counts[part] - 1)]
            value = self._value[place]
            found.append(
                Series(
                    self.rows[part],
                    counts[part],
                    place,
                    self._at[place],
                    value if here.all() else np.where(here, value, np.nan),
                    paused_us[part],
                )
            )
        return found

    def back_to(
        self, position: int, lane: int, rows: np.ndarray, value: np.ndarray, agrees: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Newest values and agreements of `rows` as they stood before `position`; given those of now."""
        value, agrees = value.copy(), agrees.copy()
        if not len(self.rows):
            return value, agrees
        at = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        for i in np.flatnonzero(self.rows[at] == rows):
            records = self._by_row[self._starts[at[i]] : self._starts[at[i] + 1]]
            earlier = records[records < position]
            if len(earlier):
                value[i], agrees[i] = self._value[earlier[-1]], self.agreed[lane][earlier[-1]]
            else:
                value[i], agrees[i] = self._before[at[i]], self._agreed_before[lane][at[i]]
        return value, agrees


def _agrees(tracks: Tracks, rows: np.ndarray) -> np.ndarray:
    if not tracks.lane.detector.compares:
        return np.zeros(len(rows), bool)
    return tracks.agreeing(rows)
