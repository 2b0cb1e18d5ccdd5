"""CJ/T 188: water, heat and gas meters, asked by a gateway over a serial line, between `68` and `16`.

Decodes the answer to reading (901F, in either byte order) of volume meters (types 10-19, 30-39) and heat
meters (20-29), and the valve's answer (A017). All values carry the meter's own clock; without a date there,
no time. Other items are `unsupported`. The layout of heat meters comes from common practice, not from the
standard's text.
"""

from __future__ import annotations

import re

from ingest.formats.checksum import sum8
from ingest.formats.digits import bcd, local, local_of_digits
from ingest.formats.framing import Broken, Shape
from ingest.formats.result import Bad, Item, Reading, Seen
from ingest.formats.stream import StreamFormat
from schemas.reading import Quality, Reason

READ, WRITE = 0x01, 0x04
_ANSWER, _ERROR = 0x80, 0x40
_HEAD, _TAIL = 11, 2
_HEAT = range(0x20, 0x2A)
_UNITS = {
    0x02: "W.h",
    0x05: "kW.h",
    0x08: "MW.h",
    0x01: "J",
    0x0B: "kJ",
    0x0E: "MJ",
    0x11: "GJ",
    0x14: "W",
    0x17: "kW",
    0x1A: "MW",
    0x29: "L",
    0x2C: "m3",
    0x32: "L/h",
    0x35: "m3/h",
}
_VALVE = {0: "valve_open", 1: "valve_closed", 3: "valve_abnormal"}
# name, bytes, decimals, unit (None: a byte behind the digits says it)
_VOLUME_FIELDS = (("volume_now", 4, 2, None), ("volume_settle", 4, 2, None))
_HEAT_FIELDS = (
    ("heat_settle", 4, 2, None),
    ("heat_now", 4, 2, None),
    ("power", 4, 2, None),
    ("flow", 4, 4, None),
    ("volume_now", 4, 2, None),
    ("temperature_supply", 3, 2, "Cel"),
    ("temperature_return", 3, 2, "Cel"),
    ("hours", 3, 0, "h"),
)


def _measure(data: bytes, at: int) -> int | Broken | None:
    if len(data) < at + _HEAD:
        return None
    end = at + _HEAD + data[at + 10] + _TAIL
    if len(data) < end:
        return None
    if data[end - 1] != 0x16:
        return Broken(Reason.length, f"expected 16 behind {data[at + 10]} bytes of data and the checksum")
    return end


SHAPE = Shape(
    mark=re.compile(rb"\x68"),
    plausible=re.compile(rb"\x68(?:[\x10-\x49]|\Z)"),
    measure=_measure,
    filler=b"\xfe",
    is_weak=True,
)


def decode(frame: bytes) -> list[Item]:
    """What a meter says in a frame from 68 to 16, or what the frame is, or why it cannot be used."""
    if sum8(frame[:-_TAIL]) != frame[-_TAIL]:
        expected = sum8(frame[:-_TAIL])
        return [Bad(Reason.checksum, f"expected checksum {expected:02X}, got {frame[-_TAIL]:02X}")]
    kind, gateway, control = frame[1], frame[8:1:-1].hex().upper(), frame[9]
    data = frame[_HEAD:-_TAIL]
    if not control & _ANSWER:
        return [Seen(gateway, "read_request" if control & 0x3F in (READ, 0x03, 0x09) else "write_request")]
    if control & _ERROR:
        return [Seen(gateway, "error")]
    if len(data) < 3:
        return [Bad(Reason.syntax, f"expected an item and a serial number, got {len(data)} bytes")]
    name, said = data[:2].hex().upper(), data[3:]
    if name in ("901F", "1F90") and control == READ | _ANSWER:
        return _meter(gateway, said, _HEAT_FIELDS if kind in _HEAT else _VOLUME_FIELDS)
    if name in ("A017", "17A0") and control == WRITE | _ANSWER:
        if len(said) < 2:
            return [Seen(gateway, "write_answer")]
        return [Reading(gateway, "A017.status", None, _status(said[0]))]
    return [Bad(Reason.unsupported, f"item {name} with control {control:02X} is not read")]


def framed(kind: int, address: str, control: int, data: bytes) -> bytes:
    """A frame as it goes on the wire, without preamble; `address` is its fourteen digits."""
    whole = bytes([0x68, kind]) + bytes.fromhex(address)[::-1] + bytes([control, len(data)]) + data
    return whole + bytes([sum8(whole), 0x16])


def _meter(gateway: str, said: bytes, fields: tuple[tuple[str, int, int, str | None], ...]) -> list[Item]:
    expected = sum(size + (unit is None) for _, size, _, unit in fields) + 7 + 2
    if len(said) < expected:
        return [Bad(Reason.syntax, f"expected {expected} bytes of values, got {len(said)}")]
    digits = said[expected - 9 : expected - 2][::-1].hex()
    time_us = local_of_digits(digits)
    items: list[Item] = []
    at = 0
    for name, size, decimals, fixed in fields:
        piece = said[at : at + size][::-1]
        at += size
        unit = fixed
        if fixed is None:
            unit = _UNITS.get(said[at])
            at += 1
        items.append(_reading(gateway, f"901F.{name}", time_us, piece, decimals, unit))
    clock = local(time_us).isoformat() if time_us is not None else digits.upper()
    quality = Quality.good if time_us is not None else Quality.suspect
    items.append(Reading(gateway, "901F.time", time_us, clock, None, quality))
    items.append(Reading(gateway, "901F.status", time_us, _status(said[expected - 2])))
    return items


def _reading(
    gateway: str, point: str, time_us: int | None, data: bytes, decimals: int, unit: str | None
) -> Reading | Bad:
    if data.count(0xFF) == len(data):
        return Reading(gateway, point, time_us, None, unit, Quality.suspect)
    number = bcd(data)
    if number is None:
        return Bad(Reason.syntax, f"{point}: expected decimal digits, got {data.hex().upper()}")
    return Reading(gateway, point, time_us, number / 10**decimals, unit)


def _status(byte: int) -> str:
    words = [_VALVE.get(byte & 3), "battery_low" if byte & 4 else None]
    return ",".join(word for word in words if word)


FORMAT = StreamFormat(SHAPE, decode)
