"""The scored records of a run, cut into rounds, and what was known of a neighbour at each place of the log.

A round holds at most one reading of a sensor, so that a round is array operations; the k-th readings make
the k-th round, which keeps each sensor's own order. Alerts are put back into log order afterwards, so a
neighbour's value must be the one that stood in the log before the alert's record, not the batch's newest.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from detectors.intake import Run
from detectors.tracks import Tracks


class Rounds:
    def __init__(self, run: Run, last_value: np.ndarray, last_at: np.ndarray, tracks: list[Tracks]) -> None:
        chosen = np.flatnonzero(run.scored)
        row = run.row[chosen]
        order = np.argsort(row, kind="stable")
        ordered = row[order]
        self._by_row = chosen[order]
        starts = np.flatnonzero(np.diff(ordered, prepend=-1))
        self._rows = ordered[starts]  # ascending, each once
        self._starts = np.append(starts, len(ordered))
        nth = np.arange(len(ordered)) - np.repeat(starts, np.diff(self._starts))
        self._rounds = [self._by_row] if len(ordered) else []
        if len(starts) < len(ordered):
            sizes = np.bincount(nth)
            self._rounds = np.split(self._by_row[np.argsort(nth, kind="stable")], np.cumsum(sizes)[:-1])
        self._value = run.value
        self._at = run.at
        self._last_value, self._last_at = last_value, last_at
        self._before = last_value[self._rows]
        self._before_at = last_at[self._rows]
        self._histories: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        self._agreed_before = [_agrees(t, self._rows) for t in tracks]
        self.accepted = np.zeros(len(run.row), bool)
        self.agreed = [np.zeros(len(run.row), bool) for _ in tracks]

    def __iter__(self) -> Iterator[np.ndarray]:
        """The positions of each round."""
        return iter(self._rounds)

    def back_to(
        self, position: int, lane: int, rows: np.ndarray, value: np.ndarray, agrees: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Newest values and agreements of `rows` as they stood before `position`; given those of now."""
        value, agrees = value.copy(), agrees.copy()
        if not len(self._rows):
            return value, agrees
        at = np.minimum(np.searchsorted(self._rows, rows), len(self._rows) - 1)
        for i in np.flatnonzero(self._rows[at] == rows):
            records = self._by_row[self._starts[at[i]] : self._starts[at[i] + 1]]
            earlier = records[self.accepted[records] & (records < position)]
            if len(earlier):
                value[i], agrees[i] = self._value[earlier[-1]], self.agreed[lane][earlier[-1]]
            else:
                value[i], agrees[i] = self._before[at[i]], self._agreed_before[lane][at[i]]
        return value, agrees

    def newest(self, rows: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Newest values of `rows`, each as it stood before its position, and their times: the same however
        the log is cut, whichever round they are read in."""
        value, when = self._last_value[rows], self._last_at[rows]
        if not len(self._rows):
            return value, when
        at = np.minimum(np.searchsorted(self._rows, rows), len(self._rows) - 1)
        here = self._rows[at] == rows
        single = here & (self._starts[at + 1] - self._starts[at] == 1)
        record = self._by_row[self._starts[at]]
        before, before_at = self._before[at], self._before_at[at]
        taken = (record < positions) & (self._at[record] > before_at)
        value = np.where(single, np.where(taken, self._value[record], before), value)
        when = np.where(single, np.where(taken, self._at[record], before_at), when)
        for i in np.flatnonzero(here & ~single).tolist():
            records, values, times = self._history(int(at[i]))
            place = int(np.searchsorted(records, positions[i]))
            value[i], when[i] = values[place], times[place]
        return value, when

    def _history(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The records of a row that count, and what was known before the first and after each of them."""
        if index not in self._histories:
            records = self._by_row[self._starts[index] : self._starts[index + 1]]
            times = np.concatenate((self._before_at[index : index + 1], self._at[records]))
            newer = times[1:] > np.maximum.accumulate(times)[:-1]
            kept = records[newer]
            values = np.concatenate((self._before[index : index + 1], self._value[kept]))
            self._histories[index] = kept, values, np.concatenate((times[:1], self._at[kept]))
        return self._histories[index]


def _agrees(tracks: Tracks, rows: np.ndarray) -> np.ndarray:
    if not tracks.lane.detector.compares:
        return np.zeros(len(rows), bool)
    return tracks.agreeing(rows)
