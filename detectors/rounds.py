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
    def __init__(self, run: Run, last_value: np.ndarray, tracks: list[Tracks]) -> None:
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
        self._before = last_value[self._rows]
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


def _agrees(tracks: Tracks, rows: np.ndarray) -> np.ndarray:
    if not tracks.lane.detector.compares:
        return np.zeros(len(rows), bool)
    return tracks.agreeing(rows)
