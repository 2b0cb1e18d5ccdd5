"""What a simulated network is: a plan of its sensors per zone, and physics stepped over arrays.

A network sees all of its sensors at once, in the order category, zone, number, so a category is a slice.
`step` gives the true value of each at one moment: no instrument noise, no rounding, no faults; those
belong to the city. Randomness is drawn at construction only, so the same seed gives the same physics
whenever and in whatever steps it is asked.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Planned(NamedTuple):
    """So many sensors of a category in each zone. `prefix` begins their points' names; by `turbulence`
    the medium beats about its mean from one report to the next, in the category's unit; `noise` is the
    share of the catalogue's noise that a quiet site shows."""

    category: str
    per_zone: int
    interval_s: int
    prefix: str
    turbulence: float = 0.0
    noise: float = 1.0


class Sky(NamedTuple):
    """The weather over each zone at one moment, and what the ground still holds of earlier rain.

    `wet`, `river` and `soaked` follow the rain with lags of 40 minutes, 5 hours and a day (mm/h).
    """

    mean_c: float  # of the season
    air_c: Floats
    sun: float  # 0 night - 1 noon
    wind_ms: Floats
    rain_mm_h: Floats
    pressure_hpa: Floats  # above or below the air mass
    visibility: Floats  # share of a clear day's
    wet: Floats
    river: Floats
    soaked: Floats


class Moment(NamedTuple):
    """A moment of city time; `hour` is the local hour of the day, `seconds` since 1970."""

    seconds: float
    hour: float
    sky: Sky


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a network's sensors are: a slice per category, the zone number and parameters of each."""

    slices: Mapping[str, slice]
    zone: NDArray[np.intp]
    params: Sequence[Mapping[str, float]]

    @property
    def size(self) -> int:
        return len(self.zone)

    def count(self, category: str) -> int:
        found = self.slices[category]
        return int(found.stop - found.start)

    def param(self, category: str, name: str) -> Floats:
        return np.array([params[name] for params in self.params[self.slices[category]]])


class Network(abc.ABC):
    """One of the five networks, or the weather."""

    name: ClassVar[str]
    gateways_per_zone: ClassVar[int]
    plan: ClassVar[tuple[Planned, ...]]

    @abc.abstractmethod
    def __init__(self, layout: Layout, rng: np.random.Generator) -> None: ...

    @staticmethod
    def site(category: str, rng: np.random.Generator) -> dict[str, float]:
        """The site parameters of one sensor: none, unless the network says otherwise."""
        return {}

    @staticmethod
    def tags(category: str, zone: str, number: int) -> tuple[str, ...]:
        """What rules may select a zone's sensor `number` by: nothing, unless the network says otherwise."""
        return ()

    @staticmethod
    def felt(category: str, origin: int, count: int) -> Floats | None:
        """How much the `count` sensors of a category in a zone feel what happens at sensor `origin`;
        None where the network has no answer."""
        return None

    @staticmethod
    def stands(category: str, number: int) -> tuple[float, float] | None:
        """Metres east and north of the zone's centre of its sensor `number`, if the network says where."""
        return None

    def disturb(self, zone: int, trouble: str, on: bool) -> bool:
        """A trouble in the network itself, if it knows one of that name."""
        return False

    @abc.abstractmethod
    def step(self, moment: Moment, dt_s: float) -> Floats:
        """The true values `dt_s` after the step before."""


class Wander:
    """A slow irregular movement of about unit size, never beyond 2.5, a function of time alone."""

    def __init__(self, size: int, rng: np.random.Generator, periods_s: tuple[float, float] = (1800, 14_400)):
        low, high = np.log(periods_s[0]), np.log(periods_s[1])
        self._speed = 2 * np.pi / np.exp(rng.uniform(low, high, (3, size)))
        self._phase = rng.uniform(0, 2 * np.pi, (3, size))

    def at(self, seconds: float) -> Floats:
        waves: Floats = np.sin(self._speed * (seconds % 10_000_000) + self._phase)
        summed: Floats = np.sqrt(2 / 3) * waves.sum(axis=0)
        return summed


def peaks(hour: float, centres: Sequence[float], width_h: float) -> float:
    """How near the hour is to one of these hours of the day: 1 at its centre, 0 far away."""
    return max(float(np.exp(-(((hour - c + 12) % 24 - 12) ** 2) / (2 * width_h**2))) for c in centres)


def lagged(state: Floats, target: Floats, dt_s: float, tau_s: float | Floats) -> Floats:
    """A first-order lag, exact for any step."""
    moved: Floats = target + (state - target) * np.exp(-dt_s / tau_s)
    return moved
