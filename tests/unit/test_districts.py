"""Sensors judged together, from the simulated readings of a city to the alert: districts and their meters."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import pytest
from msgspec.structs import replace

from cityvigil import rule_files
from cityvigil.quality.city_log import CityLog, registry_of
from detectors.around import by_category
from detectors.fold import Partition
from detectors.members import groups
from detectors.program import Program, compile_program
from schemas import alert as alerts
from schemas.alert import Alert
from schemas.clock import to_us
from schemas.control import Control
from schemas.frame import Frame
from schemas.registry import Registry
from schemas.rule import Members, Role, Rule, Selector
from simulators import effects
from simulators.city import City
from simulators.faults import Fault, FaultSpec, Part, plant
from simulators.grids import WaterGrid
from simulators.network import Network, Planned
from simulators.rows import rows_network
from simulators.simulation import Simulation
from simulators.span import SpanNetwork
from simulators.weather import WeatherNetwork
from tests.builders import a_registry, a_sensor

MONDAY_US = 1_772_380_800_000_000  # 2026-03-02 00:00 in the city
DAY_US = 86_400_000_000
QUARTER_US = 900_000_000
MINUTE_US = 60_000_000
DAYS = 5
_WATER = rows_network("water", "water-devices")


class Meters(_WATER):  # type: ignore[misc,valid-type]  # made by a function
    """The flow meters of a zone alone."""

    name: ClassVar = "water"
    plan: ClassVar[tuple[Planned, ...]] = tuple(p for p in _WATER.plan if p.category == "water_main_flow")


def a_district_rule(**other: object) -> Rule:
    """Two inlets, an outlet."""
    return Rule(
        **{  # type: ignore[arg-type]  # facts of different types
            "name": "district",
            "title_zh": "分区",
            "title_en": "district",
            "detector": "balance",
            "network": "water",
            "mode": "live",
            "selector": Selector(categories=("water_main_flow",), tags=("inlet",)),
            "members": Members(every_s=900.0, roles={"out": Role(tags=("outlet",))}),
            "levels": {4: "dev>=8%", 3: "dev>=30% for 1h"},
            "params": {"learn_days": 3.0},
            **other,
        }
    )


def a_city() -> tuple[City, Registry]:
    networks: tuple[type[Network], ...] = (Meters,)
    city = City.build(5, zones=2, density=0.5, networks=networks, every_s=60)
    registry = registry_of(city)
    for sensor in list(registry.sensors.values()):
        tags = ("outlet",) if sensor.point.endswith("03") else ("inlet",)
        registry.apply(replace(sensor, tags=tags, params={"interval_s": 900.0}))
    return city, registry


def a_network_of_mains() -> tuple[City, Registry]:
    """Eight pressures of one solved network."""
    city = City.build(5, zones=1, density=0.15, networks=(WaterGrid,), every_s=60)
    registry = registry_of(city)
    for sensor in list(registry.sensors.values()):
        registry.apply(replace(sensor, params=sensor.params | {"interval_s": 900.0}))
    return city, registry


def a_leak(city: City, day: float, hours: float, m3_h: float, point: str = "main-flow-01") -> Fault:
    """More flows in at one inlet of the first zone."""
    at = np.array(
        [i for i, s in enumerate(city.sensors) if s.zone == city.zones[0].zone and s.point == point]
    )
    onset = MONDAY_US + round(day * DAY_US)
    spec = FaultSpec("slow-leak", city.zones[0].zone, 0.0, 0.0, m3_h, 3, None)
    one = np.ones(len(at))
    end = onset + round(hours * 3600e6)
    return Fault(spec, onset, end, at, None, (), (Part(at, one, one, effects.rises()),))


def quarters(
    city: City,
    registry: Registry,
    faults: Sequence[Fault] = (),
    days: int = DAYS,
    step_us: int = QUARTER_US,
) -> list[Frame | Control]:
    """What the meters tell every quarter of an hour."""
    simulation = Simulation(city, faults, MONDAY_US, step_s=60)
    log, found = CityLog(simulation, registry), []
    for minute in itertools.islice(_minutes(simulation, log, step_us), days * DAY_US // step_us):
        found += minute
    return found


def _minutes(simulation: Simulation, log: CityLog, step_us: int) -> Iterator[list[Frame | Control]]:
    while True:
        simulation.now_us += step_us - MINUTE_US
        yield next(log.minutes(1))


class Leaking(NamedTuple):
    """Three days of two districts, as a snapshot; the two days after, in which one leaks, as a log."""

    program: Program
    base: bytes
    log: list[Frame | Control]
    found: list[Alert]


@pytest.fixture(scope="module")
def leaking() -> Leaking:
    city, registry = a_city()
    log = quarters(city, registry, [a_leak(city, 3.6, 10, 200.0)])
    program = compile_program(registry, [a_district_rule()], 0)
    partition = Partition(program)
    calm = 3 * 96 * 2
    assert partition.fold(log[:calm]) == []
    base = partition.snapshot()
    return Leaking(program, base, log[calm:], partition.fold(log[calm:]))


def folded(program: Program, log: Sequence[Frame | Control], cuts: Sequence[int] = ()) -> list[Alert]:
    partition = Partition(program)
    edges = [0, *cuts, len(log)]
    return [a for start, end in itertools.pairwise(edges) for a in partition.fold(log[start:end])]


def test_a_leak_of_a_district_is_found_and_laid_at_its_meter(leaking: Leaking) -> None:
    found = leaking.found
    onset = MONDAY_US + round(3.6 * DAY_US)
    first = found[0]
    assert {a.zone for a in found} == {"shinan-01"}, "the other district is quiet"
    assert first.change == "raise"
    assert onset < to_us(first.observed_at) <= onset + 2 * 3_600_000_000
    assert found[-1].change == "clear"
    explaining = [n["subject"] for n in first.evidence.neighbours if n["agrees"]]
    assert [subject.rpartition("/")[2] for subject in explaining] == ["main-flow-01"]
    assert "main-flow-01" in first.evidence.text_zh
    assert "mostly at main-flow-01" in first.evidence.text_en
    assert first.evidence.unit == "%"
    assert first.evidence.limit == pytest.approx(8.0)


def test_cuts_and_snapshots_of_the_log_change_no_message(leaking: Leaking) -> None:
    program, log = leaking.program, leaking.log
    cuts = sorted(np.random.default_rng(3).integers(0, len(log), 5).tolist())
    parts: list[Alert] = []
    base = leaking.base
    for start, end in itertools.pairwise([0, *cuts, len(log)]):
        partition = Partition.restore(program, base)
        parts += partition.fold(log[start:end])
        base = partition.snapshot()
    assert [alerts.encode(a) for a in parts] == [alerts.encode(a) for a in leaking.found]


def test_a_meter_that_stops_telling_pauses_the_balance(leaking: Leaking) -> None:
    silent = next(s for s in leaking.program.sensors if "outlet" in s.tags and s.zone == "shinan-01")
    log = copy.deepcopy(leaking.log)
    for entry in log:
        if isinstance(entry, Frame):
            entry.records["sensor"][entry.records["sensor"] == silent.sensor] = 999
    assert Partition.restore(leaking.program, leaking.base).fold(log) == []


def test_a_sensor_that_drifts_from_its_neighbours_is_named_and_no_other() -> None:
    city, registry = a_network_of_mains()
    zone = city.zones[0].zone
    spec = FaultSpec("sensor-drift", zone, 3.4 * 86400, 36 * 3600.0, 0.002, 4, None)
    drift = plant(spec, city, MONDAY_US, 1.0)
    rule = Rule(
        name="drift",
        title_zh="漂移",
        title_en="drift",
        detector="neighbours",
        network="device",
        mode="live",
        selector=Selector(categories=("water_main_pressure",)),
        members=Members(every_s=900.0),
        levels={4: "v>=6sigma for 3h"},
        params={"learn_days": 3.0},
    )
    program = compile_program(registry, [rule], 0)
    found = folded(program, quarters(city, registry, [drift]))
    assert {a.subject for a in found} == set(drift.subjects)
    assert [a.change for a in found if a.change != "update"] == ["raise"]
    assert to_us(found[0].observed_at) - drift.onset_us < DAY_US
    assert "median of its 7 neighbours" in found[0].evidence.text_en
    assert len(found[0].evidence.neighbours) == 5


def test_a_leak_is_seen_in_the_least_flow_of_the_next_night() -> None:
    city, registry = a_city()
    leak = a_leak(city, 3.0, 44, 120.0)
    rule = a_district_rule(
        detector="night-flow",
        levels={4: "dev>=15%", 3: "dev>=15% for 2 nights"},
        params={"learn_nights": 3.0},
    )
    found = folded(compile_program(registry, [rule], 0), quarters(city, registry, [leak]))
    assert [(a.change, a.level, a.zone) for a in found] == [
        ("raise", 4, "shinan-01"),
        ("upgrade", 3, "shinan-01"),
    ]
    hours = [(to_us(a.observed_at) - MONDAY_US) / 3_600_000_000 for a in found]
    assert hours == [pytest.approx(3 * 24 + 4, abs=0.3), pytest.approx(4 * 24 + 4, abs=0.3)]
    assert "of the nights before" in found[0].evidence.text_en


def test_a_bridge_that_softens_is_told_from_one_that_is_warm() -> None:
    city = City.build(5, zones=1, density=0.5, networks=(SpanNetwork, WeatherNetwork), every_s=60)
    registry = registry_of(city)
    for sensor in list(registry.sensors.values()):
        registry.apply(replace(sensor, params=sensor.params | {"interval_s": 3600.0}))
    spec = FaultSpec("stiffness-loss", city.zones[0].zone, 15.0 * 86400, 3 * 86400.0, 0.3, 4, None)
    loss = plant(spec, city, MONDAY_US, 1.0)
    rule = a_district_rule(
        detector="modal",
        network="bridge",
        selector=Selector(categories=("bridge_modal_frequency",)),
        members=Members(every_s=3600.0, roles={"temperature": Role(categories=("weather_air_temp",))}),
        levels={4: "dev>=2% for 3h"},
        params={},
    )
    program = compile_program(registry, [rule], 0)
    log = quarters(city, registry, [loss], days=17, step_us=4 * QUARTER_US)
    found = folded(program, log)
    assert [a.change for a in found if a.change != "update"] == ["raise"]
    assert found[0].subject in loss.subjects
    assert 0 < to_us(found[0].observed_at) - loss.onset_us < DAY_US
    assert "more than its temperature explains" in found[0].evidence.text_en


def test_groups_are_made_of_zones_assets_or_tags_and_a_missing_role_is_named() -> None:
    sensors = [
        a_sensor(1, "water_main_flow", tags=("dma-in:7",)),
        a_sensor(2, "water_main_flow", tags=("dma-in:8", "dma-out:7")),
        a_sensor(3, "water_main_flow"),
    ]
    rule = a_district_rule(
        selector=Selector(categories=("water_main_flow",)),
        members=Members(by="dma-in", roles={"out": Role(by="dma-out")}),
    )
    program = compile_program(a_registry(*sensors), [rule], 0)
    (lane,) = program.lanes
    assert lane.row.tolist() == [0]
    assert [one.name for one in lane.bound_of(0).sources] == ["member", "member"]
    assert [(one.sensor, one.reason) for one in program.unguarded] == [(2, "nobody at 8 has the role out")]
    found, lacking = groups(rule, sensors, ["z", "z", "z"], by_category(sensors), each=True)
    assert [[m.sensor.sensor for m in group.members] for group in found] == [[1, 2]]
    assert len(lacking) == 1


def test_two_groups_about_the_same_sensor_come_back_each_as_it_was() -> None:
    sensors = [
        a_sensor(1, "water_main_flow", tags=("dma-in:7", "dma-in:8")),
        a_sensor(2, "water_main_flow", tags=("dma-in:7",)),
        a_sensor(3, "water_main_flow", tags=("dma-in:8",)),
    ]
    rule = a_district_rule(selector=Selector(categories=("water_main_flow",)), members=Members(by="dma-in"))
    program = compile_program(a_registry(*sensors), [rule], 0)
    partition = Partition(program)
    assert [tracks.lane.row.tolist() for tracks in partition.tracks] == [[0], [0]]
    for turn, tracks in enumerate(partition.tracks):
        tracks.state.turn[:] = turn
    kept = partition.snapshot()
    assert Partition.restore(program, kept).snapshot() == kept


GOOD = """\
name: district
title_zh: 分区
title_en: district
detector: balance
network: water
selector: {categories: [water_main_flow]}
members:
  by: dma-in
  every_s: 900
  roles:
    out: {by: dma-out}
levels: {4: "dev>=15% for 1h"}
"""


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ("    out:", "    exit:", "r.yaml:11:5: expected a role that balance knows: out, used"),
        ("{by: dma-out}", "{categories: [water_main]}", "r.yaml:11:24: 'water_main' is no category"),
        ("every_s: 900", "every_s: 0", "r.yaml:9:12: expected seconds, 1 or more"),
        ("dev>=15% for 1h", "dev>=15% | v>=3", "r.yaml:12:13: expected one condition as v>=N"),
        ("dev>=15% for 1h", "roc(1h)>=3", "r.yaml:12:13: expected v>=N"),
        (
            "detector: balance",
            "detector: modal",
            "r.yaml:11:5: expected a role that modal knows: temperature",
        ),
        ("detector: balance", "detector: locate", "r.yaml:12:1: locate measures v, got cells of dev"),
        ("detector: balance", "detector: fitted", "r.yaml:1:1: expected a model file"),
        ("detector: balance", "detector: ewma", "r.yaml:7:1: expected a detector of balance, neighbours"),
        ("{categories: [water_main_flow]}", "{}", "r.yaml:6:1: expected categories: balance judges them"),
        ("every_s: 900", "every_s: 900\nmodel: none.json", "r.yaml:"),
    ],
)
def test_what_is_wrong_with_a_rule_of_groups_is_said_with_its_place(good: str, bad: str, said: str) -> None:
    assert rule_files.check(GOOD, "r.yaml")[1] == []
    _, found = rule_files.check(GOOD.replace(good, bad), "r.yaml")
    assert any(line.startswith(said) for line in found), found
