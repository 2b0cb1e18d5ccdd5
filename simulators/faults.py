"""Faults that can be planted in the city: what each does to which sensors, and the label that says so.

A fault bends the true values of the sensors that could know of it, holds one sensor's reports still, or
cuts a gateway off. Its label is for the truth file alone; no detector ever reads it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.clock import to_datetime
from simulators.city import City
from simulators.network import Floats

S_US = 1_000_000


class FaultSpec(NamedTuple):
    """As a scenario states it; seconds are wall seconds at the scenario's own scale."""

    kind: str
    zone: str
    onset_s: float
    duration_s: float
    magnitude: float
    expected_level: int
    expected_unit: str


class Bend(NamedTuple):
    """What a fault's effect is given: the truth of its sensors, seconds since onset, its magnitude, how
    much of it each sensor feels, and the sensors' `design` where they have one."""

    truth: Floats
    since_s: float
    magnitude: float
    share: Floats
    design: Floats


class Kind(NamedTuple):
    network: str  # whose alert it must be
    category: str | None  # the sensors that could know; None: a gateway's
    shares: tuple[float, ...]  # how much of it each of them feels
    bend: Callable[[Bend], Floats] | None = None
    measured: bool = True  # has a magnitude


def _leak(b: Bend) -> Floats:
    """Gas fills the chamber within two minutes."""
    return np.maximum(b.truth, b.magnitude * b.share * min(1.0, b.since_s / 120))


def _burst(b: Bend) -> Floats:
    return b.truth - b.magnitude * b.share


def _shift(b: Bend) -> Floats:
    """The gauge comes to rest at a share of its design value; the thermal wave lives on, weaker."""
    return b.magnitude * b.share * b.design + 0.1 * b.truth


def _alarm(b: Bend) -> Floats:
    return np.full_like(b.truth, b.magnitude)


KINDS = {
    "gas-leak": Kind("gas", "gas_manhole_methane", (1.0, 0.92), _leak),
    "main-burst": Kind("water", "water_main_pressure", (1.0, 0.96, 0.92), _burst),
    "heat-pipe-leak": Kind("heat", "heat_primary_return_pressure", (1.0, 0.95), _burst),
    "bridge-strain-shift": Kind("bridge", "bridge_strain", (1.0, 0.98), _shift),
    "building-fire": Kind("fire", "fire_smoke_detector_state", (1.0,), _alarm),
    "gateway-offline": Kind("device", None, (), measured=False),
    "stuck-sensor": Kind("device", "heat_primary_return_temp", (1.0,), measured=False),
}
OFFLINE_NETWORK = "water"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault at its place and time. `at` are the sensors that feel it."""

    spec: FaultSpec
    onset_us: int
    end_us: int
    at: NDArray[np.intp]
    gateway: str | None
    subjects: tuple[str, ...]
    _share: Floats
    _design: Floats

    def active(self, now_us: int) -> bool:
        return self.onset_us <= now_us < self.end_us

    def bend(self, now_us: int, truth: Floats) -> None:
        """Changes the truth of its sensors in place while it lasts."""
        bend = KINDS[self.spec.kind].bend
        if bend and self.active(now_us):
            since_s = (now_us - self.onset_us) / S_US
            share, design = self._share, self._design
            truth[self.at] = bend(Bend(truth[self.at], since_s, self.spec.magnitude, share, design))

    def holds(self, now_us: int) -> bool:
        """Whether its sensors' reports stand still."""
        return self.spec.kind == "stuck-sensor" and self.active(now_us)

    def cuts(self, now_us: int) -> bool:
        """Whether its gateway is cut off."""
        return self.gateway is not None and self.active(now_us)

    def label(self) -> dict[str, Any]:
        """What the truth file says of it; times are city time."""
        return {
            "kind": self.spec.kind,
            "network": KINDS[self.spec.kind].network,
            "zone": self.spec.zone,
            "subjects": list(self.subjects),
            "onset": to_datetime(self.onset_us).isoformat(),
            "end": to_datetime(self.end_us).isoformat(),
            "expected_level": self.spec.expected_level,
            "expected_unit": self.spec.expected_unit,
        }


def plant(spec: FaultSpec, city: City, start_us: int, scale: float) -> Fault:
    """The fault in this city, whose time begins at `start_us`. The seed decides which sensors feel it."""
    kind = KINDS[spec.kind]
    rng = np.random.default_rng([city.seed, zlib.crc32(f"{spec.kind}/{spec.zone}".encode())])
    onset_us = start_us + round(spec.onset_s * scale * S_US)
    end_us = onset_us + round(spec.duration_s * scale * S_US)
    if kind.category is None:
        mine = [g.gateway for g in city.gateways if g.zone == spec.zone and g.network == OFFLINE_NETWORK]
        gateway = str(rng.choice(mine))
        at = np.array([i for i, s in enumerate(city.sensors) if s.gateway == gateway])
        subjects = [f"gateway/{gateway}", *_subjects(city, at)]
        return Fault(spec, onset_us, end_us, at, gateway, tuple(subjects), np.ones(len(at)), np.ones(len(at)))
    there = city.find(kind.category, spec.zone)
    count = min(len(kind.shares), len(there))
    at = np.sort(rng.choice(there, count, replace=False))
    design = np.array([city.sensors[i].params.get("design", 1.0) for i in at])
    share = np.array(kind.shares[:count])
    return Fault(spec, onset_us, end_us, at, None, tuple(_subjects(city, at)), share, design)


def _subjects(city: City, at: NDArray[np.intp]) -> list[str]:
    return [f"sensor/{city.sensors[i].gateway}/{city.sensors[i].point}" for i in at]
