"""A gateway whose clock is off is told once, with how far it is off; late data and replays are no clock."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from detectors.fold import Partition
from detectors.program import compile_program
from schemas.alert import Alert
from schemas.clock import to_us
from schemas.control import Control
from schemas.default_rules import default_rules
from schemas.frame import Frame, SegmentFlag
from tests.builders import a_frame, a_reading, a_registry, a_sensor, a_tick, after

Log = list[Frame | Control]
HOUR = 3600.0
SENSORS = (a_sensor(1), a_sensor(2))


def a_partition() -> Partition:
    return Partition(compile_program(a_registry(*SENSORS), default_rules(judgement_live=False), 0))


def minutes(begin: int, end: int, off: float = 0.0, *, spent: int = 0) -> Log:
    """Of each minute a frame, dated `off` seconds wrong, and a tick; `spent` frames went before it, too."""
    log: Log = []
    for minute in range(begin, end):
        at = 60 * minute
        readings = [a_reading(sensor.sensor, at + off, 0.02) for sensor in SENSORS]
        log += [a_frame(*readings, sequence=minute + 1 + spent, received=at + 1), a_tick(at + 2)]
    return log


def told(messages: Sequence[Alert]) -> list[tuple[str, str, int]]:
    return [(message.rule, message.change, message.level) for message in messages]


RAISED, CLEARED = ("gateway-clock", "raise", 3), ("gateway-clock", "clear", 3)


def test_a_clock_an_hour_ahead_is_told_after_ten_minutes_and_how_far_it_is_off() -> None:
    partition = a_partition()
    assert partition.fold(minutes(0, 5)) == []
    (raised,) = partition.fold(minutes(5, 60, HOUR))
    assert told([raised]) == [RAISED]
    assert (raised.subject, raised.category, raised.network) == ("gateway/gw-1", "device_silence", "device")
    assert to_us(raised.since) == after(301)
    assert to_us(raised.observed_at) == after(902)
    assert raised.evidence.value == pytest.approx(HOUR - 1)
    assert raised.evidence.unit == "s"
    assert "60 min ahead: readings of its 2 points are kept and not judged" in raised.evidence.text_en
    assert "时钟快 60 分钟" in raised.evidence.text_zh
    assert told(partition.fold(minutes(60, 90))) == [CLEARED]


def test_a_clock_that_is_set_back_is_told_until_it_is_right_though_its_readings_are_judged_again() -> None:
    partition = a_partition()
    assert partition.fold(minutes(0, 120)) == []
    messages = partition.fold(minutes(120, 240, -HOUR))
    assert told(messages) == [RAISED]
    assert messages[0].evidence.value == pytest.approx(-HOUR)
    assert "1 h behind" in messages[0].evidence.text_en
    assert told(partition.fold(minutes(240, 242))) == [CLEARED]


def test_one_device_of_several_that_runs_ahead_is_told_and_once() -> None:
    partition = a_partition()
    log: Log = []
    for minute in range(60):
        at = 60 * minute
        ahead = a_reading(2, at + HOUR, 0.02)
        log += [a_frame(a_reading(1, at, 0.02), ahead, sequence=minute + 1, received=at + 1), a_tick(at + 2)]
    assert [one for one in told(partition.fold(log)) if one[0] == "gateway-clock"] == [RAISED]


def test_a_single_frame_from_the_future_or_from_long_ago_is_no_clock() -> None:
    partition = a_partition()
    for spent, off in enumerate((HOUR, -HOUR)):
        begin = 60 * spent
        log = [
            *minutes(begin, begin + 30, spent=spent),
            *minutes(begin + 29, begin + 30, off, spent=spent + 1),
        ]
        log += minutes(begin + 30, begin + 60, spent=spent + 1)
        assert partition.fold(log) == []


def test_a_backlog_after_an_outage_is_no_clock() -> None:
    partition = a_partition()
    log = minutes(0, 10)
    for minute in range(10, 130):  # kept for two hours, then sent within twenty minutes
        at, received = 60 * minute, 130 * 60 + 10 * (minute - 10)
        frame = a_frame(
            a_reading(1, at, 0.02), a_reading(2, at, 0.02), sequence=minute + 1, received=received
        )
        log += [frame, a_tick(received + 1)]
    assert partition.fold([*log, *minutes(151, 170)]) == []


def test_old_data_in_its_own_lane_and_a_replay_of_another_year_are_no_clock() -> None:
    year = 365 * 86_400
    assert a_partition().fold(minutes(0, 60, -year)) == []
    partition = a_partition()
    partition.fold(minutes(0, 10))
    flags = int(SegmentFlag.sequenced | SegmentFlag.backfill)
    for minute in range(10, 60):
        at = 60 * minute
        old = a_frame(a_reading(1, at - year, 0.02), sequence=2 * minute, received=at + 1, flags=flags)
        fresh = a_frame(
            a_reading(1, at, 0.02), a_reading(2, at, 0.02), sequence=2 * minute + 1, received=at + 1
        )
        assert partition.fold([old, fresh, a_tick(at + 2)]) == []
