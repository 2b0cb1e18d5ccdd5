"""What a Sparkplug B payload holds: metrics with their value fields, from tahu's protobuf messages.

Pure and without memory: names of aliases, order and sessions are `ingest/formats/sparkplug.py`'s business.
Data sets, bytes, files and arrays are Unread.
"""

from __future__ import annotations

import math
import struct
import zlib
from typing import NamedTuple

from ingest.formats import protobuf_wire
from ingest.formats.protobuf_wire import Malformed
from ingest.formats.result import Value
from ingest.units import ucum
from schemas.reading import Quality

LONGEST_UNPACKED = 4 << 20
MOST_METRICS = 100_000
BOOLEAN = 11
DATA_SET, TEMPLATE = 17, 18
"""Numbers of value fields."""
_COMPRESSED = "SPBV1.0_COMPRESSED"
_BITS = {1: 8, 2: 16, 3: 32, 4: 64}  # signed datatypes
_QUALITIES = {192: Quality.good, 0: Quality.fault}


class Unread(ValueError):
    """A value of a kind that is not kept."""


class Metric(NamedTuple):
    name: str | None
    alias: int | None
    time_ms: int | None
    datatype: int | None
    is_historical: bool
    is_null: bool
    quality: Quality
    unit: str | None
    number: int | None  # which value field it has
    raw: protobuf_wire.Value


def value_of(metric: Metric, datatype: int | None) -> Value:
    """What its value field says. Raises Unread for one that is not kept, Malformed for one that is broken."""
    try:
        return _value(metric.number, metric.raw, datatype)
    except UnicodeDecodeError:
        raise Malformed("the text is not UTF-8") from None


def _value(number: int | None, raw: protobuf_wire.Value, datatype: int | None) -> Value:
    if number is None:
        return None
    if number in (10, 11):
        whole = _whole(raw)
        bits = _BITS.get(datatype or 0)
        if bits is None:
            return bool(whole) if datatype == BOOLEAN else whole
        whole &= (1 << bits) - 1
        return whole - (1 << bits) if whole >> bits - 1 else whole
    if number in (12, 13):
        (floating,) = struct.unpack("<f" if number == 12 else "<d", _bytes(raw, 4 if number == 12 else 8))
        return float(floating) if math.isfinite(floating) else None
    if number == 14:
        return bool(_whole(raw))
    if number == 15:
        return _bytes(raw).decode()
    if number == DATA_SET:
        raise Unread("a data set has rows and nothing that says when each was; send its columns as metrics")
    raise Unread("expected a number, a boolean or a text")


def template(metric: Metric) -> list[Metric]:
    """The members of a template's instance; a definition says what instances have and gives none. Raises
    Malformed, and UnicodeDecodeError for names."""
    members: list[Metric] = []
    is_definition = False
    for number, value in protobuf_wire.fields(_sub(metric.raw)):
        if number == 2:
            members.append(_metric(_sub(value)))
        elif number == 5:
            is_definition = bool(_int(value))
    return [] if is_definition else members


def payload(data: bytes, is_inner: bool = False) -> tuple[int | None, int | None, list[Metric]]:
    """Sequence number, time and metrics. Raises Malformed, and UnicodeDecodeError for names and texts."""
    seq = time_ms = None
    uuid, body = "", b""
    metrics: list[bytes] = []
    for number, value in protobuf_wire.fields(data):
        if number == 1:
            time_ms = _int(value)
        elif number == 2:
            metrics.append(_sub(value))
        elif number == 3:
            seq = _int(value)
        elif number == 4:
            uuid = _sub(value).decode()
        elif number == 5:
            body = _sub(value)
    if uuid == _COMPRESSED and not is_inner:
        inner_seq, inner_ms, inner = payload(_unpacked(body), is_inner=True)
        return seq if seq is not None else inner_seq, inner_ms if inner_ms is not None else time_ms, inner
    if len(metrics) > MOST_METRICS:
        raise Malformed(f"expected at most {MOST_METRICS} metrics, got {len(metrics)}")
    return seq, time_ms, [_metric(metric) for metric in metrics]


def _unpacked(body: bytes) -> bytes:
    """Tahu's clients may pack the whole payload, by GZIP or DEFLATE."""
    unpack = zlib.decompressobj(wbits=47)  # zlib and gzip are told apart by their heads
    try:
        data = unpack.decompress(body, LONGEST_UNPACKED)
    except zlib.error as error:
        raise Malformed(f"the body does not unpack: {error}") from None
    if unpack.unconsumed_tail:
        raise Malformed(f"the body unpacks to more than {LONGEST_UNPACKED} bytes")
    if not unpack.eof:
        raise Malformed("the body ends before its end", is_cut=True)
    return data


def _metric(data: bytes) -> Metric:
    name = unit = None
    alias = time_ms = datatype = kind = None
    is_historical = is_null = False
    quality = Quality.good
    raw: protobuf_wire.Value = b""
    for number, value in protobuf_wire.fields(data):
        if number == 1:
            name = _sub(value).decode()
        elif number == 2:
            alias = _int(value)
        elif number == 3:
            time_ms = _int(value)
        elif number == 4:
            datatype = _int(value)
        elif number == 5:
            is_historical = bool(_int(value))
        elif number == 7:
            is_null = bool(_int(value))
        elif number == 9:
            quality, unit = _properties(_sub(value))
        elif 10 <= number <= 18:
            kind, raw = number, value
    return Metric(name, alias, time_ms, datatype, is_historical, is_null, quality, unit, kind, raw)


def _properties(data: bytes) -> tuple[Quality, str | None]:
    """The two properties that say something of a value: Quality and engUnit."""
    keys: list[str] = []
    values: list[bytes] = []
    for number, value in protobuf_wire.fields(data):
        if number == 1:
            keys.append(_sub(value).decode())
        elif number == 2:
            values.append(_sub(value))
    quality, unit = Quality.good, None
    for key, value in zip(keys, values, strict=False):
        if key not in ("Quality", "engUnit"):
            continue
        for number, said in protobuf_wire.fields(value):
            if key == "Quality" and number in (3, 4):
                quality = _QUALITIES.get(_int(said), Quality.suspect)
            elif key == "engUnit" and number == 8:
                unit = ucum(_sub(said).decode()) or None
    return quality, unit


def _int(value: protobuf_wire.Value) -> int:
    if not isinstance(value, int):
        raise Malformed("expected a number in a field")
    return value


def _sub(value: protobuf_wire.Value) -> bytes:
    if not isinstance(value, bytes):
        raise Malformed("expected bytes in a field")
    return value


def _whole(raw: protobuf_wire.Value) -> int:
    if not isinstance(raw, int):
        raise Malformed("the value is not of the wire type of its field")
    return raw


def _bytes(raw: protobuf_wire.Value, size: int | None = None) -> bytes:
    if not isinstance(raw, bytes) or (size is not None and len(raw) != size):
        raise Malformed("the value is not of the wire type of its field")
    return raw
