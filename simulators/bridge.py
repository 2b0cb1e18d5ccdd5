"""A bridge in each zone: strain, deflection, vibration, joints and piers under sun and traffic.

The deck follows air and sun with a lag of hours, and what expands with it follows the deck.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from simulators.network import Floats, Layout, Moment, Network, Planned, Wander, lagged, peaks


class BridgeNetwork(Network):
    name: ClassVar = "bridge"
    gateways_per_zone: ClassVar = 1
    plan: ClassVar = (
        Planned("bridge_strain", 14, 600, "strain", 3.0),
        Planned("bridge_deflection", 6, 600, "deflection", 0.4),
        Planned("bridge_acceleration", 6, 600, "acceleration"),
        Planned("bridge_structure_temp", 4, 600, "deck-temp", 0.3),
        Planned("bridge_expansion_joint", 4, 600, "joint", 0.3),
        Planned("bridge_pier_tilt", 4, 600, "pier-tilt", 0.002),
    )

    def __init__(self, layout: Layout, rng: np.random.Generator) -> None:
        self._layout = layout
        self._wander = Wander(layout.size, rng)
        self._base = rng.uniform(-1, 1, layout.size)
        self._deck_c: Floats | None = None

    @staticmethod
    def site(category: str, rng: np.random.Generator) -> dict[str, float]:
        match category:
            case "bridge_strain":
                return {"design": float(rng.choice((400, 450, 500)))}
            case "bridge_deflection":
                return {"design": float(rng.choice((90, 120, 150)))}
            case "bridge_expansion_joint":
                return {"stroke": 80.0}
        return {}

    def step(self, moment: Moment, dt_s: float) -> Floats:
        layout, wander = self._layout, self._wander.at(moment.seconds)
        target = moment.sky.air_c + 8 * moment.sky.sun
        before = target if self._deck_c is None else self._deck_c
        self._deck_c = lagged(before, target, dt_s, 2 * 3600)
        deck = self._deck_c[layout.zone]
        rush = peaks(moment.hour, (8.0, 18.0), 1.2)
        truth = np.zeros(layout.size)
        for category, at in layout.slices.items():
            w, base, c = wander[at], self._base[at], deck[at]
            match category:
                case "bridge_strain":
                    truth[at] = 40 * base + 3 * (c - 6) + 15 * rush + 4 * w
                case "bridge_deflection":
                    truth[at] = 6 * base + 0.4 * (c - 6) + 3 * rush + 0.5 * w
                case "bridge_acceleration":
                    truth[at] = 0.03 + 0.006 * base + 0.012 * rush + 0.001 * w
                case "bridge_structure_temp":
                    truth[at] = c + base
                case "bridge_expansion_joint":
                    truth[at] = 8 * base - 1.0 * (c - 6) + 0.3 * w
                case "bridge_pier_tilt":
                    truth[at] = 0.008 * base + 0.004 * w
        return truth
