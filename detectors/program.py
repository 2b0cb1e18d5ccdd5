"""Rules compiled against the registry, for the sensors of one partition.

A program is immutable and holds only facts; what happened is kept by fold.Partition. Tracks (a sensor or
gateway under one rule) of one detector stand together in a lane, so that one pass of array operations serves
all categories; a second rule of the same kind on a sensor opens a second lane.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from detectors import episode
from detectors.around import Around, Key, Sources, lay_out
from detectors.binding import relevant
from detectors.contract import Arrays, Bound, Detector
from detectors.members import groups
from detectors.registry import DETECTORS
from detectors.schedule import masks
from schemas.catalogue import Category, catalogue
from schemas.registry import GUARDED, Gateway, Registry, Sensor
from schemas.rule import Rule


class Unguarded(NamedTuple):
    """A part of a rule that does not look at a sensor, and why."""

    sensor: int
    rule: str
    reason: str


@dataclass(frozen=True, eq=False)
class Lane:
    detector: Detector
    rules: tuple[Rule, ...]
    bounds: tuple[Bound, ...]
    table: Arrays
    falls: episode.Falls
    row: np.ndarray  # i8 [tracks], ascending: row of the sensor, or index of the gateway
    kind: np.ndarray  # i4 [tracks]: which bound
    rule: np.ndarray  # i4 [tracks]: which rule
    track_of: np.ndarray  # i4 [rows]: the track, -1 none
    sources: Sources | None = None  # the other sensors that tracks look at
    schedule: tuple[np.ndarray, np.ndarray] | None = None  # masks, and which of them by track

    def rule_of(self, track: int) -> Rule:
        return self.rules[int(self.rule[track])]

    def bound_of(self, track: int) -> Bound:
        return self.bounds[int(self.kind[track])]


@dataclass(frozen=True, eq=False)
class Program:
    partition: int
    sensors: tuple[Sensor, ...]  # by number; a row of every array is one of them
    gateways: tuple[Gateway, ...]  # by name
    rules: tuple[Rule, ...]
    lanes: tuple[Lane, ...]
    unguarded: tuple[Unguarded, ...]
    numbers: np.ndarray  # i8 [rows], ascending
    gateway: np.ndarray  # i8 [rows], index into gateways
    zones: tuple[str, ...]  # by row
    districts: dict[str, str]  # zone -> district
    peers: dict[tuple[str, str], np.ndarray]  # (category, zone) -> rows

    def rows_of(self, numbers: np.ndarray) -> np.ndarray:
        """The row of each sensor number, -1 where it is none of ours."""
        if not len(self.numbers):
            return np.full(len(numbers), -1)
        at = np.searchsorted(self.numbers, numbers)
        at[at == len(self.numbers)] = 0
        return np.where(self.numbers[at] == numbers, at, -1)


def compile_program(registry: Registry, rules: Sequence[Rule], partition: int) -> Program:
    """The program of the sensors whose zone lies in `partition`; drafts are left out."""
    gateways = tuple(
        entry for name, entry in sorted(registry.gateways.items()) if registry.partition_of(name) == partition
    )
    index = {entry.gateway: i for i, entry in enumerate(gateways)}
    sensors = tuple(
        entry
        for _, entry in sorted(registry.by_number.items())
        if entry.gateway in index and entry.category is not None and entry.state in GUARDED
    )
    zones = tuple(sensor.zone or gateways[index[sensor.gateway]].zone for sensor in sensors)
    used = tuple(sorted((r for r in rules if r.mode != "draft"), key=lambda r: (r.name, r.mode)))
    lanes, unguarded = _lanes(sensors, zones, gateways, index, used)
    return Program(
        partition=partition,
        sensors=sensors,
        gateways=gateways,
        rules=used,
        lanes=lanes,
        unguarded=unguarded,
        numbers=np.array([sensor.sensor for sensor in sensors], np.int64),
        gateway=np.array([index[sensor.gateway] for sensor in sensors], np.int64),
        zones=zones,
        districts={name: zone.district for name, zone in registry.zones.items()},
        peers=_peers(sensors, zones),
    )


def _peers(sensors: tuple[Sensor, ...], zones: tuple[str, ...]) -> dict[tuple[str, str], np.ndarray]:
    """Those who may speak for or against a neighbour: who is being worked on may not."""
    found: dict[tuple[str, str], list[int]] = {}
    for row, (sensor, zone) in enumerate(zip(sensors, zones, strict=True)):
        peers = found.setdefault((sensor.category or "", zone), [])
        if sensor.state == "in-service":
            peers.append(row)
    return {key: np.array(rows, np.int64) for key, rows in found.items()}


class _Draft:
    """A lane while it is being filled."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.tracks: dict[int, tuple[int, Bound]] = {}

    def lane(self, rules: tuple[Rule, ...], rows: int, around: Around) -> Lane:
        rows_used = sorted(self.tracks)
        kinds: dict[int, int] = {}
        bounds: list[Bound] = []
        kind = np.zeros(len(rows_used), np.int32)
        rule = np.zeros(len(rows_used), np.int32)
        for track, row in enumerate(rows_used):
            rule[track], bound = self.tracks[row]
            if id(bound) not in kinds:
                kinds[id(bound)] = len(bounds)
                bounds.append(bound)
            kind[track] = kinds[id(bound)]
        track_of = np.full(rows, -1, np.int32)
        track_of[rows_used] = np.arange(len(rows_used))
        table = self.detector.tabulate(bounds)
        row_array = np.array(rows_used, np.int64)
        falls = episode.falls(bounds)
        wanted = [bounds[k].sources for k in kind.tolist()]
        sources = lay_out(around, rows_used, wanted) if any(wanted) else None
        return Lane(
            self.detector,
            rules,
            tuple(bounds),
            table,
            falls,
            row_array,
            kind,
            rule,
            track_of,
            sources,
            _schedule(rules, rule),
        )


def _schedule(rules: tuple[Rule, ...], rule: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    used = np.unique(rule).tolist()
    if all(rules[number].schedule is None for number in used):
        return None
    index = np.zeros(len(rules), np.int32)
    index[used] = np.arange(len(used))
    return masks([rules[number].schedule for number in used]), index[rule]


def _lanes(
    sensors: tuple[Sensor, ...],
    zones: tuple[str, ...],
    gateways: tuple[Gateway, ...],
    index: dict[str, int],
    rules: tuple[Rule, ...],
) -> tuple[tuple[Lane, ...], tuple[Unguarded, ...]]:
    drafts: dict[tuple[str, int], list[_Draft]] = {}
    unguarded: list[Unguarded] = []
    by_category: dict[str, list[int]] = {}
    for row, sensor in enumerate(sensors):
        if _category(sensor) is None:
            reason = f"the catalogue has no category {sensor.category!r}"
            unguarded.append(Unguarded(sensor.sensor, "", reason))
        else:
            by_category.setdefault(sensor.category or "", []).append(row)
    alike = _alike(sensors, gateways, index)
    around = Around(sensors, zones)
    for number, rule in enumerate(rules):
        detector = DETECTORS[rule.detector]
        if detector.looks_at == "gateways":
            for i, gateway in enumerate(gateways):
                if not rule.selector.zones or gateway.zone in rule.selector.zones:
                    bound = detector.bind(rule, None, None, gateway.interval_s)
                    _place(drafts, detector, i, number, bound)
            continue
        if detector.bind_group is not None:
            found, lacking = groups(rule, sensors, zones, each=detector.each)
            unguarded += [Unguarded(sensors[row].sensor, rule.name, reason) for row, reason in lacking]
            for row, members in found:
                bound = detector.bind_group(rule, catalogue()[sensors[row].category or ""], members)
                unguarded += [Unguarded(sensors[row].sensor, rule.name, reason) for reason in bound.reasons]
                _place(drafts, detector, row, number, bound)
            continue
        binding = _Bindings(rule, detector, around)
        categories = rule.selector.categories or tuple(by_category)
        for row in sorted(row for key in set(categories) for row in by_category.get(key, ())):
            sensor = sensors[row]
            if not rule.selector.fits(zones[row], sensor.asset, sensor.tags):
                continue
            bound = binding.bound(row, sensor, gateways[index[sensor.gateway]].interval_s, alike[row])
            unguarded += [Unguarded(sensor.sensor, rule.name, reason) for reason in bound.reasons]
            _place(drafts, detector, row, number, bound)
    order = list(DETECTORS)
    lanes = tuple(
        draft.lane(rules, len(gateways) if draft.detector.looks_at == "gateways" else len(sensors), around)
        for key in sorted(drafts, key=lambda key: (order.index(key[0]), key[1]))
        for draft in drafts[key]
    )
    return lanes, tuple(unguarded)


class _Bindings:
    """A rule bound to one sensor after another; what is bound alike is bound once."""

    def __init__(self, rule: Rule, detector: Detector, around: Around) -> None:
        self._rule, self._detector, self._around = rule, detector, around
        self._alone: dict[int, Bound] = {}
        self._among: dict[tuple[int, Key], Bound] = {}

    def bound(self, row: int, sensor: Sensor, every_s: float, alike: int) -> Bound:
        found = self._alone.get(alike)
        if found is not None and not found.looked_around:
            return found
        category, bind = _category(sensor), self._detector.bind_among
        if bind is None or category is None:
            found = self._detector.bind(self._rule, sensor, category, every_s)
            self._alone[alike] = found
            return found
        key = self._around.key(row)
        if (alike, key) not in self._among:
            found = bind(self._rule, sensor, category, every_s, key)
            self._among[alike, key] = self._alone[alike] = found
        return self._among[alike, key]


def _alike(sensors: tuple[Sensor, ...], gateways: tuple[Gateway, ...], index: dict[str, int]) -> list[int]:
    """By row a number that sensors share for which every rule is bound alike."""
    seen: dict[object, int] = {}
    return [
        seen.setdefault(
            (sensor.category, relevant(sensor.params), gateways[index[sensor.gateway]].interval_s), len(seen)
        )
        for sensor in sensors
    ]


def _category(sensor: Sensor) -> Category | None:
    return catalogue().get(sensor.category or "")


def _place(
    drafts: dict[tuple[str, int], list[_Draft]], detector: Detector, row: int, rule: int, bound: Bound
) -> None:
    """Into the first lane of its kind where the row is free; tracks with windows stand apart, for speed."""
    if not bound.levels:
        return
    lanes = drafts.setdefault((detector.name, bound.width), [])
    for draft in lanes:
        if row not in draft.tracks:
            break
    else:
        draft = _Draft(detector)
        lanes.append(draft)
    draft.tracks[row] = rule, bound
