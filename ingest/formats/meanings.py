"""What a device's words mean for the category that its point is registered as.

A fire panel says a state as words ("normal,fire"); the catalogue's categories of states are 0 and 1. A
point that is registered as such a state gets the number: 1 where one of the words that raise it stands
there, else 0, and a quality of fault where the device says that it is broken or shielded and nothing worse.
Points of other categories, and those that nobody registered, keep the words.
"""

from __future__ import annotations

from ingest.formats.result import Reading
from schemas.catalogue import catalogue
from schemas.reading import Quality
from schemas.registry import Registry

RAISING = frozenset({"fire", "start", "feedback", "manual_alarm", "on", "open", "alarm", "true"})
BROKEN = frozenset({"fault", "shielded", "power_fault", "line_fault", "mains_fault"})


def meant(reading: Reading, gateway: str, registry: Registry) -> Reading:
    """The reading, with the number of its state where its category wants one."""
    if not isinstance(reading.value, str):
        return reading
    sensor = registry.sensors.get((gateway, reading.point))
    row = catalogue().get(sensor.category) if sensor is not None and sensor.category is not None else None
    if row is None or not row.is_state:
        return reading
    words = frozenset(reading.value.lower().split(","))
    is_raised = not words.isdisjoint(RAISING)
    quality = reading.quality
    if not is_raised and quality is Quality.good and not words.isdisjoint(BROKEN):
        quality = Quality.fault
    return reading._replace(value=is_raised, quality=quality)
