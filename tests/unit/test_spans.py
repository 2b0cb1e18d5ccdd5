"""Spans: every time has exactly one, near times a narrow one, far times share a month."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.reading import EARLIEST_US
from streams.span_tables import BUSY_ROWS_S, CLOSED_AFTER_US, QUIET_ROWS_S, Table, index_change
from streams.spans import DAY_US, HOUR_US, LAST_US, Span, missing, width_us

NOON_US = 1_772_452_800_000_000  # 2026-03-02T12:00Z

times = st.one_of(
    st.integers(EARLIEST_US, LAST_US - 1),
    st.integers(NOON_US - 40 * DAY_US, NOON_US + 2 * DAY_US),
)


@given(st.lists(st.tuples(times, st.lists(times, min_size=1, max_size=20)), min_size=1, max_size=5))
def test_every_time_gets_one_span_however_they_come(batches: list[tuple[int, list[int]]]) -> None:
    spans: list[Span] = []
    for city_us, wanted in batches:
        spans = sorted(spans + missing(np.array(wanted), spans, city_us, HOUR_US))
        for time in wanted:
            assert sum(span.start <= time < span.end for span in spans) == 1
    for before, after in itertools.pairwise(spans):
        assert before.end <= after.start
    assert len({span.name for span in spans}) == len(spans)


def test_a_year_of_history_is_a_dozen_spans_and_leaves_the_present_its_hours() -> None:
    year = np.arange(NOON_US - 365 * DAY_US, NOON_US, HOUR_US)
    spans = missing(year, [], NOON_US, HOUR_US)
    far = [span for span in spans if span.end - span.start > HOUR_US]
    assert len(far) <= 13
    assert all(span.end <= NOON_US - DAY_US for span in far)
    assert all(span.end - span.start == HOUR_US for span in spans if span.start >= NOON_US - DAY_US)


def test_a_late_time_between_narrow_spans_gets_what_is_free() -> None:
    there = [Span(NOON_US - 10 * DAY_US, NOON_US - 10 * DAY_US + HOUR_US)]
    (found,) = missing(np.array([NOON_US - 10 * DAY_US + 2 * HOUR_US]), there, NOON_US, HOUR_US)
    assert found.start == there[0].end


def test_nothing_is_missing_where_a_span_is() -> None:
    assert missing(np.array([5, 6]), [Span(0, 60_000_000)], 0, HOUR_US) == []
    assert missing(np.array([], np.int64), [], 0, HOUR_US) == []


def test_a_fast_city_has_a_table_a_day() -> None:
    assert width_us(1.0) == HOUR_US
    assert width_us(60.0) == DAY_US


OPEN = Span(NOON_US, NOON_US + HOUR_US)
OVER_US = OPEN.end + CLOSED_AFTER_US


@pytest.mark.parametrize(
    ("indexed", "whole", "city_us", "rows_s", "change"),
    [
        (False, False, NOON_US, QUIET_ROWS_S - 1, "build"),
        (False, False, NOON_US, QUIET_ROWS_S + 1, None),
        (False, False, OVER_US, BUSY_ROWS_S + 1, "build"),
        (True, True, NOON_US, BUSY_ROWS_S - 1, None),
        (True, True, NOON_US, BUSY_ROWS_S + 1, "drop"),
        (True, True, OVER_US, BUSY_ROWS_S + 1, None),
        (True, False, OVER_US, BUSY_ROWS_S + 1, "rebuild"),
        (True, False, NOON_US, BUSY_ROWS_S + 1, "drop"),
    ],
)
def test_the_exact_index_follows_what_comes_in(
    indexed: bool, whole: bool, city_us: int, rows_s: float, change: str | None
) -> None:
    assert index_change(Table(OPEN, indexed, whole), city_us, rows_s) == change
