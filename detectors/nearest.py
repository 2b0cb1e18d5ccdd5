"""The nearest others of each sensor of a place, by numpy over strips of latitude instead of pair by pair.

Exactly those, in exactly that order, which sorting all others by (distance, sensor number) gives: strips only
leave out who cannot be among them, and who is left is sorted by one distance, reckoned alike everywhere.
Sensors without coordinates come last, by number. Does not know what neighbours are for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from schemas.registry import Sensor

STRIP = 256
FEW = 24
"""Up to so many, looking at each is cheaper than calls of numpy."""
SLACK = 1 + 1e-9
"""Of a distance: more than numpy's and math's may differ by."""


def nearest(sensors: Sequence[Sensor], rows: Sequence[int], most: int) -> dict[int, list[int]]:
    """Of each row at most so many others of `rows`, nearest first."""
    by_number = sorted(rows, key=lambda row: sensors[row].sensor)
    located = [row for row in by_number if _degrees(sensors[row]) is not None]
    nowhere = [row for row in by_number if _degrees(sensors[row]) is None]
    found = {row: [other for other in by_number[: most + 1] if other != row][:most] for row in nowhere}
    near = _all(located) if len(located) <= FEW else _by_strips(sensors, located, most)
    for row, candidates in near:
        first = _sorted(sensors, row, candidates)[:most]
        found[row] = (first + nowhere)[:most]
    return found


def _all(rows: list[int]) -> Iterator[tuple[int, list[int]]]:
    yield from ((row, rows) for row in rows)


class _Points(NamedTuple):
    """From south to north."""

    rows: np.ndarray
    east: np.ndarray
    north: np.ndarray

    def between(self, begin: int, end: int) -> _Points:
        return _Points(*(array[begin:end] for array in self))

    def away(self, others: _Points) -> np.ndarray:
        """[own, others], in degrees of latitude."""
        east = (others.east - self.east[:, None]) * np.cos(np.radians(self.north))[:, None]
        found: np.ndarray = np.hypot(east, others.north - self.north[:, None])
        return found


def _points(sensors: Sequence[Sensor], rows: list[int]) -> _Points:
    degrees = np.array([_degrees(sensors[row]) for row in rows], float)
    order = np.argsort(degrees[:, 1], kind="stable")
    return _Points(np.array(rows, np.int64)[order], *degrees[order].T)


def _by_strips(sensors: Sequence[Sensor], rows: list[int], most: int) -> Iterator[tuple[int, list[int]]]:
    """Each row, and who may be among the nearest: itself and whoever is as near as the last of them."""
    every, told = _points(sensors, rows), _points(sensors, _first_of_each_spot(sensors, rows, most + 1))
    for first in range(0, len(rows), STRIP):
        own = every.between(first, first + STRIP)
        begin, end = np.searchsorted(told.north, own.north[[0, -1]])
        at_hand = told.between(max(begin - most, 0), end + most + 1)
        if len(at_hand.rows) > most:
            reach = np.partition(own.away(at_hand), most, axis=1)[:, most] * SLACK
            begin = np.searchsorted(told.north, own.north[0] - reach.max())
            end = np.searchsorted(told.north, own.north[-1] + reach.max(), "right")
            at_hand = told.between(int(begin), int(end))
            away = own.away(at_hand)
            near = away <= np.partition(away, most, axis=1)[:, most, None] * SLACK
        else:
            at_hand, near = told, np.ones((len(own.rows), len(told.rows)), bool)
        for row, there in zip(own.rows.tolist(), near, strict=True):
            yield row, at_hand.rows[there].tolist()


def _first_of_each_spot(sensors: Sequence[Sensor], rows: list[int], most: int) -> list[int]:
    """Of many at one spot, which are all equally far from anywhere, only the first by number matter."""
    kept, many = [], dict[tuple[float, float] | None, int]()
    for row in rows:
        spot = _degrees(sensors[row])
        many[spot] = many.get(spot, 0) + 1
        if many[spot] <= most:
            kept.append(row)
    return kept


def _sorted(sensors: Sequence[Sensor], row: int, others: list[int]) -> list[int]:
    lon, lat = _degrees(sensors[row]) or (0.0, 0.0)
    scale = math.cos(math.radians(lat))

    def away(other: int) -> tuple[float, int]:
        there = _degrees(sensors[other]) or (0.0, 0.0)
        return math.hypot((there[0] - lon) * scale, there[1] - lat), sensors[other].sensor

    return sorted((other for other in others if other != row), key=away)


def _degrees(sensor: Sensor) -> tuple[float, float] | None:
    """East and north."""
    return None if sensor.lon is None or sensor.lat is None else (sensor.lon, sensor.lat)
