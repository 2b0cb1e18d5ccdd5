"""A city with every quantity of the catalogue: complete, the same again, within its limits, quiet."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cityvigil.cli import main
from cityvigil.quality.city_log import CityLog, registry_of
from detectors.fold import Partition
from detectors.program import compile_program
from schemas.catalogue import catalogue
from schemas.clock import to_us
from schemas.default_rules import default_rules
from simulators import channels, recording, truth
from simulators.beam import frequency_ratio
from simulators.behaviours import behaviours
from simulators.city import WHOLE, ZONES, City
from simulators.faults import S_US, plant
from simulators.homecare import HomecareNetwork
from simulators.kinds import KINDS
from simulators.scenario import Scenario, load, names
from simulators.simulation import Simulation
from simulators.smoke import burn

START_US = 1_790_000_000_000_000


@pytest.fixture(scope="module")
def whole() -> City:
    return City.build(5, zones=1, density=0.3, networks=WHOLE)


def test_every_quantity_of_the_catalogue_stands_in_the_whole_city(whole: City) -> None:
    there = {s.category for s in whole.sensors}
    # a front's arrival is told when one comes; simulators/fronts.py plays those
    assert there == set(catalogue()) - {"water_front_arrival"}
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
    log = CityLog(Simulation(city, faults, START_US, step_s=60), registry)
    partition = Partition(compile_program(registry, default_rules(judgement_live=True), 0))
    alerts = [a for entries in log.minutes(minutes) for a in partition.fold(entries) if a.mode == "live"]
    explained = set()
    for fault in faults:
        mine = [a for a in alerts if a.subject in fault.subjects and to_us(a.observed_at) >= fault.onset_us]
        explained |= {a.alert_id for a in mine}
        assert bool(mine) is (fault.spec.expected_level is not None), fault.spec.kind
    assert {a.rule for a in alerts if a.alert_id not in explained} == set()


@pytest.mark.parametrize("scenario", ["own-faults", "gas-cascade", "typhoon-day"])
def test_the_default_rules_see_the_faults_of_a_scenario_and_nothing_else(scenario: str) -> None:
    _raised(scenario, 100)


def test_a_night_and_a_morning_of_the_whole_city_raise_nothing_live() -> None:
    city = City.build(5, zones=1, density=0.1, networks=WHOLE)
    registry = registry_of(city)
    log = CityLog(Simulation(city, (), START_US, step_s=60), registry)
    partition = Partition(compile_program(registry, default_rules(judgement_live=True), 0))
    raised = [a for entries in log.minutes(10 * 60) for a in partition.fold(entries) if a.mode == "live"]
    assert [(a.rule, a.subject, a.evidence.text_en) for a in raised] == []


def test_a_day_and_a_night_of_hundreds_of_elders_raise_nothing_live() -> None:
    city = City.build(20267, zones=16, density=3, networks=(HomecareNetwork,))
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


def test_the_register_of_video_channels_is_as_long_as_asked_and_the_same_again() -> None:
    first, again = io.StringIO(newline=""), io.StringIO(newline="")
    assert channels.write(3, 12_000, first) == channels.write(3, 12_000, again) == 12_000
    assert first.getvalue() == again.getvalue()
    rows = list(csv.DictReader(first.getvalue().splitlines()))
    assert len({row["camera"] for row in rows}) == 12_000
    assert all(len(row["camera"]) == 20 and row["camera"][10:13] == "132" for row in rows)
    assert {row["zone"] for row in rows} == {zone.zone for zone in ZONES}
    assert load("qingdao").cameras == 234_000


def test_the_city_goes_to_a_file_with_its_truth_beside_it(tmp_path: Path) -> None:
    frames, labels, told = tmp_path / "frames", tmp_path / "truth", tmp_path / "told.json"
    command = ["bench", "city", "--scenario", "first-light", "--sensors", "400", "--minutes", "20",
               "--out", str(frames), "--truth", str(labels), "--json", str(told)]  # fmt: skip
    assert main(command) == 0
    lines = [json.loads(line) for line in frames.read_text().splitlines()]
    result = json.loads(told.read_text())
    assert result["frames"] == len(lines) > 100
    assert result["readings"] == sum(len(line["senml"]) for line in lines)
    assert result["speed_up"] > 1
    assert {row["kind"] for row in truth.read(labels)} == {
        "gas-leak",
        "main-burst",
        "heat-pipe-leak",
        "gateway-offline",
    }


def test_a_city_that_cannot_be_timed_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "city", "--step", "7"]) == 2
    assert "--step" in capsys.readouterr().err


def test_a_softened_deck_rings_lower_the_more_of_it_is_soft() -> None:
    assert 1 > frequency_ratio(0.5, width=0.025) > frequency_ratio(0.5) > frequency_ratio(0.8)
    assert frequency_ratio(0.5, width=0.025) == pytest.approx(1.1847 / 1.2139, abs=0.01)
    assert frequency_ratio(0.5) == pytest.approx(1.1087 / 1.2139, abs=0.02)


def test_smoke_fills_a_room_from_above_and_faster_over_a_faster_fire() -> None:
    slow, fast = burn("slow", 120), burn("fast", 120)
    assert slow.obscuration < fast.obscuration
    assert slow.layer_c < fast.layer_c
    assert slow.clear_m > fast.clear_m
