"""SenML JSON (RFC 8428): one frame's bytes to readings, record by record.

Total: any bytes give `Decoded` or `Rejected`. Base fields are resolved; times from 2^28 s up are absolute,
below that relative to receipt, absent is receipt. A record that cannot be used is refused alone; only what
makes the whole frame doubtful (no JSON, NaN, an unreadable base field, a newer version) rejects it all. Sums
(`s`) without a value and binary values (`vd`) are `unsupported`; update times (`ut`) are not kept.

Three ways through: `ingest/formats/senml_numbers.py` for frames of numbers like one seen before; `_quick`,
column by column, for a frame that is right in everything; `_careful`, record by record, for every other. They
agree where several apply (a test says so).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import NamedTuple

import msgspec
import numpy as np

from ingest.decoded import Decoded, Refused, Rejected
from ingest.formats import senml_numbers
from ingest.formats.senml_numbers import NAME_LIMIT as NAME_LIMIT
from ingest.formats.senml_numbers import UNPRINTABLE, judged, times
from schemas.reading import Flag, Reason

VERSION = 10

_BASE_KEY = re.compile(rb'"b(?:[ntuvs]|ver)"\s*:')
_MUST_KNOW = re.compile(rb'_"\s*:')
_AT = re.compile(r"\(byte (\d+)\)")


class _Usual(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A record that `_quick` understands; any other field sends the frame the careful way."""

    n: str | None = None
    v: float | None = None
    u: str | None = None
    t: float | None = None
    bn: str | None = None
    bt: float | None = None
    bu: str | None = None
    bv: float | None = None
    vb: bool | None = None
    vs: str | None = None


class _Record(msgspec.Struct, gc=False):
    n: str | None = None
    v: float | None = None
    u: str | None = None
    t: float | None = None
    bn: str | None = None
    bt: float | None = None
    bu: str | None = None
    bv: float | None = None
    bs: float | None = None
    bver: int | None = None
    vb: bool | None = None
    vs: str | None = None
    vd: str | None = None
    s: float | None = None
    ut: float | None = None


class _Base(msgspec.Struct, gc=False, omit_defaults=True):
    """The base fields in force; also a record of their own."""

    bn: str | None = None
    bt: float | None = None
    bu: str | None = None
    bv: float | None = None
    bs: float | None = None
    bver: int | None = None

    def after(self, record: _Record | _Base) -> _Base:
        """RFC 8428 4.1: a base field holds until another record sets it again."""
        return _Base(
            self.bn if record.bn is None else record.bn,
            self.bt if record.bt is None else record.bt,
            self.bu if record.bu is None else record.bu,
            self.bv if record.bv is None else record.bv,
            self.bs if record.bs is None else record.bs,
            self.bver if record.bver is None else record.bver,
        )


_usual = msgspec.json.Decoder(list[_Usual])
_frame = msgspec.json.Decoder(list[_Record])
_pieces = msgspec.json.Decoder(list[msgspec.Raw])
_record = msgspec.json.Decoder(_Record)
_base = msgspec.json.Decoder(_Base)
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def decode(data: bytes, received_us: int) -> Decoded | Rejected:
    """The readings of one frame that was received at `received_us`."""
    quickly = senml_numbers.decode(data, received_us)
    if quickly is not None:
        return quickly
    try:
        if not data.isascii():
            data.decode()  # msgspec looks at the strings that it keeps only
        records = _usual.decode(data)
    except msgspec.ValidationError:
        return _careful(data, received_us)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _no_json(data, error)
    if not records:
        return Rejected(Reason.syntax, data, "expected at least one record, got an empty array")
    found = _quick(records, received_us, _has_later_base(data))
    return _careful(data, received_us) if found is None else found


def excerpt(data: bytes, indices: Iterable[int]) -> bytes:
    """These records of a frame that `decode` took apart, as a frame of their own: each record's own bytes,
    behind the base fields that it stood under."""
    wanted = set(indices)
    base = written = _Base()
    out: list[bytes] = []
    for index, piece in enumerate(_pieces.decode(data)):
        if index in wanted:
            if base != written:
                out.append(msgspec.json.encode(_spelled(base)))
            out.append(bytes(piece))
        found = _read(bytes(piece))
        base = base.after(found[0])
        written = base if index in wanted else written
    return b"[" + b",".join(out) + b"]"


def _spelled(base: _Base) -> _Base:
    """Every field said, so that nothing of an earlier record is left in force."""
    return _Base(base.bn or "", base.bt or 0.0, base.bu or "", base.bv or 0.0, None, base.bver)


def _no_json(data: bytes, error: Exception) -> Rejected:
    text = str(error)
    place = _AT.search(text)
    ended = not data.rstrip().endswith(b"]")
    cut = ended and (
        "truncated" in text
        or "unexpected end of data" in text
        or (place is not None and int(place[1]) >= len(data))
    )
    reason = Reason.truncated if cut else Reason.syntax
    return Rejected(reason, data, f"expected SenML JSON: {text}", records=max(1, data.count(b"{")))


def _has_later_base(data: bytes) -> bool:
    """Whether a record behind the first may set base fields: a key could also hide in escapes."""
    if b"\\" in data:
        return True
    rest = data.find(b"}")
    return data.find(b'"b', rest) >= 0 and _BASE_KEY.search(data, rest) is not None


def _quick(records: list[_Usual], received_us: int, later_base: bool) -> Decoded | None:
    """None if anything at all is wrong with it: the careful way says what."""
    count = len(records)
    columns = _values(records)
    if columns is None:
        return None
    value, flags, texts = columns
    seconds = np.array([record.t or 0.0 for record in records], np.float64)
    points: list[str] = []
    units: list[str | None] = []
    name, begun, unit, floor = "", 0.0, None, 0.0
    for first, last in _runs(records) if later_base else [(0, count)]:
        run = records[first:last]
        name = name if run[0].bn is None else run[0].bn
        begun = begun if run[0].bt is None else run[0].bt
        unit = unit if run[0].bu is None else run[0].bu
        floor = floor if run[0].bv is None else run[0].bv
        points += [name + (record.n or "") for record in run]
        units += [unit if record.u is None else record.u for record in run]
        seconds[first:last] += begun
        if floor:
            with np.errstate(over="ignore"):
                value[first:last] += np.where(flags[first:last] == Flag.number, floor, 0.0)
    if "" in points or max(map(len, points)) > NAME_LIMIT or UNPRINTABLE.search("".join(points)):
        return None
    time, absolute = times(seconds, received_us)
    quality, in_range = judged(time, received_us)
    if not in_range.all() or not np.isfinite(value).all():
        return None
    return Decoded(points, units, time, value, quality, flags, np.arange(count), ~absolute, texts)


def _runs(records: list[_Usual]) -> list[tuple[int, int]]:
    """The spans of records that stand under the same base fields."""
    starts = [
        at
        for at, record in enumerate(records)
        if record.bn is not None or record.bt is not None or record.bu is not None or record.bv is not None
    ]
    if not starts or starts[0]:
        starts.insert(0, 0)
    return list(zip(starts, [*starts[1:], len(records)], strict=True))


def _values(records: list[_Usual]) -> tuple[np.ndarray, np.ndarray, list[str]] | None:
    """Values, flags and texts; None unless each record has exactly one value."""
    numbers = [record.v for record in records]
    flags = np.zeros(len(records), np.uint8)
    states = [record.vb for record in records]
    words = [record.vs for record in records]
    missing = numbers.count(None)
    if missing != 2 * len(records) - states.count(None) - words.count(None):
        return None
    texts: dict[str, int] = {}
    if missing:
        for at, number in enumerate(numbers):
            state, word = states[at], words[at]
            if number is None and state is not None:
                numbers[at] = state
                flags[at] = Flag.boolean
            elif number is None and word is not None and "\0" not in word:
                numbers[at] = texts.setdefault(word, len(texts))
                flags[at] = Flag.text
            elif number is None:
                return None
    return np.array(numbers, np.float64), flags, list(texts)


class _Wrong(NamedTuple):
    reason: Reason
    detail: str


class _Row(NamedTuple):
    """A record resolved: its base applied, its time not yet."""

    place: int
    point: str
    unit: str | None
    seconds: float
    value: float | str | bool


class _Broken(_Base, gc=False):
    """Stands for a record whose base fields cannot be read: nothing behind it can be trusted."""


def _careful(data: bytes, received_us: int) -> Decoded | Rejected:
    try:
        pieces = [bytes(piece) for piece in _pieces.decode(data)]
        read = _records(data) or [_read(piece) for piece in pieces]
    except msgspec.ValidationError as error:
        return Rejected(Reason.syntax, data, f"expected an array of records: {error}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _no_json(data, error)
    base = _Base()
    rows: list[_Row] = []
    refused: list[Refused] = []
    for index, (piece, (record, unread)) in enumerate(zip(pieces, read, strict=True)):
        if isinstance(record, _Broken) and unread is not None:
            return Rejected(unread.reason, data, f"record {index}: {unread.detail}", records=len(pieces))
        base = base.after(record)
        if base.bver is not None and not 0 < base.bver <= VERSION:
            detail = f"record {index}: expected SenML version 1 to {VERSION}, got {base.bver}"
            return Rejected(Reason.unsupported, data, detail, records=len(pieces))
        found = unread or _must_know(piece) or _row(index, record, base, piece)
        if isinstance(found, _Row):
            rows.append(found)
        elif found is not None:
            name = record.n if isinstance(record, _Record) else None
            point = (base.bn or "") + name if name is not None else None
            refused.append(Refused(index, found.reason, f"record {index}: {found.detail}", point))
    if not rows and not refused:
        return Rejected(Reason.syntax, data, "expected a record with a value, got base fields only")
    return _columns(rows, refused, received_us)


def _records(data: bytes) -> list[tuple[_Record | _Base, _Wrong | None]] | None:
    """All at once; None if one of them is not what it should be: then each is decoded alone."""
    try:
        return [(record, None) for record in _frame.decode(data)]
    except msgspec.ValidationError:
        return None


def _read(piece: bytes) -> tuple[_Record | _Base, _Wrong | None]:
    """One record; if it is not what it should be, its base fields alone with what is wrong."""
    try:
        return _record.decode(piece), None
    except msgspec.ValidationError as error:
        reason = Reason.range if "out of range" in str(error) else Reason.syntax
        wrong = _Wrong(reason, str(error))
    if not piece.startswith(b"{"):
        return _Base(), wrong
    try:
        return _base.decode(piece), wrong
    except msgspec.ValidationError as error:
        return _Broken(), _Wrong(Reason.syntax, str(error))


def _must_know(piece: bytes) -> _Wrong | None:
    """RFC 8428 4.4: a field whose name ends in "_" must not be ignored."""
    if b'_"' in piece and _MUST_KNOW.search(piece):
        for key in _object.decode(piece):
            if key.endswith("_"):
                return _Wrong(Reason.unsupported, f"field {key!r} is not known and must not be ignored")
    return None


def _row(index: int, record: _Record | _Base, base: _Base, piece: bytes) -> _Row | _Wrong | None:
    """A record resolved; None for one that only sets base fields."""
    if not isinstance(record, _Record) or _is_base_alone(record, piece):
        return None
    point = (base.bn or "") + (record.n or "")
    if not point:
        return _Wrong(Reason.syntax, "expected a name in n or bn")
    if len(point) > NAME_LIMIT or UNPRINTABLE.search(point):
        return _Wrong(Reason.syntax, f"expected a name of at most {NAME_LIMIT} printable characters")
    value = _value(record, base)
    if isinstance(value, _Wrong):
        return value
    seconds = (base.bt or 0.0) + (record.t or 0.0)
    unit = record.u if record.u is not None else base.bu
    return _Row(index, point, unit or None, seconds, value)


def _value(record: _Record, base: _Base) -> float | str | bool | _Wrong:
    given = [value for value in (record.v, record.vb, record.vs, record.vd) if value is not None]
    if len(given) > 1:
        return _Wrong(Reason.syntax, "expected one value, got several of v, vb, vs, vd")
    if record.vd is not None or (not given and record.s is not None):
        return _Wrong(Reason.unsupported, "expected v, vb or vs; sums and binary values are not kept")
    if not given:
        return _Wrong(Reason.syntax, "expected a value in v, vb or vs")
    if record.v is not None:
        value = record.v + (base.bv or 0.0)
        if not math.isfinite(value):
            return _Wrong(Reason.range, "the value with its base is beyond what a float64 holds")
        return value
    if record.vs is not None and "\0" in record.vs:
        return _Wrong(Reason.syntax, "expected a text without NUL")
    return given[0]


def _is_base_alone(record: _Record, piece: bytes) -> bool:
    if record.v is not None or record.n is not None:
        return False
    nothing = (record.n, record.v, record.u, record.t, record.vb, record.vs, record.vd, record.s, record.ut)
    return all(field is None for field in nothing) and _BASE_KEY.search(piece) is not None


def _columns(rows: list[_Row], refused: list[Refused], received_us: int) -> Decoded:
    texts: dict[str, int] = {}
    value = np.empty(len(rows), np.float64)
    flags = np.zeros(len(rows), np.uint8)
    for at, row in enumerate(rows):
        if isinstance(row.value, str):
            value[at] = texts.setdefault(row.value, len(texts))
            flags[at] = Flag.text
        else:
            value[at] = row.value
            flags[at] = Flag.boolean if isinstance(row.value, bool) else Flag.number
    time, absolute = times(np.array([row.seconds for row in rows], np.float64), received_us)
    quality, kept = judged(time, received_us)
    for row in (rows[at] for at in np.flatnonzero(~kept)):
        refused.append(
            Refused(row.place, Reason.range, f"record {row.place}: {_when(row.seconds)}", row.point)
        )
    refused.sort(key=lambda one: one.index)
    usable = [row for row, keep in zip(rows, kept, strict=True) if keep]
    return Decoded(
        [row.point for row in usable],
        [row.unit for row in usable],
        time[kept],
        value[kept],
        quality[kept],
        flags[kept],
        np.array([row.place for row in usable], np.int64),
        ~absolute[kept],
        list(texts),
        refused,
    )


def _when(seconds: float) -> str:
    return f"expected a time from 2000 to one day ahead of receipt, got {seconds:.6f} s"
