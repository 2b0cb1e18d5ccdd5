"""Every fault of the demonstration, folded through the detectors that run live: one episode group each, at
the level that the scenario states by hand, and nothing else in two hours of the city.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cityvigil.quality.city_log import CityLog, registry_of
from detectors.fold import Partition
from detectors.program import compile_program
from schemas.alert import Alert
from schemas.catalogue import catalogue
from schemas.clock import to_us
from schemas.default_rules import default_rules
from simulators import scenario as scenarios
from simulators import truth
from simulators.city import City
from simulators.faults import S_US, Fault, FaultSpec, plant
from simulators.homecare import HomecareNetwork
from simulators.kinds import KINDS
from simulators.scenario import Scenario, ScenarioError, load, parse
from simulators.simulation import Simulation

NIGHT_US = 1_790_000_000_000_000
EVENING_US = NIGHT_US + 15 * 3600 * S_US
GRACE_US = 600 * S_US


def _live_alerts(simulation: Simulation, minutes: int) -> list[Alert]:
    registry = registry_of(simulation.city)
    log = CityLog(simulation, registry)
    partition = Partition(compile_program(registry, default_rules(judgement_live=True), 0))
    found: list[Alert] = []
    for entries in log.minutes(minutes):
        found += [alert for alert in partition.fold(entries) if alert.mode == "live"]
    return found


@pytest.mark.parametrize(("seed", "start_us", "density"), [(None, NIGHT_US, 1.0), (7, EVENING_US, 0.3)])
def test_every_fault_becomes_one_group_at_its_level_and_nothing_else_is_raised(
    seed: int | None, start_us: int, density: float
) -> None:
    scenario = replace(load("first-light").with_seed(seed), density=density)
    city = scenario.city()
    faults = [plant(spec, city, start_us, scenario.scale) for spec in scenario.faults]
    alerts = _live_alerts(Simulation(city, faults, start_us), 120)
    groups: dict[tuple[str, str | None], list[Alert]] = defaultdict(list)
    for alert in alerts:
        groups[alert.network, alert.zone].append(alert)
    explained = 0
    for fault in faults:
        group = groups[KINDS[fault.spec.kind].network, fault.spec.zone]
        assert group, f"{fault.spec.kind} was missed"
        explained += len(group)
        assert min(alert.worst for alert in group) == fault.spec.expected_level, fault.spec.kind
        for alert in group:
            assert alert.subject in fault.subjects
            assert fault.onset_us <= to_us(alert.observed_at) <= fault.end_us + GRACE_US
        assert {a.alert_id for a in group if a.state == "cleared"} == {a.alert_id for a in group}
        raises = [alert.subject for alert in group if alert.change == "raise"]
        assert len(raises) == len(set(raises)), f"{fault.spec.kind} was raised twice"
        first = min(to_us(alert.observed_at) for alert in group)
        assert first - fault.onset_us <= 11 * 60 * S_US, f"{fault.spec.kind} was noticed late"
    assert explained == len(alerts), "an alert that no fault explains"


def test_a_day_of_a_city_without_faults_raises_nothing_live() -> None:
    city = City.build(99, zones=6, density=0.2)
    alerts = _live_alerts(Simulation(city, (), EVENING_US, step_s=30), 24 * 60)
    assert [(a.rule, a.subject, a.evidence.text_en) for a in alerts] == []


@pytest.fixture(scope="module")
def first_light() -> Scenario:
    return load("first-light")


def _planted(first_light: Scenario, kind: str) -> tuple[City, Fault]:
    spec = next(spec for spec in first_light.faults if spec.kind == kind)
    city = first_light.city()
    return city, plant(spec, city, NIGHT_US, 60)


def test_the_scenario_has_a_fault_of_each_network_and_two_of_the_telemetry(first_light: Scenario) -> None:
    networks = [KINDS[spec.kind].network for spec in first_light.faults]
    assert sorted(networks) == ["bridge", "device", "device", "fire", "gas", "heat", "water"]
    assert all(12 <= spec.onset_s <= 30 for spec in first_light.faults)
    assert all(spec.duration_s * first_light.scale >= 40 * 60 for spec in first_light.faults)
    zones = [spec.zone for spec in first_light.faults]
    assert len(zones) == len(set(zones))


def test_a_fault_bends_only_its_own_sensors_and_only_while_it_lasts(first_light: Scenario) -> None:
    city, fault = _planted(first_light, "main-burst")
    before = np.full(len(city.sensors), 0.4)
    for now_us, bent in ((fault.onset_us - 1, False), (fault.onset_us, True), (fault.end_us, False)):
        truth_now = before.copy()
        fault.bend(now_us, truth_now)
        changed = np.flatnonzero(truth_now != before)
        assert changed.tolist() == (fault.at.tolist() if bent else [])
    assert {city.sensors[i].category for i in fault.at} == {"water_main_pressure"}
    assert {city.sensors[i].zone for i in fault.at} == {fault.spec.zone}


def test_a_stuck_sensor_repeats_what_it_said_last_and_then_lives_again(first_light: Scenario) -> None:
    city, fault = _planted(first_light, "stuck-sensor")
    simulation = Simulation(city, [fault], NIGHT_US, step_s=60)
    said: list[tuple[int, float]] = []
    while simulation.now_us < fault.end_us + 20 * 60 * S_US:
        for report in simulation.step():
            found = report.values[report.sensors == fault.at[0]]
            said += [(report.time_us, v) for v in found.tolist()]
    during = {v for t, v in said if fault.onset_us <= t < fault.end_us}
    assert len(during) == 1
    assert len({v for t, v in said if t < fault.onset_us}) > 3
    assert len({v for t, v in said if t >= fault.end_us}) > 3


def test_an_edge_sensor_speaks_at_once_when_a_leak_crosses_its_limit(first_light: Scenario) -> None:
    city, fault = _planted(first_light, "gas-leak")
    simulation = Simulation(city, [fault], NIGHT_US)
    spoke: list[tuple[int, float]] = []
    while simulation.now_us < fault.onset_us + 10 * 60 * S_US:
        for report in simulation.step():
            found = report.values[report.sensors == fault.at[0]]
            spoke += [(report.time_us, v) for v in found.tolist()]
    after = [(t, v) for t, v in spoke if t >= fault.onset_us]
    assert (after[0][0] - fault.onset_us) / S_US <= 30
    assert len(after) >= 9, "every minute while abnormal, in place of twice an hour"
    assert after[-1][1] == pytest.approx(3.25, abs=0.1)


def test_the_gateway_that_goes_offline_is_cut_off_for_as_long(first_light: Scenario) -> None:
    city, fault = _planted(first_light, "gateway-offline")
    simulation = Simulation(city, [fault], fault.onset_us - 10 * S_US)
    simulation.step()
    assert simulation.cut_off() == set()
    simulation.step()
    assert simulation.cut_off() == {fault.gateway}
    assert fault.subjects[0] == f"gateway/{fault.gateway}"
    assert not fault.cuts(fault.end_us)


def test_the_truth_file_says_what_was_injected_once_and_goes_on_after_a_kill(
    first_light: Scenario, tmp_path: Path
) -> None:
    path = tmp_path / "truth.jsonl"
    city = first_light.city()
    faults = [plant(spec, city, NIGHT_US, 60) for spec in first_light.faults]
    assert truth.Truth(path, NIGHT_US).note(faults, NIGHT_US) == []
    noon = faults[2].onset_us
    assert truth.Truth(path, NIGHT_US).note(faults, noon) == faults[:3]
    with path.open("a") as file:
        file.write('{"kind": "torn')
    again = truth.Truth(path, NIGHT_US + 999)
    assert again.start_us == NIGHT_US
    assert again.note(faults, noon) == []
    assert again.note(faults, faults[-1].onset_us) == faults[3:]
    rows = truth.read(path)
    assert [row["kind"] for row in rows] == [spec.kind for spec in first_light.faults]
    assert all(row["subjects"] and row["onset"] < row["end"] for row in rows)
    assert json.loads(path.read_text().splitlines()[0])["expected_unit"] == "gas-company"


TEXT = """\
name: small
seed: 1
season: fair
clock: {scale: 60}
city: {zones: 2, density: 0.1}
faults:
  - kind: gas-leak
    zone: shibei-01
    onset_s: 1
    duration_s: 2.5
    magnitude: 3
    expected_level: 2
    expected_unit: gas-company
"""


def test_a_scenario_is_read_as_written() -> None:
    scenario = parse(TEXT, "small.yaml")
    leak = FaultSpec("gas-leak", "shibei-01", 1.0, 2.5, 3.0, 2, "gas-company")
    assert scenario == Scenario("small", 1, 60.0, 2, 0.1, (leak,))
    assert scenario.with_seed(None).seed == 1
    assert scenario.with_seed(8).seed == 8
    assert "first-light" in scenarios.names()


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("seed: 1", "seed: one",
         "2:7: seed of the scenario: expected a whole number from 0 up, got 'one'"),
        ("zone: shibei-01", "zone: laoshan-01",
         "8:11: zone of faults[0]: expected one of shinan-01, shibei-01, got 'laoshan-01'"),
        ("    onset_s: 1\n", "", "7:5: faults[0] lacks 'onset_s'"),
        ("magnitude: 3", "magnitude: much",
         "11:16: magnitude of faults[0]: expected a number, got 'much'"),
        ("expected_level: 2", "expected_level: 5",
         "12:21: expected_level of faults[0]: expected 1 to 4, got 5"),
        ("seed: 1", "seed: 1\nsede: 2",
         "3:1: 'sede' in the scenario is not known: expected city, clock, faults, name, protocols"),
        ("season: fair", "season: monsoon",
         "3:9: season of the scenario: expected one of fair, winter, spring, summer, autumn, got 'monsoon'"),
        ("density: 0.1", "density: 0.1, categories: some",
         "5:44: categories of city: expected demo or demo-video or all, got 'some'"),
        ("onset_s: 1\n", "cause: rain\n",
         "9:12: cause of faults[0]: expected the name of a fault above, got 'rain'"),
        ("expected_level: 2", "absorbed: maybe",
         "12:15: absorbed of faults[0]: expected true or false, got 'maybe'"),
        ("clock: {scale: 60}", "clock: fast", "4:8: clock must be a mapping of names to values"),
        ("gas-leak", "earthquake",
         "7:11: kind of faults[0]: expected one of gas-leak, main-burst, heat-pipe-leak, "),
        ("gas-leak", "cover-moved", "7:11: kind of faults[0]: expected one of gas-leak, main-burst, "),
        ("name: small", "name: [small", "2:5: expected ',' or ']'"),
        ("    zone: shibei-01", "\tzone: shibei-01", "8:1: found character '\\t' that cannot start"),
        ("seed: 1", "seed: 1\nseed: 2", "3:1: expected each name once, got 'seed' again (line 2 has it)"),
        ("seed: 1", "seed:", "2:6: seed of the scenario: expected a whole number from 0 up, got nothing"),
        ("seed: 1", "seed: 2026-02-30", "2:7: expected what YAML reads as timestamp, got '2026-02-30'"),
        ("seed: 1", "seed: !!int x", "2:7: expected what YAML reads as int, got 'x'"),
        ("seed: 1", "seed: !ours 1", "2:7: could not determine a constructor for the tag '!ours'"),
        ("seed: 1", "seed: " + "9" * 5000, "2:7: expected what YAML reads as int, got '999"),
        ("seed: 1", "seed: " + "[" * 5000, "2:38: expected at most 32 levels of nesting"),
        ("seed: 1", "seed: &a [*a]", "2:11: expected an alias of something else than itself"),
        ("seed: 1", "seed: 1\n? [a]\n: 2", "3:3: expected a name, got a list or a mapping"),
        ("seed: 1", "seed: 1\0", "2:8: expected text, got the character U+0000"),
        ("duration_s: 2.5", "duration_s: -5",
         "10:17: duration_s of faults[0]: expected seconds above 0, at most a year, got -5.0"),
        ("duration_s: 2.5", "duration_s: .inf",
         "10:17: duration_s of faults[0]: expected seconds above 0, at most a year, got '.inf'"),
        ("magnitude: 3", "magnitude: .nan", "11:16: magnitude of faults[0]: expected a number, got '.nan'"),
        ("gas-company", "gas-works", "13:20: expected_unit of faults[0]: expected one of duty-desk, "),
        ("seed: 1", "seed: 1\nprotocols: {gas: ''}", "3:18: gas of protocols: expected some of cjt188"),
        ("seed: 1", "seed: 1\nprotocols: {gaz: senml}", "3:13: 'gaz' in protocols is not known: expected"),
        ("zones: 2", "zones: 2, cameras: 99999999999", "5:27: cameras of city: expected 0 to 10000000"),
    ],
)  # fmt: skip
def test_a_wrong_scenario_is_refused_with_its_line_and_what_was_expected(
    old: str, new: str, complaint: str
) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse(TEXT.replace(old, new), "small.yaml")
    assert str(caught.value).startswith(f"small.yaml:{complaint}")


def test_an_alias_counts_as_what_it_stands_for() -> None:
    grown = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
    )
    with pytest.raises(ScenarioError, match=r"small.yaml:18:[0-9]+: expected at most 100000 values, aliases"):
        parse(TEXT + grown, "small.yaml")


def test_two_faults_have_not_one_name() -> None:
    second = TEXT[TEXT.index("  - kind") :].replace("shibei-01", "shinan-01")
    twice = (TEXT + second).replace("gas-leak\n", "gas-leak\n    name: leak\n")
    with pytest.raises(
        ScenarioError, match=r"small.yaml:16:11: name of .*: expected a name that no fault above"
    ):
        parse(twice, "small.yaml")


def test_a_scenario_in_another_encoding_is_refused_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "night.yaml"
    path.write_bytes(TEXT.replace("name: small", "name: 坏").encode("gb18030"))
    with pytest.raises(ScenarioError, match=r"night.yaml:1:7: expected text in UTF-8, got the byte 0x"):
        load(str(path))


def test_an_unknown_scenario_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ScenarioError, match=r"no scenario 'dusk': expected one of .*first-light"):
        load("dusk")
    with pytest.raises(ScenarioError, match=r"no scenario file nowhere\.yaml"):
        load("nowhere.yaml")


def test_the_sensors_that_a_fault_touches_stand_under_the_rule_that_must_see_it() -> None:
    for kind in KINDS.values():
        for touch in kind.touches:
            assert kind.network in ("device", catalogue()[touch.category].domain)


@pytest.mark.parametrize(("kind", "category"), [("no-sign-of-life", "home_electric_meter"),
                                                ("tap-left-open", "home_water_meter")])  # fmt: skip
def test_a_counter_goes_on_from_where_a_fault_left_it(kind: str, category: str) -> None:
    """What nobody used while a home lay still is not made up for in one report, nor is a flood taken back."""
    city = City.build(1, zones=1, density=0.1, networks=(HomecareNetwork,))
    spec = FaultSpec(kind, city.zones[0].zone, 3600.0, 6 * 3600.0, 0.5, 3, "-")
    fault = plant(spec, city, NIGHT_US, 1.0)
    simulation = Simulation(city, (fault,), NIGHT_US, step_s=60)
    (meter,) = city.find(category, city.zones[0].zone)
    shown = [
        float(report.values[report.sensors == meter][0])
        for _ in range(9 * 60)
        for report in simulation.step()
        if meter in report.sensors
    ]
    steps = np.diff(shown)
    assert len(steps) >= 16
    assert steps.min() >= -0.02
    assert steps.max() < 1.0
