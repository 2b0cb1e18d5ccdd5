"""The water network: mains, pumped buildings, tanks that fill and empty, and water quality.

Mains sink when the city wakes and when it comes home; tanks run a pump between two levels, so their level
is a saw-tooth with a memory.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from simulators.network import Floats, Layout, Moment, Network, Planned, Wander, peaks

DISTRICTS = 2


class WaterNetwork(Network):
    name: ClassVar = "water"
    gateways_per_zone: ClassVar = 2
    plan: ClassVar = (
        Planned("water_main_pressure", 52, 60, "main-pressure", 0.003),
        Planned("water_secondary_outlet_pressure", 14, 60, "building-pressure", 0.003),
        Planned("water_tank_level", 4, 300, "tank-level"),
        Planned("water_residual_chlorine", 6, 900, "chlorine", 0.01),
        Planned("water_turbidity", 6, 900, "turbidity"),
        Planned("water_ph", 6, 900, "ph", 0.02),
    )

    def __init__(self, layout: Layout, rng: np.random.Generator) -> None:
        self._layout = layout
        self._wander = Wander(layout.size, rng)
        self._base = rng.uniform(0, 1, layout.size)
        self._sp = layout.param("water_secondary_outlet_pressure", "sp")
        self._depth = layout.param("water_tank_level", "depth")
        tanks = layout.count("water_tank_level")
        self._level = self._depth * rng.uniform(0.65, 0.85, tanks)
        self._filling = rng.uniform(0, 1, tanks) < 0.5

    @staticmethod
    def tags(category: str, zone: str, number: int) -> tuple[str, ...]:
        """A zone has two districts of the mains; every other place lies in the second."""
        return (f"dma:{zone}-{1 + number % DISTRICTS}",)

    @staticmethod
    def site(category: str, rng: np.random.Generator) -> dict[str, float]:
        match category:
            case "water_secondary_outlet_pressure":
                return {"sp": round(float(rng.uniform(0.45, 0.75)), 2)}
            case "water_tank_level":
                return {"depth": round(float(rng.uniform(3.5, 4.5)), 1)}
        return {}

    def step(self, moment: Moment, dt_s: float) -> Floats:
        layout, wander = self._layout, self._wander.at(moment.seconds)
        demand = peaks(moment.hour, (7.75, 20.0), 1.4)
        truth = np.zeros(layout.size)
        for category, at in layout.slices.items():
            w, base = wander[at], self._base[at]
            match category:
                case "water_main_pressure":
                    truth[at] = (0.36 + 0.05 * base) * (1.03 - 0.12 * demand) + 0.001 * w
                case "water_secondary_outlet_pressure":
                    truth[at] = self._sp + 0.006 * w
                case "water_tank_level":
                    truth[at] = self._pumped(demand, dt_s)
                case "water_residual_chlorine":
                    truth[at] = 0.28 + 0.12 * base + 0.02 * w
                case "water_turbidity":
                    truth[at] = 0.22 + 0.1 * base + 0.02 * w
                case "water_ph":
                    truth[at] = 7.5 + 0.2 * base + 0.02 * w
        return truth

    def _pumped(self, demand: float, dt_s: float) -> Floats:
        """The pump starts at 65 % and stops at 85 %; the town draws all the while."""
        share = self._level / self._depth
        self._filling = np.where(share <= 0.65, True, np.where(share >= 0.85, False, self._filling))
        drawn = (0.08 + 0.10 * demand) / 3600
        self._level = self._level + self._depth * dt_s * np.where(self._filling, 0.35 / 3600 - drawn, -drawn)
        return self._level
