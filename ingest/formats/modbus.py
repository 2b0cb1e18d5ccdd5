"""Modbus RTU: requests and answers of registers, as a gateway carries them in its envelope.

A frame has no marks: its end is where a length that its function allows is confirmed by the CRC. Registers
come out raw (`reg:0`, unsigned 16 bit); a map names them and says type, word order and scale, since the frame
does not. Read are functions 03, 04 (registers), 05, 06, 10 (writing) and errors; a bare `reg:0` counts from
the first register of the answer, as the answer does not say which was asked for.
"""

from __future__ import annotations

import math
import re
import struct
from typing import Literal

import msgspec

from ingest.formats.checksum import crc16_modbus
from ingest.formats.framing import Broken, Shape
from ingest.formats.result import Bad, Item, Reading, Seen
from ingest.formats.stream import StreamFormat
from schemas.reading import Quality, Reason

_READ = (3, 4)
_WRITE_ONE = (5, 6)
_WRITE_MANY = 16
_MOST_REGISTERS = 125


class Register(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A named value among the registers of an answer: where it begins, how it is written, value x scale +
    offset."""

    point: str
    at: int
    type: Literal["u16", "i16", "u32", "i32", "f32"] = "u16"
    order: Literal["ABCD", "CDAB", "BADC", "DCBA"] = "ABCD"
    scale: float = 1.0
    offset: float = 0.0
    unit: str | None = None


_FORMATS = {"u16": ">H", "i16": ">h", "u32": ">I", "i32": ">i", "f32": ">f"}


def _lengths(data: bytes, at: int) -> list[int]:
    """How long a frame that begins here may be, by its function."""
    left = len(data) - at
    function = data[at + 1]
    if function & 0x80:
        return [5]
    if function in _READ:
        count = data[at + 2] if left > 2 else 0
        return [8, 5 + count] if count and count % 2 == 0 and count <= 2 * _MOST_REGISTERS else [8]
    if function in _WRITE_ONE:
        return [8]
    return [8, 9 + data[at + 6]] if left > 6 else [8]


def _measure(data: bytes, at: int) -> int | Broken | None:
    left = len(data) - at
    if left < 3:
        return None
    lengths = _lengths(data, at)
    for length in lengths:
        if length <= left and _is_sound(data[at : at + length]):
            return at + length
    if left < min(lengths):
        return None
    if (
        left == 8
        and data[at + 1] in _READ
        and 0 < int.from_bytes(data[at + 4 : at + 6], "big") <= _MOST_REGISTERS
    ):
        return Broken(Reason.checksum, "no length of this function has a right CRC")
    if left < max(lengths):
        return None
    return Broken(Reason.checksum, "no length of this function has a right CRC")


_START = rb"[\x00-\xf7](?:[\x03-\x06\x10\x83-\x86\x90]|\Z)"
SHAPE = Shape(mark=re.compile(_START), plausible=re.compile(_START), measure=_measure, is_weak=True)


def decode(frame: bytes) -> list[Item]:
    """The registers of an answer, or what the frame is, or why it cannot be used."""
    if len(frame) < 5 or not _is_sound(frame):
        return [Bad(Reason.checksum, "the CRC is wrong")]
    gateway, function = str(frame[0]), frame[1]
    if function & 0x80:
        return [Seen(gateway, "error")]
    if function in _WRITE_ONE or function == _WRITE_MANY:
        is_answer = function == _WRITE_MANY and len(frame) == 8
        return [Seen(gateway, "write_answer" if is_answer else "write_request")]
    if function not in _READ:
        return [Bad(Reason.unsupported, f"function {function:02X} is not read")]
    if len(frame) != 5 + frame[2]:
        return [Seen(gateway, "read_request")]
    data = frame[3:-2]
    return [
        Reading(gateway, f"reg:{at // 2}", None, int.from_bytes(data[at : at + 2], "big"))
        for at in range(0, len(data), 2)
    ]


def decode_mapped(frame: bytes, registers: tuple[Register, ...]) -> list[Item]:
    """The same, with the registers of an answer named by a map; a frame without registers as it is."""
    items = decode(frame)
    if not items or not isinstance(items[0], Reading):
        return items
    gateway, data = items[0].gateway, frame[3:-2]
    return [_named(gateway, data, register) for register in registers]


def framed(slave: int, function: int, data: bytes) -> bytes:
    """A frame as it goes on the wire."""
    whole = bytes([slave, function]) + data
    return whole + crc16_modbus(whole).to_bytes(2, "little")


def _named(gateway: str | None, data: bytes, register: Register) -> Reading | Bad:
    form = _FORMATS[register.type]
    size = struct.calcsize(form)
    piece = data[2 * register.at : 2 * register.at + size] if register.at >= 0 else b""
    if len(piece) < size:
        detail = f"{register.point}: register {register.at} is beyond the {len(data) // 2} of the answer"
        return Bad(Reason.range, detail)
    number = float(struct.unpack(form, _ordered(piece, register.order))[0]) * register.scale + register.offset
    if not math.isfinite(number):
        return Reading(gateway, register.point, None, None, register.unit, Quality.suspect)
    return Reading(gateway, register.point, None, number, register.unit)


def _ordered(piece: bytes, order: str) -> bytes:
    """The bytes high first; a single register knows only AB and BA."""
    if order in ("BADC", "DCBA"):
        piece = b"".join(piece[at : at + 2][::-1] for at in range(0, len(piece), 2))
    if order in ("CDAB", "DCBA") and len(piece) == 4:
        piece = piece[2:] + piece[:2]
    return piece


def _is_sound(frame: bytes) -> bool:
    return crc16_modbus(frame[:-2]) == int.from_bytes(frame[-2:], "little")


FORMAT = StreamFormat(SHAPE, decode)
