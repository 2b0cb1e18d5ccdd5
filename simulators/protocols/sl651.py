"""SL 651-2014 as a hydrological station writes it: timed reports (32) of own elements (FF01, FF02, ...) in
BCD.

Observation times are whole minutes, as the standard has them.
"""

from __future__ import annotations

from collections.abc import Sequence

from simulators.protocols.wire import bcd, crc16, local

TIMED = 0x32
DECIMALS, SIZE = 4, 5
ELEMENTS_A_REPORT = 200


def point(number: int) -> str:
    return f"FF{number:02X}"


def report(
    station: bytes, serial: int, sent_us: int, time_us: int, elements: Sequence[tuple[int, float]]
) -> bytes:
    """(number, value) of one moment."""
    sent = bytes.fromhex(local(sent_us).strftime("%y%m%d%H%M%S"))
    observed = bytes.fromhex(local(time_us).strftime("%y%m%d%H%M"))
    body = serial.to_bytes(2, "big") + sent + b"\xf1\xf1" + station + b"\x48\xf0\xf0" + observed
    for number, value in elements:
        digits = bcd(round(abs(value) * 10**DECIMALS), SIZE)
        sign = b"\xff" if value < 0 else b""
        body += bytes([0xFF, number, (SIZE + len(sign)) << 3 | DECIMALS]) + sign + digits
    head = b"~~\x01" + station + b"\x12\x34" + bytes([TIMED]) + len(body).to_bytes(2, "big")
    whole = head + b"\x02" + body + b"\x03"
    return whole + crc16(whole).to_bytes(2, "big")


def length(heard: bytes) -> int | None:
    if len(heard) < 14:
        return None
    whole = 14 + ((heard[11] & 0x0F) << 8 | heard[12]) + 3
    return whole if len(heard) >= whole else None


def answers(frame: bytes, heard: bytes) -> bool:
    """A confirmation from above with the report's serial number."""
    return bool(heard[11] & 0x80) and heard[10] == TIMED and heard[14:16] == frame[14:16]
