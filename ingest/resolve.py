"""A gateway's readings to records of the registry's sensors: numbers for names, values in registered units.

`Points` is one gateway's table, kept between frames: a frame of 500 is two dictionary passes. A unit that
does not convert refuses that record (`unit`). A point that nobody registered is entered as a waiting sensor
in the unit it came with; whoever resolves must put the new entries on the `sensors` topic before the
readings. A waiting point has no registered unit to hold it to: what does not convert to its first unit is
kept as it came, suspect.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ingest.decoded import Decoded, Refused
from ingest.units import SAME, Conversion, conversion, ucum
from schemas.reading import RECORD, Flag, Quality, Reason
from schemas.registry import Registry, Sensor

WAITING_PER_GATEWAY = 10_000
"""Made-up names of one gateway stop here; further ones are refused."""

ROUTES_KEPT = 100_000

_UNIT_SHOWN = re.compile(r"[ -~]{1,40}")


class _Route(NamedTuple):
    sensor: int
    line: Conversion
    doubtful: bool


@dataclass(slots=True)
class Points:
    """What is known of one gateway's points; `forget` when the registry has changed for it."""

    gateway: str
    zone: str | None
    routes: dict[tuple[str, str | None], _Route] = field(default_factory=dict)
    converts: bool = False  # whether any route does more than pass on
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class Resolved:
    """`records` in the frame's order; texts as in the decoded frame; `entered` are new waiting sensors."""

    records: np.ndarray  # RECORD
    texts: list[str]
    refused: list[Refused]
    entered: list[Sensor]


def points_of(registry: Registry, gateway: str, waiting: int) -> Points:
    """An empty table; `waiting` is how many waiting sensors the gateway has already."""
    entry = registry.gateways.get(gateway)
    return Points(gateway, entry.zone if entry else None, waiting=waiting)


def resolve(
    decoded: Decoded, points: Points, registry: Registry, number: Callable[[], int], backfill: bool
) -> Resolved:
    """Enters new waiting sensors into `registry` and `points` (the caller publishes them)."""
    keys = list(zip(decoded.points, decoded.units, strict=True))
    known = points.routes
    routes = [known.get(key) for key in keys]
    refused = decoded.refused
    entered: list[Sensor] = []
    if None in routes:
        refused = list(refused)
        for at, key in enumerate(keys):
            if routes[at] is None:
                is_number = decoded.flags[at] == Flag.number
                found = known.get(key) or _route(key, points, registry, number, is_number, entered)
                if isinstance(found, _Route):
                    routes[at] = found
                else:
                    place = int(decoded.index[at])
                    refused.append(Refused(place, found[0], f"record {place}: {found[1]}", key[0]))
    kept = [route for route in routes if route is not None]
    whole = len(kept) == len(routes)
    keep: slice | np.ndarray = slice(None) if whole else np.array([r is not None for r in routes])
    records = np.zeros(len(kept), RECORD)
    records["sensor"] = [route.sensor for route in kept]
    records["time"] = decoded.time[keep]
    records["value"] = decoded.value[keep]
    records["quality"] = Quality.historical if backfill else decoded.quality[keep]
    records["flags"] = decoded.flags[keep]
    if points.converts:
        records, refused = _convert(records, kept, decoded, keep, refused)
    return Resolved(records, decoded.texts, sorted(refused, key=lambda one: one.index), entered)


def _convert(
    records: np.ndarray,
    routes: list[_Route],
    decoded: Decoded,
    keep: slice | np.ndarray,
    refused: list[Refused],
) -> tuple[np.ndarray, list[Refused]]:
    numbers = records["flags"] == Flag.number
    factor, divisor, offset = np.array([route.line for route in routes]).T
    with np.errstate(over="ignore"):
        value = np.where(numbers, records["value"] * factor / divisor + offset, records["value"])
    records["value"] = value
    doubtful = np.array([route.doubtful for route in routes], bool) & numbers
    records["quality"][doubtful & (records["quality"] == Quality.good)] = Quality.suspect
    finite = np.isfinite(value)
    if finite.all():
        return records, refused
    places = decoded.index[keep]
    names = np.array(decoded.points, object)[keep]
    beyond = [
        Refused(
            int(places[at]),
            Reason.range,
            f"record {int(places[at])}: in the registered unit the value is beyond what a float64 holds",
            str(names[at]),
        )
        for at in np.flatnonzero(~finite)
    ]
    return records[finite], [*refused, *beyond]


def _route(
    key: tuple[str, str | None],
    points: Points,
    registry: Registry,
    number: Callable[[], int],
    is_number: bool,
    entered: list[Sensor],
) -> _Route | tuple[Reason, str]:
    """Where a (point, unit) goes; remembered, unless it is refused or only true of a text or state."""
    point, unit = key
    sensor = registry.sensors.get((points.gateway, point))
    if sensor is None:
        if points.waiting >= WAITING_PER_GATEWAY:
            return Reason.unsupported, f"{points.waiting} unregistered points of this gateway wait already"
        sensor = _waiting(points, point, unit if is_number else None, number())
        points.waiting += 1
        registry.apply(sensor)
        entered.append(sensor)
    found = conversion(unit, sensor.unit) if is_number else SAME
    doubtful = found is None
    if found is None:
        if sensor.category is not None:
            return Reason.unit, f"expected a unit that converts to {sensor.unit}, got {unit!r}"
        found = SAME
    route = _Route(sensor.sensor, found, doubtful)
    if is_number or not unit:
        if len(points.routes) >= ROUTES_KEPT:  # as many spellings of units as anybody cares to invent
            points.routes.clear()
        points.routes[key] = route
        points.converts |= found != SAME or doubtful
    return route


def _waiting(points: Points, point: str, unit: str | None, number: int) -> Sensor:
    shown = ucum(unit) if unit else None
    return Sensor(
        sensor=number,
        gateway=points.gateway,
        point=point,
        category=None,
        unit=shown if shown and _UNIT_SHOWN.fullmatch(shown) else None,
        zone=points.zone,
        state="waiting",
    )
