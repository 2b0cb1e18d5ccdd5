"""Which sensors a rule judges together: the groups that its selector and roles make in a city.

A group is what stands in one zone, at one asset, or bears one tag ("dma:7" for `by: dma`); those that the
selector fits come first, then those of each role. Facts only: what is made of their values is the
detector's. A group that lacks a role is not judged, and is named with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from detectors.nearest import nearest
from schemas.catalogue import catalogue
from schemas.registry import Sensor
from schemas.rule import Members, Role, Rule

MOST_NEIGHBOURS = 8


class Member(NamedTuple):
    """`role` is "" for those that the rule's selector fits."""

    sensor: Sensor
    role: str
    within_us: int  # an older value is unknown


class Group(NamedTuple):
    """`row` of the sensor that the group's alerts are about: the first member."""

    row: int
    members: tuple[Member, ...]


class Lacking(NamedTuple):
    row: int
    reason: str


def groups(
    rule: Rule,
    sensors: Sequence[Sensor],
    zones: Sequence[str],
    rows_of: Mapping[str, np.ndarray],
    *,
    each: bool,
) -> tuple[list[Group], list[Lacking]]:
    """One group for each place, or, with `each`, one for each selected sensor: itself, then its nearest
    of the same category. `rows_of`: all rows by category."""
    wanted = rule.members or Members()
    own = Role(categories=rule.selector.categories, tags=rule.selector.tags)
    selected: dict[str, list[int]] = {}
    others: dict[str, dict[str, list[int]]] = {role: {} for role in wanted.roles}
    for row in _rows(rule, wanted, rows_of):
        sensor = sensors[row]
        if sensor.state != "in-service":
            continue
        if rule.selector.fits(zones[row], sensor.asset, sensor.tags) and _is(own, own, sensor):
            for place in _places(wanted.by, sensor, zones[row]):
                selected.setdefault(place, []).append(row)
        for name, role in wanted.roles.items():
            if _is(role, own, sensor):
                for place in _places(role.by or wanted.by, sensor, zones[row]):
                    others[name].setdefault(place, []).append(row)
    found: list[Group] = []
    lacking: list[Lacking] = []
    for place, rows in sorted(selected.items()):
        own_rows = set(rows)
        roles = {name: [r for r in by.get(place, []) if r not in own_rows] for name, by in others.items()}
        missing = [name for name, there in roles.items() if not there and not wanted.roles[name].optional]
        if missing:
            lacking.append(Lacking(rows[0], f"nobody at {place} has the role {', '.join(missing)}"))
            continue
        beside = [_member(sensors[r], name, wanted) for name, there in roles.items() for r in there]
        near = _neighbours(sensors, rows) if each else {rows[0]: rows[1:]}
        mine = {row: _member(sensors[row], "", wanted) for row in rows}
        found += [Group(row, (mine[row], *(mine[r] for r in near[row]), *beside)) for row in near]
    return found, lacking


def _neighbours(sensors: Sequence[Sensor], rows: Sequence[int]) -> dict[int, list[int]]:
    """In the order of `rows`: of each the nearest of its own category."""
    alike: dict[str | None, list[int]] = {}
    for row in rows:
        alike.setdefault(sensors[row].category, []).append(row)
    near = {row: of for part in alike.values() for row, of in nearest(sensors, part, MOST_NEIGHBOURS).items()}
    return {row: near[row] for row in rows}


def _rows(rule: Rule, wanted: Members, rows_of: Mapping[str, np.ndarray]) -> list[int]:
    """Those whose category may take part, ascending."""
    own = rule.selector.categories
    asked = [own, *(role.categories or own for role in wanted.roles.values())]
    categories = set(rows_of) if not all(asked) else {key for keys in asked for key in keys}
    parts = [rows_of[key] for key in sorted(categories) if key in rows_of and key in catalogue()]
    return sorted(np.concatenate(parts).tolist()) if parts else []


def _is(role: Role, own: Role, sensor: Sensor) -> bool:
    categories = role.categories or own.categories
    return (not categories or sensor.category in categories) and set(role.tags) <= set(sensor.tags)


def _places(by: str, sensor: Sensor, zone: str) -> list[str]:
    if by == "zone":
        return [zone]
    if by == "asset":
        return [sensor.asset] if sensor.asset else []
    return sorted({tag.partition(":")[2] for tag in sensor.tags if tag.startswith(f"{by}:")})


def _member(sensor: Sensor, role: str, wanted: Members) -> Member:
    stated = sensor.params.get("interval_s")
    row = catalogue()[sensor.category or ""]
    every_s = stated if stated is not None and stated > 0 else row.interval_s or 60.0
    within_s = wanted.within_s or max(3 * every_s, 2 * wanted.every_s)
    return Member(sensor, role, round(within_s * 1e6))
