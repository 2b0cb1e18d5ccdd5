"""The time a process goes by, beside a wall clock that somebody sets."""

from __future__ import annotations

from cityvigil.steady import FOLLOWED_US, LASTED_US, Steady

HOUR_US = 3_600_000_000
SECOND_US = 1_000_000
BEGUN_US = 1_800_000_000_000_000


class Clocks:
    """A machine's two clocks; `off_us` is by how much the wall clock was set wrong."""

    def __init__(self) -> None:
        self.passed_us = 0
        self.off_us = 0
        self.time = Steady(
            lambda: BEGUN_US + self.passed_us + self.off_us, lambda: 5_000_000 + self.passed_us
        )

    def passes(self, us: int) -> int:
        """How far the process's time is from the true one after so long."""
        self.passed_us += us
        return self.time.now_us() - BEGUN_US - self.passed_us


def test_an_hour_that_is_taken_back_was_never_there() -> None:
    clocks = Clocks()
    for leap_us in (HOUR_US, -HOUR_US):
        clocks.off_us = leap_us
        assert [clocks.passes(SECOND_US) for _ in range(500)] == [0] * 500
        clocks.off_us = 0
        assert clocks.passes(SECOND_US) == 0


def test_a_leap_that_lasts_is_followed() -> None:
    clocks = Clocks()
    clocks.off_us = -HOUR_US
    assert clocks.passes(SECOND_US) == 0
    assert clocks.passes(LASTED_US - 1) == 0
    assert clocks.passes(1) == -HOUR_US
    assert clocks.passes(SECOND_US) == -HOUR_US
    clocks.off_us = 0
    assert clocks.passes(SECOND_US) == -HOUR_US, "the way back is a leap as well"
    assert clocks.passes(LASTED_US) == 0


def test_a_second_leap_begins_to_last_anew() -> None:
    clocks = Clocks()
    clocks.off_us = HOUR_US
    assert clocks.passes(SECOND_US) == 0
    assert clocks.passes(LASTED_US - 1) == 0
    clocks.off_us = 2 * HOUR_US
    assert clocks.passes(SECOND_US) == 0
    assert clocks.passes(LASTED_US - 1) == 0
    assert clocks.passes(1) == 2 * HOUR_US


def test_what_a_clock_is_set_by_every_day_is_followed_at_once() -> None:
    clocks = Clocks()
    for number in range(1, 100):
        clocks.off_us = number * FOLLOWED_US
        assert clocks.passes(SECOND_US) == clocks.off_us
