"""What is usual for a sensor, learned from its own readings: hourly baselines, and a line on temperature.

The baseline has 48 bins, hours of the day on working days and on days off, each a mean with a memory of four
weeks and the mean size of departures from it; 4 sigma of an hour and 5 % of the sensor's high values (mean +
1.645 sd, the 95 % point of a normal law) is what a departure must reach to count. The line is an
exponentially weighted least squares fit. Both say nothing (NaN) for their first fourteen days, and learn at
a tenth of the pace while an episode is open. What is off is
detectors/day_type.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from detectors.compiled import compiled
from detectors.day_type import is_day_off

BINS = 48
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
LOCAL_US = 8 * HOUR_US
LEARN_US = 14 * DAY_US
MEMORY_US = 28 * DAY_US
LINE_MEMORY_US = 60 * DAY_US
LEAST_TIMES = 3  # readings in a bin
LEAST_FIT = 100  # readings under a line
LEAST_SPREAD_K = 1.0  # of temperature
SIGMA_OF_MEAN_SIZE = 1.2533  # of a normal law
CALM = 0.1


class Learned(NamedTuple):
    """[tracks, ...]; width 0 where a track learns neither."""

    usual: np.ndarray  # f4 [n, 48], NaN where nothing fell yet
    size: np.ndarray  # f4 [n, 48], mean size of departures
    times: np.ndarray  # u2 [n, 48]
    course: np.ndarray  # f8 [n, 4]: first time, newest time, mean, mean square
    line: np.ndarray  # f8 [n, 8]: first, newest, readings, mean t, mean v, var t, cov, var of residuals


def fresh(n: int, *, baseline: bool, line: bool) -> Learned:
    bins = BINS if baseline else 0
    course = np.zeros((n, 4 if baseline else 0))
    fit = np.zeros((n, 8 if line else 0))
    return Learned(
        np.full((n, bins), np.nan, np.float32),
        np.zeros((n, bins), np.float32),
        np.zeros((n, bins), np.uint16),
        course,
        fit,
    )


def against_baseline(
    state: Learned, at: np.ndarray, value: np.ndarray, calm: np.ndarray
) -> tuple[Learned, np.ndarray, np.ndarray]:
    """A reading each of all tracks: `departs` and `falls` of each. `calm`: nothing is open at this track."""
    after = Learned(*(array.copy() for array in state))
    departs, falls = np.empty(len(at)), np.empty(len(at))
    _each_baseline(after, at, value, calm, departs, falls)
    return after, departs, falls


def against_line(
    state: Learned, at: np.ndarray, value: np.ndarray, temperature: np.ndarray, calm: np.ndarray
) -> tuple[Learned, np.ndarray, np.ndarray]:
    """A reading each of all tracks: the residual of the line, in sigmas and in the value's unit, signed."""
    after = Learned(*(array.copy() for array in state))
    sigmas, residual = np.empty(len(at)), np.empty(len(at))
    _each_line(after, at, value, temperature, calm, sigmas, residual)
    return after, sigmas, residual


@compiled
def _each_baseline(
    state: Learned,
    at: np.ndarray,
    value: np.ndarray,
    calm: np.ndarray,
    departs: np.ndarray,
    falls: np.ndarray,
) -> None:
    for i in range(len(at)):
        departs[i], falls[i] = depart(state, i, at[i], value[i], calm[i])


@compiled
def _each_line(
    state: Learned, at: np.ndarray, value: np.ndarray, temperature: np.ndarray, calm: np.ndarray,
    sigmas: np.ndarray, residual: np.ndarray,
) -> None:  # fmt: skip
    for i in range(len(at)):
        sigmas[i], residual[i] = leave_line(state, i, at[i], value[i], temperature[i], calm[i])


@compiled
def depart(state: Learned, track: int, at: int, value: float, calm: bool) -> tuple[float, float]:
    """Learns a reading, in place. The share by which it departs from its hour's usual, and by which it fell
    below it; both 0 where the departure is too small to count, NaN while nothing is known."""
    local = at + LOCAL_US
    column = local % DAY_US // HOUR_US + (24 if is_day_off(local // DAY_US) else 0)
    usual, size = float(state.usual[track, column]), float(state.size[track, column])
    times = int(state.times[track, column])
    course = state.course[track]
    first, newest, mean, square = course[0], course[1], course[2], course[3]
    if first == 0:
        first = float(at)
    departs, falls = np.nan, np.nan
    off = value - usual
    if times >= LEAST_TIMES and at - first >= LEARN_US:
        high = abs(mean) + 1.645 * np.sqrt(max(square - mean**2, 0.0))
        sigma = 4 * SIGMA_OF_MEAN_SIZE * size
        share = abs(off) / max(abs(usual), 1e-12)
        departs = share if abs(off) >= max(sigma, 0.05 * high) else 0.0
        falls = share if off < 0 and -off >= sigma else 0.0
    passed = 0.0 if newest == 0 else min(max(at - newest, 0.0), float(HOUR_US))
    pace = 1.0 if calm else CALM
    weight = pace * max(1.0 / (times + 1), 24 * passed / MEMORY_US)
    state.usual[track, column] = value if times == 0 else usual + weight * off
    state.size[track, column] = 0.0 if times == 0 else size + weight * (abs(off) - size)
    state.times[track, column] = min(times + 1, 60_000)
    slow = pace * max(passed / MEMORY_US, 1.0 if newest == 0 else 0.0)
    if at - first < MEMORY_US:  # a plain mean at first
        slow = max(slow, passed / max(at - first + passed, 1.0))
    course[0], course[1] = first, float(at)
    course[2], course[3] = mean + slow * (value - mean), square + slow * (value**2 - square)
    return departs, falls


@compiled
def leave_line(
    state: Learned, track: int, at: int, value: float, temperature: float, calm: bool
) -> tuple[float, float]:
    """Learns a reading, in place. The residual of the line on temperature, in sigmas and in the value's unit,
    signed; NaN while it is not known, or the temperature is not."""
    line = state.line[track]
    first, newest, count, mt, mv, vt, cov, ve = (
        line[0], line[1], line[2], line[3], line[4], line[5], line[6], line[7],
    )  # fmt: skip
    heard = np.isfinite(temperature)
    if first == 0:
        first = line[0] = float(at)
    if not heard:
        return np.nan, np.nan
    slope = cov / vt if vt > 1e-9 else 0.0
    residual = value - (mv + slope * (temperature - mt))
    passed = 0.0 if newest == 0 else min(max(at - newest, 0.0), float(HOUR_US))
    weight = (1.0 if calm else CALM) * max(1.0 / (count + 1), passed / LINE_MEMORY_US)
    dt, dv = temperature - mt, value - mv
    line[1], line[2] = float(at), count + 1
    line[3], line[4] = mt + weight * dt, mv + weight * dv
    line[5] = (1 - weight) * (vt + weight * dt**2)
    line[6] = (1 - weight) * (cov + weight * dt * dv)
    if count >= 2:
        line[7] = (1 - weight) * (ve + weight * residual**2)
    if count < LEAST_FIT or vt < LEAST_SPREAD_K**2 or at - first < LEARN_US:
        return np.nan, np.nan
    sigma = np.sqrt(ve)
    return (residual / sigma if sigma > 0 else 0.0), residual
