"""Builders with sensible defaults: override the one thing that a test is about.

Times are seconds after `T0`, which is 2026-03-02 08:00 in the city; values, levels and texts are plain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from schemas.catalogue import catalogue
from schemas.control import Tick
from schemas.default_rules import default_rules
from schemas.frame import SEGMENT, Frame, SegmentFlag
from schemas.reading import RECORD
from schemas.registry import Gateway, Registry, Sensor, Zone
from schemas.rule import Rule, Selector

T0 = 1_772_409_600_000_000
SECOND = 1_000_000
MINUTE = 60 * SECOND
WALL = 1_000_000_000 * SECOND  # a wall time far from the city's, so that mixing them up shows


def after(seconds: float) -> int:
    """City time `seconds` after T0."""
    return T0 + round(seconds * SECOND)


def a_zone(zone: str = "shinan-01", **other: Any) -> Zone:
    facts: dict[str, Any] = {"district": "shinan", "name_zh": "市南一", "name_en": "Shinan 1", "partition": 0}
    return Zone(zone=zone, **(facts | other))


def a_gateway(gateway: str = "gw-1", **other: Any) -> Gateway:
    facts: dict[str, Any] = {"zone": "shinan-01", "interval_s": 60.0}
    return Gateway(gateway=gateway, **(facts | other))


def a_sensor(sensor: int = 1, category: str | None = "gas_manhole_methane", **other: Any) -> Sensor:
    """A point `p{sensor}` of gw-1 that reports every minute."""
    facts: dict[str, Any] = {
        "gateway": "gw-1",
        "point": f"p{sensor}",
        "unit": catalogue()[category].unit if category else None,
        "zone": "shinan-01",
        "params": {"interval_s": 60.0},
    }
    return Sensor(sensor=sensor, category=category, **(facts | other))


def a_registry(*sensors: Sensor, gateways: Sequence[Gateway] = (), zones: Sequence[Zone] = ()) -> Registry:
    """A registry with these sensors; their gateways and zones are made if not given."""
    registry = Registry(version=1)
    for gateway in {sensor.gateway: a_gateway(sensor.gateway) for sensor in sensors}.values():
        registry.apply(gateway)
    for gateway in gateways:
        registry.apply(gateway)
    for name in {gateway.zone for gateway in registry.gateways.values()}:
        registry.apply(a_zone(name))
    for zone in zones:
        registry.apply(zone)
    for sensor in sensors:
        registry.apply(sensor)
    return registry


def a_rule(category: str = "gas_manhole_methane", **other: Any) -> Rule:
    """The default rule of a category, live; one that judges groups is another."""
    every = default_rules(judgement_live=True)
    rows = {rule.selector.categories: rule for rule in every if rule.members is None}
    rule = rows[(category,)]
    facts = {name: getattr(rule, name) for name in Rule.__struct_fields__}
    return Rule(**(facts | {"mode": "live"} | other))


def an_equipment_rule(name: str, **other: Any) -> Rule:
    """One of device-silence, blind-area, device-stuck, ewma."""
    rule = next(rule for rule in default_rules(judgement_live=True) if rule.name == name)
    facts = {field: getattr(rule, field) for field in Rule.__struct_fields__}
    return Rule(**(facts | other))


def a_selector(*categories: str, zones: Iterable[str] = ()) -> Selector:
    return Selector(categories, tuple(zones))


def a_reading(sensor: int, seconds: float, value: float, quality: int = 0, flags: int = 0) -> tuple[Any, ...]:
    """A record of `schemas.reading.RECORD`."""
    return after(seconds), value, sensor, quality, flags, 0


def a_frame(
    *readings: tuple[Any, ...],
    gateway: str = "gw-1",
    sequence: int = 1,
    epoch: int = 1,
    received: float | None = None,
    flags: int = int(SegmentFlag.sequenced),
    texts: tuple[str, ...] = (),
) -> Frame:
    """A packed frame of one segment, received at the newest reading's time if nothing else is said."""
    records = np.array(list(readings), RECORD)
    newest = int(records["time"].max()) if len(records) else T0
    received_at = newest if received is None else after(received)
    wall = WALL + received_at - T0
    segment = (epoch, sequence, received_at, wall, wall - 20_000, 0, len(records), 0, flags)
    return Frame(np.array([segment], SEGMENT), records, (gateway,), texts)


def a_tick(seconds: float, silent: Sequence[str] = (), generation: int = 1, ingest: str = "ingest-1") -> Tick:
    return Tick(ingest, generation, after(seconds), WALL + round(seconds * SECOND), tuple(silent))
