"""The heating network, always in its season: the air's temperature sets what is sent out, hours later.

Primary pressures are flat; temperatures follow the weather through the lag of the pipes.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from simulators.network import Floats, Layout, Moment, Network, Planned, Wander, lagged, peaks

COLD_LEAST_K = -16.0
"""In warm weather the plant keeps the pipes at what hot water taps need."""


class HeatNetwork(Network):
    name: ClassVar = "heat"
    gateways_per_zone: ClassVar = 2
    plan: ClassVar = (
        Planned("heat_primary_supply_temp", 10, 60, "primary-supply-temp", 0.3),
        Planned("heat_primary_return_temp", 10, 60, "primary-return-temp", 0.3),
        Planned("heat_primary_supply_pressure", 12, 60, "primary-supply-pressure", 0.003),
        Planned("heat_primary_return_pressure", 12, 60, "primary-return-pressure", 0.003),
        Planned("heat_secondary_supply_temp", 8, 300, "secondary-supply-temp", 0.3),
        Planned("heat_secondary_return_temp", 8, 300, "secondary-return-temp", 0.3),
        Planned("heat_secondary_pressure", 10, 300, "secondary-pressure", 0.003),
    )

    def __init__(self, layout: Layout, rng: np.random.Generator) -> None:
        self._layout = layout
        self._wander = Wander(layout.size, rng)
        self._base = rng.uniform(0, 1, layout.size)
        self._sp = layout.param("heat_secondary_pressure", "sp")
        self._felt_c: Floats | None = None

    @staticmethod
    def site(category: str, rng: np.random.Generator) -> dict[str, float]:
        if category == "heat_secondary_pressure":
            return {"sp": round(float(rng.uniform(0.28, 0.4)), 2)}
        return {}

    def step(self, moment: Moment, dt_s: float) -> Floats:
        layout, wander = self._layout, self._wander.at(moment.seconds)
        before = moment.sky.air_c if self._felt_c is None else self._felt_c
        self._felt_c = lagged(before, moment.sky.air_c, dt_s, 3 * 3600)
        cold = np.maximum(4.0 - self._felt_c, COLD_LEAST_K)[layout.zone]
        set_back = peaks(moment.hour, (1.5,), 2.0)
        truth = np.zeros(layout.size)
        for category, at in layout.slices.items():
            w, base, c = wander[at], self._base[at], cold[at]
            match category:
                case "heat_primary_supply_temp":
                    truth[at] = 94 + 2 * base + 1.5 * c + 0.4 * w
                case "heat_primary_return_temp":
                    truth[at] = 46 + 2 * base + 0.4 * c + 0.3 * w
                case "heat_primary_supply_pressure":
                    truth[at] = 0.95 + 0.1 * base + 0.004 * w
                case "heat_primary_return_pressure":
                    truth[at] = 0.35 + 0.03 * base + 0.002 * w
                case "heat_secondary_supply_temp":
                    truth[at] = 49 + 2 * base + 0.6 * c - 2.5 * set_back + 0.3 * w
                case "heat_secondary_return_temp":
                    truth[at] = 39 + 2 * base + 0.4 * c - 1.5 * set_back + 0.3 * w
                case "heat_secondary_pressure":
                    truth[at] = self._sp + 0.001 * w
        return truth
