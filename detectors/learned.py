"""What is usual for a sensor, learned from its own readings: hourly baselines, and a line on temperature.

The baseline has 48 bins, hours of the day on working days and on weekends, each a mean with a memory of four
weeks and the mean size of departures from it; 4 sigma of an hour and 5 % of the sensor's high values (mean +
1.645 sd, the 95 % point of a normal law) is what a departure must reach to count. The line is an
exponentially weighted least squares fit. Both say nothing (NaN) for their first fourteen days, and learn at
a tenth of the pace while an episode is open. Public holidays are not known here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

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


@np.errstate(all="ignore")
def against_baseline(
    state: Learned, at: np.ndarray, value: np.ndarray, calm: np.ndarray
) -> tuple[Learned, np.ndarray, np.ndarray]:
    """The share by which each value departs from its hour's usual, and by which it fell below it; both 0
    where the departure is too small to count. `calm`: nothing is open at this track."""
    n = len(at)
    rows = np.arange(n)
    local = at + LOCAL_US
    weekend = (local // DAY_US + 3) % 7 >= 5
    column = local % DAY_US // HOUR_US + np.where(weekend, 24, 0)
    usual = state.usual[rows, column].astype(np.float64)
    size = state.size[rows, column].astype(np.float64)
    times = state.times[rows, column].astype(np.int64)
    first, newest, mean, square = state.course.T
    first = np.where(first == 0, at, first)
    known = (times >= LEAST_TIMES) & (at - first >= LEARN_US)
    off = value - usual
    high = np.abs(mean) + 1.645 * np.sqrt(np.maximum(square - mean**2, 0.0))
    sigma = 4 * SIGMA_OF_MEAN_SIZE * size
    share = np.abs(off) / np.maximum(np.abs(usual), 1e-12)
    departs = np.where(np.abs(off) >= np.maximum(sigma, 0.05 * high), share, 0.0)
    falls = np.where((off < 0) & (-off >= sigma), share, 0.0)
    passed = np.clip(np.where(newest == 0, 0, at - newest), 0, HOUR_US)
    pace = np.where(calm, 1.0, CALM)
    weight = pace * np.maximum(1.0 / (times + 1), 24 * passed / MEMORY_US)
    moved = np.where(times == 0, value, usual + weight * off)
    sized = np.where(times == 0, 0.0, size + weight * (np.abs(off) - size))
    slow = pace * np.maximum(passed / MEMORY_US, np.where(newest == 0, 1.0, 0.0))
    young = at - first < MEMORY_US  # a plain mean at first
    slow = np.maximum(slow, np.where(young, passed / np.maximum(at - first + passed, 1), 0.0))
    new_usual, new_size, new_times = state.usual.copy(), state.size.copy(), state.times.copy()
    new_usual[rows, column], new_size[rows, column] = moved, sized
    new_times[rows, column] = np.minimum(times + 1, 60_000)
    means = mean + slow * (value - mean), square + slow * (value**2 - square)
    course = np.stack((first, at.astype(np.float64), *means), axis=1)
    after = state._replace(usual=new_usual, size=new_size, times=new_times, course=course)
    return after, np.where(known, departs, np.nan), np.where(known, falls, np.nan)


@np.errstate(all="ignore")
def against_line(
    state: Learned, at: np.ndarray, value: np.ndarray, temperature: np.ndarray, calm: np.ndarray
) -> tuple[Learned, np.ndarray, np.ndarray]:
    """The residual of the line on temperature, in sigmas and in the value's unit, signed."""
    first, newest, count, mt, mv, vt, cov, ve = state.line.T
    heard = np.isfinite(temperature)
    t = np.where(heard, temperature, mt)
    first = np.where(first == 0, at, first)
    slope = np.where(vt > 1e-9, cov / np.maximum(vt, 1e-9), 0.0)
    residual = value - (mv + slope * (t - mt))
    sigma = np.sqrt(ve)
    known = heard & (count >= LEAST_FIT) & (vt >= LEAST_SPREAD_K**2) & (at - first >= LEARN_US)
    passed = np.clip(np.where(newest == 0, 0, at - newest), 0, HOUR_US)
    pace = np.where(calm, 1.0, CALM)
    weight = np.where(heard, pace * np.maximum(1.0 / (count + 1), passed / LINE_MEMORY_US), 0.0)
    dt, dv = t - mt, value - mv
    line = np.stack(
        (
            first,
            np.where(heard, at, newest).astype(np.float64),
            count + heard,
            mt + weight * dt,
            mv + weight * dv,
            (1 - weight) * (vt + weight * dt**2),
            (1 - weight) * (cov + weight * dt * dv),
            np.where(count >= 2, (1 - weight) * (ve + weight * residual**2), ve),
        ),
        axis=1,
    )
    ratio = np.where(sigma > 0, residual / np.where(sigma > 0, sigma, 1.0), 0.0)
    return state._replace(line=line), np.where(known, ratio, np.nan), np.where(known, residual, np.nan)
