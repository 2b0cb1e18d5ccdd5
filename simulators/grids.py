"""Water, gas and heat mains that answer as solved networks do: a junction of EPANET's Net3, of Schutterwald.

Each sensor stands at a junction. On an ordinary day it shows what that junction shows over the hours or over
the load (physics/*.npz); when something breaks at one place, the others feel the solved share of it.
"""

from __future__ import annotations

import csv
import functools
from importlib import resources
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulators.gas import GasNetwork
from simulators.heat import HeatNetwork
from simulators.network import Floats, Layout, Moment, peaks
from simulators.water import WaterNetwork


@functools.cache
def table(name: str) -> dict[str, Floats]:
    """A solved network's arrays."""
    with resources.files("simulators").joinpath("physics", f"{name}.npz").open("rb") as file:
        found = np.load(file)
        return {key: found[key].astype(np.float64) for key in found.files if found[key].dtype.kind in "fi"}


def junction_of(number: NDArray[np.intp], junctions: int) -> NDArray[np.intp]:
    """The junctions of a zone's sensors by their number: spread over the network, the same in each zone."""
    return (number * 7) % junctions


class WaterGrid(WaterNetwork):
    name: ClassVar = "water"

    def __init__(self, layout: Layout, rng: np.random.Generator) -> None:
        super().__init__(layout, rng)
        solved = table("water")
        steady = np.ptp(solved["pressure"], axis=1) < SWING_MOST
        self._over_day = np.flatnonzero(steady)
        self._day, self._chlorine = solved["pressure"], solved["chlorine"]
        self._main = self._at(layout, "water_main_pressure")
        self._mean = 0.33 + 0.06 * rng.uniform(0, 1, len(self._main))
        self._quality = self._at(layout, "water_residual_chlorine")
        self._slices, self._wander_of = layout.slices, self._wander

    def _at(self, layout: Layout, category: str) -> NDArray[np.intp]:
        return self._over_day[junction_of(_numbers(layout, category), len(self._over_day))]

    def step(self, moment: Moment, dt_s: float) -> Floats:
        truth = super().step(moment, dt_s)
        wander = self._wander_of.at(moment.seconds)
        at = self._slices["water_main_pressure"]
        truth[at] = self._mean * _at_hour(self._day, moment.hour)[self._main] + 0.001 * wander[at]
        at = self._slices["water_residual_chlorine"]
        share = _at_hour(self._chlorine, moment.hour)[self._quality]
        truth[at] = WORKS_MG_L * np.maximum(share, 0.3) + 0.01 * wander[at]
        return truth

    @staticmethod
    def felt(category: str, origin: int, count: int) -> Floats | None:
        if category != "water_main_pressure":
            return None
        solved = table("water")
        steady = np.flatnonzero(np.ptp(solved["pressure"], axis=1) < SWING_MOST)
        places = steady[junction_of(np.arange(count), len(steady))]
        return np.asarray(solved["influence"][places[origin], places])

    @staticmethod
    def stands(category: str, number: int) -> tuple[float, float] | None:
        if category != "water_main_pressure":
            return None
        places = water_places()
        place = places[watched_junctions()[junction_of(np.array([number]), len(watched_junctions()))[0]]]
        return place.east_m, place.north_m


class Place(NamedTuple):
    """A junction of Net3 and the widest pipe at it, metres from the middle of the network."""

    junction: str
    pipe: str
    east_m: float
    north_m: float


@functools.cache
def water_places() -> tuple[Place, ...]:
    """Of every junction, in the order of the table; at a third of Net3's own scale, to fit into a zone."""
    text = resources.files("simulators").joinpath("physics", "water_places.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return tuple(Place(r["junction"], r["pipe"], float(r["east_m"]), float(r["north_m"])) for r in rows)


@functools.cache
def watched_junctions() -> tuple[int, ...]:
    return tuple(np.flatnonzero(np.ptp(table("water")["pressure"], axis=1) < SWING_MOST).tolist())


def water_answers(count: int) -> Floats:
    """[junctions, sensors]: the share of a break at each junction that each of a zone's gauges feels, as the
    water company's hydraulic model would say."""
    watched = np.array(watched_junctions())
    places = watched[junction_of(np.arange(count), len(watched))]
    return np.asarray(table("water")["influence"][:, places])


SWING_MOST = 0.2
"""Junctions beside Net3's tanks and pumps jump as those switch; mains that are watched do not."""
WORKS_MG_L = 0.45


class GasGrid(GasNetwork):
    name: ClassVar = "gas"

    def __init__(self, layout: Layout, rng: np.random.Generator) -> None:
        super().__init__(layout, rng)
        self._solved = table("gas")
        numbers = _numbers(layout, "gas_pipe_pressure_low")
        self._low = junction_of(numbers, len(self._solved["pressure"]))
        self._supply_kpa = rng.uniform(2.5, 2.7, len(self._low))
        self._slices, self._wander_of = layout.slices, self._wander

    def step(self, moment: Moment, dt_s: float) -> Floats:
        truth = super().step(moment, dt_s)
        cold = float(np.clip((15 - moment.sky.mean_c) / 15, 0, 1.2))
        load = 0.25 + 1.2 * peaks(moment.hour, (7.0, 12.0, 18.0), 0.8) + 0.4 * cold
        share = _interpolated(self._solved["loads"], self._solved["pressure"], load)[self._low]
        at = self._slices["gas_pipe_pressure_low"]
        truth[at] = self._supply_kpa * share + 0.02 * self._wander_of.at(moment.seconds)[at]
        return truth

    @staticmethod
    def felt(category: str, origin: int, count: int) -> Floats | None:
        if category not in ("gas_pipe_pressure_low", "gas_pipe_pressure_medium"):
            return None
        solved = table("gas")
        places = junction_of(np.arange(count), len(solved["pressure"]))
        leak = int(np.abs(solved["places"] - places[origin]).argmin())
        return np.where(np.arange(count) == origin, 1.0, solved["influence"][leak, places])


class HeatGrid(HeatNetwork):
    name: ClassVar = "heat"

    def __init__(self, layout: Layout, rng: np.random.Generator) -> None:
        super().__init__(layout, rng)
        self._solved = table("heat")
        numbers = _numbers(layout, "heat_primary_supply_temp")
        flowing = np.flatnonzero(self._solved["lost"].max(axis=1) < LOST_MOST)
        self._supply = flowing[junction_of(numbers, len(flowing))]
        self._slices = layout.slices

    def step(self, moment: Moment, dt_s: float) -> Floats:
        truth = super().step(moment, dt_s)
        load = float(np.clip(1 - moment.sky.mean_c / 40, 0.7, 1.15))
        lost = _interpolated(self._solved["loads"], self._solved["lost"], load)[self._supply]
        at = self._slices["heat_primary_supply_temp"]
        truth[at] -= lost * (truth[at] - GROUND_C)
        return truth

    @staticmethod
    def felt(category: str, origin: int, count: int) -> Floats | None:
        key = {"heat_primary_supply_pressure": "influence",
               "heat_primary_return_pressure": "return_influence"}.get(category)  # fmt: skip
        if key is None:
            return None
        influence = table("heat")[key]
        places = junction_of(np.arange(count), influence.shape[1])
        leak = round(places[origin] * (len(influence) - 1) / max(1, influence.shape[1] - 1))
        return np.where(np.arange(count) == origin, 1.0, influence[leak, places])


GROUND_C = 10.0
LOST_MOST = 0.3
"""Dead ends of the model stand at the ground's temperature; nobody measures there."""


def _numbers(layout: Layout, category: str) -> NDArray[np.intp]:
    """The number of each sensor within its zone."""
    zone = layout.zone[layout.slices[category]]
    first = np.searchsorted(zone, zone)
    return np.arange(len(zone)) - first


def _at_hour(day: Floats, hour: float) -> Floats:
    """Column `hour` of 24, the last joined to the first."""
    before = int(hour) % 24
    way = hour - int(hour)
    mixed: Floats = day[:, before] * (1 - way) + day[:, (before + 1) % 24] * way
    return mixed


def _interpolated(at: Floats, columns: Floats, value: float) -> Floats:
    i = int(np.clip(np.searchsorted(at, value) - 1, 0, len(at) - 2))
    way = float(np.clip((value - at[i]) / (at[i + 1] - at[i]), 0, 1))
    mixed: Floats = columns[:, i] * (1 - way) + columns[:, i + 1] * way
    return mixed
