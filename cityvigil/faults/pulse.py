"""Gateways whose points cross a limit in turn, all the time: alerts that are due whatever is killed.

Each beat is a frame of all points of a gateway; one gusts above its limit, the one before it is calm again.
So every beat raises one alert and clears one, at once and by one report. The rows register them as an import
would; values come from a seed. Does no I/O.
"""

from __future__ import annotations

import random

from cityvigil.sensor_files import GatewayRow, SensorRow, ZoneRow
from simulators import senml

BEAT_S = 0.5
POINTS = 12
CATEGORY, UNIT = "weather_wind_gust", "m/s"
CALM, GUST = (3.0, 9.0), (22.0, 24.0)
PREFIX = "gw-pulse-"
INTERVAL_S = 5.0
"""Said to be so quick that the zones of pulses are the heaviest and spread over the partitions."""


def gateway_name(number: int) -> str:
    return f"{PREFIX}{number}"


def rows(count: int) -> tuple[list[ZoneRow], list[GatewayRow], list[SensorRow]]:
    """`count` gateways, each in a zone of its own."""
    zones = [
        ZoneRow(0, f"pulse-{n}", f"pulse-{n}", f"脉冲{n}", f"Pulse {n}", None, None) for n in range(count)
    ]
    gateways = [GatewayRow(0, gateway_name(n), f"pulse-{n}", 60.0) for n in range(count)]
    sensors = [
        SensorRow(
            0, gateway_name(n), _point(p), category=CATEGORY, unit=UNIT, zone=f"pulse-{n}",
            params={"interval_s": INTERVAL_S},
        )
        for n in range(count)
        for p in range(POINTS)
    ]  # fmt: skip
    return zones, gateways, sensors


class Pulse:
    """One gateway's."""

    def __init__(self, number: int, seed: int) -> None:
        self.gateway = gateway_name(number)
        self._rng = random.Random(f"{seed}/{self.gateway}")
        self._beat = 0

    def beat(self) -> list[tuple[str, float]]:
        """The readings of the next moment."""
        gusting = self._beat % POINTS
        self._beat += 1
        return [
            (_point(p), round(self._rng.uniform(*(GUST if p == gusting else CALM)), 3)) for p in range(POINTS)
        ]

    def frame(self, time_us: int, readings: list[tuple[str, float]]) -> bytes:
        return senml.encode(time_us, [(senml.point(name, UNIT), value) for name, value in readings])


def _point(number: int) -> str:
    return f"gust-{number + 1:02d}"
