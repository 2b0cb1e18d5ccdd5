"""What is counted of each sensor: readings, late ones, poor ones, and the newest, by the city's day."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.reading import RECORD, Quality
from streams import health
from streams.health import DAY_US, LATE_US, tally, together
from streams.recent import Recent

NOON = 20_000 * DAY_US + 4 * 3600 * 1_000_000  # of the city: 04:00 UTC
MINUTE_US = 60_000_000


def readings(*rows: tuple[int, int, float, Quality]) -> np.ndarray:
    """(sensor, time, value, quality)"""
    records = np.zeros(len(rows), RECORD)
    for at, (sensor, time, value, quality) in enumerate(rows):
        records[at] = (time, value, sensor, quality, 0, 0)
    return records


def none_twice(records: np.ndarray) -> np.ndarray:
    return np.zeros(len(records), bool)


def test_late_and_poor_readings_are_counted_apart_and_the_newest_is_known() -> None:
    records = readings(
        (7, NOON - LATE_US - 1, 1.0, Quality.good),
        (7, NOON, 2.0, Quality.fault),
        (8, NOON - LATE_US, 3.0, Quality.historical),
        (7, NOON - MINUTE_US, 4.0, Quality.good),
    )
    found = tally(records, np.full(4, NOON), np.array([False, False, True, False]))
    assert (found.key & 0xFFFF_FFFF).tolist() == [7, 8]
    assert set((found.key >> 32).tolist()) == {20_000}
    assert (found.n.tolist(), found.late.tolist(), found.poor.tolist()) == ([3, 1], [1, 0], [1, 0])
    assert found.twice.tolist() == [0, 1]
    assert (found.last_at.tolist(), found.last_value.tolist()) == ([NOON, NOON - LATE_US], [4.0, 3.0])


def test_a_day_of_the_city_begins_at_its_own_midnight() -> None:
    midnight = 20_000 * DAY_US + 16 * 3600 * 1_000_000
    records = readings((7, midnight, 1.0, Quality.good), (7, midnight, 1.0, Quality.good))
    found = tally(records, np.array([midnight - 1, midnight]), none_twice(records))
    assert (found.key >> 32).tolist() == [20_000, 20_001]


@given(
    rows=st.lists(
        st.tuples(st.integers(1, 5), st.integers(0, 40), st.floats(-9, 9), st.sampled_from(Quality)),
        max_size=40,
    ),
    cut=st.integers(0, 40),
)
def test_it_does_not_matter_where_the_log_is_cut(
    rows: list[tuple[int, int, float, Quality]], cut: int
) -> None:
    records = readings(*((s, NOON + m * MINUTE_US, v, q) for s, m, v, q in rows))
    received = np.full(len(records), NOON + 30 * MINUTE_US)
    twice = records["value"] > 0
    whole = tally(records, received, twice)
    cut = min(cut, len(records))
    parts = together(
        tally(records[:cut], received[:cut], twice[:cut]), tally(records[cut:], received[cut:], twice[cut:])
    )
    for expected, got in zip(whole, parts, strict=True):
        assert expected.tolist() == got.tolist()


def test_nothing_is_nothing() -> None:
    assert len(together(health.nothing(), health.nothing()).key) == 0


@pytest.mark.parametrize("quality", [Quality.good, Quality.manual, Quality.over_range, Quality.historical])
def test_what_detectors_would_look_at_is_not_poor(quality: Quality) -> None:
    records = readings((1, NOON, 1.0, quality))
    assert tally(records, np.array([NOON]), none_twice(records)).poor.tolist() == [0]


def test_a_reading_was_said_before_if_sensor_time_and_value_are_the_same() -> None:
    said = (7, NOON, 1.5, Quality.good)
    first = readings(said, (8, NOON, 1.5, Quality.good), (7, NOON + 1, 1.5, Quality.good), said)
    later = readings((7, NOON, 1.25, Quality.good), said, (8, NOON, 1.5, Quality.suspect))
    recent = Recent()
    assert recent.twice(first).tolist() == [False, False, False, True]
    assert recent.twice(later).tolist() == [False, True, True]


def test_what_was_said_long_ago_is_forgotten_and_nothing_new_is_taken_for_it() -> None:
    recent = Recent(bits=4)
    said = readings(*((sensor, NOON, 1.0, Quality.good) for sensor in range(1, 400)))
    assert not recent.twice(said).any()
    other = readings(*((sensor, NOON + 1, 1.0, Quality.good) for sensor in range(1, 400)))
    assert not recent.twice(other).any()
    assert not recent.twice(said).any()
