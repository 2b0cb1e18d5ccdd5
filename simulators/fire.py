"""Fire safety of buildings: smoke detectors, supply voltage, cables, chargers, hydrant nets.

Smoke detectors speak once a day and when their state changes; the hydrant net is held up by a small pump
that cuts in and out.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from simulators.network import Floats, Layout, Moment, Network, Planned, Wander, peaks


class FireNetwork(Network):
    name: ClassVar = "fire"
    gateways_per_zone: ClassVar = 1
    plan: ClassVar = (
        Planned("fire_smoke_detector_state", 24, 86_400, "smoke"),
        Planned("fire_power_voltage", 8, 300, "supply-voltage", 0.5),
        Planned("fire_cable_temp", 8, 300, "cable-temp"),
        Planned("fire_ebike_charger_temp", 10, 60, "charger-temp"),
        Planned("fire_hydrant_net_pressure", 6, 300, "hydrant-net"),
        Planned("fire_residual_current", 6, 300, "residual-current"),
    )

    def __init__(self, layout: Layout, rng: np.random.Generator) -> None:
        self._layout = layout
        self._wander = Wander(layout.size, rng)
        self._base = rng.uniform(0, 1, layout.size)
        nets = layout.count("fire_hydrant_net_pressure")
        self._net_mpa = rng.uniform(0.24, 0.30, nets)
        self._pumping = np.zeros(nets, dtype=bool)

    def step(self, moment: Moment, dt_s: float) -> Floats:
        layout, wander = self._layout, self._wander.at(moment.seconds)
        indoors = 14 + 0.3 * moment.sky.air_c[layout.zone]
        evening = peaks(moment.hour, (21.0,), 2.5)
        working = peaks(moment.hour, (10.5, 15.0), 2.0)
        truth = np.zeros(layout.size)
        for category, at in layout.slices.items():
            w, base, room = wander[at], self._base[at], indoors[at]
            match category:
                case "fire_power_voltage":
                    truth[at] = 223 + 3 * base - 2 * evening + 0.8 * w
                case "fire_cable_temp":
                    truth[at] = room + 6 + 6 * base + 4 * evening + 0.5 * w
                case "fire_ebike_charger_temp":
                    truth[at] = room + 5 + 3 * base + 6 * evening + 0.4 * w
                case "fire_hydrant_net_pressure":
                    truth[at] = self._held(dt_s)
                case "fire_residual_current":
                    truth[at] = 50 + 40 * base + 15 * working + 4 * w
        return truth

    def _held(self, dt_s: float) -> Floats:
        """The pump starts at 0.23 MPa and stops at 0.31; the net seeps."""
        low, high = self._net_mpa <= 0.23, self._net_mpa >= 0.31
        self._pumping = np.where(low, True, np.where(high, False, self._pumping))
        self._net_mpa = self._net_mpa + dt_s * np.where(self._pumping, 0.08 / 300, -0.08 / 5400)
        return self._net_mpa
