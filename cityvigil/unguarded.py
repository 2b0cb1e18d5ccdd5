"""Which sensors are unguarded 未设防: at least one live condition of theirs cannot be judged, and why.

They are counted and listed, never shown as normal; the list is a work list of what to enter or connect. The
answer comes from compiling the rules in force against the registry, as detect does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from detectors.program import compile_program
from schemas.registry import Registry
from schemas.rule import Rule


@dataclass(frozen=True, slots=True)
class Unguarded:
    """Numbers of the sensors; how many sensors each reason stands for."""

    sensors: frozenset[int]
    reasons: Counter[str]


def unguarded(registry: Registry, rules: Iterable[Rule], partitions: int) -> Unguarded:
    """Of all partitions. Takes about a second per 20,000 sensors."""
    rules = list(rules)
    found = {
        (number, reason)
        for partition in range(partitions)
        for number, _, reason in compile_program(registry, rules, partition).unguarded
    }
    return Unguarded(frozenset(number for number, _ in found), Counter(reason for _, reason in found))


class Row(NamedTuple):
    """One line of the work list: what a rule cannot judge at a sensor, and why."""

    gateway: str
    point: str
    category: str
    zone: str
    rule: str
    reason: str


def work_list(registry: Registry, rules: Iterable[Rule]) -> list[Row]:
    """Every line, by gateway, point and rule."""
    rules = list(rules)
    partitions = max((zone.partition for zone in registry.zones.values()), default=0) + 1
    found = set()
    for partition in range(partitions):
        for number, rule, reason in compile_program(registry, rules, partition).unguarded:
            sensor = registry.by_number[number]
            place = sensor.gateway, sensor.point, sensor.category or "", sensor.zone or ""
            found.add(Row(*place, rule, reason))
    return sorted(found)
