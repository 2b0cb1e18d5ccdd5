"""The log that ingest would write of a simulated city, without any service: packed frames and ticks.

A gateway whose line is cut is not heard; what it kept meanwhile comes in its sequence when the line is back.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import numpy as np

from cityvigil.registry_merge import merged
from schemas.clock import CityClock
from schemas.control import Control, Tick
from schemas.frame import SEGMENT, Frame, SegmentFlag
from schemas.reading import RECORD
from schemas.registry import Registry, Version
from simulators.city import City
from simulators.faults import Fault
from simulators.simulation import Report, Simulation

SCALE = 60.0


def registry_of(city: City, partitions: int = 1) -> Registry:
    """As an import enters it."""
    registry = Registry()
    entries, refusals = merged(registry, *city.registry(), partitions)
    assert not refusals, refusals[:3]
    for entry in [*entries, Version(1)]:
        registry.apply(entry)
    return registry


class CityLog:
    """Entries of one partition, step by step."""

    def __init__(self, simulation: Simulation, registry: Registry) -> None:
        self._simulation, self._city = simulation, simulation.city
        start = simulation.now_us
        self._clock = CityClock(start, start, SCALE)
        numbers = [registry.sensors[s.gateway, s.point].sensor for s in self._city.sensors]
        self._numbers = np.array(numbers)
        self._allowance_us = {g: round(e.allowance_s * 1e6) for g, e in registry.gateways.items()}
        self._heard = dict.fromkeys(self._allowance_us, start)
        self._sequence = dict.fromkeys(self._allowance_us, 0)
        self._kept: dict[str, list[Report]] = {}

    def minutes(self, count: int) -> Iterator[list[Frame | Control]]:
        """What a minute of city time brings, `count` times."""
        for _ in range(count):
            entries: list[Frame | Control] = []
            until = self._simulation.now_us + 60_000_000
            while self._simulation.now_us < until:
                entries += self._step()
            yield entries

    @property
    def now_us(self) -> int:
        return self._simulation.now_us

    def misbehaving(self, faults: Sequence[Fault], step_s: int) -> CityLog:
        """The log of a second city that has lived as this one, and from now on has these faults."""
        other = copy.deepcopy(self, {id(self._city): self._city, id(self._simulation): None})
        other._simulation = self._simulation.misbehaving(faults, step_s)
        return other

    def _step(self) -> list[Frame | Control]:
        reports = self._simulation.step()
        cut = self._simulation.cut_off()
        arrived: list[Report] = []
        for name in [name for name in self._kept if name not in cut]:
            arrived += self._kept.pop(name)
        for report in reports:
            name = self._city.gateways[report.gateway].gateway
            if name in cut:
                self._kept.setdefault(name, []).append(report)
            else:
                arrived.append(report)
        now = self._simulation.now_us
        frames: list[Frame | Control] = [self._frame(arrived, now)] if arrived else []
        silent = sorted(g for g, at in self._heard.items() if now - at > self._allowance_us[g])
        return [*frames, Tick("ingest-1", 1, now, self._clock.wall_us(now), tuple(silent))]

    def _frame(self, reports: Sequence[Report], now: int) -> Frame:
        segments = np.zeros(len(reports), SEGMENT)
        records = np.zeros(sum(len(r.values) for r in reports), RECORD)
        names: list[str] = []
        at = 0
        for i, report in enumerate(reports):
            name = self._city.gateways[report.gateway].gateway
            self._heard[name] = now
            self._sequence[name] += 1
            if name not in names:
                names.append(name)
            count = len(report.values)
            part = records[at : at + count]
            part["time"] = report.time_us
            part["value"] = report.values
            part["sensor"] = self._numbers[report.sensors]
            segments[i] = (1, self._sequence[name], now, self._clock.wall_us(now), self._clock.wall_us(now),
                           at, count, names.index(name), SegmentFlag.sequenced)  # fmt: skip
            at += count
        return Frame(segments, records, tuple(names))
