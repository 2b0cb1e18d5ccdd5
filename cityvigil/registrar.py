"""What a person at the console enters into the registry: categories of points that waited.

An import of a few rows, against the registry that `trust` follows anyway, so that it need not be read again;
under the same lock as imports from the command line. What the merge refuses is a ValueError that says why.
"""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from cityvigil.errors import CannotRun
from cityvigil.registry_topic import Refused, change
from cityvigil.sensor_files import SensorRow
from dispatch.console.desk import Classified
from schemas.registry import Registry

Read = Callable[[], Awaitable[tuple[Registry, int]]]
"""The registry as of now, and the offset behind its last entry."""


class Registrar:
    def __init__(self, kafka: str, read: Read, partitions: int, lock: Path) -> None:
        self._kafka, self._read, self._partitions, self._lock = kafka, read, partitions, lock

    async def classify(self, points: Sequence[Classified], by: str) -> int:
        """The registry's version with these categories in it. Raises ValueError with why not."""
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        with self._lock.open("w") as lock:
            await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
            registry, end = await self._read()
            rows = [_row(registry, one) for one in points]
            try:
                return await change(
                    self._kafka, registry, end, [], [], rows, self._partitions, f"{by}: console"
                )
            except (Refused, CannotRun) as error:
                raise ValueError(str(error)) from None


def _row(registry: Registry, one: Classified) -> SensorRow:
    """The point as it stands, with its category. A unit that the category lacks is the gateway's matter:
    ingest converts what it can."""
    known = registry.sensors.get((one.gateway, one.point))
    if known is None:
        raise ValueError(f"{one.gateway} has no point {one.point}")
    if known.category is not None:
        raise ValueError(f"{known.key} is already {known.category}")
    return SensorRow(
        row=1,
        gateway=known.gateway,
        point=known.point,
        sensor=known.sensor,
        category=one.category,
        zone=known.zone,
        asset=known.asset,
        lon=known.lon,
        lat=known.lat,
        params=dict(known.params),
    )
