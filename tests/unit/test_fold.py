"""The log becomes alerts: what is raised, at which level, once, and what must not be."""

import math
from collections.abc import Sequence

import pytest

from detectors.fold import Partition, SnapshotError
from detectors.program import compile_program
from schemas import alert as alerts
from schemas.alert import Alert, alert_id
from schemas.clock import to_us
from schemas.control import Control, Gap, Ownership, RulesVersion
from schemas.default_rules import default_rules
from schemas.frame import Frame, SegmentFlag
from schemas.reading import Flag, Quality
from schemas.registry import Registry, Sensor
from schemas.rule import Rule
from tests.builders import (
    WALL,
    a_frame,
    a_gateway,
    a_reading,
    a_registry,
    a_rule,
    a_sensor,
    a_tick,
    after,
    an_equipment_rule,
)


def a_partition(*sensors: Sensor, rules: Sequence[Rule] = (), registry: Registry | None = None) -> Partition:
    registry = registry or a_registry(*sensors)
    return Partition(compile_program(registry, rules or default_rules(judgement_live=True), 0))


def minute_by_minute(values: Sequence[float], sensor: int = 1, start: int = 0) -> list[Frame | Control]:
    """A reading a minute, a tick half a minute after each."""
    log: list[Frame | Control] = []
    for i, value in enumerate(values, start):
        log += [a_frame(a_reading(sensor, 60 * i, value), sequence=i + 1), a_tick(60 * i + 30)]
    return log


def told(messages: Sequence[Alert]) -> list[tuple[str, int]]:
    return [(message.change, message.level) for message in messages]


@pytest.mark.parametrize(
    ("category", "params", "normal", "fault", "level", "reports"),
    [
        ("gas_manhole_methane", {}, 0.02, 3.25, 2, 2),
        ("gas_manhole_methane", {}, 0.02, 4.5, 1, 1),
        ("water_main_pressure", {}, 0.35, 0.275, 2, 1),
        ("heat_primary_return_pressure", {}, 0.35, 0.275, 2, 1),
        ("bridge_strain", {"design": 400.0}, 40.0, 360.0, 2, 1),
        ("bridge_strain", {"design": 400.0}, 40.0, -360.0, 2, 1),
        ("fire_smoke_detector_state", {}, 0.0, 1.0, 2, 1),
    ],
)
def test_each_planted_fault_is_raised_at_its_level_and_once(
    category: str, params: dict[str, float], normal: float, fault: float, level: int, reports: int
) -> None:
    sensor = a_sensor(1, category, params={"interval_s": 60.0} | params)
    partition = a_partition(sensor, rules=[a_rule(category)])
    assert partition.fold(minute_by_minute([normal] * 10)) == []
    messages = partition.fold(minute_by_minute([fault] * 3, start=10))
    assert told(messages) == [("raise", level)]
    (alert,) = messages
    assert to_us(alert.since) == after(600)
    assert alert.alert_id == alert_id(category.replace("_", "-"), "live", sensor.key, after(600))
    cleared = partition.fold(minute_by_minute([normal] * 10, start=15))
    assert told(cleared) == [("clear", level)]
    assert (cleared[0].alert_id, cleared[0].seq, cleared[0].state) == (alert.alert_id, 2, "cleared")
    assert partition.open_episodes() == []


def test_a_hold_in_time_matures_by_a_tick() -> None:
    partition = a_partition(
        a_sensor(1, "heat_primary_return_pressure"), rules=[a_rule("heat_primary_return_pressure")]
    )
    assert partition.fold([a_frame(a_reading(1, 0, 0.14)), a_tick(29.9)]) == []
    (alert,) = partition.fold([a_tick(30.0)])
    assert (alert.level, alert.correlation) == (2, None)
    assert to_us(alert.since) == after(0)
    assert to_us(alert.observed_at) == after(30)
    assert alert.published_at is not None
    assert to_us(alert.published_at) == WALL + 30_000_000


def test_the_clock_of_a_sensor_runs_from_its_newest_reading() -> None:
    """A reading that travelled for an hour is not an hour old in its own time."""
    partition = a_partition(
        a_sensor(1, "heat_primary_return_pressure"), rules=[a_rule("heat_primary_return_pressure")]
    )
    assert partition.fold([a_frame(a_reading(1, 0, 0.14), received=3600), a_tick(3629)]) == []
    assert told(partition.fold([a_tick(3630)])) == [("raise", 2)]


def test_ticks_of_an_older_generation_are_ignored() -> None:
    partition = a_partition(
        a_sensor(1, "heat_primary_return_pressure"), rules=[a_rule("heat_primary_return_pressure")]
    )
    log: list[Frame | Control] = [a_frame(a_reading(1, 0, 0.14)), a_tick(1, generation=2)]
    assert partition.fold([*log, a_tick(60, generation=1)]) == []
    assert told(partition.fold([a_tick(60, generation=2)])) == [("raise", 2)]


def test_a_tick_moves_only_what_its_ingest_owns() -> None:
    sensor = a_sensor(1, "heat_primary_return_pressure")
    partition = a_partition(
        sensor, rules=[a_rule("heat_primary_return_pressure"), an_equipment_rule("blind-area")]
    )
    log: list[Frame | Control] = [
        Ownership("ingest-1", 1),
        Ownership("ingest-2", 2, ("gw-1",)),
        a_frame(a_reading(1, 0, 0.14)),
        a_tick(60, silent=["gw-1"], ingest="ingest-1"),
    ]
    assert partition.fold(log) == []
    assert told(partition.fold([a_tick(60, generation=2, ingest="ingest-2")])) == [("raise", 2)]


def test_a_duplicate_frame_counts_once() -> None:
    partition = a_partition(a_sensor(1), rules=[a_rule()])
    frame = a_frame(a_reading(1, 60, 3.25), sequence=2)
    assert partition.fold([a_frame(a_reading(1, 0, 0.02)), frame, frame, frame]) == []
    assert told(partition.fold([a_frame(a_reading(1, 120, 3.25), sequence=3)])) == [("raise", 2)]


def test_a_late_frame_fills_its_gap_and_a_given_up_one_does_not() -> None:
    partition = a_partition(a_sensor(1), rules=[a_rule()])
    late = a_frame(a_reading(1, 60, 4.5), sequence=2, received=200)
    log: list[Frame | Control] = [a_frame(a_reading(1, 0, 0.0)), a_frame(a_reading(1, 30, 0.0), sequence=3)]
    assert told(partition.fold([*log, late])) == [("raise", 1)]
    partition = a_partition(a_sensor(1), rules=[a_rule()])
    assert partition.fold([*log, Gap("gw-1", 1, 2, 2), late]) == []


@pytest.mark.parametrize(
    "frame",
    [
        a_frame(a_reading(1, 60, 9.0), sequence=2, flags=int(SegmentFlag.sequenced | SegmentFlag.backfill)),
        a_frame(a_reading(1, 60, 9.0, quality=int(Quality.suspect)), sequence=2),
        a_frame(a_reading(1, 60, 9.0, quality=int(Quality.test)), sequence=2),
        a_frame(a_reading(1, 60, 0.0, flags=int(Flag.text)), sequence=2, texts=("ok",)),
        a_frame(a_reading(1, -60, 9.0), sequence=2, received=60),
        a_frame(a_reading(1, 0, 9.0), sequence=2, received=60),
        a_frame(a_reading(1, 361, 9.0), sequence=2, received=60),
        a_frame(a_reading(1, 60, math.nan), sequence=2),
        a_frame(a_reading(1, 60, math.inf), sequence=2),
        a_frame(a_reading(77, 60, 9.0), sequence=2),
        a_frame(sequence=2, received=60),
    ],
    ids=[
        "backfill",
        "suspect",
        "test",
        "text",
        "late",
        "same time",
        "ahead",
        "nan",
        "inf",
        "unknown",
        "empty",
    ],
)
def test_what_is_not_scored_raises_nothing_and_is_never_the_newest(frame: Frame) -> None:
    partition = a_partition(a_sensor(1), rules=[a_rule()])
    assert partition.fold([a_frame(a_reading(1, 0, 0.02)), frame]) == []
    assert told(partition.fold([a_frame(a_reading(1, 61, 4.5), sequence=3)])) == [("raise", 1)]


def test_over_range_and_manual_values_are_scored() -> None:
    for quality in (Quality.over_range, Quality.manual):
        partition = a_partition(a_sensor(1), rules=[a_rule()])
        assert told(partition.fold([a_frame(a_reading(1, 0, 20.0, quality=int(quality)))])) == [("raise", 1)]


def test_a_silent_gateway_is_one_alert_for_all_its_sensors() -> None:
    sensors = [a_sensor(i) for i in range(1, 6)]
    partition = a_partition(*sensors)
    partition.fold([a_frame(*(a_reading(i, 0, 0.02) for i in range(1, 6))), a_tick(30)])
    messages = partition.fold([a_tick(60 * m, silent=["gw-1"]) for m in range(11, 40)])
    assert told(messages) == [("raise", 3)]
    (alert,) = messages
    assert (alert.subject, alert.network, alert.category) == ("gateway/gw-1", "device", "device_silence")
    assert (alert.zone, alert.district) == ("shinan-01", "shinan")
    assert to_us(alert.since) == after(0)
    back = partition.fold(
        [a_frame(*(a_reading(i, 2500, 0.02) for i in range(1, 6)), sequence=2), a_tick(2501)]
    )
    assert told(back) == [("clear", 3)]


def test_a_blind_area_ends_only_when_the_gateway_was_heard() -> None:
    """A new ingest does not know yet that the gateway is silent; that is no sign of life."""
    partition = a_partition(a_sensor(1))
    partition.fold([a_frame(a_reading(1, 0, 0.02)), a_tick(700, silent=["gw-1"])])
    assert partition.fold([a_tick(760, generation=2), a_tick(820, silent=["gw-1"], generation=2)]) == []


def test_a_gateway_that_was_never_heard_is_not_a_blind_area() -> None:
    partition = a_partition(a_sensor(1))
    assert partition.fold([a_tick(60 * m, silent=["gw-1", "gw-unknown"]) for m in range(20)]) == []


def test_holds_do_not_mature_over_a_blind_area() -> None:
    rule = a_rule("gas_pipe_pressure_low")  # 10 min
    partition = a_partition(a_sensor(1, "gas_pipe_pressure_low"), rules=[rule])
    partition.fold([a_frame(a_reading(1, 0, 0.9)), a_tick(30)])
    assert partition.fold([a_tick(60 * m, silent=["gw-1"]) for m in range(11, 40)]) == []
    again = a_frame(a_reading(1, 2400, 0.9), sequence=2)
    assert partition.fold([again, a_tick(2401), a_tick(2700)]) == []
    assert told(partition.fold([a_tick(2999), a_tick(3000)])) == [("raise", 2)]


def test_an_outage_of_our_own_matures_nothing() -> None:
    rule = a_rule("gas_pipe_pressure_low")
    partition = a_partition(a_sensor(1, "gas_pipe_pressure_low"), rules=[rule])
    assert partition.fold([a_frame(a_reading(1, 0, 0.9)), a_tick(10), a_tick(7200), a_tick(7260)]) == []


def test_a_clock_that_is_set_back_matures_nothing() -> None:
    """Ingest's clock had been an hour ahead; the gateway's never was."""
    rule = a_rule("gas_pipe_pressure_low")  # 10 min
    partition = a_partition(a_sensor(1, "gas_pipe_pressure_low"), rules=[rule])
    fine = a_reading(1, 0, 2.5), a_reading(1, 60, 2.5)
    log: list[Frame | Control] = [a_frame(fine[0], received=0), a_tick(10), a_tick(3610)]
    log += [a_frame(fine[1], sequence=2, received=3660), a_tick(3661)]
    assert partition.fold(log) == []
    low = a_frame(a_reading(1, 120, 0.9), sequence=3, received=120)
    assert partition.fold([low, a_tick(121), a_tick(420), a_tick(719)]) == []
    assert told(partition.fold([a_tick(720)])) == [("raise", 2)]


def test_a_blind_area_ends_when_the_gateway_was_heard_by_a_clock_that_was_set_back() -> None:
    partition = a_partition(a_sensor(1))
    partition.fold([a_frame(a_reading(1, 0, 0.02), received=3600), a_tick(3601)])
    assert told(partition.fold([a_tick(4300, silent=["gw-1"])])) == [("raise", 3)]
    assert partition.fold([a_tick(760, silent=["gw-1"])]) == []
    heard = a_frame(a_reading(1, 770, 0.02), sequence=2, received=770)
    assert told(partition.fold([heard, a_tick(771)])) == [("clear", 3)]


def test_a_sensor_is_silent_while_its_gateway_reports() -> None:
    partition = a_partition(a_sensor(1), a_sensor(2), rules=[an_equipment_rule("device-silence")])
    log: list[Frame | Control] = [a_frame(a_reading(1, 0, 0.02), a_reading(2, 0, 0.02)), a_tick(1)]
    for i in range(1, 6):
        log += [a_frame(a_reading(2, 60 * i, 0.02), sequence=i + 1), a_tick(60 * i + 1)]
    messages = partition.fold(log)
    assert told(messages) == [("raise", 4), ("upgrade", 3)]
    assert {message.subject for message in messages} == {"sensor/gw-1/p1"}
    assert to_us(messages[0].since) == after(0)
    assert messages[0].category == "device_silence"
    back = partition.fold(
        [a_frame(a_reading(1, 360, 0.02), a_reading(2, 360, 0.02), sequence=7), a_tick(361)]
    )
    assert told(back) == [("clear", 3)]


def test_neither_an_outage_nor_the_backlog_after_it_makes_a_sensor_silent() -> None:
    """Ten hours without frames, then all of them at once, each gateway's points spread over two frames."""
    partition = a_partition(a_sensor(1), a_sensor(2), rules=[an_equipment_rule("device-silence")])
    log: list[Frame | Control] = [
        a_frame(a_reading(1, 0, 0.02), sequence=1),
        a_frame(a_reading(2, 1, 0.02), sequence=2),
        a_tick(2),
        a_tick(36_000),
    ]
    for i in range(1, 600):
        log += [
            a_frame(a_reading(1, 60 * i, 0.02), sequence=2 * i + 1, received=36_000 + i),
            a_tick(36_000 + i),
        ]
        log += [a_frame(a_reading(2, 60 * i + 1, 0.02), sequence=2 * i + 2, received=36_000 + i)]
    assert partition.fold(log) == []
    lost: list[Frame | Control] = [
        a_frame(a_reading(1, 90_000, 0.02), sequence=2000),
        a_tick(90_001),
        a_frame(a_reading(2, 90_001, 0.02), sequence=2001),
        a_tick(90_002),
    ]
    assert partition.fold(lost) == []


def test_a_sensor_that_only_reports_events_is_never_silent() -> None:
    partition = a_partition(
        a_sensor(1, "fire_manual_call_point", params={}),
        a_sensor(2),
        rules=[an_equipment_rule("device-silence")],
    )
    log: list[Frame | Control] = [a_frame(a_reading(1, 0, 0.0), a_reading(2, 0, 0.02))]
    for i in range(1, 100):
        log += [a_frame(a_reading(2, 60 * i, 0.02), sequence=i + 1), a_tick(60 * i)]
    assert partition.fold(log) == []


def test_a_sensor_whose_clock_only_ever_ran_ahead_is_not_called_silent() -> None:
    partition = a_partition(a_sensor(1), a_sensor(2), rules=[an_equipment_rule("device-silence")])
    ahead = a_frame(a_reading(1, 4000, 0.02), a_reading(2, 0, 0.02), received=1)
    log: list[Frame | Control] = [ahead, a_tick(2)]
    for i in range(1, 10):
        log += [a_frame(a_reading(2, 60 * i, 0.02), sequence=i + 1), a_tick(60 * i + 1)]
    assert partition.fold(log) == []


def test_a_stuck_sensor_is_level_four_once() -> None:
    partition = a_partition(a_sensor(1, "water_main_pressure"), rules=[an_equipment_rule("device-stuck")])
    noisy = [0.351, 0.349, 0.352, 0.350, 0.353]
    messages = partition.fold(minute_by_minute([*noisy, *[0.347] * 40]))
    assert told(messages) == [("raise", 4)]
    assert (messages[0].network, messages[0].category) == ("device", "water_main_pressure")
    assert to_us(messages[0].since) == after(300)
    assert told(partition.fold(minute_by_minute(noisy, start=45))) == [("clear", 4)]


def test_a_quantity_resting_at_zero_is_not_stuck() -> None:
    partition = a_partition(a_sensor(1), rules=[an_equipment_rule("device-stuck")])
    assert partition.fold(minute_by_minute([0.0] * 100)) == []


def test_a_rule_too_sparse_for_its_window_says_so() -> None:
    sensor = a_sensor(1, "water_main_pressure", params={"interval_s": 900.0})
    program = compile_program(a_registry(sensor), [a_rule("water_main_pressure")], 0)
    assert any("too sparse" in found.reason for found in program.unguarded)
    partition = Partition(program)
    log = [a_frame(a_reading(1, 900 * i, 0.4 - 0.07 * i), sequence=i + 1) for i in range(3)]
    assert partition.fold(log) == []


def test_a_reading_far_beyond_sense_raises_no_exception() -> None:
    for category in ("gas_manhole_methane", "water_main_pressure", "gas_household_co", "weather_rain"):
        partition = a_partition(a_sensor(1, category))
        partition.fold(
            minute_by_minute([1e12, -1e12, 1e308, -1e308, 1e308, 0.0, 5e-324, math.nan, -math.inf])
        )


def test_evidence_says_what_against_what_since_when_and_who_agrees() -> None:
    partition = a_partition(*(a_sensor(i) for i in (1, 2, 3)), rules=[a_rule()])
    log: list[Frame | Control] = []
    for i in range(2):
        readings = a_reading(1, 60 * i, 3.25), a_reading(2, 60 * i, 0.7), a_reading(3, 60 * i, 0.02)
        log.append(a_frame(*readings, sequence=i + 1))
    first, second = partition.fold(log)
    assert first.evidence.text_zh == (
        "燃气相邻地下空间甲烷浓度 3.25 %VOL（限 2.5），08:00 起，同片区 2 个测点中 1 个同向。"
    )
    assert first.evidence.text_en == (
        "CH4 volume fraction in manhole/duct next to a gas main 3.25 %VOL (limit 2.5), since 08:00;"
        " 1 of 2 neighbours in the zone agree."
    )
    assert (first.evidence.value, first.evidence.limit, first.evidence.unit) == (3.25, 2.5, "%{vol}")
    assert first.evidence.condition == "v>=2.5"
    assert first.evidence.confidence == "judgement"
    assert first.evidence.neighbours == [
        {"subject": "sensor/gw-1/p2", "value": 0.7, "agrees": True},
        {"subject": "sensor/gw-1/p3", "value": 0.02, "agrees": False},
    ]
    assert any("pipe_evidence" in reason for reason in first.evidence.unguarded)
    assert first.correlation == "gw-1/1/2"
    assert first.published_at is not None
    assert to_us(first.published_at) == WALL + 60_000_000 - 20_000
    assert second.subject == "sensor/gw-1/p2"
    assert alerts.decode(alerts.encode(first)) == first


def test_own_weather_is_an_observation_and_never_an_official_warning() -> None:
    partition = a_partition(a_sensor(1, "weather_wind_gust"), rules=[a_rule("weather_wind_gust")])
    (alert,) = partition.fold([a_frame(a_reading(1, 0, 21.5))])
    assert alert.evidence.text_zh == "实况提示：阵风 21.5 m/s（限 20.8），08:00 起。"
    assert alert.evidence.text_en == "Observation: 3-s gust 21.5 m/s (limit 20.8), since 08:00."


def test_a_neighbour_is_shown_as_it_stood_at_that_place_of_the_log() -> None:
    log = [
        a_frame(a_reading(1, 0, 4.5), sequence=1),
        a_frame(a_reading(2, 1, 4.5), sequence=2),
        a_frame(a_reading(1, 60, 0.1), sequence=3),
    ]
    together = a_partition(a_sensor(1), a_sensor(2), rules=[a_rule()]).fold(log)
    assert [m.evidence.neighbours for m in together] == [
        [],
        [{"subject": "sensor/gw-1/p1", "value": 4.5, "agrees": True}],
    ]


def test_an_alert_grows_only_when_its_excess_doubles() -> None:
    partition = a_partition(a_sensor(1), rules=[a_rule()])
    messages = partition.fold(minute_by_minute([4.5 + 0.1 * i for i in range(150)]))
    assert told(messages) == [("raise", 1), *[("update", 1)] * 3]


def test_shadow_rules_say_so_and_drafts_say_nothing() -> None:
    rules = [a_rule(mode="shadow"), a_rule(name="gas-second", mode="draft")]
    (alert,) = a_partition(a_sensor(1), rules=rules).fold([a_frame(a_reading(1, 0, 4.5))])
    assert (alert.mode, alert.rule) == ("shadow", "gas-manhole-methane")


def test_two_rules_of_one_kind_on_a_sensor_both_run() -> None:
    rules = [a_rule(), a_rule(name="gas-strict", levels={3: "v>=0.3"}, hold="-")]
    messages = a_partition(a_sensor(1), rules=rules).fold([a_frame(a_reading(1, 0, 4.5))])
    assert {(m.rule, m.level) for m in messages} == {("gas-manhole-methane", 1), ("gas-strict", 3)}


def test_version_records_change_nothing_by_themselves() -> None:
    partition = a_partition(a_sensor(1), rules=[a_rule()])
    log: list[Frame | Control] = [
        a_frame(a_reading(1, 0, 3.25)),
        RulesVersion(2, 10),
        a_frame(a_reading(1, 60, 3.25), sequence=2),
    ]
    assert told(partition.fold(log)) == [("raise", 2)]


def test_adopting_the_same_program_changes_nothing() -> None:
    partition = a_partition(a_sensor(1), rules=[a_rule()])
    partition.fold([a_frame(a_reading(1, 0, 3.25))])
    assert partition.adopt(compile_program(a_registry(a_sensor(1)), [a_rule()], 0)) == []
    assert told(partition.fold([a_frame(a_reading(1, 60, 3.25), sequence=2)])) == [("raise", 2)]


def test_a_new_sensor_leaves_the_others_where_they_were() -> None:
    partition = a_partition(a_sensor(5), rules=[a_rule()])
    partition.fold([a_frame(a_reading(5, 0, 3.25))])
    bigger = a_registry(a_sensor(1, "weather_rain"), a_sensor(5), a_sensor(9, "bridge_strain"))
    assert partition.adopt(compile_program(bigger, default_rules(judgement_live=True), 0)) == []
    assert told(partition.fold([a_frame(a_reading(5, 60, 3.25), sequence=2)])) == [("raise", 2)]


@pytest.mark.parametrize("what", ["rule", "sensor"])
def test_an_episode_whose_rule_or_sensor_vanished_is_cleared(what: str) -> None:
    partition = a_partition(a_sensor(1), rules=[a_rule()])
    (alert,) = partition.fold([a_frame(a_reading(1, 0, 4.5)), a_tick(30)])
    registry, rules = a_registry(a_sensor(1)), [a_rule()]
    if what == "rule":
        rules = [a_rule(mode="draft")]
    else:
        registry = a_registry(a_sensor(1, state="retired"))
    (clear,) = partition.adopt(compile_program(registry, rules, 0))
    assert (clear.alert_id, clear.seq, clear.change, clear.level) == (alert.alert_id, 2, "clear", 1)
    assert to_us(clear.observed_at) == after(30)
    assert partition.open_episodes() == []


def test_a_changed_rule_keeps_its_episode_and_judges_by_its_new_limits() -> None:
    partition = a_partition(a_sensor(1), rules=[a_rule()])
    (alert,) = partition.fold([a_frame(a_reading(1, 0, 4.5))])
    milder = a_rule(levels={3: "v>=4.0"}, hold="-")
    assert partition.adopt(compile_program(a_registry(a_sensor(1)), [milder], 0)) == []
    log = [a_frame(a_reading(1, 60 * i, 4.5), sequence=i + 1) for i in range(1, 4)]
    (down,) = partition.fold(log)
    assert (down.change, down.level, down.alert_id) == ("downgrade", 3, alert.alert_id)


def test_a_snapshot_of_another_program_gives_the_clears_that_are_due() -> None:
    partition = a_partition(a_sensor(1), a_sensor(2), rules=[a_rule()])
    partition.fold([a_frame(a_reading(1, 0, 4.5), a_reading(2, 0, 0.02))])
    smaller = compile_program(a_registry(a_sensor(2)), [a_rule()], 0)
    restored = Partition.restore(smaller, partition.snapshot())
    assert told(restored.fold([])) == [("clear", 1)]
    assert restored.fold([]) == []


def test_damaged_snapshots_are_refused() -> None:
    partition = a_partition(a_sensor(1))
    data = partition.snapshot()
    for bad in (b"", data[:50], b"XXXX" + data[4:], data[:4] + b"\x09" + data[5:], data[:-1]):
        with pytest.raises(SnapshotError):
            Partition.restore(partition.program, bad)


def test_state_stays_under_two_kilobytes_a_sensor() -> None:
    """One sensor of every category with a rule; a snapshot holds all state there is."""
    rules = default_rules(judgement_live=True)
    keys = [rule.selector.categories[0] for rule in rules if rule.detector == "threshold"]
    sensors = [a_sensor(i + 1, key) for i, key in enumerate(keys * 5)]
    partition = a_partition(*sensors, rules=rules)
    assert len(partition.snapshot()) / len(sensors) < 2000


def test_gateways_of_other_partitions_are_not_compiled() -> None:
    registry = a_registry(a_sensor(1), gateways=[a_gateway("gw-1")])
    assert compile_program(registry, [a_rule()], 1).sensors == ()
    assert Partition(compile_program(registry, [a_rule()], 1)).fold([a_frame(a_reading(1, 0, 4.5))]) == []
