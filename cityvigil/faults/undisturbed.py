"""What a platform that nobody disturbs would have raised: the sent frames folded as they were sent. Pure.

A log is made of them as ingest would write it, each frame received at the time of its readings and time
ticking evenly between them, and goes through the product's own detectors. An episode is known by rule, mode,
subject and start; when it was noticed, and what stood in its messages, may differ where the real log does.
All zones are folded as one partition: no rule looks across zones, and that is a quarter of the work.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from cityvigil.faults.load import Sent
from detectors.fold import Partition
from detectors.program import compile_program
from schemas.alert import Alert
from schemas.control import Control, Tick
from schemas.frame import SEGMENT, Frame, SegmentFlag
from schemas.reading import RECORD
from schemas.registry import Registry
from schemas.rule import Rule

TICK_US = 6_000_000
"""Of city time; what ingest writes every tenth of a second when time runs 60-fold."""


class Episode(NamedTuple):
    rule: str
    mode: str
    subject: str
    since: dt.datetime

    @classmethod
    def of(cls, alert: Alert) -> Episode:
        return cls(alert.rule, alert.mode, alert.subject, alert.since.astimezone(dt.UTC))


def raised(sent: Sequence[Sent], registry: Registry, rules: Sequence[Rule]) -> set[Episode]:
    """Every episode that these frames make."""
    fold = Partition(compile_program(_in_one(registry), rules, 0))
    said = (alert for entries in _log(sent, registry) for alert in fold.fold(entries))
    return {Episode.of(alert) for alert in said if alert.change == "raise"}


def _in_one(registry: Registry) -> Registry:
    zones = {name: msgspec.structs.replace(zone, partition=0) for name, zone in registry.zones.items()}
    return dataclasses.replace(registry, zones=zones)


def _log(sent: Sequence[Sent], registry: Registry) -> Iterable[list[Frame | Control]]:
    """A tick's worth at a time: what was sent up to it, and the tick."""
    sequences: dict[str, int] = {}
    waiting: list[Frame | Control] = []
    ordered = sorted(sent, key=lambda one: one.time_us)
    if not ordered:
        return
    tick_us = ordered[0].time_us
    for one in ordered:
        while one.time_us > tick_us:
            yield [*waiting, Tick("undisturbed", 1, tick_us, tick_us)]
            waiting, tick_us = [], tick_us + TICK_US
        sequences[one.gateway] = sequences.get(one.gateway, 0) + 1
        waiting.append(_frame(one, sequences[one.gateway], registry))
    yield [*waiting, Tick("undisturbed", 1, tick_us, tick_us)]


def _frame(one: Sent, sequence: int, registry: Registry) -> Frame:
    segment = np.zeros(1, SEGMENT)
    segment["epoch"], segment["sequence"], segment["flags"] = 1, sequence, SegmentFlag.sequenced
    segment["received_at"] = segment["received_wall"] = segment["published_wall"] = one.time_us
    segment["count"] = len(one.readings)
    records = np.zeros(len(one.readings), RECORD)
    records["time"] = one.time_us
    records["sensor"] = [registry.sensors[one.gateway, point].sensor for point, _ in one.readings]
    records["value"] = [value for _, value in one.readings]
    return Frame(segment, records, (one.gateway,))
