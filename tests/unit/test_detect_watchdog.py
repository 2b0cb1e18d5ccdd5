"""A partition that stands still while its log grows is noticed; one that is merely quiet is not."""

from __future__ import annotations

import pytest

from streams.watchdog import Stalled, Watchdog


def test_standing_still_while_the_log_grows_is_a_stall() -> None:
    watchdog = Watchdog(stalled_s=20)
    for now in range(0, 21, 2):
        assert watchdog.look(now, {0: 50}, {0: 60 + now}) == {0: 10 + now}
    with pytest.raises(Stalled, match=r"partition 0: the log ends at 82, 50 is next"):
        watchdog.look(22, {0: 50}, {0: 82})


def test_a_quiet_log_is_no_stall() -> None:
    watchdog = Watchdog(stalled_s=20)
    for now in range(0, 1000, 10):
        assert watchdog.look(now, {0: 50}, {0: 50}) == {0: 0}


def test_a_slow_partition_that_moves_is_no_stall() -> None:
    watchdog = Watchdog(stalled_s=20)
    for now in range(0, 1000, 10):
        watchdog.look(now, {0: now}, {0: 100_000})


def test_a_moving_partition_does_not_excuse_its_neighbour() -> None:
    watchdog = Watchdog(stalled_s=20)
    watchdog.look(0, {0: 1, 1: 7}, {0: 100, 1: 100})
    with pytest.raises(Stalled, match="partition 1"):
        watchdog.look(21, {0: 22, 1: 7}, {0: 100, 1: 100})


def test_time_in_which_kafka_could_not_be_asked_does_not_count() -> None:
    watchdog = Watchdog(stalled_s=20)
    watchdog.look(0, {0: 1}, {0: 100})
    watchdog.excuse()
    watchdog.look(60, {0: 1}, {0: 100})


def test_a_partition_that_went_and_came_back_starts_anew() -> None:
    watchdog = Watchdog(stalled_s=20)
    watchdog.look(0, {0: 1}, {0: 100})
    watchdog.look(15, {}, {})
    watchdog.look(30, {0: 1}, {0: 100})
