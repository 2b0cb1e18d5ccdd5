"""Elders living alone: water, power, gas, door, motion and bed of a home move with its one occupant's day.

Sensor i of every category stands in home i, so that a morning without water is a morning without motion.
Each has its own hours, habits and volumes; a day differs from the next by what (seed, day) says. A mattress
repeats its night's breathing by day: an empty bed is not a person who does not breathe.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from simulators.network import Floats, Layout, Moment, Network, Planned

HOMES = 12
DAY_S = 86_400
UTC_OFFSET_S = 8 * 3600
MEALS = (0.75, 5.25, 11.5)
"""Hours after getting up. Nobody gets up before 04:54, and a stove burns from 0.4 h before the middle of a
meal: gas before five is a fault's, as the catalogue's hours of cooking have it."""
OUTINGS = ((2.5, 3.5), (8.5, 9.5))
COOKS, COOKED_H = 0.85, 2.4
"""Three meals of 0.8 hours: nearer to its middle than that the stove burns."""
SHAPE_H = 7.5
"""The integral of a day's water over the meals and the hours awake."""


class HomecareNetwork(Network):
    name: ClassVar = "homecare"
    gateways_per_zone: ClassVar = 2
    plan: ClassVar = (
        Planned("home_water_meter", HOMES, 1800, "water-meter"),
        Planned("home_electric_meter", HOMES, 900, "electric-meter"),
        Planned("home_electric_power", HOMES, 900, "electric-power"),
        Planned("home_gas_meter", HOMES, 1800, "gas-meter"),
        Planned("home_pir_motion", HOMES, 3600, "motion"),
        Planned("home_room_temp", HOMES, 3600, "room-temp"),
        Planned("home_bed_respiration", HOMES, 300, "respiration"),
        Planned("home_water_leak", HOMES, 86_400, "water-leak"),
        Planned("home_door_contact", HOMES, 86_400, "door"),
        Planned("home_sos_button", HOMES, 86_400, "sos"),
        Planned("home_fall_radar", HOMES, 86_400, "fall-radar"),
        Planned("home_water_flood", HOMES, 86_400, "water-flood"),
    )

    def __init__(self, layout: Layout, rng: np.random.Generator) -> None:
        self._layout = layout
        homes = layout.count("home_water_meter")
        self._zone = layout.zone[layout.slices["home_water_meter"]]
        self._entropy = int(rng.integers(2**62))
        self._up = rng.uniform(5.5, 7.0, homes)
        self._to_bed = rng.uniform(21.0, 22.5, homes)
        self._water_m3 = rng.uniform(0.05, 0.15, homes)  # a day
        self._fridge_w = rng.uniform(45, 90, homes)
        self._stove_w = rng.uniform(500, 1100, homes)
        self._gas_m3 = rng.uniform(0.1, 0.4, homes)
        self._doors = rng.integers(3, 9, homes).astype(np.float64)
        self._breath = rng.uniform(13.5, 16.5, homes)
        self._likes_c = rng.uniform(20, 23, homes)
        self._water = rng.uniform(50, 600, homes)  # the meters' hands
        self._energy = rng.uniform(500, 9000, homes)
        self._gas = rng.uniform(20, 900, homes)
        self._day = -1
        self._shift_h, self._much = np.zeros(homes), np.ones(homes)

    @staticmethod
    def site(category: str, rng: np.random.Generator) -> dict[str, float]:
        match category:
            case "home_electric_power":
                return {"main_breaker": 6600.0}
            case "home_electric_meter":
                return {"p99": 3.0}
            case "home_gas_meter":
                return {"max_gap": 24.0}
        return {}

    def step(self, moment: Moment, dt_s: float) -> Floats:
        self._begin_day(int((moment.seconds + UTC_OFFSET_S) // DAY_S))
        awake_for = (moment.hour - self._up - self._shift_h) % 24
        awake = awake_for < (self._to_bed - self._up)
        out = np.zeros(len(awake), dtype=bool)
        for leaves, returns in OUTINGS:
            out |= (awake_for >= leaves) & (awake_for < returns)
        meal = np.zeros(len(awake))
        for at in MEALS:
            meal = np.maximum(meal, np.exp(-((((awake_for - at + 12) % 24) - 12) ** 2) / (2 * 0.7**2)))
        here = awake & ~out
        power = self._fridge_w + self._much * here * (60 + self._stove_w * meal)
        self._water = self._water + self._much * self._water_m3 * (meal + 0.15 * here) / SHAPE_H * dt_s / 3600
        self._energy = self._energy + power * dt_s / 3.6e6
        cooking = meal > COOKS
        self._gas = self._gas + self._much * self._gas_m3 * cooking / COOKED_H * dt_s / 3600
        return self._felt(moment, here, meal, power)

    def _felt(self, moment: Moment, here: np.ndarray, meal: Floats, power: Floats) -> Floats:
        layout = self._layout
        outside = moment.sky.air_c[self._zone]
        values = {
            "home_water_meter": self._water,
            "home_electric_meter": self._energy,
            "home_electric_power": power,
            "home_gas_meter": self._gas,
            "home_pir_motion": np.where(here, 10 + 25 * meal * self._much, 0.6),
            "home_room_temp": self._likes_c + 0.04 * (outside - 10) + 0.5 * moment.sky.sun,
            "home_bed_respiration": self._breath,
            "home_water_leak": 0.18 + 0.08 * self._much,
            "home_door_contact": self._doors,
        }
        truth = np.zeros(layout.size)
        for category, at in layout.slices.items():
            if category in values:
                truth[at] = values[category]
        return truth

    def _begin_day(self, day: int) -> None:
        if day != self._day:
            rng = np.random.default_rng([self._entropy, day])
            self._day = day
            self._shift_h = np.clip(rng.normal(0, 0.3, len(self._up)), -0.6, 0.6)
            self._much = np.clip(rng.normal(1, 0.12, len(self._up)), 0.7, 1.3)
