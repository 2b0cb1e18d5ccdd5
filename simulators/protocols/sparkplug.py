"""Sparkplug B payloads as an edge node writes them: births with names and aliases, data with aliases only.

Just enough protobuf for numbers, booleans and text; written from the protocol's own schema.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

INT64, BOOLEAN, DOUBLE, UINT64 = 4, 11, 10, 8
REBIRTH = b"Node Control/Rebirth"
SESSION = "bdSeq"


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def block(field: int, value: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(value)) + value


def _value(value: bool | float) -> bytes:
    if isinstance(value, bool):
        return number(14, value)
    return varint(13 << 3 | 1) + struct.pack("<d", value)


def metric(alias: int, value: bool | float, time_us: int, *, is_historical: bool = False) -> bytes:
    """As data says it, ready to stand in a payload."""
    body = number(2, alias) + number(3, time_us // 1_000)
    if is_historical:
        body += number(5, 1)
    return block(2, body + _value(value))


def as_historical(metrics: bytes) -> bytes:
    """The same metrics, told later."""
    out, at = b"", 0
    while at < len(metrics):
        size, used = _length(metrics, at + 1)
        body = metrics[at + 1 + used : at + 1 + used + size]
        out += block(2, body + number(5, 1))
        at += 1 + used + size
    return out


def _length(data: bytes, at: int) -> tuple[int, int]:
    found = shift = used = 0
    while True:
        byte = data[at + used]
        found |= (byte & 0x7F) << shift
        used, shift = used + 1, shift + 7
        if byte < 0x80:
            return found, used


def _named(name: str, alias: int | None, datatype: int, value: bytes) -> bytes:
    body = block(1, name.encode()) + (b"" if alias is None else number(2, alias))
    return block(2, body + number(4, datatype) + value)


def birth(session: int, names: Sequence[tuple[str, bool]], time_us: int) -> bytes:
    """All metrics by name and alias (from 1), each as a state or a number, without values of their own."""
    body = number(1, time_us // 1_000)
    body += _named(SESSION, None, UINT64, number(11, session))
    body += _named(REBIRTH.decode(), None, BOOLEAN, number(14, 0))
    for alias, (name, is_state) in enumerate(names, 1):
        body += _named(name, alias, BOOLEAN if is_state else DOUBLE, number(7, 1))
    return body + number(3, 0)


def data(metrics: bytes, sequence: int, time_us: int) -> bytes:
    return number(1, time_us // 1_000) + metrics + number(3, sequence)


def death(session: int) -> bytes:
    return _named(SESSION, None, UINT64, number(11, session))
