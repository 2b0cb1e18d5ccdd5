"""The time that a process goes by: the wall clock's, but not its leaps.

Between two looks the wall clock has to go on as far as the machine's steady clock did. If it leaps, somebody
set it, rightly or by mistake; one wrong hour would make readings look as if they came from the future and
deadlines as if they had passed. So we go on by the steady clock, say so, and follow only what has lasted.
Small differences are followed at once. Pure: both clocks are handed in, in microseconds.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from prometheus_client import Gauge

FOLLOWED_US = 1_000_000
LASTED_US = 10 * 60 * 1_000_000
"""A correction that is meant stays; a mistake is noticed and taken back."""

_OFF = Gauge("cityvigil_clock_off_seconds", "the wall clock less the time this process goes by; 0: the same")
log = logging.getLogger(__name__)


class Steady:
    def __init__(self, wall_us: Callable[[], int], steady_us: Callable[[], int]) -> None:
        self._wall_us = wall_us
        self._steady_us = steady_us
        self._offset_us = wall_us() - steady_us()
        self._off_us = 0
        self._leapt_at_us: int | None = None

    def now_us(self) -> int:
        """Microseconds since 1970."""
        wall_us, steady_us = self._wall_us(), self._steady_us()
        off_us = wall_us - steady_us - self._offset_us
        if abs(off_us) <= FOLLOWED_US:
            if self._leapt_at_us is not None:
                log.warning("the wall clock goes as before again")
                self._goes_by(wall_us, steady_us)
            self._offset_us += off_us
            return wall_us
        if self._leapt_at_us is None or abs(off_us - self._off_us) > FOLLOWED_US:
            self._leapt_at_us, self._off_us = steady_us, off_us
            _OFF.set(off_us / 1e6)
            log.error(
                "the wall clock leapt by %+.3f s: not followed unless it lasts %d s",
                off_us / 1e6,
                LASTED_US // 1_000_000,
            )
        elif steady_us - self._leapt_at_us >= LASTED_US:
            log.error("the wall clock's leap by %+.3f s lasts: followed from now on", off_us / 1e6)
            self._goes_by(wall_us, steady_us)
            return wall_us
        return steady_us + self._offset_us

    def _goes_by(self, wall_us: int, steady_us: int) -> None:
        self._offset_us = wall_us - steady_us
        self._leapt_at_us, self._off_us = None, 0
        _OFF.set(0)


def wall_us() -> int:
    return time.time_ns() // 1_000


def steady_us() -> int:
    """Goes on while the machine sleeps, where the system offers that."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)) // 1_000
