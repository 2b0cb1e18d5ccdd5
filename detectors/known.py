"""What compilations for one city have in common, found once: who stands in which partition, what rules mean.

A worker compiles for each of its partitions, and again for each version of registry and rules; most of what
it finds is what it found before. A program compiled with it equals one compiled without. Bounds are kept by
all that they are made of, so that nothing has to be told of changes; a registry that has been looked at
must not be changed (streams/rules.py makes a new one for each version).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import NamedTuple

from detectors.contract import Bound
from schemas.registry import GUARDED, Gateway, Registry, Sensor

MOST_BOUNDS = 100_000
"""A city of 234,000 sensors has some thousands; beyond this all are forgotten, and found again as needed."""


class Part(NamedTuple):
    """Of one partition: gateways by name, and by number the sensors that rules may look at."""

    gateways: tuple[Gateway, ...]
    sensors: tuple[Sensor, ...]


class Known:
    def __init__(self) -> None:
        self._bounds: dict[Hashable, Bound] = {}
        self._registry: Registry | None = None
        self._parts: dict[int, Part] = {}

    def part(self, registry: Registry, partition: int) -> Part:
        if registry is not self._registry:
            self._registry, self._parts = registry, _parts(registry)
        return self._parts.get(partition, Part((), ()))

    def bound(self, key: Hashable, make: Callable[[], Bound]) -> Bound:
        """`key` says all that `make` looks at."""
        found = self._bounds.get(key)
        if found is None:
            if len(self._bounds) >= MOST_BOUNDS:
                self._bounds.clear()
            found = self._bounds[key] = make()
        return found


def _parts(registry: Registry) -> dict[int, Part]:
    gateways: dict[int, list[Gateway]] = {}
    partition_of: dict[str, int] = {}
    for name, gateway in sorted(registry.gateways.items()):
        number = partition_of[name] = registry.partition_of(name)
        gateways.setdefault(number, []).append(gateway)
    sensors: dict[int, list[Sensor]] = {number: [] for number in gateways}
    for _, sensor in sorted(registry.by_number.items()):
        if sensor.category is not None and sensor.state in GUARDED and sensor.gateway in partition_of:
            sensors[partition_of[sensor.gateway]].append(sensor)
    return {n: Part(tuple(there), tuple(sensors[n])) for n, there in gateways.items()}
