"""Which cameras can see a place: near enough, looking that way, nearest first. Pure numpy.

Cameras stand sorted by latitude, so a question looks only at the band that the longest range can reach.
Places are taken as flat around the place asked for: 0.1 % at 10 km. Walls and trees are not known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

METRES_A_DEGREE = 111_194.93  # of a sphere of 6,371 km


class Seen(NamedTuple):
    """`camera` is its place in what was given; `bearing` from it to the place, degrees from north."""

    camera: int
    distance_m: float
    bearing: float


class Sight:
    """`bearing` NaN: it turns and sees all round. A camera without a place (NaN) sees nothing."""

    def __init__(
        self,
        lon: Sequence[float] | np.ndarray,
        lat: Sequence[float] | np.ndarray,
        bearing: Sequence[float] | np.ndarray,
        angle: Sequence[float] | np.ndarray,
        range_m: Sequence[float] | np.ndarray,
    ) -> None:
        columns = [np.asarray(column, np.float64) for column in (lon, lat, bearing, angle, range_m)]
        placed = np.flatnonzero(np.isfinite(columns[0]) & np.isfinite(columns[1]))
        self._order = placed[np.argsort(columns[1][placed], kind="stable")]
        self._lon, self._lat, self._bearing, self._angle, self._range = (c[self._order] for c in columns)
        self._longest_deg = float(self._range.max(initial=0.0)) / METRES_A_DEGREE * 1.001

    def seeing(self, lon: float, lat: float, limit: int = 4) -> list[Seen]:
        """At most `limit` cameras that can see the place, nearest first."""
        first, last = np.searchsorted(self._lat, [lat - self._longest_deg, lat + self._longest_deg])
        band = slice(int(first), int(last))
        east = (lon - self._lon[band]) * np.cos(np.radians(lat)) * METRES_A_DEGREE
        north = (lat - self._lat[band]) * METRES_A_DEGREE
        distance = np.hypot(east, north)
        near = np.flatnonzero(distance <= self._range[band])
        towards = np.degrees(np.arctan2(east[near], north[near])) % 360
        looks = self._bearing[band][near]
        off = np.abs((towards - looks + 180) % 360 - 180)
        sees = np.isnan(looks) | (off <= self._angle[band][near] / 2) | (distance[near] < 1.0)
        near, towards = near[sees], towards[sees]
        best = np.argsort(distance[near], kind="stable")[:limit]
        return [
            Seen(int(self._order[band][near[i]]), float(distance[near[i]]), float(towards[i])) for i in best
        ]
