"""What is derived from a bridge's vibration and bearings: modal frequency, cable and bearing forces.

The deck follows air and sun with a lag of hours. Steel and asphalt soften as it warms, which lowers the
frequency; cables and the free bearing move with its length; the rush hour loads the bearings along the
beam's influence line (simulators/beam.py).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from simulators.beam import influence
from simulators.network import Floats, Layout, Moment, Network, Planned, Wander, lagged, peaks

SOFTENING_PER_K = 0.0004
TRAFFIC_SHARE = 0.02
LANES = np.array([0.2, 0.6, 1.0, 0.6, 0.2])
"""How heavy traffic stands at five places along the span."""


class SpanNetwork(Network):
    name: ClassVar = "bridge-span"
    gateways_per_zone: ClassVar = 1
    plan: ClassVar = (
        Planned("bridge_cable_force", 8, 600, "cable-force", noise=0.4),
        Planned("bridge_modal_frequency", 2, 3600, "modal-frequency", noise=0.6),
        Planned("bridge_bearing_reaction", 4, 3600, "bearing-reaction"),
        Planned("bridge_bearing_displacement", 4, 600, "bearing-displacement"),
    )

    def __init__(self, layout: Layout, rng: np.random.Generator) -> None:
        self._layout = layout
        self._wander = Wander(layout.size, rng)
        self._base = rng.uniform(0, 1, layout.size)
        self._deck_c: Floats | None = None
        self._loaded = float(influence(len(LANES)) @ LANES / LANES.sum())

    @staticmethod
    def site(category: str, rng: np.random.Generator) -> dict[str, float]:
        return {"stroke": 60.0} if category == "bridge_bearing_displacement" else {}

    def step(self, moment: Moment, dt_s: float) -> Floats:
        layout, wander = self._layout, self._wander.at(moment.seconds)
        target = moment.sky.air_c + 8 * moment.sky.sun
        before = target if self._deck_c is None else self._deck_c
        self._deck_c = lagged(before, target, dt_s, 2 * 3600)
        warm = (self._deck_c - moment.sky.mean_c)[layout.zone]
        rush = peaks(moment.hour, (8.0, 18.0), 1.2)
        truth = np.zeros(layout.size)
        for category, at in layout.slices.items():
            w, base, c = wander[at], self._base[at], warm[at]
            match category:
                case "bridge_modal_frequency":
                    truth[at] = (1.1 + 0.4 * base) * (1 - SOFTENING_PER_K * c)
                case "bridge_cable_force":
                    truth[at] = (3000 + 2500 * base) * (1 - 0.0006 * c + 0.004 * rush + 0.001 * w)
                case "bridge_bearing_reaction":
                    load = 1 + TRAFFIC_SHARE * self._loaded * rush
                    truth[at] = (4000 + 3000 * base) * (load + 0.001 * w)
                case "bridge_bearing_displacement":
                    truth[at] = 6 * (base - 0.5) - 0.9 * c + 0.2 * w
        return truth
