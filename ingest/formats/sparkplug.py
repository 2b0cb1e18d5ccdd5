"""Sparkplug B 3.0: metrics of edge nodes and their devices over MQTT, as protobuf payloads.

A birth names the metrics, later messages may say an alias only: `EdgeNodes` is what is remembered of births
and sequence numbers, owned by whoever reads the messages of these nodes in order. Values that were stored on
the way (`is_historical`) are so marked. A template's members are points behind its name (`pump/speed`), its
definition none. What is no scalar else is `unsupported`, metric by metric. A gap in the sequence or an alias
that no birth named asks the node for a rebirth, at most every ten seconds a node; who waits for what is
missing does so before (`ingest/connections/reordering.py`). Without its topic a payload does not say whose it
is nor what: all such messages count as one node's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ingest.formats import protobuf_wire
from ingest.formats.protobuf_wire import Malformed
from ingest.formats.result import Bad, Item, Reading, Reply, Seen, Value
from ingest.formats.sparkplug_payload import (
    BOOLEAN,
    MOST_METRICS,
    TEMPLATE,
    Metric,
    Unread,
    payload,
    template,
    value_of,
)
from schemas.reading import Quality, Reason

REBIRTH = "Node Control/Rebirth"
ASK_AGAIN_US = 10_000_000
MOST_NODES = 10_000
DEEPEST = 8
"""Templates within templates."""
_KINDS = frozenset({"NBIRTH", "NDEATH", "DBIRTH", "DDEATH", "NDATA", "DDATA", "NCMD", "DCMD"})
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


class Said(NamedTuple):
    """A message of an edge node, read and not yet understood. `kind` None: nothing says what it is."""

    group: str
    kind: str | None
    edge: str
    device: str | None
    number: int | None  # in the node's sequence
    time_ms: int | None
    metrics: list[Metric]


class EdgeNodes:
    """Births, sequence numbers and sessions of edge nodes."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[str, str], _Node] = {}

    def decode(self, data: bytes, topic: str | None, now_us: int) -> list[Item]:
        """The readings of one message, or what it is, or why it cannot be used; and what to answer."""
        said = read(data, topic)
        return said if isinstance(said, list) else self.understood(said, now_us)

    def understood(self, said: Said, now_us: int, *, may_ask: bool = True) -> list[Item]:
        """The same of a message that was read before; `may_ask`: whether a gap is worth a rebirth."""
        group, kind, edge, device = said.group, said.kind, said.edge, said.device
        gateway = edge if kind is not None else None
        if kind in ("NCMD", "DCMD"):
            return [Seen(gateway, "command")]
        if len(self._nodes) >= MOST_NODES and (group, edge) not in self._nodes:
            return [Bad(Reason.range, f"expected at most {MOST_NODES} edge nodes")]
        node = self._nodes.setdefault((group, edge), _Node())
        if kind == "NDEATH":
            return [self._dies((group, edge), node, said.metrics)]
        is_unknown = kind is not None and not _follows(node, kind, said.number)
        if kind == "NBIRTH":
            session = next((metric.raw for metric in said.metrics if metric.name == "bdSeq"), None)
            node.metrics, node.asked_us = {}, None
            node.session = session if isinstance(session, int) else None
            is_unknown = False
        if kind in ("DBIRTH", "DDEATH"):
            node.metrics = {key: born for key, born in node.metrics.items() if key[0] != device}
        if kind == "DDEATH":
            return [Seen(gateway, "ddeath")]
        items: list[Item] = []
        is_birth = kind in (None, "NBIRTH", "DBIRTH")
        for metric in said.metrics:
            born = _known(node, device, metric, is_birth)
            if metric.number != TEMPLATE:
                is_unknown = is_unknown or born is None
                items.append(_reading(gateway, device, metric, born, said.time_ms))
                continue
            for found, known in _scalars(node, device, metric, born, is_birth):
                if isinstance(found, Bad):
                    items.append(found)
                    continue
                is_unknown = is_unknown or known is None
                items.append(_reading(gateway, device, found, known, said.time_ms))
        if is_unknown and kind is not None and may_ask:
            items += _ask(node, group, edge, now_us)
        return items or [Seen(gateway, (kind or "empty").lower())]

    def _dies(self, key: tuple[str, str], node: _Node, metrics: list[Metric]) -> Seen:
        """A will may arrive after the next birth: one of an older session changes nothing."""
        session = next((metric.raw for metric in metrics if metric.name == "bdSeq"), None)
        if node.session is not None and session != node.session:
            return Seen(key[1], "ndeath_of_older_session")
        del self._nodes[key]
        return Seen(key[1], "ndeath")


def read(data: bytes, topic: str | None) -> Said | list[Item]:
    """One message taken apart; a list says what else it is, or why it cannot be used."""
    place = _place(topic)
    if place is None:
        return [Bad(Reason.syntax, f"expected spBv1.0/GROUP/KIND/NODE or .../DEVICE, got {topic!r}")]
    group, kind, edge, device = place
    if kind == "STATE":
        return [Seen(None, "state")]
    try:
        return Said(group, kind, edge, device, *payload(data))
    except Malformed as error:
        reason = Reason.truncated if error.is_cut else Reason.syntax
        return [Bad(reason, f"expected a Sparkplug payload: {error}")]
    except UnicodeDecodeError:
        return [Bad(Reason.syntax, "a name or text is not UTF-8")]


def rebirth_request(group: str, edge: str, now_us: int) -> Reply:
    """The command that makes a node say its births again."""
    return Reply(
        protobuf_wire.field(1, now_us // 1_000)
        + protobuf_wire.field(
            2,
            protobuf_wire.field(1, REBIRTH)
            + protobuf_wire.field(3, now_us // 1_000)
            + protobuf_wire.field(4, BOOLEAN)
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


def _known(node: _Node, device: str | None, metric: Metric, is_birth: bool) -> _Born | None:
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


def _scalars(
    node: _Node, device: str | None, metric: Metric, born: _Born | None, is_birth: bool, depth: int = 1
) -> Iterator[tuple[Metric | Bad, _Born | None]]:
    """The metric itself or, of a template, its members by their whole names, each with what is known of it.
    What a template says of all of them holds for each that says nothing."""
    if metric.number != TEMPLATE or metric.is_null or (metric.name is None and metric.alias is None):
        yield metric, born
        return
    name = born.name if born else f"alias:{metric.alias}"
    if depth > DEEPEST:
        yield (
            Bad(
                Reason.unsupported, f"metric {name:.80}: expected at most {DEEPEST} templates within another"
            ),
            None,
        )
        return
    try:
        members = template(metric)
    except Malformed as error:
        yield Bad(Reason.syntax, f"metric {name}: expected a template: {error}"), None
        return
    except UnicodeDecodeError:
        yield Bad(Reason.syntax, f"metric {name}: a name or text is not UTF-8"), None
        return
    for member in members:
        whole = member._replace(
            name=None if member.name is None else f"{name}/{member.name}",
            time_ms=metric.time_ms if member.time_ms is None else member.time_ms,
            is_historical=member.is_historical or metric.is_historical,
            quality=metric.quality if member.quality is Quality.good else member.quality,
        )
        known = _known(node, device, whole, is_birth)
        yield from _scalars(node, device, whole, known, is_birth, depth + 1)


def _reading(
    gateway: str | None, device: str | None, metric: Metric, born: _Born | None, payload_ms: int | None
) -> Item:
    name = born.name if born else f"alias:{metric.alias}"
    if metric.name is None and metric.alias is None:
        return Bad(Reason.syntax, "expected a metric with a name or an alias")
    point = f"{device}/{name}" if device is not None else name
    value: Value = None
    if not metric.is_null:
        datatype = metric.datatype if metric.datatype is not None else born.datatype if born else None
        try:
            value = value_of(metric, datatype)
        except Malformed as error:
            return Bad(Reason.syntax, f"metric {name}: {error}")
        except Unread as error:
            return Bad(Reason.unsupported, f"metric {name}: {error}")
    time_ms = metric.time_ms if metric.time_ms is not None else payload_ms
    time_us = time_ms * 1_000 if time_ms is not None and time_ms <= _LATEST_MS else None
    quality = metric.quality
    if value is None and quality is Quality.good:
        quality = Quality.suspect
    if metric.is_historical:
        quality = Quality.historical
    unit = metric.unit if metric.unit is not None else born.unit if born else None
    return Reading(gateway, point, time_us, value, unit, quality, metric.is_historical)
