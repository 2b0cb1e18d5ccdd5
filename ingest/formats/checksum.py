"""The three checks of the field's frames: CRC-16 as Modbus has it, the CRC of HJ 212, the sum of bytes.

HJ 212's looks like Modbus' and is another: each byte replaces the low byte of what is carried, so only 8 bits
are carried and only 256 values ever come out. It catches far less than 16 bits would.
"""

from __future__ import annotations


def _shifted(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
    return value


_TABLE = tuple(_shifted(byte) for byte in range(256))


def crc16_modbus(data: bytes) -> int:
    """
    >>> hex(crc16_modbus(bytes.fromhex("010300000002")))
    '0xbc4'
    """
    crc, table = 0xFFFF, _TABLE
    for byte in data:
        crc = crc >> 8 ^ table[crc & 0xFF ^ byte]
    return crc


def crc16_hj212(data: bytes) -> int:
    """HJ 212-2017 annex A; printed high byte first.

    >>> hex(crc16_hj212(b"QN=20160801085857223;ST=32;CN=1062;PW=100000;MN=010000A8900016F000169DC0;Flag=5;"
    ...                 b"CP=&&RtdInterval=30&&"))
    '0x1c80'
    """
    crc, table = 0xFFFF, _TABLE
    for byte in data:
        crc = table[crc >> 8 ^ byte]
    return crc


def sum8(data: bytes) -> int:
    return sum(data) & 0xFF
