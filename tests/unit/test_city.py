"""A city from a seed: as large as promised, the same again, quiet until asked to misbehave."""

from __future__ import annotations

from collections import Counter

import msgspec
import numpy as np
import pytest

from cityvigil.quality.city_log import registry_of
from detectors.program import compile_program
from schemas.catalogue import catalogue
from schemas.rule import Selector
from simulators import senml
from simulators.city import NETWORKS, City
from simulators.limits import limits_of
from simulators.scenario import load
from simulators.simulation import Report, Simulation
from tests.builders import a_rule

START_US = 1_790_000_000_000_000  # a night in Qingdao


def _bytes_of(city: City, steps: int, start_us: int = START_US) -> bytes:
    simulation = Simulation(city, (), start_us)
    parts = []
    for _ in range(steps):
        for report in simulation.step():
            parts += [report.gateway.to_bytes(4, "big"), report.sensors.tobytes(), report.values.tobytes()]
    return b"".join(parts)


@pytest.fixture(scope="module")
def city() -> City:
    return load("first-light").city()


def test_the_city_has_what_the_demonstration_promises(city: City) -> None:
    zones, gateways, sensors = city.registry()
    assert len(zones) >= 12
    assert 4 <= len({zone.district for zone in zones}) <= 6
    assert len(gateways) >= 100
    assert len(sensors) >= 5_000
    assert {g.network for g in gateways} == {"gas", "water", "heat", "bridge", "fire", "weather"}
    categories = Counter(catalogue()[c].domain for c in {s.category for s in sensors})
    assert all(count >= 3 for count in categories.values())


def test_every_sensor_is_registered_once_with_its_catalogue_row_and_parameters(city: City) -> None:
    zones, gateways, sensors = city.registry()
    zone_of = {g.gateway: g.zone for g in gateways}
    assert len({(s.gateway, s.point) for s in sensors}) == len(sensors)
    for sensor in sensors:
        row = catalogue()[sensor.category]
        assert sensor.unit == row.unit
        assert zone_of[sensor.gateway] == sensor.zone
        learned = {"baseline", "curve", "season_schedule"}
        assert set(row.site_params) - learned <= set(sensor.params), sensor
    assert {zone.zone for zone in zones} == set(zone_of.values())


def test_the_same_seed_gives_the_same_bytes_and_another_one_others() -> None:
    small = City.build(5, zones=2, density=0.3)
    again = City.build(5, zones=2, density=0.3)
    other = City.build(6, zones=2, density=0.3)
    assert small.registry() == again.registry()
    assert _bytes_of(small, 200) == _bytes_of(again, 200)
    assert _bytes_of(small, 200) != _bytes_of(other, 200)


def test_load_is_even_and_within_what_the_demonstration_aims_at(city: City) -> None:
    simulation = Simulation(city, (), START_US)
    for _ in range(12):
        simulation.step()
    per_step = [sum(len(r.values) for r in simulation.step()) for _ in range(12 * 30)]
    per_minute = np.array(per_step).reshape(30, 12).sum(axis=1)
    assert 3_000 <= per_minute.mean() <= 5_000, "readings a second of wall time at 60 times"
    assert per_minute.max() < 1.2 * per_minute.min()
    assert max(per_step) < 2.5 * np.mean(per_step)


def test_every_point_is_told_in_the_first_minute_and_then_in_time(city: City) -> None:
    simulation = Simulation(city, (), START_US)
    told = np.full(len(city.sensors), -1)
    longest = np.array([catalogue()[s.category].interval_s or np.inf for s in city.sensors])
    for step in range(1, 12 * 60 + 1):
        for report in simulation.step():
            late = (step - told[report.sensors]) * 5 > longest[report.sensors]
            assert not (late & (told[report.sensors] >= 0)).any()
            told[report.sensors] = step
        if step == 12:
            assert (told >= 0).all()
    unheard_s = (12 * 60 - told) * 5
    assert (unheard_s <= longest).all()


def test_gateways_publish_as_often_as_they_say(city: City) -> None:
    simulation = Simulation(city, (), START_US)
    last = np.zeros(len(city.gateways), dtype=int)
    for step in range(1, 12 * 60):
        for report in simulation.step():
            if last[report.gateway]:
                assert (step - last[report.gateway]) * 5 <= city.gateways[report.gateway].interval_s
            last[report.gateway] = step
    assert last.all()


@pytest.mark.parametrize(("seed", "density"), [(3, 1.0), (77, 0.3)])
def test_a_day_without_faults_crosses_no_limit_and_never_looks_stuck(seed: int, density: float) -> None:
    city = City.build(seed, density=density)
    rows = [catalogue()[s.category] for s in city.sensors]
    limits = [limits_of(row, s.params) for row, s in zip(rows, city.sensors, strict=True)]
    low, high = np.array([x.low for x in limits]), np.array([x.high for x in limits])
    noisy = np.array([bool(r.noise) and (r.interval_s or 1e9) <= 900 and not r.is_state for r in rows])
    last, same = np.full(len(rows), np.nan), np.zeros(len(rows), dtype=int)
    simulation = Simulation(city, (), START_US, step_s=60)
    for _ in range(24 * 60):
        for report in simulation.step():
            at, values = report.sensors, report.values
            crossed = (values >= high[at]) | (values <= low[at])
            assert not crossed.any(), [(city.sensors[i], v) for i, v in _picked(report, crossed)]
            same[at] = np.where(values == last[at], same[at] + 1, 0)
            last[at] = values
            stuck = (same[at] >= 7) & noisy[at]
            assert not stuck.any(), [(city.sensors[i], v) for i, v in _picked(report, stuck)]


def _picked(report: Report, mask: np.ndarray) -> list[tuple[int, float]]:
    return list(zip(report.sensors[mask].tolist(), report.values[mask].tolist(), strict=True))


def test_values_have_the_catalogues_resolution_and_range(city: City) -> None:
    simulation = Simulation(city, (), START_US)
    rows = [catalogue()[s.category] for s in city.sensors]
    for _ in range(24):
        for report in simulation.step():
            for i, value in zip(report.sensors.tolist(), report.values.tolist(), strict=True):
                row = rows[i]
                assert row.plausible_min <= value <= row.plausible_max
                assert abs(value / row.resolution - round(value / row.resolution)) < 1e-6


def test_every_network_breathes_with_the_day() -> None:
    city = City.build(1, zones=1)
    simulation = Simulation(city, (), START_US, step_s=60)
    seen: dict[str, list[float]] = {}
    for _ in range(24 * 60):
        for report in simulation.step():
            for i, value in _picked(report, np.ones(len(report.values), dtype=bool)):
                if city.sensors[i].point.endswith("-01"):
                    seen.setdefault(city.sensors[i].category, []).append(value)
    assert np.ptp(seen["water_main_pressure"]) > 0.03
    assert np.ptp(seen["weather_air_temp"]) > 6
    assert np.ptp(seen["heat_primary_supply_temp"]) > 4
    assert np.ptp(seen["water_tank_level"]) > 0.5
    assert {plan.category for n in NETWORKS for plan in n.plan} == set(seen)


def test_a_frame_is_senml_that_says_everything_once() -> None:
    points = [senml.point("main-pressure-07", "MPa"), senml.point("main-pressure-08", "MPa"),
              senml.point("ph-01", "[pH]"), senml.point("smoke-02", "1", state=True),
              senml.point("F PU1", None)]  # fmt: skip
    frame = senml.encode(START_US, list(zip(points, (0.351, 0.36, 7.6, 1.0, "open"), strict=True)))
    records = msgspec.json.decode(frame)
    assert records == [
        {"bn": "smoke-", "bt": START_US / 1e6, "n": "02", "vb": True},
        {"bn": "", "n": "F PU1", "vs": "open"},
        {"bn": "main-pressure-", "bu": "MPa", "n": "07", "v": 0.351},
        {"n": "08", "v": 0.36},
        {"bn": "ph-", "bu": "[pH]", "n": "01", "v": 7.6},
    ]


def test_a_selector_by_tag_finds_the_districts_of_the_simulated_mains() -> None:
    registry = registry_of(City.build(1, zones=2, density=0.2))
    rule = a_rule(
        "water_main_pressure", selector=Selector(("water_main_pressure",), tags=("dma:shibei-01-2",))
    )
    (lane,) = compile_program(registry, [rule], 0).lanes
    mains = [s for s in registry.sensors.values() if s.category == "water_main_pressure"]
    assert 0 < len(lane.row) < len([s for s in mains if s.zone == "shibei-01"]) < len(mains)
    assert {tag for s in mains for tag in s.tags} == {
        f"dma:{zone}-{n}" for zone in ("shinan-01", "shibei-01") for n in (1, 2)
    }
