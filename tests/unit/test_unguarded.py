"""What cannot be judged is listed by sensor and reason, and a card's new words forget nothing learned."""

from __future__ import annotations

from pathlib import Path

import msgspec

from cityvigil.unguarded import learning_list, still_learning, unjudged, work_list
from detectors.fold import Partition
from detectors.learning import Learning, count, learning
from detectors.program import compile_program
from detectors.snapshot import pack
from schemas.cards import cards
from streams.places import Folder
from streams.state import Header, Snapshots
from tests.builders import a_frame, a_reading, a_registry, a_rule, a_sensor, after


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


def test_what_must_be_learned_first_is_listed_until_it_is_known(tmp_path: Path) -> None:
    stated = a_sensor(3, "water_bulk_meter_flow", params={"interval_s": 3600.0, "baseline": 100.0})
    learns = [a_sensor(n, "water_bulk_meter_flow", params={"interval_s": 3600.0}) for n in (1, 2)]
    registry = a_registry(*learns, stated, a_sensor(4, "gas_manhole_methane"))
    rules = [
        a_rule("water_bulk_meter_flow", levels={3: "dev>=50% for 1h"}),
        a_rule("gas_manhole_methane"),
        a_rule("water_bulk_meter_flow", name="in-shadow", levels={4: "dev>=20%"}, mode="shadow"),
    ]
    program = compile_program(registry, rules, 0)
    partition = Partition(program)

    def listed() -> dict[int, Learning]:
        return {one.sensor: one for one in learning(partition)}

    assert {one.rule for one in listed().values()} == {"water-bulk-meter-flow"}
    assert {number: (one.begun, one.alone) for number, one in listed().items()} == {
        1: (False, True),
        2: (False, True),
    }
    for hour in range(15 * 24):
        partition.fold([a_frame(a_reading(1, 3600 * hour, 100.0 + hour % 24), sequence=hour + 1)])
        if hour in (0, 14 * 24 - 1):
            assert listed()[1].until_us == after(14 * 86_400)
            assert count(partition) == (2, 2)
    assert set(listed()) == {2}

    snapshots = Snapshots(Folder(tmp_path))
    snapshots.open()
    header = Header(partition=0, generation=1, offset=1, registry=None, rules=None)
    snapshots.write(header, pack(partition.copy()))
    assert still_learning(registry, rules, snapshots) == learning(partition)
    found = unjudged(registry, rules, snapshots)
    (waits,) = [part for part in found[2] if part.learns]
    assert (waits.rule, waits.begun, waits.alone) == ("water-bulk-meter-flow", False, True)
    assert not any(part.learns for number in found.keys() - {2} for part in found[number])
    lacking = {(s, p.rule, p.what) for s, parts in found.items() for p in parts if not p.learns}
    assert lacking == set(program.unguarded)
    (row,) = learning_list(registry, still_learning(registry, rules, snapshots))
    assert (row.point, row.rule) == ("p2", "water-bulk-meter-flow")
    assert row.reason == "level 3, dev>=50% for 1h: learning has not begun, nothing else guards it"
    assert {one.sensor for one in still_learning(registry, rules, None)} == {1, 2}


def test_a_sensor_that_other_conditions_guard_is_listed_too_and_with_the_day_until_which() -> None:
    sensor = a_sensor(1, "water_bulk_meter_flow", params={"interval_s": 3600.0})
    rule = a_rule("water_bulk_meter_flow", levels={3: "dev>=50%", 2: "v>=9000"})
    registry = a_registry(sensor)
    partition = Partition(compile_program(registry, [rule], 0))
    partition.fold([a_frame(a_reading(1, 0, 100.0))])
    (row,) = learning_list(registry, learning(partition))
    assert row.reason == "level 3, dev>=50%: learning until 2026-03-16 08:00"
    assert count(partition) == (1, 0)
