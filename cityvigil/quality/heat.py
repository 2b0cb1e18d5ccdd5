"""xai4heat: a heating substation of Nis, hourly and later denser, no labels: false alarms, planted faults.

Learnt from the season that began in November 2021; everything from October 2022 on counts. An alert there is
taken for false, though some may be real. Faults are planted one at a time, at random places where the plant
has been on for two hours and nothing is being said: one of four temperatures reads 5 K off, for 6, 12 or 24
hours; found means told before it ends. One seed for every method.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from cityvigil.quality import plain
from cityvigil.quality.events import Row, tally
from cityvigil.replay_csv import LOCAL
from cityvigil.score_csv import read
from detectors import regime
from schemas.clock import to_us

COLUMNS = ("t_amb", "t_ref", "t_sup_prim", "t_ret_prim", "t_sup_sec", "t_ret_sec", "pe")
TEMPERATURES = (2, 3, 4, 5)
OFF_K = 5.0
HOURS = (6, 12, 24)
PLANTED = 100
SEED = 7
WARM_UP = 600  # rows before a fault

Score = Callable[[np.ndarray, np.ndarray], np.ndarray]


def measure(folder: Path) -> Iterator[Row]:
    file = read(folder / "xai4heat_scada_L4.csv", "timestamp", COLUMNS)
    # What this logger writes when it has no value: 0 for a water temperature, -39.9 outdoors.
    values = file.values.copy()
    values[:, 1:6] = np.where(values[:, 1:6] < 1, np.nan, values[:, 1:6])
    values[:, 0] = np.where(values[:, 0] < -30, np.nan, values[:, 0])
    start, end = _us(2021, 11), _us(2022, 10)
    learn = (file.at >= start) & (file.at < end)
    at, live = file.at[file.at >= end], values[file.at >= end]
    detector = regime.DETECTOR
    model = detector.learn(detector.settings, COLUMNS, file.at[learn], values[learn])

    def ours(at: np.ndarray, values: np.ndarray) -> np.ndarray:
        return detector.scan(model, detector.fresh(model), at, values)[1].score

    on = live[:, int(model.gate)] > model.on_above
    places = np.flatnonzero((ours(at, live) > 0) & on)
    history = values[learn & (values[:, int(model.gate)] > model.on_above)]

    def gated(rule: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Score:
        return lambda at, values: np.where(
            values[:, int(model.gate)] > model.on_above, rule(history, values), 0.0
        )

    yield _row("3 sigma, while on", gated(plain.three_sigma), at, live, places)
    yield _row("fixed limits, while on", gated(plain.fixed_limits), at, live, places)
    yield _row("profile plant", ours, at, live, places)


def _us(year: int, month: int) -> int:
    return to_us(dt.datetime(year, month, 1, tzinfo=LOCAL))


def _row(method: str, score: Score, at: np.ndarray, live: np.ndarray, places: np.ndarray) -> Row:
    usual = score(at, live) >= 1
    seen = tally(at, usual, [], sensors=live.shape[1])
    figures = {"false_per_sensor_day": seen.false / seen.sensor_days, "share_of_rows": float(usual.mean())}
    for hours in HOURS:
        rng = np.random.default_rng(SEED)
        found = planted = 0
        for number in range(PLANTED):
            first = int(rng.choice(places))
            off = OFF_K * float(rng.choice([-1, 1]))
            end = int(np.searchsorted(at, at[first] + hours * 3600_000_000))
            if usual[first:end].any():
                continue
            begin = max(first - WARM_UP, 0)
            part = live[begin:end].copy()
            part[first - begin :, TEMPERATURES[number % len(TEMPERATURES)]] += off
            planted += 1
            found += bool((score(at[begin:end], part)[first - begin :] >= 1).any())
        figures[f"planted_{hours}h"] = planted
        figures[f"found_{hours}h"] = found / max(planted, 1)
    return Row("heat", method, figures)
