"""Values that a quantity cannot have are told as such, and nothing else is said or learned of them.

The law: whatever log is told (tests/told_logs.py), senseless values in it change no other rule's message.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectors.fold import Partition
from detectors.program import compile_program
from schemas import alert as alerts
from schemas.alert import Alert
from schemas.catalogue import catalogue
from schemas.control import Control
from schemas.default_rules import default_rules
from schemas.frame import Frame
from schemas.reading import RECORD, Quality
from schemas.rule import Rule
from tests.builders import a_frame, a_reading, a_registry, a_sensor, a_tick, an_equipment_rule
from tests.told_logs import PROGRAMS, SENSORS, Log, logs

CHECKS = "plausible"
OF = {sensor.sensor: catalogue()[sensor.category or ""] for sensor in SENSORS}


def with_nonsense(log: Log, rng: np.random.Generator) -> Log:
    """The same log; beside some readings stands another of that sensor and moment, which cannot be."""
    changed: dict[int, Frame | Control] = {}
    for entry in log:
        if isinstance(entry, Frame) and id(entry) not in changed:
            changed[id(entry)] = _spoilt(entry, rng)
    return [changed.get(id(entry), entry) for entry in log]


def _spoilt(frame: Frame, rng: np.random.Generator) -> Frame:
    records = []
    for record in frame.records:
        nonsense = record.copy()
        row = OF[int(record["sensor"])]
        wild = (row.plausible_max * 1000 + 1, row.plausible_min - 1, -9999.0, 1e12)
        nonsense["value"], nonsense["quality"] = rng.choice(wild), Quality.good
        pair = [record, nonsense] if rng.random() < 0.5 else [nonsense, record]
        records += pair if rng.random() < 0.3 else [record]
    segments = frame.segments.copy()
    segments["count"] = len(records)
    return Frame(segments, np.array(records, RECORD), frame.gateways, frame.texts)


def others(messages: list[Alert]) -> list[bytes]:
    return [alerts.encode(message) for message in messages if message.rule != CHECKS]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(log=logs(), seed=st.integers(0, 2**32), data=st.data())
def test_senseless_values_put_into_a_log_change_no_other_message(
    log: Log, seed: int, data: st.DataObject
) -> None:
    spoilt = with_nonsense(log, np.random.default_rng(seed))
    partition = Partition(PROGRAMS["all"])
    found = partition.fold(spoilt)
    assert others(found) == others(Partition(PROGRAMS["all"]).fold(log))
    cut = data.draw(st.integers(0, len(log)))
    first = Partition(PROGRAMS["all"])
    told = first.fold(spoilt[:cut])
    told += Partition.restore(PROGRAMS["all"], first.snapshot()).fold(spoilt[cut:])
    assert [alerts.encode(message) for message in told] == [alerts.encode(message) for message in found]


def minutes(values: list[float], quality: int = 0) -> Log:
    log: Log = []
    for i, value in enumerate(values):
        log += [a_frame(a_reading(1, 60 * i, value, quality), sequence=i + 1), a_tick(60 * i + 30)]
    return log


def told(
    category: str, values: list[float], rules: list[Rule] | None = None, quality: int = 0
) -> list[Alert]:
    program = compile_program(
        a_registry(a_sensor(1, category)), rules or default_rules(judgement_live=True), 0
    )
    return [m for m in Partition(program).fold(minutes(values, quality)) if m.mode == "live"]


@pytest.mark.parametrize("judgement_live", [True, False])
def test_a_pressure_sent_in_another_unit_is_a_device_at_fault_and_no_burst(judgement_live: bool) -> None:
    values = [0.35] * 5 + [350.0] * 4 + [0.35] * 5
    found = told("water_main_pressure", values, default_rules(judgement_live=judgement_live))
    assert [(m.rule, m.change, m.level) for m in found] == [
        ("device-plausible", "raise", 4),
        ("device-plausible", "clear", 4),
    ]
    assert "no other rule judges such readings" in found[0].evidence.text_en
    assert "不参与其他规则研判" in found[0].evidence.text_zh
    assert "judged again" in found[1].evidence.text_en


def test_a_real_extreme_within_the_range_is_judged() -> None:
    highest = catalogue()["gas_manhole_methane"].plausible_max
    found = told("gas_manhole_methane", [0.02] * 3 + [highest] * 3)
    assert ("gas-manhole-methane", "raise", 1) in [(m.rule, m.change, m.level) for m in found]
    assert "device-plausible" not in {m.rule for m in found}


def test_a_device_that_says_over_range_is_at_the_end_of_its_range() -> None:
    beyond = 10 * catalogue()["gas_manhole_methane"].plausible_max
    found = told("gas_manhole_methane", [beyond] * 3, quality=int(Quality.over_range))
    assert {(m.rule, m.level) for m in found} == {("gas-manhole-methane", 1)}
    assert found[0].evidence.value == catalogue()["gas_manhole_methane"].plausible_max


def test_where_nobody_would_be_told_of_the_device_its_values_are_judged() -> None:
    rules = [rule for rule in default_rules(judgement_live=True) if rule.name == "water-main-pressure"]
    values = [0.35] * 5 + [350.0] * 3
    alone = told("water_main_pressure", values, rules)
    in_shadow = told(
        "water_main_pressure", values, [*rules, an_equipment_rule("device-plausible", mode="shadow")]
    )
    assert [m.rule for m in in_shadow] == [m.rule for m in alone] == ["water-main-pressure"]
