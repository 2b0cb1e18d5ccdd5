"""SenML JSON (RFC 8428) as a thrifty gateway writes it: base fields once, what repeats left out.

One frame is one moment: its time stands in `bt`, absolute, and no record needs its own. Points whose names
share a beginning share a `bn`, those of one unit a `bu`; states are booleans and come first, because a base
unit once given cannot be taken back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec


class Point(NamedTuple):
    """How a point is written: the two halves of its name, its unit (None: unknown), whether it is a state."""

    prefix: str
    rest: str
    unit: str | None
    state: bool = False


class _Record(msgspec.Struct, omit_defaults=True):
    bn: str | None = None
    bt: float | None = None
    bu: str | None = None
    n: str | None = None
    u: str | None = None
    v: float | None = None
    t: float | None = None
    vb: bool | None = None
    vs: str | None = None


_encoder = msgspec.json.Encoder()


def point(name: str, unit: str | None, state: bool = False) -> Point:
    """Splits a name before its number: "main-pressure-07" is "main-pressure-" and "07"."""
    head, dash, number = name.rpartition("-")
    if dash and number.isdigit():
        return Point(head + dash, number, unit, state)
    return Point("", name, unit, state)


def encode(time_us: int, readings: Iterable[tuple[Point, float | str]]) -> bytes:
    """A frame of readings of one moment. Values must be finite numbers or texts."""
    records = []
    prefix, unit = "", None
    for at, value in _ordered(readings):
        record = _Record(n=at.rest)
        if at.prefix != prefix:
            record.bn = prefix = at.prefix
        if isinstance(value, str):
            record.vs = value
        elif at.state:
            record.vb = value != 0
        else:
            record.v = value
            if at.unit is not None and at.unit != unit:
                record.bu = unit = at.unit
        records.append(record)
    records[0].bt = time_us / 1e6
    return _encoder.encode(records)


def encode_history(readings: Sequence[tuple[int, str, float]]) -> bytes:
    """A frame of (time, point, number) of many moments: each is told from the first."""
    first_us = readings[0][0]
    records = [
        _Record(n=name, v=value, t=(time_us - first_us) / 1e6 or None) for time_us, name, value in readings
    ]
    records[0].bt = first_us / 1e6
    return _encoder.encode(records)


def _ordered(readings: Iterable[tuple[Point, float | str]]) -> Sequence[tuple[Point, float | str]]:
    """Without a unit first, then as they come."""
    return sorted(readings, key=lambda r: not (r[0].state or r[0].unit is None or isinstance(r[1], str)))
