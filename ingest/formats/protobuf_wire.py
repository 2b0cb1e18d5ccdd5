"""The wire format of Protocol Buffers: numbered fields in and out, nothing about any message's meaning.

Sparkplug needs two dozen fields of five messages, so a reader of the four wire types is all there is to it;
the `protobuf` package would bring generated code and a runtime whose versions clients quarrel about. Groups,
which nobody has used since 2008, are refused.
"""

from __future__ import annotations

import struct

Value = int | bytes
"""A varint as an unsigned number; everything else as its bytes."""


class Malformed(ValueError):
    """Not the wire format, or (`is_cut`) its beginning only."""

    def __init__(self, detail: str, is_cut: bool = False) -> None:
        super().__init__(detail)
        self.is_cut = is_cut


def fields(data: bytes) -> list[tuple[int, Value]]:
    """(number, value) of every field, in order. Raises Malformed.

    >>> fields(bytes.fromhex("08960112036162 63"))
    [(1, 150), (2, b'abc')]
    """
    found: list[tuple[int, Value]] = []
    at, size = 0, len(data)
    while at < size:
        key = data[at]
        at += 1
        if key >= 0x80:
            key, at = _varint(data, at - 1)
        wire = key & 7
        if not key >> 3:
            raise Malformed("a field has number 0")
        if wire == 0:
            value, at = _varint(data, at)
            found.append((key >> 3, value))
            continue
        if wire == 2:
            length, at = _varint(data, at)
        elif wire == 1:
            length = 8
        elif wire == 5:
            length = 4
        else:
            raise Malformed(f"wire type {wire} is not known")
        if at + length > size:
            raise Malformed(f"field {key >> 3} has {length} bytes, {size - at} are left", is_cut=True)
        found.append((key >> 3, data[at : at + length]))
        at += length
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    for byte in data[at : at + 10]:
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
        shift += 7
    raise Malformed("a number of more than 64 bits or without an end", is_cut=shift < 70)


def varint(number: int) -> bytes:
    """An unsigned number of up to 64 bits."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number: int, value: int | float | bool | str | bytes) -> bytes:
    """A field as its type suggests: a float as double, a text as length and bytes, the rest as varint."""
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(value & 0xFFFF_FFFF_FFFF_FFFF)
