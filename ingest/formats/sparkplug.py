"""Sparkplug B 3.0: metrics of edge nodes and their devices over MQTT, as protobuf payloads.

A birth names the metrics, later messages may say an alias only: `EdgeNodes` is what is remembered of births
and sequence numbers, owned by whoever reads the messages of these nodes in order. Values that were stored on
the way (`is_historical`) are so marked. Data sets, templates, bytes and arrays are `unsupported`, metric by
metric. A gap in the sequence or an alias that no birth named asks the node for a rebirth, at most every ten
seconds a node. Without its topic a payload does not say whose it is nor what: all such messages count as one
node's.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass, field
from typing import NamedTuple

from ingest.formats import protobuf_wire
from ingest.formats.protobuf_wire import Malformed
from ingest.formats.result import Bad, Item, Reading, Reply, Seen, Value
from ingest.units import ucum
from schemas.reading import Quality, Reason

REBIRTH = "Node Control/Rebirth"
ASK_AGAIN_US = 10_000_000
LONGEST_UNPACKED = 4 << 20
MOST_METRICS = 100_000
MOST_NODES = 10_000
_COMPRESSED = "SPBV1.0_COMPRESSED"
_KINDS = frozenset({"NBIRTH", "NDEATH", "DBIRTH", "DDEATH", "NDATA", "DDATA", "NCMD", "DCMD"})
_BITS = {1: 8, 2: 16, 3: 32, 4: 64}  # signed datatypes
_BOOLEAN = 11
_QUALITIES = {192: Quality.good, 0: Quality.fault}
_LATEST_MS = 253_402_300_799_000  # the last second of the year 9999


class _Born(NamedTuple):
    """What a birth says of a metric."""

    name: str
    datatype: int | None
    unit: str | None


@dataclass(slots=True)
class _Node:
    metrics: dict[tuple[str | None, int | str], _Born] = field(
        default_factory=dict
    )  # (device, alias or name)
    expected: int | None = None  # sequence number of the next message
    session: int | None = None  # bdSeq of the birth
    asked_us: int | None = None


class _Metric(NamedTuple):
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


class EdgeNodes:
    """Births, sequence numbers and sessions of edge nodes."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[str, str], _Node] = {}

    def decode(self, payload: bytes, topic: str | None, now_us: int) -> list[Item]:
        """The readings of one message, or what it is, or why it cannot be used; and what to answer."""
        place = _place(topic)
        if place is None:
            return [Bad(Reason.syntax, f"expected spBv1.0/GROUP/KIND/NODE or .../DEVICE, got {topic!r}")]
        group, kind, edge, device = place
        if kind == "STATE":
            return [Seen(None, "state")]
        try:
            seq, time_ms, metrics = _payload(payload)
        except Malformed as error:
            reason = Reason.truncated if error.is_cut else Reason.syntax
            return [Bad(reason, f"expected a Sparkplug payload: {error}")]
        except UnicodeDecodeError:
            return [Bad(Reason.syntax, "a name or text is not UTF-8")]
        gateway = edge if topic is not None else None
        if kind in ("NCMD", "DCMD"):
            return [Seen(gateway, "command")]
        if len(self._nodes) >= MOST_NODES and (group, edge) not in self._nodes:
            return [Bad(Reason.range, f"expected at most {MOST_NODES} edge nodes")]
        node = self._nodes.setdefault((group, edge), _Node())
        if kind == "NDEATH":
            return [self._dies((group, edge), node, metrics)]
        is_unknown = topic is not None and not _follows(node, kind, seq)
        if kind == "NBIRTH":
            session = next((metric.raw for metric in metrics if metric.name == "bdSeq"), None)
            node.metrics, node.asked_us = {}, None
            node.session = session if isinstance(session, int) else None
            is_unknown = False
        if kind in ("DBIRTH", "DDEATH"):
            node.metrics = {key: born for key, born in node.metrics.items() if key[0] != device}
        if kind == "DDEATH":
            return [Seen(gateway, "ddeath")]
        items: list[Item] = []
        for metric in metrics:
            born = _known(node, device, metric, is_birth=kind in (None, "NBIRTH", "DBIRTH"))
            if born is None:
                is_unknown = True
            items.append(_reading(gateway, device, metric, born, time_ms))
        if is_unknown and topic is not None:
            items += _ask(node, group, edge, now_us)
        return items or [Seen(gateway, (kind or "empty").lower())]

    def _dies(self, key: tuple[str, str], node: _Node, metrics: list[_Metric]) -> Seen:
        """A will may arrive after the next birth: one of an older session changes nothing."""
        session = next((metric.raw for metric in metrics if metric.name == "bdSeq"), None)
        if node.session is not None and session != node.session:
            return Seen(key[1], "ndeath_of_older_session")
        del self._nodes[key]
        return Seen(key[1], "ndeath")


def rebirth_request(group: str, edge: str, now_us: int) -> Reply:
    """The command that makes a node say its births again."""
    return Reply(
        protobuf_wire.field(1, now_us // 1_000)
        + protobuf_wire.field(
            2,
            protobuf_wire.field(1, REBIRTH)
            + protobuf_wire.field(3, now_us // 1_000)
            + protobuf_wire.field(4, _BOOLEAN)
            + protobuf_wire.field(14, True),
        ),
        f"spBv1.0/{group}/NCMD/{edge}",
    )


def _place(topic: str | None) -> tuple[str, str | None, str, str | None] | None:
    """Group, kind, edge node and device of a topic."""
    if topic is None:
        return "", None, "", None
    parts = topic.split("/")
    if parts[0] == "spBv1.0" and len(parts) == 3 and parts[1] == "STATE":
        return "", "STATE", "", None
    if parts[0] != "spBv1.0" or len(parts) not in (4, 5) or not all(parts) or parts[2] not in _KINDS:
        return None
    if (parts[2][0] == "D") is not (len(parts) == 5):
        return None
    return parts[1], parts[2], parts[3], parts[4] if len(parts) == 5 else None


def _follows(node: _Node, kind: str | None, seq: int | None) -> bool:
    """Whether nothing is missing before this message; a birth begins anew."""
    is_next = node.expected is not None and seq == node.expected
    node.expected = None if seq is None else (seq + 1) % 256
    return is_next or kind == "NBIRTH"


def _ask(node: _Node, group: str, edge: str, now_us: int) -> list[Item]:
    if node.asked_us is not None and 0 <= now_us - node.asked_us < ASK_AGAIN_US:
        return []
    node.asked_us = now_us
    return [rebirth_request(group, edge, now_us)]


def _known(node: _Node, device: str | None, metric: _Metric, is_birth: bool) -> _Born | None:
    """What is known of a metric; a birth makes it known. None for an alias that no birth named."""
    if metric.name is None:
        return node.metrics.get((device, metric.alias)) if metric.alias is not None else None
    told = node.metrics.get((device, metric.name))
    if metric.datatype is None or not is_birth:
        return told or _Born(metric.name, metric.datatype, metric.unit)
    born = _Born(metric.name, metric.datatype, metric.unit)
    if len(node.metrics) < MOST_METRICS:
        node.metrics[device, metric.name] = born
        if metric.alias is not None:
            node.metrics[device, metric.alias] = born
    return born


def _reading(
    gateway: str | None, device: str | None, metric: _Metric, born: _Born | None, payload_ms: int | None
) -> Item:
    name = born.name if born else f"alias:{metric.alias}"
    if metric.name is None and metric.alias is None:
        return Bad(Reason.syntax, "expected a metric with a name or an alias")
    point = f"{device}/{name}" if device is not None else name
    value: Value = None
    if not metric.is_null:
        datatype = metric.datatype if metric.datatype is not None else born.datatype if born else None
        try:
            value = _value(metric.number, metric.raw, datatype)
        except UnicodeDecodeError:
            return Bad(Reason.syntax, f"metric {name}: the text is not UTF-8")
        except TypeError:
            return Bad(Reason.syntax, f"metric {name}: the value is not of the wire type of its field")
        except LookupError:
            return Bad(Reason.unsupported, f"metric {name}: expected a number, a boolean or a text")
    time_ms = metric.time_ms if metric.time_ms is not None else payload_ms
    time_us = time_ms * 1_000 if time_ms is not None and time_ms <= _LATEST_MS else None
    quality = metric.quality
    if value is None and quality is Quality.good:
        quality = Quality.suspect
    if metric.is_historical:
        quality = Quality.historical
    unit = metric.unit if metric.unit is not None else born.unit if born else None
    return Reading(gateway, point, time_us, value, unit, quality, metric.is_historical)


def _value(number: int | None, raw: protobuf_wire.Value, datatype: int | None) -> Value:
    """The value of a value field. Raises LookupError for one that is not kept."""
    if number is None:
        return None
    if number in (10, 11):
        whole = _whole(raw)
        bits = _BITS.get(datatype or 0)
        if bits is None:
            return bool(whole) if datatype == _BOOLEAN else whole
        whole &= (1 << bits) - 1
        return whole - (1 << bits) if whole >> bits - 1 else whole
    if number in (12, 13):
        (floating,) = struct.unpack("<f" if number == 12 else "<d", _bytes(raw, 4 if number == 12 else 8))
        return float(floating) if math.isfinite(floating) else None
    if number == 14:
        return bool(_whole(raw))
    if number == 15:
        return _bytes(raw).decode()
    raise LookupError(number)


def _payload(data: bytes, is_inner: bool = False) -> tuple[int | None, int | None, list[_Metric]]:
    """Sequence number, time and metrics."""
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
        inner_seq, inner_ms, inner = _payload(_unpacked(body), is_inner=True)
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


def _metric(data: bytes) -> _Metric:
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
    return _Metric(name, alias, time_ms, datatype, is_historical, is_null, quality, unit, kind, raw)


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
        raise TypeError
    return raw


def _bytes(raw: protobuf_wire.Value, size: int | None = None) -> bytes:
    if not isinstance(raw, bytes) or (size is not None and len(raw) != size):
        raise TypeError
    return raw
