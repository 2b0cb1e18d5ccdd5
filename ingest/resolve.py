"""A gateway's readings to records of the registry's sensors: numbers for names, values in registered units.

`Points` is one gateway's table, kept between frames: a frame of 500 is two dictionary passes, and none if its
decoder gave the lists of points and units that it gave before. A unit that does not convert refuses that
record (`unit`). A point that nobody registered is entered as a waiting sensor in the unit it came with;
whoever resolves must put the new entries on the `sensors` topic before the readings. A waiting point has no
registered unit to hold it to: what does not convert to its first unit is kept as it came, suspect.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
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
TABLES_KEPT = 8

_UNIT_SHOWN = re.compile(r"[ -~]{1,40}")

# A member of an enumeration is looked up anew wherever it is named, which a frame would feel.
_NUMBER = int(Flag.number)
_GOOD, _SUSPECT, _HISTORICAL = int(Quality.good), int(Quality.suspect), int(Quality.historical)


class _Route(NamedTuple):
    sensor: int
    line: Conversion
    doubtful: bool


class _Lines(NamedTuple):
    """Column by column where values go: registered = given x factor / divisor + offset."""

    factor: np.ndarray
    divisor: np.ndarray
    offset: np.ndarray
    doubtful: np.ndarray


class _Table(NamedTuple):
    """Where a frame's readings go, for frames with the very same lists of points and units."""

    points: Sequence[str]
    units: Sequence[str | None]
    sensors: np.ndarray
    lines: _Lines | None  # None: every value is passed on


@dataclass(slots=True)
class Points:
    """What is known of one gateway's points; `forget` when the registry has changed for it."""

    gateway: str
    zone: str | None
    routes: dict[tuple[str, str | None], _Route] = field(default_factory=dict)
    converts: bool = False  # whether any route does more than pass on
    waiting: int = 0
    tables: dict[int, _Table] = field(default_factory=dict)  # by the identity of the list of points


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
    table = points.tables.get(id(decoded.points))
    if table is not None and table.points is decoded.points and table.units is decoded.units:
        return _resolved(decoded, slice(None), table.sensors, table.lines, decoded.refused, [], backfill)
    keys = list(zip(decoded.points, decoded.units, strict=True))
    known = points.routes
    routes = [known.get(key) for key in keys]
    refused = decoded.refused
    entered: list[Sensor] = []
    is_known = None not in routes
    if not is_known:
        refused = list(refused)
        numbers = (decoded.flags == _NUMBER).tolist()
        for at, key in enumerate(keys):
            if routes[at] is None:
                found = known.get(key) or _route(key, points, registry, number, numbers[at], entered)
                if isinstance(found, _Route):
                    routes[at] = found
                else:
                    place = int(decoded.index[at])
                    refused.append(Refused(place, found[0], f"record {place}: {found[1]}", key[0]))
    kept = [route for route in routes if route is not None]
    whole = len(kept) == len(routes)
    keep: slice | np.ndarray = slice(None) if whole else np.array([r is not None for r in routes])
    sensors = np.array([route.sensor for route in kept], np.int32)
    lines = _lines(kept) if points.converts else None
    if is_known and decoded.is_shared:
        if len(points.tables) >= TABLES_KEPT:
            points.tables.clear()
        points.tables[id(decoded.points)] = _Table(decoded.points, decoded.units, sensors, lines)
    return _resolved(decoded, keep, sensors, lines, refused, entered, backfill)


def _resolved(
    decoded: Decoded,
    keep: slice | np.ndarray,
    sensors: np.ndarray,
    lines: _Lines | None,
    refused: list[Refused],
    entered: list[Sensor],
    backfill: bool,
) -> Resolved:
    records = np.zeros(len(sensors), RECORD)
    records["sensor"] = sensors
    records["time"] = decoded.time[keep]
    records["value"] = decoded.value[keep]
    records["quality"] = _HISTORICAL if backfill else decoded.quality[keep]
    records["flags"] = decoded.flags[keep]
    if lines is not None:
        records, refused = _convert(records, lines, decoded, keep, refused)
    if len(refused) > 1:
        refused = sorted(refused, key=lambda one: one.index)
    return Resolved(records, decoded.texts, refused, entered)


def _lines(routes: list[_Route]) -> _Lines | None:
    if not any(route.line != SAME or route.doubtful for route in routes):
        return None
    factor, divisor, offset = np.array([route.line for route in routes]).T
    return _Lines(factor, divisor, offset, np.array([route.doubtful for route in routes], bool))


def _convert(
    records: np.ndarray,
    lines: _Lines,
    decoded: Decoded,
    keep: slice | np.ndarray,
    refused: list[Refused],
) -> tuple[np.ndarray, list[Refused]]:
    numbers = records["flags"] == _NUMBER
    with np.errstate(over="ignore"):
        value = np.where(
            numbers, records["value"] * lines.factor / lines.divisor + lines.offset, records["value"]
        )
    records["value"] = value
    doubtful = lines.doubtful & numbers
    records["quality"][doubtful & (records["quality"] == _GOOD)] = _SUSPECT
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
