"""Laws of rules that look at other sensors, at what was learned, at counters and at the clock.

The same as in tests/test_detector_laws.py: however the log is cut, and wherever it is restored, the messages
are the same. What is usual is learned in minutes here, so that something happens.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectors import learned
from detectors.fold import Partition
from detectors.program import compile_program
from schemas import alert as alerts
from schemas.control import Control
from schemas.frame import Frame
from schemas.rule import Group, Schedule
from tests.builders import a_frame, a_reading, a_registry, a_rule, a_sensor, a_tick

Log = list[Frame | Control]
VALUES = {
    "gas_household_leak": (1.0, 15.0, 30.0),
    "gas_valve_position": (0.0, 100.0),
    "water_main_flow": (200.0, 210.0, 450.0),
    "water_main_pressure": (0.35, 0.34, 0.2),
    "fire_smoke_detector_state": (0.0, 1.0),
    "fire_flame_detector": (0.0, 0.0, 1.0),
    "heat_makeup_flow": (1.0, 30.0),
    "heat_circulation_flow": (500.0, 490.0),
    "bridge_expansion_joint": (20.0, 20.5, 35.0),
    "bridge_structure_temp": (10.0, 14.0, 18.0),
    "home_gas_meter": (50.0, 50.1, 50.2),
    "noise_level": (50.0, 80.0),
}
CATEGORIES = [*VALUES, "noise_level", "fire_smoke_detector_state"]
SENSORS = [
    a_sensor(i + 1, category, asset="asset-1", params={"interval_s": 60.0, "stroke": 100.0, "max_gap": 0.1})
    for i, category in enumerate(CATEGORIES)
]
RULES = [
    a_rule(category)
    for category in VALUES
    if category not in ("bridge_structure_temp", "noise_level", "gas_valve_position")
] + [
    a_rule(
        "noise_level",
        levels={4: "v>=70"},
        group=Group(at_least=2),
        schedule=Schedule(hours=("08:00-08:20", "08:40-10:00")),
    )
]
PROGRAM = compile_program(a_registry(*SENSORS), RULES, 0)


@pytest.fixture(autouse=True)
def _learned_in_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "LEARN_US", 600_000_000)
    monkeypatch.setattr(learned, "LEAST_FIT", 8)


@st.composite
def logs(draw: st.DrawFn) -> Log:
    """Some minutes; sensors report in any order, some twice in a frame, some late."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    log: Log = []
    mood = {sensor.sensor: 0 for sensor in SENSORS}
    now = 0.0
    for sequence in range(1, draw(st.integers(5, 40))):
        now += float(rng.choice([20, 60, 60, 61]))
        readings = []
        for place in rng.permutation(len(SENSORS)):
            sensor = SENSORS[place]
            if rng.random() < 0.2:
                mood[sensor.sensor] = int(rng.integers(len(VALUES[sensor.category or ""])))
            for _ in range(int(rng.choice([0, 1, 1, 1, 2]))):
                value = VALUES[sensor.category or ""][mood[sensor.sensor]]
                offset = float(rng.choice([0, -0.5, -1, -90]))
                readings.append(a_reading(sensor.sensor, now + offset, value))
        log.append(a_frame(*readings, sequence=sequence, received=now + 1))
        if rng.random() < 0.7:
            log.append(a_tick(now + 5))
    return log


def messages(log: Log, cuts: Sequence[int] = ()) -> list[bytes]:
    partition = Partition(PROGRAM)
    edges = [0, *sorted(cuts), len(log)]
    return [
        alerts.encode(message)
        for start, end in itertools.pairwise(edges)
        for message in partition.fold(log[start:end])
    ]


slowly = settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
    ],
)


@slowly
@given(log=logs(), data=st.data())
def test_what_others_say_is_looked_at_as_it_stood_at_that_place_of_the_log(
    log: Log, data: st.DataObject
) -> None:
    whole = messages(log)
    assert messages(log, range(len(log))) == whole
    assert messages(log, data.draw(st.lists(st.integers(0, len(log)), max_size=6))) == whole


@slowly
@given(log=logs(), data=st.data())
def test_a_restart_forgets_nothing_learned_or_looked_at(log: Log, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(log)))
    partition = Partition(PROGRAM)
    found = partition.fold(log[:cut])
    restored = Partition.restore(PROGRAM, partition.snapshot())
    found += restored.fold(log[cut:])
    assert [alerts.encode(message) for message in found] == messages(log)


def test_the_laws_are_about_rules_that_look_around() -> None:
    assert any(lane.sources is not None for lane in PROGRAM.lanes)
    assert any(lane.schedule is not None for lane in PROGRAM.lanes)
    facts = [bound.facts for lane in PROGRAM.lanes for bound in lane.bounds]
    assert any(fact.baseline for fact in facts)
    assert any(fact.line for fact in facts)
    assert any(fact.hour for fact in facts)
