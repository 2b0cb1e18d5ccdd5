"""City time: what the city's sensors, rules and reports live in.

City time = base + scale x (wall - wall0). Scale is 1 in production (city time is wall time) and 60
in the demo. The three numbers are settled once per installation, kept in a control record of the
log, and handed to every service, so that a restart does not move the city's clock.
All times are integer microseconds since 1970 UTC.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class CityClock:
    base_us: int = 0
    wall0_us: int = 0
    scale: float = 1.0

    def city_us(self, wall_us: int) -> int:
        return self.base_us + round((wall_us - self.wall0_us) * self.scale)

    def wall_us(self, city_us: int) -> int:
        return self.wall0_us + round((city_us - self.base_us) / self.scale)

    def __str__(self) -> str:
        return f"{self.base_us},{self.wall0_us},{self.scale:g}"

    @classmethod
    def parse(cls, text: str) -> CityClock:
        """From "base,wall0,scale". Raises ValueError saying what was expected."""
        parts = text.split(",")
        try:
            base, wall0, scale = int(parts[0]), int(parts[1]), float(parts[2])
        except (ValueError, IndexError):
            raise ValueError(f"expected BASE_US,WALL0_US,SCALE, got {text!r}") from None
        if len(parts) != 3 or not 0 < scale <= 10_000:
            raise ValueError(f"expected BASE_US,WALL0_US,SCALE with 0 < SCALE <= 10000, got {text!r}")
        return cls(base, wall0, scale)


def to_datetime(us: int) -> dt.datetime:
    """Aware UTC datetime of microseconds since 1970."""
    return _EPOCH + dt.timedelta(microseconds=us)


def to_us(moment: dt.datetime) -> int:
    """Microseconds since 1970 of an aware datetime. Raises ValueError for a naive one."""
    if moment.tzinfo is None:
        raise ValueError(f"expected a time with an offset, got {moment.isoformat()}")
    return (moment - _EPOCH) // dt.timedelta(microseconds=1)
