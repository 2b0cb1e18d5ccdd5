"""What cannot be judged is listed by sensor and reason, and a card's new words forget nothing learned."""

from __future__ import annotations

import msgspec

from cityvigil.unguarded import work_list
from detectors.fold import Partition
from detectors.program import compile_program
from schemas.cards import cards
from tests.builders import a_frame, a_reading, a_registry, a_rule, a_sensor


def test_the_work_list_names_the_parameter_that_a_site_lacks() -> None:
    lacking = a_sensor(1, "gas_pipe_pressure_medium")
    full = a_sensor(2, "gas_pipe_pressure_medium", params={"interval_s": 60.0, "op": 0.3, "mop": 0.4})
    rows = work_list(a_registry(lacking, full), [a_rule("gas_pipe_pressure_medium")])
    assert {(row.point, row.rule) for row in rows} == {("p1", "gas-pipe-pressure-medium")}
    assert any(row.reason == "level 4, v<=0.80*op: site parameter op is missing" for row in rows)


def test_a_sensor_nearby_guards_what_a_lonely_one_leaves_open() -> None:
    leak, rule = a_sensor(1, "gas_household_leak", asset="flat-1"), a_rule("gas_household_leak")
    valve = a_sensor(2, "gas_valve_position", asset="flat-1")
    alone = {row.reason for row in work_list(a_registry(leak), [rule])}
    together = {row.reason for row in work_list(a_registry(leak, valve), [rule])}
    assert alone - together == {"level 1, v>=25 for 60s & valve==open: no sensor nearby tells valve"}


def test_new_words_of_a_rule_forget_nothing_that_is_going_on() -> None:
    rule = a_rule("gas_manhole_methane", hold="3 reports")
    registry = a_registry(a_sensor(1))
    partition = Partition(compile_program(registry, [rule], 0))
    for minute in range(2):
        assert partition.fold([a_frame(a_reading(1, 60 * minute, 0.7), sequence=minute + 1)]) == []
    reworded = msgspec.structs.replace(rule, title_zh="新名", response=cards()["gas_station_leak"])
    assert reworded.version != rule.version
    assert partition.adopt(compile_program(registry, [reworded], 0)) == []
    (raised,) = partition.fold([a_frame(a_reading(1, 120, 0.7), sequence=3)])
    assert (raised.change, raised.rule_version) == ("raise", reworded.version)
