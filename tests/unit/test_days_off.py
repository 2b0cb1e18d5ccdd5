"""Holidays on working days, and weekends that are worked in exchange."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from detectors import learned
from detectors.day_type import EXCEPTIONS, days_off, is_day_off
from detectors.schedule import masks, open_at
from schemas.clock import to_us
from schemas.rule import Schedule

LOCAL = dt.timezone(dt.timedelta(hours=8))


def number(day: str) -> int:
    return (dt.date.fromisoformat(day) - dt.date(1970, 1, 1)).days


@pytest.mark.parametrize(
    ("day", "off"),
    [
        ("2026-09-30", False),  # a Wednesday
        ("2026-10-01", True),  # National Day, a Thursday
        ("2026-10-10", False),  # a Saturday worked in exchange
        ("2026-10-17", True),  # a Saturday
        ("2026-02-17", True),  # Spring Festival, a Tuesday
        ("2026-02-28", False),
        ("2031-10-01", False),  # beyond the file, a Wednesday
    ],
)
def test_a_day_is_off_by_the_week_and_by_what_holidays_change(day: str, off: bool) -> None:
    assert is_day_off(number(day)) is off
    assert days_off(np.array([number(day)])).tolist() == [off]


def test_years_of_the_file_have_as_many_days_off_as_the_law_says() -> None:
    """Weekends, and eleven public holidays, thirteen since 2025: one on a weekend is made up for."""
    for year, holidays in ((2024, 11), (2025, 13), (2026, 13)):
        days = np.arange(number(f"{year}-01-01"), number(f"{year + 1}-01-01"))
        weekends = int(((days + 3) % 7 >= 5).sum())
        assert int(days_off(days).sum()) == weekends + holidays
    assert (np.diff(EXCEPTIONS) > 0).all()


def at(moment: str) -> int:
    return to_us(dt.datetime.fromisoformat(moment).replace(tzinfo=LOCAL))


def test_a_works_that_rests_on_a_holiday_is_as_usual_and_one_that_rests_on_a_wednesday_is_not() -> None:
    state = learned.fresh(1, baseline=True, line=False)
    calm = np.ones(1, bool)
    departs = {}
    for hour in range(at("2026-07-20T00:30"), at("2026-10-12T00:30"), learned.HOUR_US):
        day = (hour + learned.LOCAL_US) // learned.DAY_US
        rests = is_day_off(day) or day == number("2026-09-23")
        value = np.array([5.0 if rests else 100.0])
        state, departed, _ = learned.against_baseline(state, np.array([hour]), value, calm)
        departs[hour] = float(departed[0])
    noon = {day: departs[at(f"2026-{day}T12:30")] for day in ("09-23", "10-01", "10-07", "09-20", "10-10")}
    assert noon.pop("09-23") > 0.9
    assert all(departed == 0.0 for departed in noon.values()), noon


def test_a_schedule_may_name_days_of_work_and_days_off() -> None:
    mask = masks([Schedule(days=("workday",)), Schedule(days=("dayoff",)), Schedule(days=("sat",))])
    for moment, expected in (
        ("2026-09-30T12:00", [True, False, False]),
        ("2026-10-01T12:00", [False, True, False]),
        ("2026-10-10T12:00", [True, False, True]),
        ("2026-10-17T12:00", [False, True, True]),
    ):
        assert open_at(mask, np.arange(3), np.full(3, at(moment))).tolist() == expected, moment
