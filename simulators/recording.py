"""The city without gateways and without waiting: its frames as its gateways would send them, to a file.

A line a frame: {"gateway", "time", "senml"}. The same scenario, seed, start and step give the same bytes.
Faults go to a truth file of their own, as ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import msgspec

from schemas.catalogue import catalogue
from schemas.clock import to_datetime
from simulators import senml
from simulators.city import City
from simulators.simulation import Simulation


class Recorded(NamedTuple):
    frames: int
    readings: int
    bytes: int


class _Line(msgspec.Struct):
    gateway: str
    time: str
    senml: msgspec.Raw


_encoder = msgspec.json.Encoder()


def points_of(city: City) -> list[senml.Point]:
    """How each sensor's point is written."""
    rows = catalogue()
    return [senml.point(s.point, s.unit, rows[s.category].is_state) for s in city.sensors]


def lines(simulation: Simulation, points: list[senml.Point], until_us: int) -> Iterator[tuple[bytes, int]]:
    """Each frame's line and how many readings it holds, step by step up to `until_us`."""
    gateways = simulation.city.gateways
    while simulation.now_us < until_us:
        for report in simulation.step():
            values = report.values.tolist()
            readings = [(points[i], v) for i, v in zip(report.sensors.tolist(), values, strict=True)]
            frame = senml.encode(report.time_us, readings)
            at = to_datetime(report.time_us).isoformat()
            line = _Line(gateways[report.gateway].gateway, at, msgspec.Raw(frame))
            yield _encoder.encode(line) + b"\n", len(readings)


def record(simulation: Simulation, until_us: int, file: BinaryIO) -> Recorded:
    """Writes all of it."""
    frames = readings = size = 0
    for line, count in lines(simulation, points_of(simulation.city), until_us):
        file.write(line)
        frames, readings, size = frames + 1, readings + count, size + len(line)
    return Recorded(frames, readings, size)
