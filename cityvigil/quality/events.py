"""What people ask of alerts: how many events were found, how late, and how often nothing was the matter.

Flagged rows closer than `merge_s` are one alert. An event is found by a flagged row from its beginning to
`late_s` after its end; an alert is false if no row of it lies in such a span. Labels are used here only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Span = tuple[int, int]  # first and last row


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the report: what a method reached on a set."""

    set: str
    method: str
    figures: dict[str, float]


@dataclass(frozen=True, slots=True)
class Tally:
    found: int = 0
    events: int = 0
    false: int = 0
    sensor_days: float = 0.0
    delays_s: tuple[float, ...] = ()

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.found + other.found,
            self.events + other.events,
            self.false + other.false,
            self.sensor_days + other.sensor_days,
            self.delays_s + other.delays_s,
        )

    def figures(self) -> dict[str, float]:
        delay = float(np.median(self.delays_s)) / 60 if self.delays_s else float("nan")
        return {
            "events_found": self.found,
            "events": self.events,
            "false_per_sensor_day": self.false / self.sensor_days if self.sensor_days else 0.0,
            "median_delay_min": delay,
        }


def spans(flags: np.ndarray) -> list[Span]:
    """Runs of set flags.

    >>> spans(np.array([0, 1, 1, 0, 1]))
    [(1, 2), (4, 4)]
    """
    steps = np.diff(np.concatenate(([0], np.asarray(flags, np.int8), [0])))
    starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1) - 1
    return [(int(a), int(b)) for a, b in zip(starts, ends, strict=True)]


def tally(
    at: np.ndarray,
    alert: np.ndarray,
    events: list[Span],
    *,
    sensors: int = 1,
    merge_s: float = 6 * 3600.0,
    late_s: float = 3600.0,
) -> Tally:
    explained = np.zeros(len(at), bool)
    delays = []
    for first, last in events:
        end = int(np.searchsorted(at, at[last] + late_s * 1e6, side="right"))
        end = max(end, last + 1)
        explained[first:end] = True
        rows = np.flatnonzero(alert[first:end])
        if len(rows):
            delays.append(float(at[first + rows[0]] - at[first]) / 1e6)
    flagged = np.flatnonzero(alert)
    alerts = np.split(flagged, np.flatnonzero(np.diff(at[flagged]) > merge_s * 1e6) + 1)
    false = sum(1 for rows in alerts if len(rows) and not explained[rows].any())
    days = float(at[-1] - at[0]) / 86_400e6 if len(at) else 0.0
    return Tally(len(delays), len(events), false, days * sensors, tuple(delays))
