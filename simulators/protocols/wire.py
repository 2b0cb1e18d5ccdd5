"""What frames of several protocols are made of: checksums, decimal digits, the clock on the wall.

Written from the protocols, not from the decoders of the platform: the two are held against each other by the
simulated city.
"""

from __future__ import annotations

import datetime as dt

LOCAL = dt.timezone(dt.timedelta(hours=8))


def crc16(data: bytes) -> int:
    """Modbus' CRC, which SL 651 has too."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def crc_of_hj212(data: bytes) -> int:
    """HJ 212's own, of which only the high byte carries on."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def bcd(number: int, size: int) -> bytes:
    """High digit first."""
    return bytes.fromhex(f"{number:0{2 * size}d}"[-2 * size :])


def local(time_us: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(time_us // 1_000_000, LOCAL)
