"""Faults planted in the city: each at its place and time, with the label that says so.

A fault bends the true values of the sensors that could know of it, changes the sky over its zone, or spoils
what is reported. Its label is for the truth file alone; no detector ever reads it.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.clock import to_datetime
from simulators.city import ZONES, City
from simulators.effects import COUNTERS, Bend, Effect
from simulators.kinds import KINDS, Touch
from simulators.network import Floats, Sky
from simulators.weather import CLEAR_M

S_US = 1_000_000
OFFLINE_NETWORK = "water"
GATHERS_S = 900
"""A storm comes and goes in so many seconds."""
REBOOTS_EVERY_S, REBOOT_S = 180, 60
FELT_LEAST = 0.25


class FaultSpec(NamedTuple):
    """As a scenario states it; seconds are wall seconds at the scenario's own scale. Without a level and a
    unit the fault is one that must be absorbed: no alert of its sensors is right."""

    kind: str
    zone: str
    onset_s: float
    duration_s: float
    magnitude: float
    expected_level: int | None
    expected_unit: str | None
    name: str = ""
    cause: str = ""


class Part(NamedTuple):
    """Sensors that a fault bends in one way."""

    at: NDArray[np.intp]
    share: Floats
    site: Floats
    bend: Effect | None


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault at its place and time. `at` are the sensors that feel it first."""

    spec: FaultSpec
    onset_us: int
    end_us: int
    at: NDArray[np.intp]
    gateway: str | None
    subjects: tuple[str, ...]
    parts: tuple[Part, ...] = ()
    _onset: dict[int, Floats] = field(default_factory=dict)
    _counted: dict[int, Floats] = field(default_factory=dict)  # by how much counters differ by now

    def active(self, now_us: int) -> bool:
        return self.onset_us <= now_us < self.end_us

    @property
    def zone(self) -> int:
        return next(i for i, z in enumerate(ZONES) if z.zone == self.spec.zone)

    @property
    def troubles(self) -> str | None:
        """What it does to a network itself, by the network's name for it."""
        return KINDS[self.spec.kind].trouble

    def bend(self, now_us: int, truth: Floats) -> None:
        """Changes the truth of its sensors in place while it lasts; a counter keeps what it counted."""
        if not self.active(now_us):
            for number, counted in self._counted.items():
                truth[self.parts[number].at] += counted
            return
        since_s = (now_us - self.onset_us) / S_US
        for number, part in enumerate(self.parts):
            if part.bend is not None:
                before = truth[part.at]
                at_onset = self._onset.setdefault(number, before)
                given = Bend(before, since_s, self.spec.magnitude, part.share, part.site, at_onset)
                truth[part.at] = part.bend(given)
                if part.bend in COUNTERS:
                    self._counted[number] = truth[part.at] - before

    def overcast(self, now_us: int, sky: Sky) -> None:
        """Changes the sky over its zone while it lasts."""
        part = KINDS[self.spec.kind].sky
        if part is None or not self.active(now_us):
            return
        zone = self.zone
        since_s, left_s = (now_us - self.onset_us) / S_US, (self.end_us - now_us) / S_US
        way = min(1.0, since_s / GATHERS_S, left_s / GATHERS_S)
        target = self.spec.magnitude / CLEAR_M if part == "visibility" else self.spec.magnitude
        values = getattr(sky, part)
        values[zone] += (target - values[zone]) * way

    def holds(self, now_us: int) -> bool:
        """Whether its sensors' reports stand still."""
        return KINDS[self.spec.kind].telemetry == "holds" and self.active(now_us)

    def cuts(self, now_us: int) -> bool:
        """Whether its gateway is cut off."""
        match KINDS[self.spec.kind].telemetry:
            case "cuts":
                return self.active(now_us)
            case "reboots":
                since_s = (now_us - self.onset_us) / S_US
                return self.active(now_us) and since_s % REBOOTS_EVERY_S < REBOOT_S
        return False

    def label(self) -> dict[str, Any]:
        """What the truth file says of it; times are city time."""
        return {
            "kind": self.spec.kind,
            "network": KINDS[self.spec.kind].network,
            "zone": self.spec.zone,
            "cause": self.spec.cause,
            "magnitude": self.spec.magnitude,
            "subjects": list(self.subjects),
            "onset": to_datetime(self.onset_us).isoformat(),
            "end": to_datetime(self.end_us).isoformat(),
            "expected_level": self.spec.expected_level,
            "expected_unit": self.spec.expected_unit,
        }


def plant(spec: FaultSpec, city: City, start_us: int, scale: float) -> Fault:
    """The fault in this city, whose time begins at `start_us`. The seed decides which sensors feel it.
    Raises ValueError when the city has no sensor that could know."""
    kind = KINDS[spec.kind]
    rng = np.random.default_rng([city.seed, zlib.crc32(f"{spec.kind}/{spec.zone}".encode())])
    onset_us = start_us + round(spec.onset_s * scale * S_US)
    end_us = onset_us + round(spec.duration_s * scale * S_US)
    if kind.category is None:
        mine = [g.gateway for g in city.gateways if g.zone == spec.zone and g.network == OFFLINE_NETWORK]
        gateway = str(rng.choice(mine))
        at = np.array([i for i, s in enumerate(city.sensors) if s.gateway == gateway])
        subjects = [f"gateway/{gateway}", *_subjects(city, at)]
        return Fault(spec, onset_us, end_us, at, gateway, tuple(subjects))
    parts = _parts(kind.touches, spec, city, rng)
    everyone = np.concatenate([part.at for part in parts])
    return Fault(spec, onset_us, end_us, parts[0].at, None, tuple(_subjects(city, everyone)), parts)


def _parts(
    touches: Sequence[Touch], spec: FaultSpec, city: City, rng: np.random.Generator
) -> tuple[Part, ...]:
    """The same places in each category: what happens in a home is felt by that home's sensors."""
    places: NDArray[np.intp] | None = None
    parts = []
    for touch in touches:
        there = np.array(city.find(touch.category, spec.zone), dtype=np.intp)
        if not len(there):
            raise ValueError(f"{spec.kind} in {spec.zone}: no {touch.category} stands there")
        count = min(len(touch.shares), len(there))
        felt = _felt(touch, city, there, rng) if touch.spreads else None
        if felt is not None:
            at, share = felt
            parts.append(Part(at, share, np.ones(len(at)), touch.bend))
            continue
        if places is None:
            places = np.sort(rng.choice(len(there), count, replace=False))
        chosen = places if count == len(places) else np.arange(count)
        at = there[chosen % len(there)]
        site = np.array([city.sensors[i].params.get(touch.of, 1.0) for i in at])
        parts.append(Part(at, np.array(touch.shares[:count]), site, touch.bend))
    return tuple(parts)


def _felt(
    touch: Touch, city: City, there: NDArray[np.intp], rng: np.random.Generator
) -> tuple[NDArray[np.intp], Floats] | None:
    """Who feels it and how much, if the network of the category knows; at least a quarter is felt."""
    for network in city.networks:
        if network.felt(touch.category, 0, len(there)) is not None:
            share = network.felt(touch.category, int(rng.integers(len(there))), len(there))
            assert share is not None
            strong = np.flatnonzero(share >= FELT_LEAST)
            return there[strong], share[strong]
    return None


def _subjects(city: City, at: NDArray[np.intp]) -> list[str]:
    return [f"sensor/{city.sensors[i].gateway}/{city.sensors[i].point}" for i in at]
