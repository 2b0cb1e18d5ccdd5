"""A city for measurements: sensors of every category of the catalogue mixed over gateways, and their frames.

Values are what the catalogue calls normal, else inside the limits of the default rule, and noisy, as nearly
all of a city's readings are; a share of sensors rests beyond a limit, so that episodes and holds are there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from detectors.program import Program
from schemas.catalogue import catalogue
from schemas.control import Tick
from schemas.default_rules import default_rules
from schemas.frame import SEGMENT, Frame, SegmentFlag
from schemas.reading import RECORD
from schemas.registry import Gateway, Registry, Sensor, Zone
from schemas.rule import Rule

_TYPICAL = re.compile(r"(-?\d+(?:\.\d+)?)(?:-(-?\d+(?:\.\d+)?))?(?![\d.%])")
POINTS = 500
"""A gateway's; a frame has a reading of each."""
GATEWAYS_A_ZONE = 8
T0_US = 1_772_409_600_000_000
SECOND_US = 1_000_000


def a_registry(sensors: int) -> Registry:
    """Every category with a default rule in turn, `POINTS` to a gateway, all in partition 0."""
    rows = [row for row in catalogue().values() if row.role == "alarm" and row.key != "device_silence"]
    registry = Registry(version=1)
    for number in range(sensors):
        gateway, point = divmod(number, POINTS)
        name, zone = f"gw-{gateway:04d}", f"zone-{gateway // GATEWAYS_A_ZONE:03d}"
        if point == 0:
            registry.apply(Zone(zone, "district", "片区", "zone", 0))
            registry.apply(Gateway(name, zone, interval_s=1.0))
        row = rows[number % len(rows)]
        params = {"interval_s": min(row.interval_s or 60.0, 60.0), "design": 400.0}
        registry.apply(Sensor(number + 1, name, f"p{point:03d}", row.key, row.unit, zone, params=params))
    return registry


def rules() -> list[Rule]:
    """The defaults of the whole catalogue, all of them on."""
    return default_rules(judgement_live=True)


class Readings:
    """Frames of one gateway after another, round and round; a sensor is read `times` a second, and so often
    in a frame: of `POINTS` / `times` sensors then."""

    def __init__(self, program: Program, *, abnormal: float = 0.001, seed: int = 7, times: int = 1) -> None:
        self._rng = np.random.default_rng(seed)
        self._times = times
        self._program = program
        n = len(program.sensors)
        self._usual, self._noise = np.zeros(n), np.zeros(n)
        keys = np.array([sensor.category or "" for sensor in program.sensors])
        for key in set(keys.tolist()):
            row = catalogue()[key]
            self._noise[keys == key] = 0.0 if row.is_state else row.noise or row.resolution
        calm_low, calm_high = np.full(n, -np.inf), np.full(n, np.inf)
        for lane in program.lanes:
            if lane.detector.name == "threshold":
                np.maximum.at(calm_low, lane.row, lane.table.calm_low[lane.kind])
                np.minimum.at(calm_high, lane.row, lane.table.calm_high[lane.kind])
        room = np.isfinite(calm_low) & np.isfinite(calm_high) & (calm_high > calm_low)
        self._usual[room] = (calm_low[room] + calm_high[room]) / 2
        below = ~room & np.isfinite(calm_high)
        self._usual[below] = np.where(calm_high[below] > 0, calm_high[below] * 0.5, calm_high[below] * 1.5)
        above = ~room & np.isfinite(calm_low)
        self._usual[above] = np.where(calm_low[above] < 0, 0.0, calm_low[above] * 1.5 + 1.0)
        self._noise[room] = np.minimum(self._noise[room], (calm_high[room] - calm_low[room]) / 12)
        for key in set(keys.tolist()):
            if (typical := _TYPICAL.match(catalogue()[key].normal_typical)) is not None:
                low = float(typical[1])
                high = float(typical[2] or low)
                of = keys == key
                self._usual[of] = (low + high) / 2
                self._noise[of] = np.minimum(self._noise[of], (high - low) / 8 or abs(low) / 100)
        least = np.array([catalogue()[key].plausible_min for key in keys.tolist()])
        most = np.array([catalogue()[key].plausible_max for key in keys.tolist()])
        self._noise = np.minimum(self._noise, (most - least) / 20)
        self._usual = np.clip(self._usual, least + 5 * self._noise, most - 5 * self._noise)
        bad = self._rng.random(n) < abnormal
        self._usual[bad] = np.where(np.isfinite(calm_high[bad]), calm_high[bad] * 2 + 1, calm_low[bad] - 1)
        self._gateways = -(-n // POINTS)
        self.number = 0

    def frames(self, count: int) -> Iterator[Frame]:
        for _ in range(count):
            round_, gateway = divmod(self.number, self._gateways)
            self.number += 1
            first = gateway * POINTS
            rows = np.arange(first, min(first + POINTS // self._times, len(self._usual)))
            now = T0_US + round_ * SECOND_US + gateway * SECOND_US // self._gateways
            at = now - np.repeat(np.arange(self._times)[::-1] * SECOND_US // self._times, len(rows))
            rows = np.tile(rows, self._times)
            records = np.zeros(len(rows), RECORD)
            records["time"], records["sensor"] = at, self._program.numbers[rows]
            records["value"] = self._usual[rows] + self._noise[rows] * self._rng.standard_normal(len(rows))
            segment = np.zeros(1, SEGMENT)
            segment["epoch"], segment["sequence"], segment["count"] = 1, round_ + 1, len(rows)
            segment["received_at"] = segment["received_wall"] = segment["published_wall"] = now + 50_000
            segment["flags"] = SegmentFlag.sequenced
            yield Frame(segment, records, (f"gw-{gateway:04d}",))

    def tick(self) -> Tick:
        at = T0_US + self.number * SECOND_US // self._gateways
        return Tick("ingest", 1, at, at, ())
