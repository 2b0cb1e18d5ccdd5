"""The gas network: mains at two pressures, regulators, filters, and the manholes beside them.

Pressures dip when the city cooks; the high-pressure line answers with the lag of its line-pack. A manhole
breathes a trace of methane, and reports twice an hour until it holds more.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from simulators.network import Floats, Layout, Moment, Network, Planned, Wander, lagged, peaks


class GasNetwork(Network):
    name: ClassVar = "gas"
    gateways_per_zone: ClassVar = 2
    plan: ClassVar = (
        Planned("gas_manhole_methane", 12, 1800, "manhole-ch4"),
        Planned("gas_pipe_pressure_subhigh", 4, 60, "subhigh-pressure"),
        Planned("gas_pipe_pressure_medium", 44, 60, "medium-pressure", 0.003),
        Planned("gas_pipe_pressure_low", 14, 300, "low-pressure", 0.03),
        Planned("gas_regulator_outlet_pressure", 10, 300, "regulator-outlet", 0.03),
        Planned("gas_filter_diff_pressure", 6, 900, "filter-dp", 0.3),
    )

    def __init__(self, layout: Layout, rng: np.random.Generator) -> None:
        self._layout = layout
        self._wander = Wander(layout.size, rng)
        self._base = rng.uniform(0, 1, layout.size)
        self._op = {c: layout.param(c, "op") for c in layout.slices if c.startswith("gas_pipe_pressure_")
                    and c != "gas_pipe_pressure_low"}  # fmt: skip
        self._sp = layout.param("gas_regulator_outlet_pressure", "sp")
        self._line_pack: Floats | None = None

    @staticmethod
    def site(category: str, rng: np.random.Generator) -> dict[str, float]:
        match category:
            case "gas_pipe_pressure_subhigh":
                return {"op": round(float(rng.uniform(1.1, 1.3)), 2), "mop": 1.6}
            case "gas_pipe_pressure_medium":
                return {"op": round(float(rng.uniform(0.28, 0.34)), 2), "mop": 0.4}
            case "gas_regulator_outlet_pressure":
                return {"sp": round(float(rng.uniform(2.6, 2.9)), 2)}
        return {}

    def step(self, moment: Moment, dt_s: float) -> Floats:
        layout, wander = self._layout, self._wander.at(moment.seconds)
        cooking = peaks(moment.hour, (7.0, 12.0, 18.0), 0.8)
        night = peaks(moment.hour, (3.0,), 1.5)
        truth = np.zeros(layout.size)
        for category, at in layout.slices.items():
            w, base = wander[at], self._base[at]
            match category:
                case "gas_manhole_methane":
                    truth[at] = 0.015 + 0.02 * base + 0.006 * w
                case "gas_pipe_pressure_subhigh":
                    truth[at] = self._packed(self._op[category] * (0.96 - 0.05 * cooking), dt_s) + 0.003 * w
                case "gas_pipe_pressure_medium":
                    truth[at] = self._op[category] * (0.97 - 0.06 * cooking) + 0.001 * w
                case "gas_pipe_pressure_low":
                    truth[at] = 2.4 + 0.2 * base - 0.25 * cooking + 0.03 * w
                case "gas_regulator_outlet_pressure":
                    truth[at] = self._sp * (1 + 0.08 * night) + 0.03 * w
                case "gas_filter_diff_pressure":
                    truth[at] = 4 + 2 * base + 2 * cooking + 0.3 * w
        return truth

    def _packed(self, target: Floats, dt_s: float) -> Floats:
        before = target if self._line_pack is None else self._line_pack
        self._line_pack = lagged(before, target, dt_s, 2400)
        return self._line_pack
