"""A city with every quantity of the catalogue: complete, the same again, within its limits, quiet."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from detectors.fold import Partition
from detectors.program import compile_program
from schemas.catalogue import catalogue
from schemas.clock import to_us
from schemas.default_rules import default_rules
from simulators import recording
from simulators.beam import frequency_ratio
from simulators.behaviours import behaviours
from simulators.city import WHOLE, City
from simulators.faults import S_US, plant
from simulators.kinds import KINDS
from simulators.scenario import Scenario, load, names
from simulators.simulation import Simulation
from simulators.smoke import burn
from tests.city_log import CityLog, registry_of

START_US = 1_790_000_000_000_000


@pytest.fixture(scope="module")
def whole() -> City:
    return City.build(5, zones=1, density=0.3, networks=WHOLE)


def test_every_quantity_of_the_catalogue_stands_in_the_whole_city(whole: City) -> None:
    assert {s.category for s in whole.sensors} == set(catalogue())
    assert set(behaviours()) <= set(catalogue())
    assert len({(s.gateway, s.point) for s in whole.sensors}) == len(whole.sensors)


def test_no_quantity_reports_less_often_than_its_catalogue_row_says(whole: City) -> None:
    for plan in whole.planned:
        assert plan.interval_s <= (catalogue()[plan.category].interval_s or np.inf), plan


def test_site_parameters_that_nobody_learns_are_known(whole: City) -> None:
    learned = {"baseline", "curve", "season_schedule"}
    for sensor in whole.sensors:
        assert set(catalogue()[sensor.category].site_params) - learned <= set(sensor.params), sensor


def _sparse(scenario: str) -> Scenario:
    """Fewer sensors, the same faults: what the tests can afford."""
    return replace(load(scenario), density=0.1)


def _frames(scenario: str, minutes: int) -> str:
    played = _sparse(scenario)
    city = played.city()
    faults = [plant(spec, city, START_US, played.scale) for spec in played.faults]
    simulation = Simulation(city, faults, START_US)
    points, digest = recording.points_of(city), hashlib.sha256()
    for line, _ in recording.lines(simulation, points, START_US + minutes * 60 * S_US):
        digest.update(line)
    return digest.hexdigest()


def test_a_scenario_played_again_gives_the_same_frames() -> None:
    assert _frames("own-faults", 22) == _frames("own-faults", 22)


def test_values_keep_to_range_and_resolution_in_every_season() -> None:
    for season in ("winter", "summer"):
        city = City.build(5, zones=1, density=0.2, networks=WHOLE, season=season)
        rows = [catalogue()[s.category] for s in city.sensors]
        simulation = Simulation(city, (), START_US, step_s=60)
        for _ in range(20):
            for report in simulation.step():
                for i, value in zip(report.sensors.tolist(), report.values.tolist(), strict=True):
                    row = rows[i]
                    assert row.plausible_min <= value <= row.plausible_max, row.key
                    assert abs(value / row.resolution - round(value / row.resolution)) < 1e-6, row.key


def _raised(scenario: str, minutes: int) -> None:
    """Holds each fault of a scenario against the alerts of the live default rules."""
    played = _sparse(scenario)
    city = played.city()
    faults = [plant(spec, city, START_US, played.scale) for spec in played.faults]
    registry = registry_of(city)
    log = CityLog(Simulation(city, faults, START_US, step_s=20), registry)
    partition = Partition(compile_program(registry, default_rules(judgement_live=True), 0))
    alerts = [a for entries in log.minutes(minutes) for a in partition.fold(entries) if a.mode == "live"]
    explained = set()
    for fault in faults:
        mine = [a for a in alerts if a.subject in fault.subjects and to_us(a.observed_at) >= fault.onset_us]
        explained |= {a.alert_id for a in mine}
        assert bool(mine) is (fault.spec.expected_level is not None), fault.spec.kind
    assert {a.rule for a in alerts if a.alert_id not in explained} == set()


@pytest.mark.parametrize("scenario", ["own-faults", "fire-night", "gas-cascade"])
def test_the_default_rules_see_the_faults_of_a_scenario_and_nothing_else(scenario: str) -> None:
    _raised(scenario, 120)


def test_a_day_of_the_whole_city_raises_nothing_live() -> None:
    city = City.build(5, zones=1, density=0.1, networks=WHOLE)
    registry = registry_of(city)
    log = CityLog(Simulation(city, (), START_US, step_s=60), registry)
    partition = Partition(compile_program(registry, default_rules(judgement_live=True), 0))
    raised = [a for entries in log.minutes(24 * 60) for a in partition.fold(entries) if a.mode == "live"]
    assert [(a.rule, a.subject, a.evidence.text_en) for a in raised] == []


def test_there_are_more_than_forty_kinds_and_each_touches_what_the_city_has(whole: City) -> None:
    assert len(KINDS) >= 40
    offered = {s.category for s in whole.sensors}
    for name, kind in KINDS.items():
        assert {touch.category for touch in kind.touches} <= offered, name


def test_scenarios_that_are_promised_can_be_played() -> None:
    for name in names():
        assert load(name).name == name


def test_a_softened_deck_rings_lower_the_more_of_it_is_soft() -> None:
    assert 1 > frequency_ratio(0.5, width=0.025) > frequency_ratio(0.5) > frequency_ratio(0.8)
    assert frequency_ratio(0.5, width=0.025) == pytest.approx(1.1847 / 1.2139, abs=0.01)
    assert frequency_ratio(0.5) == pytest.approx(1.1087 / 1.2139, abs=0.02)


def test_smoke_fills_a_room_from_above_and_faster_over_a_faster_fire() -> None:
    slow, fast = burn("slow", 120), burn("fast", 120)
    assert slow.obscuration < fast.obscuration
    assert slow.layer_c < fast.layer_c
    assert slow.clear_m > fast.clear_m
