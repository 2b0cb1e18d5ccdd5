"""GB/T 26875.3-2011 as a fire panel's transmission device writes it: part states, analogue values, answers
to commands.

States are of smoke detectors (part type 40), values of supply monitors. Values that the standard's table
has no kind for are sent as a kind of the maker's (128), whole.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from simulators.protocols.wire import local

SEND, ACK, CONTROL = 2, 3, 1
CHECK_POST = 91
MOST_STATES, MOST_VALUES = 22, 63
_HEAD = struct.Struct("<2sHBB6s6s6sHB")
SMOKE, MONITOR = 40, 84
OWN_KIND = 128
KINDS = {"V": (8, 10.0), "Cel": (3, 10.0), "MPa": (5, 10_000.0)}
"""Unit in the city -> kind of analogue value, counts a unit (pressures go as 0.1 kPa)."""


def point(is_state: bool, unit: str, address: int) -> str:
    if is_state:
        return f"1.1.{SMOKE}.{address}.state"
    return f"1.1.{MONITOR}.{address}.{KINDS.get(unit, (OWN_KIND, 1.0))[0]}"


def moment(time_us: int) -> bytes:
    at = local(time_us)
    return bytes([at.second, at.minute, at.hour, at.day, at.month, at.year - 2000])


def state_object(address: int, is_raised: bool, time_us: int) -> bytes:
    name = f"感烟探测器{address}".encode("gb18030").ljust(31, b"\0")
    state = 0b11 if is_raised else 0b01
    return struct.pack("<BBBIH", 1, 1, SMOKE, address, state) + name + moment(time_us)


def value_object(address: int, unit: str, value: float, time_us: int) -> bytes:
    kind, counts = KINDS.get(unit, (OWN_KIND, 1.0))
    count = max(-32_768, min(32_767, round(value * counts)))
    return struct.pack("<BBBIBh", 1, 1, MONITOR, address, kind, count) + moment(time_us)


def content(kind: int, objects: Sequence[bytes]) -> bytes:
    return bytes([kind, len(objects)]) + b"".join(objects)


def framed(serial: int, sent_us: int, source: bytes, command: int, data: bytes = b"") -> bytes:
    head = _HEAD.pack(b"@@", serial, 1, 1, moment(sent_us), source, bytes(6), len(data), command)
    body = head[2:] + data
    return head + data + bytes([sum(body) % 256]) + b"##"


def serial_of(frame: bytes) -> int:
    return int.from_bytes(frame[2:4], "little")


def length(heard: bytes) -> int | None:
    if len(heard) < 27:
        return None
    whole = 27 + int.from_bytes(heard[24:26], "little") + 3
    return whole if len(heard) >= whole else None


def answers(frame: bytes, heard: bytes) -> bool:
    return heard[26] == ACK and serial_of(heard) == serial_of(frame)


def obeys(heard: bytes, sent_us: int, source: bytes, serial: int) -> list[bytes]:
    """What a device says to a command: that it has it, and, asked for its post, that somebody is there."""
    if heard[26] != CONTROL:
        return []
    said = [framed(serial_of(heard), sent_us, source, ACK)]
    if heard[27] == CHECK_POST:
        said.append(framed(serial, sent_us, source, SEND, b"\x18\x01\x20\x00" + moment(sent_us)))
    return said
