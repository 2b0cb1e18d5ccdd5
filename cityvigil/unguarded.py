"""Which sensors are unguarded 未设防: at least one live condition of theirs cannot be judged, and why.

They are counted and listed, never shown as normal; the list is a work list of what to enter or connect. The
answer comes from compiling the rules in force against the registry, as detect does; what must be learned
first and is not yet known, from detect's own newest snapshots.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from detectors.fold import Partition, SnapshotError
from detectors.known import Known
from detectors.learning import Learning, learning
from detectors.program import compile_program
from detectors.wording import ZONE
from schemas.clock import to_datetime
from schemas.registry import Registry
from schemas.rule import Rule
from streams.state import Snapshots


@dataclass(frozen=True, slots=True)
class Unguarded:
    """Numbers of the sensors; how many sensors each reason stands for."""

    sensors: frozenset[int]
    reasons: Counter[str]


def unguarded(registry: Registry, rules: Iterable[Rule], partitions: int) -> Unguarded:
    """Of all partitions. Takes about a second per 20,000 sensors."""
    rules, known = list(rules), Known()
    found = {
        (number, reason)
        for partition in range(partitions)
        for number, _, reason in compile_program(registry, rules, partition, known).unguarded
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
    rules, known = list(rules), Known()
    found = set()
    for partition in range(_partitions(registry)):
        for number, rule, reason in compile_program(registry, rules, partition, known).unguarded:
            sensor = registry.by_number[number]
            place = sensor.gateway, sensor.point, sensor.category or "", sensor.zone or ""
            found.add(Row(*place, rule, reason))
    return sorted(found)


def still_learning(registry: Registry, rules: Iterable[Rule], snapshots: Snapshots | None) -> list[Learning]:
    """By sensor and rule. Of a partition of which no snapshot can be read nothing is known to be learned."""
    rules, known, found = list(rules), Known(), list[Learning]()
    for partition in range(_partitions(registry)):
        program = compile_program(registry, rules, partition, known)
        found += learning(_remembered(Partition(program), snapshots, partition))
    return found


class Unjudged(NamedTuple):
    """What a rule does not judge at a sensor: for a reason, or until it has learned it. `until_us` is None
    where nobody can say; `alone`: nothing else guards the sensor meanwhile."""

    rule: str
    what: str
    learns: bool = False
    begun: bool = False
    until_us: int | None = None
    alone: bool = False


def unjudged(
    registry: Registry, rules: Iterable[Rule], snapshots: Snapshots | None
) -> dict[int, list[Unjudged]]:
    """Both, by sensor and rule: what lacks something, and what is still learned (as `still_learning`)."""
    rules, known = list(rules), Known()
    found: dict[int, list[Unjudged]] = {}
    for partition in range(_partitions(registry)):
        program = compile_program(registry, rules, partition, known)
        for sensor, rule, reason in program.unguarded:
            found.setdefault(sensor, []).append(Unjudged(rule, reason))
        for one in learning(_remembered(Partition(program), snapshots, partition)):
            part = Unjudged(one.rule, one.what, True, one.begun, one.until_us, one.alone)
            found.setdefault(one.sensor, []).append(part)
    return found


def learning_list(registry: Registry, found: Iterable[Learning]) -> list[Row]:
    """The same lines of the work list."""
    rows = []
    for one in found:
        sensor = registry.by_number[one.sensor]
        place = sensor.gateway, sensor.point, sensor.category or "", sensor.zone or ""
        rows.append(Row(*place, one.rule, f"{one.what}: {_until(one)}"))
    return sorted(rows)


def _until(one: Learning) -> str:
    besides = ", nothing else guards it" if one.alone else ""
    if not one.begun:
        return f"learning has not begun{besides}"
    if one.until_us is None:
        return f"learning, too little was seen to say until when{besides}"
    return f"learning until {to_datetime(one.until_us).astimezone(ZONE):%Y-%m-%d %H:%M}{besides}"


def _remembered(empty: Partition, snapshots: Snapshots | None, number: int) -> Partition:
    for snapshot in snapshots.usable(number) if snapshots is not None else ():
        try:
            return Partition.restore(empty.program, snapshot.whole, snapshot.changes)
        except SnapshotError:
            continue
    return empty


def _partitions(registry: Registry) -> int:
    return max((zone.partition for zone in registry.zones.values()), default=0) + 1
