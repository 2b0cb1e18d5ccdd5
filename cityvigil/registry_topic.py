"""The registry as it stands on the `sensors` topic: read whole, and changed by imports.

The topic is the truth and PostgreSQL its mirror, so an import is done when Kafka has its last entry, the
version; ingest takes it into the log from there. Imports are made one at a time by people and by `up`:
two at once are noticed afterwards and reported, because both may have given the same number.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing

import msgspec

from cityvigil import compacted
from cityvigil.errors import CannotRun
from cityvigil.registry_merge import GatewayRow, Refusal, SensorRow, ZoneRow, merged
from schemas.registry import WAITING_BASE, Entry, Registry, Sensor, Version, decode, encode
from schemas.topics import SENSORS


class Refused(CannotRun):
    """An import with something wrong in it; nothing of it was entered."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        first = refusals[0]
        super().__init__(
            f"the registry refused {len(refusals)} rows, the first: {first.kind} {first.row + 1},"
            f" {first.column}: expected {first.expected}, got {first.got}"
        )
        self.refusals = list(refusals)


async def read_registry(kafka: str) -> Registry:
    """The registry as of now."""
    registry, _ = await _read(kafka)
    return registry


async def read_up_to(kafka: str) -> tuple[Registry, int]:
    """The registry as of now, and the offset that `change` takes: whoever needs it before a change reads it
    once."""
    return await _read(kafka)


async def import_registry(
    kafka: str,
    zones: Sequence[ZoneRow],
    gateways: Sequence[GatewayRow],
    sensors: Sequence[SensorRow],
    partitions: int,
    by: str,
    *,
    dry_run: bool = False,
) -> int:
    """The registry's version with these rows in it; a new one only if they change anything.

    Raises Refused, and CannotRun if another import came between.
    """
    registry, end = await _read(kafka)
    return await change(kafka, registry, end, zones, gateways, sensors, partitions, by, dry_run=dry_run)


async def change(
    kafka: str,
    registry: Registry,
    end: int,
    zones: Sequence[ZoneRow],
    gateways: Sequence[GatewayRow],
    sensors: Sequence[SensorRow],
    partitions: int,
    by: str,
    *,
    dry_run: bool = False,
) -> int:
    """As `import_registry`, into a registry that was read up to the offset `end`."""
    entries, refusals = merged(registry, zones, gateways, sensors, partitions)
    if refusals:
        raise Refused(refusals)
    if not entries:
        return registry.version
    version = Version(registry.version + 1, by)
    if not dry_run:
        await _append(kafka, [*entries, version], end)
    return version.version


async def _append(kafka: str, entries: Sequence[Entry], end: int) -> None:
    messages = [(entry.key.encode(), encode(entry)) for entry in entries]
    first, last = await compacted.append(kafka, SENSORS, messages)
    if (first, last) == (end, end + len(messages) - 1):
        return
    ours = {value for _, value in messages}
    async with aclosing(compacted.read(kafka, SENSORS, end, last + 1)) as between:
        async for message in between:
            if message.value not in ours and not _is_by_ingest(message.value):
                raise CannotRun(
                    "another import changed the registry at the same time: look at `cityvigil sensors list`"
                    " and import again"
                )


def _is_by_ingest(value: bytes | None) -> bool:
    """Ingest enters points that nobody registered at any time, with numbers of its own."""
    if value is None:
        return False
    entry = decode(value)
    return isinstance(entry, Version) or (isinstance(entry, Sensor) and entry.sensor >= WAITING_BASE)


async def _read(kafka: str) -> tuple[Registry, int]:
    registry = Registry()
    end = await compacted.end_of(kafka, SENSORS)
    async with aclosing(compacted.read(kafka, SENSORS, 0, end)) as messages:
        async for message in messages:
            if message.value is None:
                continue
            try:
                registry.apply(decode(message.value))
            except msgspec.DecodeError as error:
                raise CannotRun(f"{SENSORS.name}@{message.offset} is no registry entry: {error}") from error
    return registry, end
