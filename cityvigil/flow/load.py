"""The load of a flow measurement: which frame is due when, what stands in it, which alerts it must raise.

Pure, and the same for whoever asks: frames go round the gateways at even distances, each sensor is read at
even distances, every (sensor, time) comes once. A planted frame holds one point above its limit from its
first moment to its last; a point is planted once a run, so that every planting is one alert, and where there
is time its gateway sends a usual frame after it, so that the alert is over when the next run begins. The
categories are those whose default rules are live everywhere and count reports, not time. Frames are encoded
beforehand: in each only its time is written anew.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

POINTS = 50
MOMENTS = 5
"""A point is read at least so often in a frame, where the frame has room; a hold takes up to 3 reports."""
VARIANTS = 16
ZONES = 8
SLOT_BYTES = len("1795428000.000000")


class Kind(NamedTuple):
    """A category as the load uses it: usual values in low..high, `beyond` raises it (None: not planted)."""

    category: str
    unit: str
    low: float
    high: float
    beyond: float | None


KINDS = (
    Kind("weather_wind_gust", "m/s", 3.0, 9.0, 22.0),
    Kind("water_turbidity", "[NTU]", 0.1, 0.5, 5.0),
    Kind("water_source_ammonia", "mg/L", 0.05, 0.4, 1.7),
    Kind("drain_h2s", "[ppm]", 0.2, 1.9, 30.0),
    Kind("gas_station_leak", "%{LEL}", 0.2, 1.9, None),
)


@dataclass(frozen=True)
class Load:
    rate: int  # readings a second, over all gateways
    frame: int  # readings a frame
    seconds: int
    gateways: int
    crossings: int  # asked for; `planted` says where those that fit stand

    @cached_property
    def frames(self) -> int:
        return max(1, round(self.rate * self.seconds / self.frame))

    @cached_property
    def points(self) -> int:
        """A gateway's."""
        return max(1, min(POINTS, self.frame // MOMENTS))

    @cached_property
    def moments(self) -> int:
        """Those begun in a frame; the last one may lack points."""
        return -(-self.frame // self.points)

    def gateway_of(self, frame: int) -> int:
        return frame % self.gateways

    def sequence_of(self, frame: int) -> int:
        return frame // self.gateways + 1

    def due_us(self, frame: int) -> int:
        """After the start; also the time of its newest readings."""
        return frame * self.frame * 1_000_000 // self.rate

    @cached_property
    def step_us(self) -> int:
        """Between two readings of a sensor."""
        return max(1, self.gateways * self.frame * 1_000_000 // self.rate // self.moments)

    def kind_of(self, point: int) -> Kind:
        return KINDS[point * len(KINDS) // self.points]

    @cached_property
    def planted(self) -> dict[int, int]:
        """Frame -> the point that is above its limit in it."""
        # Only a gust is judged by a single report.
        few = self.frame // self.points < 3
        able = [p for p in range(self.points) if self.kind_of(p).beyond and not (few and p)]
        followed = self.frames - self.gateways if self.frames > self.gateways else self.frames
        wanted = min(self.crossings, followed, self.gateways * len(able))
        used: dict[int, int] = {}
        found: dict[int, int] = {}
        for frame in (n * followed // wanted for n in range(wanted)):
            gateway = self.gateway_of(frame)
            times = used.get(gateway, 0)
            if times < len(able):
                # The stride visits every able point before one comes again, categories in turn.
                found[frame] = able[(times * _stride(len(able)) + gateway) % len(able)]
                used[gateway] = times + 1
        return found

    @cached_property
    def expected(self) -> set[str]:
        """The subjects of the alerts that must rise, each once."""
        return {
            f"sensor/{gateway_name(self.gateway_of(frame))}/{point_name(point)}"
            for frame, point in self.planted.items()
        }


def gateway_name(gateway: int) -> str:
    return f"gw-bench-{gateway:05d}"


def zone_name(gateway: int) -> str:
    return f"bench-{gateway % ZONES + 1:02d}"


def point_name(point: int) -> str:
    return f"p{point:02d}"


class Frames:
    """The encoded frames of a load, waiting for their times."""

    def __init__(self, load: Load) -> None:
        self._load = load
        rng = random.Random(load.frame)
        self._usual = [self._encoded(rng, None) for _ in range(VARIANTS)]
        self._planted = {point: self._encoded(rng, point) for point in sorted(set(load.planted.values()))}

    def payload(self, frame: int, start_us: int) -> bytes:
        """The frame's SenML when the load began at `start_us`."""
        point = self._load.planted.get(frame)
        head, tail = self._planted[point] if point is not None else self._usual[frame % VARIANTS]
        us = start_us + self._load.due_us(frame)
        return b"%b%d.%06d%b" % (head, us // 1_000_000, us % 1_000_000, tail)

    def _encoded(self, rng: random.Random, planted: int | None) -> tuple[bytes, bytes]:
        slot = "T" * SLOT_BYTES
        records = list(self._records(rng, planted))
        text = json.dumps([{"bt": slot, **records[0]}, *records[1:]], separators=(",", ":"))
        head, _, tail = text.partition(f'"{slot}"')
        return head.encode(), tail.encode()

    def _records(self, rng: random.Random, planted: int | None) -> Iterator[dict[str, object]]:
        load, unit = self._load, None
        # Point by point in a category, moments rising: a base unit then holds for all of its category.
        places = sorted(range(load.frame), key=lambda at: (at % load.points, at // load.points))
        for at in places:
            point, moment = at % load.points, at // load.points
            kind = load.kind_of(point)
            record: dict[str, object] = {}
            if kind.unit != unit:
                record["bu"] = unit = kind.unit
            record["n"] = point_name(point)
            above = kind.beyond if point == planted else None
            record["v"] = round(
                rng.uniform(kind.low, kind.high) if above is None else above + moment / 100, 3
            )
            if before_us := (load.moments - 1 - moment) * load.step_us:
                record["t"] = -before_us / 1e6
            yield record


def _stride(count: int) -> int:
    """A step near two fifths of `count` that has no divisor in common with it."""
    step = max(1, count * 2 // 5)
    while any(step % n == 0 and count % n == 0 for n in range(2, step + 1)):
        step += 1
    return step
