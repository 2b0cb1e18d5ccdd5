"""A model of several sensors: fitted by a verb, checked as a file, judging live what it was not fitted on."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from cityvigil import rule_files
from cityvigil.cli import main
from detectors.fitted import loaded
from detectors.program import compile_program
from schemas import alert as alerts
from schemas.clock import to_datetime, to_us
from schemas.control import Control
from schemas.frame import Frame
from schemas.model import Model, ModelError, decode, encode
from schemas.registry import Registry
from schemas.rule import Rule
from simulators.faults import FaultSpec, plant
from tests.unit.test_districts import DAY_US, MONDAY_US, a_network_of_mains, folded, quarters

RULE = """
name: mains-together
title_zh: 管网压力联合残差
title_en: pressures of the mains together
detector: fitted
network: water
mode: live
selector: {categories: [water_main_pressure]}
model: MODEL
levels: {4: v>=1}
"""


def history(path: Path, log: list[Frame | Control], registry: Registry) -> None:
    """The readings as a table, a row a quarter of an hour."""
    mains = {n: s for n, s in registry.by_number.items() if s.category == "water_main_pressure"}
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", *(f"{s.gateway}/{s.point}" for s in mains.values())])
        for entry in log:
            if isinstance(entry, Frame):
                told = dict(
                    zip(entry.records["sensor"].tolist(), entry.records["value"].tolist(), strict=True)
                )
                at = to_datetime(int(entry.records["time"][0])).isoformat()
                writer.writerow([at, *(told[number] for number in mains)])


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Rule, Registry, Path]:
    city, registry = a_network_of_mains()
    folder = tmp_path_factory.mktemp("model")
    history(folder / "clean.csv", quarters(city, registry, days=3), registry)
    assert main(["rules", "fit", str(folder / "clean.csv"), str(folder / "mains.model.json")]) == 0
    (folder / "mains.yaml").write_text(RULE.replace("MODEL", "mains.model.json"))
    ((_, rule),), problems = rule_files.read([folder / "mains.yaml"])
    assert problems == []
    return rule, registry, folder


def test_a_burst_leaves_the_pattern_that_a_model_learned_offline(fitted: tuple[Rule, Registry, Path]) -> None:
    rule, registry, _ = fitted
    city, _ = a_network_of_mains()
    zone = city.zones[0].zone
    spec = FaultSpec("main-burst", zone, 1.5 * 86400, 3 * 3600.0, 0.05, 3, None)
    burst = plant(spec, city, MONDAY_US, 1.0)
    program = compile_program(registry, [rule], 0)
    assert program.unguarded == ()
    log = quarters(city, registry, [burst], days=2)
    found = folded(program, log)
    raised = [a for a in found if a.change == "raise"]
    assert len(raised) == 1
    assert 0 <= to_us(raised[0].observed_at) - burst.onset_us < DAY_US / 24
    assert isinstance(rule.model, Model)
    assert rule.model.version in raised[0].evidence.text_en
    (worst,) = [n["subject"] for n in raised[0].evidence.neighbours if n["agrees"]]
    assert worst in burst.subjects
    cuts = sorted(np.random.default_rng(5).integers(0, len(log), 9).tolist())
    assert list(map(alerts.encode, folded(program, log, cuts))) == list(map(alerts.encode, found))


def test_a_place_that_lacks_a_sensor_of_the_model_is_unguarded_with_its_name(
    fitted: tuple[Rule, Registry, Path],
) -> None:
    rule, registry, _ = fitted
    gone = next(s for s in registry.sensors.values() if s.point == "main-pressure-03")
    other = Registry(version=1)
    for zone in registry.zones.values():
        other.apply(zone)
    for gateway in registry.gateways.values():
        other.apply(gateway)
    for sensor in registry.sensors.values():
        other.apply(sensor if sensor is not gone else replace(sensor, state="retired"))
    (reason,) = [one.reason for one in compile_program(other, [rule], 0).unguarded]
    assert f"{gone.gateway}/{gone.point}" in reason


def test_a_model_is_the_same_after_a_round_trip_and_a_broken_one_says_what_was_expected(
    fitted: tuple[Rule, Registry, Path], tmp_path: Path
) -> None:
    rule, _, folder = fitted
    model = decode((folder / "mains.model.json").read_bytes())
    assert encode(model) == (folder / "mains.model.json").read_bytes()
    assert model.version == decode(encode(model)).version
    assert replace(rule, model=replace(model, rows=1)).version != rule.version
    with pytest.raises(ModelError, match="expected arrays"):
        loaded(replace(model, arrays={}))
    with pytest.raises(ModelError, match="do not fit 9 columns"):
        loaded(replace(model, names=(*model.names, "gw/more")))
    (tmp_path / "m.json").write_text('{"format": 2}')
    (tmp_path / "r.yaml").write_text(RULE.replace("MODEL", "m.json"))
    _, (problem,) = rule_files.read([tmp_path / "r.yaml"])
    assert "r.yaml:9:8: " in problem
    assert "expected a model of format 1" in problem
