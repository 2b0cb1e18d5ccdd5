"""SL 651-2014: hydrological stations over TCP, the HEX/BCD form between `7E 7E` and CRC.

Decodes the elements of a station's reports; lists of an hour's values (F4 to FC) and reports of even periods
(31) become a reading each. Pictures, texts typed by hand, messages in several packets and the ASCII form are
not read. The year has two digits and no century: 2000 is added. What is known of the layout comes from public
frames and public code, not from the standard's text.
"""

from __future__ import annotations

import re

from ingest.formats.checksum import crc16_modbus
from ingest.formats.digits import bcd, local, local_us, to_bcd
from ingest.formats.framing import Broken, Shape
from ingest.formats.result import Bad, Item, Reading, Seen
from ingest.formats.stream import StreamFormat
from schemas.reading import Quality, Reason

STX, ETX, EOT, ACK, SYN, ETB = 0x02, 0x03, 0x04, 0x06, 0x16, 0x17
_ENDS = frozenset({ETX, EOT, 0x05, ACK, 0x15, ETB, 0x1B})
_HEAD, _TAIL = 14, 3
LINK, TEST, EVEN_PERIODS, PICTURE = 0x2F, 0x30, 0x31, 0x36
_REPORTS = frozenset(range(0x30, 0x37))  # what a station sends of itself; in M2 it wants an answer
_LIST_STEP_US = 5 * 60 * 1_000_000

# No unit: numbers of things, durations in h.min, a wind direction, which may be one of eight.
UNITS = {
    **dict.fromkeys((0x02, 0x03, 0x0D), "Cel"),
    **dict.fromkeys((0x06, 0x07), "mm"),
    0x08: "hPa",
    **dict.fromkeys(range(0x10, 0x18), "%"),
    0x18: "%",
    **dict.fromkeys(range(0x1A, 0x27), "mm"),
    **dict.fromkeys(range(0x27, 0x32), "m3/s"),
    **dict.fromkeys((0x35, 0x36, 0x37), "m/s"),
    0x38: "V",
    **dict.fromkeys(range(0x39, 0x44), "m"),
    0x46: "[pH]",
    0x47: "mg/L",
    0x48: "uS/cm",
    0xF4: "mm",
    **dict.fromkeys(range(0xF5, 0xFD), "m"),
}
_STATUS = 0x45  # 32 bits, not digits


def _measure(data: bytes, at: int) -> int | Broken | None:
    if len(data) < at + _HEAD:
        return None
    start, length = data[at + 13], (data[at + 11] & 0x0F) << 8 | data[at + 12]
    if data[at + 11] & 0x70 or start not in (STX, SYN):
        return Broken(Reason.length, "expected a direction, 12 bits of length and 02 or 16")
    end = at + _HEAD + length + _TAIL
    if len(data) < end:
        return None
    if data[end - _TAIL] not in _ENDS:
        return Broken(Reason.length, f"expected an end mark behind {length} bytes of body")
    return end


SHAPE = Shape(mark=re.compile(rb"~~"), plausible=re.compile(rb"~~|~\Z"), measure=_measure)


def decode(frame: bytes) -> list[Item]:
    """The elements of a frame from 7E7E to its CRC, or what it is, or why it cannot be used."""
    expected = crc16_modbus(frame[:-2])
    if expected != int.from_bytes(frame[-2:], "big"):
        return [Bad(Reason.checksum, f"expected CRC {expected:04X}, got {frame[-2:].hex().upper()}")]
    is_down = frame[11] >= 0x80
    gateway = (frame[2:7] if is_down else frame[3:8]).hex().upper()
    function, body = frame[10], frame[_HEAD:-_TAIL]
    if function == LINK:
        return [Seen(gateway, "heartbeat")]
    if is_down:
        return [Seen(gateway, "ack" if frame[-_TAIL] in (EOT, ACK, 0x1B) else "command")]
    if frame[13] == SYN and (len(body) < 3 or body[:3] != b"\x00\x10\x01"):  # packet 1 of 1: 12 bits each
        return [Bad(Reason.unsupported, "a message in several packets is not read")]
    if frame[13] == SYN:
        body = body[3:]
    if function == PICTURE:
        return [Bad(Reason.unsupported, "pictures are not read")]
    if len(body) < 8:
        return [Bad(Reason.syntax, f"expected a serial number and a time, got {len(body)} bytes")]
    return _elements(gateway, function, body[8:]) or [Seen(gateway, "report")]


def answer(frame: bytes, now_us: int) -> bytes | None:
    """The confirmation of a station's own report. It ends the transmission (EOT); a station that has more to
    send (ETB) is told to go on."""
    if frame[11] >= 0x80 or frame[10] not in _REPORTS or frame[13] != STX or len(frame) < _HEAD + 8 + _TAIL:
        return None
    if crc16_modbus(frame[:-2]) != int.from_bytes(frame[-2:], "big"):
        return None
    moment = local(now_us)
    time = to_bcd(int(moment.strftime("%y%m%d%H%M%S")), 6)
    end = ACK if frame[-_TAIL] == ETB else EOT
    address = frame[3:8] + frame[2:3]
    return framed(address, frame[8:10], frame[10], frame[14:16] + time, end, is_down=True)


def password(frame: bytes) -> str | None:
    """The two bytes as four hexadecimal digits, as stations show them."""
    return frame[8:10].hex().upper()


def framed(
    address: bytes, password: bytes, function: int, body: bytes, end: int = ETX, *, is_down: bool = False
) -> bytes:
    """A frame as it goes on the wire; `address` is centre and station, on the way down station and centre."""
    length = len(body) | (0x8000 if is_down else 0)
    head = b"~~" + address + password + bytes([function]) + length.to_bytes(2, "big")
    whole = head + bytes([STX]) + body + bytes([end])
    return whole + crc16_modbus(whole).to_bytes(2, "big")


def _elements(gateway: str, function: int, body: bytes) -> list[Item]:
    quality = Quality.test if function == TEST else Quality.good
    items: list[Item] = []
    time_us: int | None = None
    step_us = 0
    at = 0
    while at < len(body):
        code = body[at]
        if body[at : at + 2] == b"\xf1\xf1":
            at += 8  # station and class
            continue
        if body[at : at + 2] == b"\xf0\xf0":
            time_us = _moment(body[at + 2 : at + 7])
            at += 7
            continue
        if code in (0xF2, 0xF3):
            what = "texts typed by hand" if code == 0xF2 else "pictures"
            items.append(Bad(Reason.unsupported, f"{what} are not read"))
            return items
        name, head = (f"{code:02X}", 2) if code != 0xFF else (f"FF{body[at + 1 : at + 2].hex().upper()}", 3)
        if at + head > len(body):
            items.append(Bad(Reason.syntax, f"element {name} ends before its definition"))
            return items
        definition = body[at + head - 1]
        size, decimals = definition >> 3, definition & 7
        at += head
        if not size or at + size > len(body):
            detail = f"element {name}: expected {size} bytes, {len(body) - at} are left"
            items.append(Bad(Reason.syntax, detail))
            return items
        data = body[at : at + size]
        at += size
        unit = UNITS.get(code)
        if code == 0x04:
            step_us = _step(data)
        elif 0xF4 <= code <= 0xFC:
            items += _list(gateway, code, data, time_us, unit, quality)
        elif function == EVEN_PERIODS and step_us and (len(body) - at) % size == 0:
            values = [data, *(body[k : k + size] for k in range(at, len(body), size))]
            for index, value in enumerate(values):
                when = None if time_us is None else time_us + index * step_us
                items.append(_reading(gateway, name, when, value, decimals, unit, quality))
            return items
        else:
            items.append(_reading(gateway, name, time_us, data, decimals, unit, quality))
    return items


def _reading(
    gateway: str,
    name: str,
    time_us: int | None,
    data: bytes,
    decimals: int,
    unit: str | None,
    quality: Quality,
) -> Reading | Bad:
    if data.count(0xFF) == len(data):
        missing = Quality.suspect if quality is Quality.good else quality
        return Reading(gateway, name, time_us, None, unit, missing)
    if name == f"{_STATUS:02X}":
        return Reading(gateway, name, time_us, int.from_bytes(data, "big"), unit, quality)
    is_negative = data[0] == 0xFF
    number = bcd(data[1:] if is_negative else data)
    if number is None:
        return Bad(Reason.syntax, f"element {name}: expected decimal digits, got {data.hex().upper()}")
    value = number / 10**decimals
    return Reading(gateway, name, time_us, -value if is_negative else value, unit, quality)


def _list(
    gateway: str, code: int, data: bytes, time_us: int | None, unit: str | None, quality: Quality
) -> list[Item]:
    """An hour in steps of five minutes, the last at the observation time: rain of a byte each (0.1 mm),
    stages of two bytes each (0.01 m). All bits set is no value."""
    size, divisor = (1, 10) if code == 0xF4 else (2, 100)
    count = len(data) // size
    items: list[Item] = []
    for index in range(count):
        piece = data[index * size : (index + 1) * size]
        when = None if time_us is None else time_us - (count - 1 - index) * _LIST_STEP_US
        if piece.count(0xFF) == size:
            missing = Quality.suspect if quality is Quality.good else quality
            items.append(Reading(gateway, f"{code:02X}", when, None, unit, missing))
        else:
            number = int.from_bytes(piece, "big") / divisor
            items.append(Reading(gateway, f"{code:02X}", when, number, unit, quality))
    return items


def _moment(data: bytes) -> int | None:
    text = data.hex()
    if len(text) != 10 or not text.isdecimal():
        return None
    year, month, day, hour, minute = (int(text[k : k + 2]) for k in range(0, 10, 2))
    return local_us(2000 + year, month, day, hour, minute)


def _step(data: bytes) -> int:
    """Days, hours and minutes between the values of an even-period report."""
    text = data.hex()
    if len(text) != 6 or not text.isdecimal():
        return 0
    return ((int(text[:2]) * 24 + int(text[2:4])) * 60 + int(text[4:])) * 60 * 1_000_000


FORMAT = StreamFormat(SHAPE, decode, answer, password)
