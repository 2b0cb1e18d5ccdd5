"""Quantities without a network of their own, all at once: each behaves as its row of behaviours.csv says.

value = own level + what it follows + a slow wander, or a saw between two levels, or a resting state. What
is followed is computed once a zone and category and gathered, so the cost is a few passes over the sensors
however many categories there are. The wander is drawn at every full hour from (seed, hour) and is smooth in
between: a function of time alone.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from schemas.catalogue import catalogue
from simulators.behaviours import DRIVERS, Behaviour, behaviours
from simulators.network import Floats, Layout, Moment, Network, Planned, peaks

HOUR_S = 3600
TIDE_S = 12.42 * HOUR_S
FAR = 2.2


class RowsNetwork(Network):
    """The categories of one domain of the catalogue that stand in behaviours.csv."""

    gateways_per_zone: ClassVar = 2

    def __init__(self, layout: Layout, rng: np.random.Generator) -> None:
        rows = [behaviours()[key] for key in layout.slices]
        self._entropy = int(rng.integers(2**62))
        self._follows = np.array([_row_of(row) for row in rows])  # category x driver
        n = layout.size
        kind = np.empty(n, dtype=np.intp)
        self._own, self._gain, self._wander = np.empty(n), np.empty(n), np.empty(n)
        self._saws: list[tuple[slice, Floats, Floats, Floats, Floats]] = []
        for number, row in enumerate(rows):
            at = layout.slices[row.key]
            count = layout.count(row.key)
            kind[at] = number
            scale = layout.param(row.key, row.of) if row.of else np.ones(count)
            own = scale * rng.uniform(row.low, row.high, count)
            self._own[at] = own
            self._gain[at] = own if row.relative else scale
            self._wander[at] = row.wander * (own if row.wander_relative else scale)
            if row.shape == "saw":
                period = row.period_s * rng.uniform(0.8, 1.2, count)
                self._own[at] = 0.0
                span = scale * (row.high - row.low)
                self._saws.append((at, scale * row.low, span, period, rng.uniform(0, 1, count)))
        zones = int(layout.zone.max()) + 1
        self._place = kind * zones + layout.zone
        self._zones = zones
        self._hour = -1
        self._knots = (np.zeros(n), np.zeros(n))

    def step(self, moment: Moment, dt_s: float) -> Floats:
        followed = (self._follows @ _drivers(moment, self._zones)).ravel()
        truth: Floats = self._gain * followed[self._place]
        truth += self._own
        truth += self._wander * self._wandering(moment.seconds)
        for at, low, span, period, phase in self._saws:
            way = (moment.seconds / period + phase) % 1
            truth[at] += low + span * (1 - np.abs(1 - 2 * way))
        return truth

    def _wandering(self, seconds: float) -> Floats:
        hour = int(seconds // HOUR_S)
        if hour != self._hour:
            before = self._knots[1] if hour == self._hour + 1 else self._knot(hour)
            self._knots, self._hour = (before, self._knot(hour + 1)), hour
        way = (1 - np.cos(np.pi * (seconds / HOUR_S - hour))) / 2
        first, second = self._knots
        mixed: Floats = first + way * (second - first)
        return mixed

    def _knot(self, hour: int) -> Floats:
        rng = np.random.default_rng([self._entropy, hour])
        return np.clip(rng.standard_normal(len(self._own)), -FAR, FAR)


def rows_network(domain: str, label: str) -> type[RowsNetwork]:
    """The network of a domain's rows; `label` is its name, and begins its gateways' names."""

    class _Rows(RowsNetwork):
        name: ClassVar = label
        plan: ClassVar = tuple(
            Planned(row.key, row.per_zone, row.interval_s, _prefix(row.key), noise=row.noise)
            for row in behaviours().values()
            if catalogue()[row.key].domain == domain
        )

        @staticmethod
        def site(category: str, rng: np.random.Generator) -> dict[str, float]:
            params = behaviours()[category].params
            return {name: round(float(rng.uniform(low, high)), 2) for name, low, high in params}

    return _Rows


def _prefix(key: str) -> str:
    """
    >>> _prefix("drain_underpass_water_depth")
    'underpass-water-depth'
    """
    return key.partition("_")[2].replace("_", "-")


def _row_of(row: Behaviour) -> Floats:
    found = np.zeros(len(DRIVERS))
    for name, amount in row.follows:
        found[DRIVERS.index(name)] += amount
    return found


def _drivers(moment: Moment, zones: int) -> Floats:
    """What can be followed, driver x zone, in the order of DRIVERS."""
    hour, sky = moment.hour, moment.sky
    of_day = (
        peaks(hour, (7.0, 12.0, 18.0), 0.8),
        peaks(hour, (7.75, 20.0), 1.4),
        peaks(hour, (8.0, 18.0), 1.2),
        peaks(hour, (10.5, 15.0), 2.0),
        peaks(hour, (20.5,), 2.0),
        peaks(hour, (3.0,), 2.0),
        peaks(hour, (14.5,), 3.0),
        sky.sun,
        float(5.5 <= hour < 23.5),
    )
    tide = np.sin(2 * np.pi * moment.seconds / TIDE_S)
    table = np.empty((len(DRIVERS), zones))
    table[: len(of_day)] = np.array(of_day)[:, None]
    of_sky = ((sky.air_c - 10) / 10, sky.wind_ms / 10, sky.rain_mm_h / 10, sky.wet / 10,
              sky.soaked / 10, sky.river / 10)  # fmt: skip
    table[len(of_day) : -1] = np.array(of_sky)[:, :zones]
    table[-1] = tide
    return table
