"""GB/T 26875.3-2011: fire alarm transmission devices over TCP, binary between `@@` and `##`.

Frames are found by their length, never by the end mark alone. Decodes states (types 1, 2, 21), analogue
values (3) and operations (4, 24); other types of the standard are named, types of a maker are `unsupported`.
Every sound frame that a device sends is answered, understood or not, or the device would send it three times
more. A panel that leaves bit 0 at 0 says "test" and means it no more than not: the word stands in the value,
the reading stays good, so that no fire is dropped.
"""

from __future__ import annotations

import re
import struct

from ingest.formats.checksum import sum8
from ingest.formats.digits import local, local_us
from ingest.formats.framing import Broken, Shape
from ingest.formats.result import Bad, Item, Reading, Seen
from ingest.formats.stream import StreamFormat
from schemas.reading import Reason

LONGEST_DATA = 1_024
CONTROL, SEND, ACK, REQUEST, ANSWER, NAK = range(1, 7)
SET_CLOCK, CHECK_POST = 90, 91
_HEAD, _TAIL = 27, 3
_USER = 128

SYSTEM_WORDS = (
    ("test", "normal"),
    "fire",
    "fault",
    "shielded",
    "supervise",
    "start",
    "feedback",
    "delay",
    "mains_fault",
    "battery_fault",
    "bus_fault",
    "manual",
    "config_changed",
    "reset",
)
PART_WORDS = (*SYSTEM_WORDS[:8], "power_fault")
DEVICE_WORDS = (
    ("test", "normal"),
    "fire",
    "fault",
    "mains_fault",
    "battery_fault",
    "link_fault",
    "line_fault",
)
_OPERATION = ("reset", "silence", "manual_alarm", "alarm_cleared", "self_test", "confirm", "test")
_DEVICE_OPERATION = (*_OPERATION[:5], "check_post_answer", "test")
_ANALOGUE: dict[int, tuple[int, str]] = {  # divisor, unit (table 6)
    1: (1, "{count}"),
    2: (100, "m"),
    3: (10, "Cel"),
    4: (10, "MPa"),
    5: (10, "kPa"),
    6: (10, "%{LEL}"),
    7: (1, "s"),
    8: (10, "V"),
    9: (10, "A"),
    10: (10, "L/s"),
    11: (10, "m3/min"),
    12: (1, "m/s"),
}
_SIZES = {1: 10, 2: 46, 3: 16, 4: 10, 21: 7, 24: 8}  # an object of each type that is read, with its time
_NAMED = {
    5: "software_version",
    6: "system_config",
    7: "part_config",
    8: "system_time",
    25: "device_software_version",
    26: "device_config",
    28: "device_time",
}
_HEADER = struct.Struct("<2sHBB6s6s6sHB")


def _measure(data: bytes, at: int) -> int | Broken | None:
    if len(data) < at + _HEAD:
        return None
    length = data[at + 24] | data[at + 25] << 8
    if length > LONGEST_DATA:
        return Broken(Reason.length, f"expected at most {LONGEST_DATA} bytes of data, got {length}")
    end = at + _HEAD + length + _TAIL
    if len(data) < end:
        return None
    if data[end - 2 : end] != b"##":
        return Broken(Reason.length, f"expected ## behind {length} bytes of data and the checksum")
    return end


SHAPE = Shape(mark=re.compile(rb"@@"), plausible=re.compile(rb"@@|@\Z"), measure=_measure)


def decode(frame: bytes) -> list[Item]:
    """The states and values of a frame from `@@` to `##`, or what it is, or why it cannot be used."""
    if sum8(frame[2:-_TAIL]) != frame[-_TAIL]:
        expected = sum8(frame[2:-_TAIL])
        return [Bad(Reason.checksum, f"expected checksum {expected:02X}, got {frame[-_TAIL]:02X}")]
    gateway = frame[17:11:-1].hex()
    command, data = frame[26], frame[_HEAD:-_TAIL]
    if command == ACK:
        return [Seen(gateway, "ack")]
    if command == NAK:
        return [Seen(gateway, "nak")]
    if command not in (CONTROL, SEND, REQUEST, ANSWER):
        return [Bad(Reason.unsupported, f"command {command} is not of the standard")]
    if len(data) < 2:
        return [Bad(Reason.syntax, f"expected a type and a count of objects, got {len(data)} bytes")]
    kind, count, objects = data[0], data[1], data[2:]
    if command == CONTROL:
        return [Seen(gateway, {SET_CLOCK: "set_clock", CHECK_POST: "check_post"}.get(kind, "control"))]
    if command == REQUEST:
        return [Seen(gateway, "request")]
    if kind in _NAMED:
        return [Seen(gateway, _NAMED[kind])]
    size = _SIZES.get(kind)
    if size is None:
        return [Bad(Reason.unsupported, f"type {kind} is not read")]
    if len(objects) != count * size or not count:
        detail = f"expected {count} objects of {size} bytes (type {kind}), got {len(objects)} bytes"
        return [Bad(Reason.syntax, detail)]
    return [_reading(gateway, kind, objects[at : at + size]) for at in range(0, len(objects), size)]


def answer(frame: bytes, now_us: int) -> bytes | None:
    """The acknowledgement of what a device sends; None for what is damaged or answers us."""
    if sum8(frame[2:-_TAIL]) != frame[-_TAIL] or not (frame[26] == SEND or frame[26] >= _USER):
        return None
    _, serial, version, user_version, _, source, destination, _, _ = _HEADER.unpack_from(frame)
    return framed(serial, (version, user_version), now_us, destination, source, ACK)


def framed(
    serial: int,
    version: tuple[int, int],
    time_us: int,
    source: bytes,
    destination: bytes,
    command: int,
    data: bytes = b"",
) -> bytes:
    """A frame as it goes on the wire; addresses are its six bytes, low byte first."""
    head = _HEADER.pack(b"@@", serial, *version, six_bytes(time_us), source, destination, len(data), command)
    return head + data + bytes([sum8(head[2:] + data)]) + b"##"


def six_bytes(time_us: int) -> bytes:
    """A time as the standard writes it: second to year since 2000, binary."""
    moment = local(time_us)
    year = min(max(moment.year - 2000, 0), 255)
    return bytes([moment.second, moment.minute, moment.hour, moment.day, moment.month, year])


def _moment(data: bytes) -> int | None:
    second, minute, hour, day, month, year = data
    return local_us(2000 + year, month, day, hour, minute, second)


def _words(state: int, words: tuple[str | tuple[str, str], ...]) -> str:
    """The names of the bits that are set, bit 0 first; one with two names has one for 0 as well."""
    found = []
    for bit, word in enumerate(words):
        is_set = state >> bit & 1
        if isinstance(word, tuple):
            found.append(word[is_set])
        elif is_set:
            found.append(word)
    return ",".join(found)


def _reading(gateway: str, kind: int, data: bytes) -> Reading:
    time_us = _moment(data[-6:])
    if kind == 21:
        return Reading(gateway, "device.state", time_us, _words(data[0], DEVICE_WORDS))
    if kind == 24:
        return Reading(gateway, "device.operation", time_us, _words(data[0], _DEVICE_OPERATION))
    system = f"{data[0]}.{data[1]}"
    if kind == 1:
        return Reading(gateway, f"{system}.state", time_us, _words(data[2] | data[3] << 8, SYSTEM_WORDS))
    if kind == 4:
        return Reading(gateway, f"{system}.operation", time_us, _words(data[2], _OPERATION))
    part = f"{system}.{data[2]}.{int.from_bytes(data[3:7], 'little')}"
    if kind == 2:
        state = _words(data[7] | data[8] << 8, PART_WORDS)
        return Reading(gateway, f"{part}.state", time_us, state, note=_said(data[9:40]))
    divisor, unit = _ANALOGUE.get(data[7], (1, None))
    number = int.from_bytes(data[8:10], "little", signed=True)
    return Reading(gateway, f"{part}.{data[7]}", time_us, number / divisor, unit)


def _said(text: bytes) -> str | None:
    """The maker's description of a part, GB 18030 with zeroes behind."""
    return text.split(b"\0", 1)[0].decode("gb18030", errors="replace").strip() or None


FORMAT = StreamFormat(SHAPE, decode, answer)
