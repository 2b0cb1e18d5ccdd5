"""Boxes that look at cameras' pictures and say what they saw: smoke, a blocked fire lane, ponding, a crowd.

What they see is true where a fault makes it true; else a square fills towards the evening and over working
hours, a road stands wet after rain, and smoke is a guess near zero. No picture is drawn here.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from simulators.network import Floats, Layout, Moment, Network, Planned, Wander, peaks

CAPACITY = 2_000.0
"""People that the place states to hold."""


class AnalyticsNetwork(Network):
    name: ClassVar = "video"
    gateways_per_zone: ClassVar = 1
    plan: ClassVar = (
        Planned("camera_smoke_fire", 1, 3_600, "smoke"),
        Planned("fire_lane_blocked", 1, 3_600, "fire-lane"),
        Planned("drain_road_water_depth", 1, 3_600, "ponding", noise=0.2),
        Planned("public_place_crowd_count", 1, 60, "crowd"),
    )

    def __init__(self, layout: Layout, rng: np.random.Generator) -> None:
        self._layout = layout
        self._wander = Wander(layout.size, rng)
        self._base = rng.uniform(0, 1, layout.size)

    @staticmethod
    def site(category: str, rng: np.random.Generator) -> dict[str, float]:
        return {"capacity": CAPACITY} if category == "public_place_crowd_count" else {}

    def step(self, moment: Moment, dt_s: float) -> Floats:
        layout, wander = self._layout, self._wander.at(moment.seconds)
        evening = peaks(moment.hour, (19.5,), 1.8)
        working = peaks(moment.hour, (10.5, 15.5), 2.0)
        truth = np.zeros(layout.size)
        for category, at in layout.slices.items():
            w, base = wander[at], self._base[at]
            match category:
                case "camera_smoke_fire":
                    truth[at] = 0.05 + 0.06 * base + 0.01 * w
                case "drain_road_water_depth":
                    truth[at] = np.minimum(0.02, moment.sky.wet[layout.zone[at]] / 1_000)
                case "public_place_crowd_count":
                    share = 0.06 + 0.06 * base + 0.2 * evening + 0.1 * working + 0.02 * w
                    truth[at] = CAPACITY * share
        return truth
