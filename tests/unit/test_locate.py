"""Bursts of simulated mains: found at once, and laid at a pipe within so many metres."""

from __future__ import annotations

import csv
import dataclasses
import math

import numpy as np
import pytest

from cityvigil import rule_files
from cityvigil.cli import main
from cityvigil.quality.city_log import CityLog, registry_of
from detectors.fold import Partition
from detectors.program import compile_program
from dispatch import views
from schemas.alert import Alert
from schemas.clock import to_us
from schemas.registry import Registry
from schemas.rule import Rule
from simulators.city import METRES_A_DEGREE, City, beside
from simulators.faults import Fault, FaultSpec, plant
from simulators.grids import WaterGrid, watched_junctions, water_answers, water_places
from simulators.simulation import Simulation
from tests.unit.test_districts import MONDAY_US

GAUGES = 18
RULE = """
name: burst-place
title_zh: 爆管定位
title_en: where a main broke
detector: locate
network: water
mode: live
selector: {categories: [water_main_pressure]}
members: {every_s: 60}
model: MODEL
levels: {4: v>=0.02 for 2 reports}
"""


@pytest.fixture(scope="module")
def mains(tmp_path_factory: pytest.TempPathFactory) -> tuple[City, Registry, Rule]:
    city = City.build(5, zones=1, density=GAUGES / 52, networks=(WaterGrid,), every_s=60)
    registry = registry_of(city)
    gauges = [s for s in registry.by_number.values() if s.category == "water_main_pressure"]
    assert len(gauges) == GAUGES
    folder = tmp_path_factory.mktemp("pipes")
    zone = city.zones[0]
    with (folder / "places.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["place", "lon", "lat", *(f"{s.gateway}/{s.point}" for s in gauges)])
        answers = water_answers(GAUGES)
        for at in watched_junctions():
            place = water_places()[at]
            lon, lat = beside(zone, place.east_m, place.north_m)
            writer.writerow([f"{place.pipe}/{place.junction}", lon, lat, *answers[at].round(4).tolist()])
    assert main(["rules", "pipes", str(folder / "places.csv"), str(folder / "p.model.json")]) == 0
    (folder / "r.yaml").write_text(RULE.replace("MODEL", "p.model.json"))
    ((_, rule),), problems = rule_files.read([folder / "r.yaml"])
    assert problems == []
    return city, registry, rule


def raised(city: City, registry: Registry, rule: Rule, faults: list[Fault]) -> list[Alert]:
    partition = Partition(compile_program(registry, [rule], 0))
    log = CityLog(Simulation(city, faults, MONDAY_US, step_s=60), registry)
    found = [a for entries in log.minutes(90) for a in partition.fold(entries)]
    return [a for a in found if a.change == "raise"]


@pytest.mark.parametrize("seed", [0, 1, 2, 10])
def test_a_burst_is_laid_at_its_pipe_within_the_metres_that_are_said(
    mains: tuple[City, Registry, Rule], seed: int
) -> None:
    city, registry, rule = mains
    spec = FaultSpec("main-burst", city.zones[0].zone, 3600.0, 1800.0, 0.06, 3, None)
    burst = plant(spec, replace_seed(city, seed), MONDAY_US, 1.0)
    (alert,) = raised(city, registry, rule, [burst])
    assert 0 <= to_us(alert.observed_at) - burst.onset_us <= 180_000_000
    assert alert.evidence.place is not None
    origin = city.sensors[burst.parts[0].at[int(np.argmax(burst.parts[0].share))]]
    place = alert.evidence.place
    east = (place.lon - origin.lon) * math.cos(math.radians(place.lat))
    assert METRES_A_DEGREE * math.hypot(east, place.lat - origin.lat) <= place.within_m + 10
    assert place.within_m <= 600
    assert f"误差 {place.within_m:.0f} 米以内" in alert.evidence.text_zh
    shown = views.cause_item(None, [alert])
    assert shown is not None
    assert shown["subject"] == alert.subject
    assert shown["place"]["text_en"] in alert.evidence.text_en


def replace_seed(city: City, seed: int) -> City:
    """Another place of the same city."""
    return dataclasses.replace(city, seed=seed)


def test_a_quiet_hour_and_one_falling_gauge_are_no_burst(mains: tuple[City, Registry, Rule]) -> None:
    city, registry, rule = mains
    spec = FaultSpec("wrong-unit", city.zones[0].zone, 3600.0, 1800.0, 0.1, None, None)
    assert raised(city, registry, rule, [plant(spec, city, MONDAY_US, 1.0)]) == []
