"""Tracks are laid out by arrays, and are what one sensor after another would have made them."""

from __future__ import annotations

import random

import numpy as np
import pytest

from detectors.around import NEVER, Around, Source, by_category
from detectors.newest import gather, nowhere, outside
from detectors.program import Lane, Program, compile_program
from detectors.registry import DETECTORS
from schemas.catalogue import catalogue
from schemas.default_rules import default_rules
from schemas.inputs import Part
from schemas.registry import Gateway, Registry, Sensor, Zone
from schemas.rule import Rule

ZONES, GATEWAYS, SENSORS = 3, 5, 500
NOW_US = 1_772_409_600_000_000


def a_city() -> Registry:
    """Assets across zones, parameters in any order, links by number, states, a category nobody knows."""
    rng = random.Random(11)
    keys = [row.key for row in catalogue().values() if row.role == "alarm" and row.key != "device_silence"]
    registry = Registry()
    for i in range(ZONES):
        registry.apply(Zone(f"z{i}", "d", "", "", 0))
    for i in range(GATEWAYS):
        registry.apply(Gateway(f"g{i}", f"z{i % ZONES}", interval_s=(60.0, 5.0)[i % 2]))
    for number in range(1, SENSORS + 1):
        params = [("interval_s", rng.choice([60.0, 300.0])), ("design", 400.0), ("depth", 3.0)]
        rng.shuffle(params)
        if rng.random() < 0.2:
            params.append((f"input.{rng.choice(['outdoor', 'circ', 'valve'])}", float(rng.randrange(600))))
        registry.apply(
            Sensor(
                number,
                f"g{rng.randrange(GATEWAYS)}",
                f"p{number}",
                rng.choice(keys[:60]) if rng.random() < 0.98 else "no_such_quantity",
                None,
                None if rng.random() < 0.5 else f"z{rng.randrange(ZONES)}",
                asset=rng.choice([None, *(f"a{i}" for i in range(20))]),
                state=rng.choice(["in-service"] * 9 + ["maintenance"]),
                params=dict(params),
            )
        )
    return registry


@pytest.fixture(scope="module")
def rules() -> list[Rule]:
    return default_rules(judgement_live=True)


@pytest.fixture(scope="module")
def program(rules: list[Rule]) -> Program:
    return compile_program(a_city(), rules, 0)


def test_each_sensor_is_bound_as_if_it_were_bound_alone(program: Program, rules: list[Rule]) -> None:
    around = Around(program.sensors, program.zones, by_category(program.sensors))
    interval_s = [program.gateways[i].interval_s for i in program.gateway.tolist()]
    expected: dict[tuple[str, int], object] = {}
    for rule in rules:
        detector = DETECTORS[rule.detector]
        if detector.looks_at == "gateways" or detector.bind_group is not None:
            continue
        for row, sensor in enumerate(program.sensors):
            category = catalogue().get(sensor.category or "")
            if category is None or (
                rule.selector.categories and category.key not in rule.selector.categories
            ):
                continue
            if detector.bind_among is not None:
                bound = detector.bind_among(rule, sensor, category, interval_s[row], around.key(row))
            else:
                bound = detector.bind(rule, sensor, category, interval_s[row])
            if bound.levels:
                expected[rule.name, row] = bound
    found = {
        (lane.rule_of(track).name, row): lane.bound_of(track)
        for lane in program.lanes
        if lane.detector.looks_at in ("readings", "gaps")
        for track, row in enumerate(lane.row.tolist())
    }
    assert found == expected
    for lane in program.lanes:
        assert np.array_equal(lane.track_of[lane.row], np.arange(len(lane.row)))


def test_what_others_tell_is_what_looking_at_each_of_them_says(program: Program) -> None:
    rng = np.random.default_rng(3)
    value = rng.integers(0, 4, len(program.sensors)).astype(float)
    value[rng.random(len(value)) < 0.1] = np.nan
    heard = NOW_US - rng.integers(0, 1_200_000_000, len(value))
    heard[rng.random(len(value)) < 0.1] = NEVER
    columns = 0
    for lane in (lane for lane in program.lanes if lane.sources is not None):
        assert lane.sources is not None
        tracks = np.arange(len(lane.row))
        at = np.full(len(tracks), NOW_US)
        inputs, when = gather(lane.sources, tracks, at, outside(value, heard, nowhere(len(value))), tracks)
        for track in tracks.tolist():
            for j, source in enumerate(lane.bound_of(track).sources):
                assert (inputs[track, j], when[track, j]) == pytest.approx(
                    told(program, lane, track, source, value, heard), nan_ok=True
                )
                columns += 1
    assert columns > 100


def told(
    program: Program, lane: Lane, track: int, source: Source, value: np.ndarray, heard: np.ndarray
) -> tuple[float, int]:
    row = int(lane.row[track])
    own, found = program.sensors[row], list[tuple[int, Part]]()
    if source.scope == "number":
        found = [(r, Part("")) for r, sensor in enumerate(program.sensors) if sensor.sensor == source.number]
    for part in source.parts if source.scope != "number" else ():
        others = [
            r for r, sensor in enumerate(program.sensors) if sensor.category == part.category and r != row
        ]
        at_asset = [r for r in others if own.asset and program.sensors[r].asset == own.asset]
        in_zone = [r for r in others if program.zones[r] == program.zones[row]]
        if source.scope == "asset":
            found += [(r, part) for r in at_asset]
        if source.scope == "zone" or not source.counting:
            found += [(r, part) for r in in_zone]
    fresh = [
        (r, part)
        for r, part in (found if source.counting else found[:1])
        if heard[r] != NEVER and NOW_US - heard[r] <= source.within_us
    ]
    if source.counting:
        counted = [r for r, part in fresh if part.counts.low <= value[r] <= part.counts.high]
        amount, newest = float(len(counted)), max((int(heard[r]) for r in counted), default=NEVER)
    else:
        amount = float(value[fresh[0][0]]) if fresh else np.nan
        newest = int(heard[found[0][0]]) if found else NEVER
    return amount * source.factor + source.offset, newest
