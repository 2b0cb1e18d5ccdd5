"""SenML JSON the quick way: frames of numbers, whose names and units are those of a frame seen before.

Nearly every frame of a city is of this kind. What its records share with the last frame like it (`_Shape`:
names, units and what bases make of them) is worked out once; a frame then costs its JSON and a few columns.
None for anything else, or if anything at all is wrong with it: `ingest/formats/senml.py` then says what. The
remembered shapes are bounded and change no result. A frame's points and units may be another's lists: who
gets them does not change them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec
import numpy as np

from ingest.decoded import Decoded
from schemas.reading import EARLIEST_US, FUTURE_REJECT_US, FUTURE_SUSPECT_US, Quality

ABSOLUTE_FROM_S = 2.0**28
NAME_LIMIT = 200
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]")
SHAPES_KEPT = 4_096

_FAR_S = 1e12  # beyond any date that is kept; keeps microseconds within int64
_POINTS_KEPT = 1_000_000  # over all shapes
_LETTERS = 32
_CHANGING = {b"t", b"v"}  # base times and values differ from frame to frame


class _Number(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    v: float
    n: str = ""
    t: float = 0.0
    u: str | None = None
    bn: str | None = None
    bt: float | None = None
    bu: str | None = None
    bv: float | None = None


@dataclass(frozen=True, slots=True)
class _Shape:
    """The four columns as they came (None: no such base behind the first record), and what they mean."""

    names: list[str]
    own_units: list[str | None]
    base_names: list[str | None] | None
    base_units: list[str | None] | None
    points: list[str]
    units: list[str | None]


_Key = tuple[int, str, str, str | None, str | None]

_numbers = msgspec.json.Decoder(list[_Number])
_shapes: dict[_Key, _Shape] = {}


def decode(data: bytes, received_us: int) -> Decoded | None:
    """The readings of one frame that was received at `received_us`, if this is the way for it."""
    try:
        records = _numbers.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not records or b"\\" in data:  # a key could hide in escapes
        return None
    later = _later_bases(data)
    if later & _CHANGING:
        return None
    shape = _shape_of(records, later)
    if shape is None:
        return None
    first, count = records[0], len(records)
    value = np.fromiter([record.v for record in records], np.float64, count)
    if first.bv:
        with np.errstate(over="ignore"):
            value += first.bv
    seconds = np.fromiter([record.t for record in records], np.float64, count)
    seconds += first.bt or 0.0
    time, absolute = times(seconds, received_us)
    quality, in_range = judged(time, received_us)
    if not in_range.all() or not np.isfinite(value).all():
        return None
    flags, places = np.zeros(count, np.uint8), np.arange(count)
    return Decoded(shape.points, shape.units, time, value, quality, flags, places, ~absolute, is_shared=True)


def times(seconds: np.ndarray, received_us: int) -> tuple[np.ndarray, np.ndarray]:
    """Microseconds UTC, and which were said absolutely. Halves round to even, as Python's round does."""
    absolute = seconds >= ABSOLUTE_FROM_S
    micros = np.rint(np.clip(seconds, -_FAR_S, _FAR_S) * 1e6).astype(np.int64)
    if not absolute.all():
        micros = np.where(absolute, micros, micros + received_us)
    return micros, absolute


def judged(time: np.ndarray, received_us: int) -> tuple[np.ndarray, np.ndarray]:
    """Each reading's quality as its time lets it be, and whether it can be kept at all."""
    ahead = time - received_us
    quality = np.where(ahead > FUTURE_SUSPECT_US, np.uint8(_SUSPECT), np.uint8(_GOOD))
    return quality, (time >= EARLIEST_US) & (ahead <= FUTURE_REJECT_US)


# A member of an enumeration is looked up anew wherever it is named, which a frame would feel.
_GOOD, _SUSPECT = int(Quality.good), int(Quality.suspect)


def _later_bases(data: bytes) -> set[bytes]:
    """The second letters of the base fields behind the first record, perhaps of some that only look so.

    Looking for one letter is many times faster than looking for three; there are few b in most frames.
    """
    found: set[bytes] = set()
    at = data.find(b"}")
    for _ in range(_LETTERS):
        at = data.find(b"b", at + 1)
        if at < 0:
            return found
        if data[at - 1 : at] == b'"':
            found.add(data[at + 1 : at + 2])
    at = data.find(b"}")
    return {one[1:] for one in (b"bn", b"bu", b"bt", b"bv") if data.find(b'"' + one, at) >= 0}


def _shape_of(records: list[_Number], later: set[bytes]) -> _Shape | None:
    """None if a name is none."""
    names = [record.n for record in records]
    units = [record.u for record in records]
    base_names = [record.bn for record in records] if b"n" in later else None
    base_units = [record.bu for record in records] if b"u" in later else None
    first = records[0]
    key = len(names), names[0], names[-1], first.bn, first.bu
    found = _shapes.get(key)
    if (
        found is not None
        and found.names == names
        and found.own_units == units
        and found.base_names == base_names
        and found.base_units == base_units
    ):
        return found
    points = _points(names, base_names or [first.bn])
    if "" in points or max(map(len, points)) > NAME_LIMIT or UNPRINTABLE.search("".join(points)):
        return None
    made = _Shape(names, units, base_names, base_units, points, _units(units, base_units or [first.bu]))
    if len(_shapes) >= SHAPES_KEPT or len(names) * len(_shapes) > _POINTS_KEPT:
        _shapes.clear()
    _shapes[key] = made
    return made


def _points(names: list[str], bases: list[str | None]) -> list[str]:
    if len(bases) < len(names):
        base = bases[0] or ""
        return [base + name for name in names] if base else names
    points, base = [], ""
    for name, said in zip(names, bases, strict=True):
        base = base if said is None else said
        points.append(base + name)
    return points


def _units(units: list[str | None], bases: list[str | None]) -> list[str | None]:
    """An empty unit is said, and stands for none."""
    if len(bases) < len(units):
        return [bases[0] if unit is None else unit for unit in units] if bases[0] is not None else units
    found: list[str | None] = []
    base: str | None = None
    for unit, said in zip(units, bases, strict=True):
        base = base if said is None else said
        found.append(base if unit is None else unit)
    return found
