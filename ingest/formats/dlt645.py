"""DL/T 645-2007: electricity meters, asked by a gateway over a serial line, between `68` and `16`.

Decodes answers to reading: energies, voltages, currents, powers, power factors, frequency, each alone or as a
block. Data bytes beyond what an item has are left out, as makers send them. Of the 1997 edition the frame and
total energy (9010, 9020) are read. The meter says no time. Items not in the tables are `unsupported`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ingest.formats.checksum import sum8
from ingest.formats.digits import bcd
from ingest.formats.framing import Broken, Shape
from ingest.formats.result import Bad, Item, Reading, Seen
from ingest.formats.stream import StreamFormat
from schemas.reading import Quality, Reason

READ, READ_1997, READ_MORE = 0x11, 0x01, 0x12
_ANSWER, _ERROR = 0x80, 0x40
_READS = frozenset({READ, READ_1997, READ_MORE, 0x13})
LONGEST_DATA = 200
_HEAD, _TAIL = 10, 2


class _Shown(NamedTuple):
    """How an item is written: bytes, decimals, unit, whether the highest bit is a sign."""

    size: int
    decimals: int
    unit: str
    is_signed: bool = False


_ENERGY = ("kW.h", "kW.h", "kW.h", *["kV.A.h{reactive}"] * 6, "kV.A.h", "kV.A.h")
_KINDS = {
    1: _Shown(2, 1, "V"),
    2: _Shown(3, 3, "A", True),
    3: _Shown(3, 4, "kW", True),
    4: _Shown(3, 4, "kV.A{reactive}", True),
    5: _Shown(3, 4, "kV.A", True),
    6: _Shown(2, 3, "1", True),
    7: _Shown(2, 1, "deg"),
}
_PHASES = {
    1: (1, 2, 3),
    2: (1, 2, 3),
    3: (0, 1, 2, 3),
    4: (0, 1, 2, 3),
    5: (0, 1, 2, 3),
    6: (0, 1, 2, 3),
    7: (1, 2, 3),
}
_SINGLE = {
    0x02800001: _Shown(3, 3, "A", True),
    0x02800002: _Shown(2, 2, "Hz"),
    0x02800003: _Shown(3, 4, "kW", True),
    0x02800007: _Shown(2, 1, "Cel", True),
    0x02800008: _Shown(2, 2, "V"),
}
_OF_1997 = {0x9010: _Shown(4, 2, "kW.h"), 0x9020: _Shown(4, 2, "kW.h")}


def _measure(data: bytes, at: int) -> int | Broken | None:
    if len(data) > at + 7 and data[at + 7] != 0x68:
        return Broken(Reason.length, "expected a second 68 behind the address")
    if len(data) < at + _HEAD:
        return None
    length = data[at + 9]
    if length > LONGEST_DATA:
        return Broken(Reason.length, f"expected at most {LONGEST_DATA} bytes of data, got {length}")
    end = at + _HEAD + length + _TAIL
    if len(data) < end:
        return None
    if data[end - 1] != 0x16:
        return Broken(Reason.length, f"expected 16 behind {length} bytes of data and the checksum")
    return end


SHAPE = Shape(
    mark=re.compile(rb"\x68"),
    plausible=re.compile(rb"\x68(?:.{6}\x68|.{0,6}\Z)", re.DOTALL),
    measure=_measure,
    filler=b"\xfe",
)


def decode(frame: bytes) -> list[Item]:
    """What a meter says in a frame from 68 to 16, or what the frame is, or why it cannot be used."""
    if sum8(frame[:-_TAIL]) != frame[-_TAIL]:
        expected = sum8(frame[:-_TAIL])
        return [Bad(Reason.checksum, f"expected checksum {expected:02X}, got {frame[-_TAIL]:02X}")]
    gateway = frame[6:0:-1].hex().upper()
    control, data = frame[8], bytes(byte - 0x33 & 0xFF for byte in frame[_HEAD:-_TAIL])
    if not control & _ANSWER:
        return [Seen(gateway, "read_request" if control in _READS else "write_request")]
    if control & _ERROR:
        return [Seen(gateway, "error")]
    command = control & 0x1F
    if command == READ_1997:
        return _values(gateway, data, 2)
    if command in (READ, READ_MORE):
        return _values(gateway, data, 4)
    return [Seen(gateway, "address" if command == 0x13 else "write_answer")]


def framed(address: str, control: int, data: bytes) -> bytes:
    """A frame as it goes on the wire, without preamble; `address` is its twelve digits."""
    head = b"\x68" + bytes.fromhex(address)[::-1] + bytes([0x68, control, len(data)])
    whole = head + bytes(byte + 0x33 & 0xFF for byte in data)
    return whole + bytes([sum8(whole), 0x16])


def _values(gateway: str, data: bytes, name_size: int) -> list[Item]:
    if len(data) < name_size:
        return [Bad(Reason.syntax, f"expected {name_size} bytes that name the item, got {len(data)}")]
    item = int.from_bytes(data[:name_size], "little")
    parts = [(item, _OF_1997[item])] if name_size == 2 and item in _OF_1997 else _parts(item)
    if not parts or (name_size == 2 and item not in _OF_1997):
        return [Bad(Reason.unsupported, f"item {item:0{2 * name_size}X} is not read")]
    items: list[Item] = []
    at = name_size
    for part, shown in parts:
        piece = data[at : at + shown.size][::-1]
        if len(piece) < shown.size:
            if not items:
                detail = f"item {part:0{2 * name_size}X}: expected {shown.size} bytes, got {len(piece)}"
                return [Bad(Reason.syntax, detail)]
            break  # a block of fewer tariffs or phases
        items.append(_reading(gateway, f"{part:0{2 * name_size}X}", piece, shown))
        at += shown.size
    return items


def _parts(item: int) -> list[tuple[int, _Shown]]:
    """The item, or the items of a block (FF), in the order in which they come."""
    if item in _SINGLE:
        return [(item, _SINGLE[item])]
    family, kind, which, last = item.to_bytes(4, "big")
    if family == 0x00 and kind < len(_ENERGY) and last <= 12 and (which <= 63 or which == 0xFF):
        shown = _Shown(4, 2, _ENERGY[kind], kind in (0, 3, 4))
        return [(item & 0xFFFF00FF | k << 8, shown) for k in (range(64) if which == 0xFF else (which,))]
    if family == 0x02 and kind in _KINDS and last == 0:
        phases = _PHASES[kind]
        if which in phases:
            return [(item, _KINDS[kind])]
        if which == 0xFF:
            return [(item & 0xFFFF00FF | k << 8, _KINDS[kind]) for k in phases]
    return []


def _reading(gateway: str, point: str, data: bytes, shown: _Shown) -> Reading | Bad:
    if data.count(0xFF) == len(data):
        return Reading(gateway, point, None, None, shown.unit, Quality.suspect)
    is_negative = shown.is_signed and data[0] >= 0x80
    number = bcd(bytes([data[0] & 0x7F]) + data[1:] if is_negative else data)
    if number is None:
        return Bad(Reason.syntax, f"item {point}: expected decimal digits, got {data.hex().upper()}")
    value = number / 10**shown.decimals
    return Reading(gateway, point, None, -value if is_negative else value, shown.unit)


FORMAT = StreamFormat(SHAPE, decode)
