"""Drainage in the rain: sewers, an underpass and its pump, reduced from a SWMM model to what sensors see.

`physics/drainage.npz` says how deep each node stands under a steady rain and how fast it gets there; here
the depth of each zone's nodes moves towards that at that rate,
and dry weather is the rows' (simulators/rows.py).
What stands above a rim is water on the street. A blocked trunk and a pump out of order have tables of their
own, so a storm finds the fault that waited for it.
"""

from __future__ import annotations

from importlib import resources
from typing import ClassVar

import numpy as np

from simulators.network import Floats, Layout, Moment, lagged
from simulators.rows import rows_network

RIM_M, UNDERPASS_RIM_M = 3.5, 0.6
STREET_SHARE = 0.04
"""Of the head above a manhole's rim: the rest spreads over the street."""
MODEL_PIPE_M = 0.86
AS_BUILT, BLOCKED, PUMP_OUT = range(3)
TROUBLES = {"trunk-blocked": BLOCKED, "pump-out": PUMP_OUT}
UNDERPASS, SUMP = 6, 7


class SewerNetwork(rows_network("drainage", "drainage")):  # type: ignore[misc]  # a class made for a domain
    name: ClassVar = "drainage"

    def __init__(self, layout: Layout, rng: np.random.Generator) -> None:
        super().__init__(layout, rng)
        with resources.files("simulators").joinpath("physics", "drainage.npz").open("rb") as file:
            table = np.load(file)
            self._rains = np.concatenate(([0.0], table["rains"].astype(np.float64)))
            self._depth = table["depth"].astype(np.float64)  # trouble, node, rain
            self._lag = table["lag"].astype(np.float64)
        self._layout_of = layout
        zones = int(layout.zone.max()) + 1
        self._now_m = np.zeros((zones, self._depth.shape[1]))
        self._trouble = np.zeros(zones, dtype=np.intp)
        self._pipe_d = layout.param("drain_manhole_level", "pipe_d")
        self._manhole_m = layout.param("drain_manhole_level", "depth")

    def disturb(self, zone: int, trouble: str, on: bool) -> bool:
        """A blocked trunk or a pump that does not run, until it is taken back."""
        self._trouble[zone] = TROUBLES[trouble] if on else AS_BUILT
        return True

    def step(self, moment: Moment, dt_s: float) -> Floats:
        truth: Floats = super().step(moment, dt_s)
        rain = moment.sky.rain_mm_h
        if not rain.any() and not (self._now_m > 1e-4).any():
            return truth
        for zone in range(len(self._now_m)):
            self._now_m[zone] = self._moved(zone, float(rain[zone]), dt_s)
        self._rained_on(truth)
        return truth

    def _moved(self, zone: int, rain: float, dt_s: float) -> Floats:
        depth, lag = self._depth[self._trouble[zone]], self._lag[self._trouble[zone]]
        target = np.array([np.interp(rain, self._rains, [0.0, *row]) for row in depth])
        tau = np.array([np.interp(rain, self._rains[1:], row) for row in lag])
        return lagged(self._now_m[zone], target, dt_s, tau)

    def _rained_on(self, truth: Floats) -> None:
        layout, now = self._layout_of, self._now_m
        at = layout.slices["drain_manhole_level"]
        node = np.arange(at.stop - at.start) % UNDERPASS
        sewer = now[layout.zone[at], node]
        truth[at] = np.minimum(truth[at] + sewer * self._pipe_d / MODEL_PIPE_M, self._manhole_m)
        at = layout.slices["drain_road_water_depth"]
        node = np.arange(at.stop - at.start) % UNDERPASS
        truth[at] += STREET_SHARE * np.maximum(0.0, now[layout.zone[at], node] - RIM_M)
        at = layout.slices["drain_underpass_water_depth"]
        truth[at] += np.maximum(0.0, now[layout.zone[at], UNDERPASS] - UNDERPASS_RIM_M)
        at = layout.slices["drain_pump_forebay_level"]
        high = now[layout.zone[at], SUMP]
        truth[at] = np.maximum(truth[at], np.where(high > 1.0, 0.6 + high, 0.0))
