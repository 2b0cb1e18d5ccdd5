"""Rules compiled against the registry, for the sensors of one partition.

A program is immutable and holds only facts; what happened is kept by fold.Partition. Tracks (a sensor or
gateway under one rule) of one detector stand together in a lane, so that one pass of array operations serves
all categories; a second rule of the same kind on a sensor opens a second lane.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from detectors import episode
from detectors.around import Around, Sources, by_category, lay_out
from detectors.contract import Arrays, Bound, Detector
from detectors.known import Known
from detectors.placing import Draft, LeftOut, Places, by_row, place_rules
from detectors.registry import DETECTORS
from detectors.schedule import masks
from schemas.catalogue import catalogue
from schemas.registry import Gateway, Registry, Sensor
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
    left_out: tuple[LeftOut, ...]
    numbers: np.ndarray  # i8 [rows], ascending
    gateway: np.ndarray  # i8 [rows], index into gateways
    zones: tuple[str, ...]  # by row
    districts: dict[str, str]  # zone -> district
    peers: dict[tuple[str, str], np.ndarray]  # (category, zone) -> rows that are in service

    @cached_property
    def unguarded(self) -> tuple[Unguarded, ...]:
        """What no rule looks at, by rule and in it by sensor; made when it is asked for."""
        return tuple(
            Unguarded(self.sensors[row].sensor, rule, reason) for row, rule, reason in by_row(self.left_out)
        )

    def rows_of(self, numbers: np.ndarray) -> np.ndarray:
        """The row of each sensor number, -1 where it is none of ours."""
        if not len(self.numbers):
            return np.full(len(numbers), -1)
        at = np.searchsorted(self.numbers, numbers)
        at[at == len(self.numbers)] = 0
        return np.where(self.numbers[at] == numbers, at, -1)


def compile_program(
    registry: Registry,
    rules: Sequence[Rule],
    partition: int,
    known: Known | None = None,
    before: Program | None = None,
) -> Program:
    """The program of the sensors whose zone lies in `partition`; drafts are left out. `known`: what other
    compilations found, for those who compile more than once. `before` is given back where it says the same:
    most changes of a registry touch one partition."""
    known = known or Known()
    gateways, sensors = known.part(registry, partition)
    used = tuple(sorted((r for r in rules if r.mode != "draft"), key=lambda r: (r.name, r.mode)))
    districts = {name: zone.district for name, zone in registry.zones.items()}
    if before is not None and (partition, gateways, sensors, used, districts) == (
        before.partition,
        before.gateways,
        before.sensors,
        before.rules,
        before.districts,
    ):
        return before
    index = {entry.gateway: i for i, entry in enumerate(gateways)}
    zone_of = [gateway.zone for gateway in gateways]
    gateway = [index[sensor.gateway] for sensor in sensors]
    zones = tuple(sensor.zone or zone_of[i] for sensor, i in zip(sensors, gateway, strict=True))
    rows_of = by_category(sensors)
    around = Around(sensors, zones, rows_of)
    places = Places(sensors, zones, gateways, np.array(gateway, np.int64), rows_of, around)
    drafts, left_out = place_rules(places, used, known)
    order = list(DETECTORS)
    return Program(
        partition=partition,
        sensors=sensors,
        gateways=gateways,
        rules=used,
        lanes=tuple(
            _lane(draft, used, around)
            for key in sorted(drafts, key=lambda key: (order.index(key[0]), key[1]))
            for draft in drafts[key]
        ),
        left_out=(*_unknown(rows_of), *left_out),
        numbers=np.array([sensor.sensor for sensor in sensors], np.int64),
        gateway=places.gateway,
        zones=zones,
        districts=districts,
        peers=around.peers(),
    )


def _unknown(rows_of: dict[str, np.ndarray]) -> list[LeftOut]:
    return [
        LeftOut("", rows, (f"the catalogue has no category {category!r}",))
        for category, rows in rows_of.items()
        if category not in catalogue()
    ]


def _lane(draft: Draft, rules: tuple[Rule, ...], around: Around) -> Lane:
    row, kind, bounds = draft.tracks()
    track_of = np.full(len(draft.rule), -1, np.int32)
    track_of[row] = np.arange(len(row))
    rule = draft.rule[row]
    return Lane(
        detector=draft.detector,
        rules=rules,
        bounds=bounds,
        table=draft.detector.tabulate(bounds),
        falls=episode.falls(bounds),
        row=row,
        kind=kind,
        rule=rule,
        track_of=track_of,
        sources=lay_out(around, row, kind, [bound.sources for bound in bounds]),
        schedule=_schedule(rules, rule),
    )


def _schedule(rules: tuple[Rule, ...], rule: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    used = np.unique(rule).tolist()
    if all(rules[number].schedule is None for number in used):
        return None
    index = np.zeros(len(rules), np.int32)
    index[used] = np.arange(len(used))
    return masks([rules[number].schedule for number in used]), index[rule]
