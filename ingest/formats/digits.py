"""Numbers and dates as the field's frames write them: BCD digits, and local time without a zone.

National protocols mean the clock on the wall, UTC+8. What is no number or no date is None.
"""

from __future__ import annotations

import datetime as dt

LOCAL = dt.timezone(dt.timedelta(hours=8))
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


def bcd(data: bytes) -> int | None:
    """Packed decimal, high digit first.

    >>> bcd(b"\\x12\\x34"), bcd(b"\\x1a"), bcd(b"")
    (1234, None, None)
    """
    text = data.hex()
    return int(text) if text.isdecimal() else None


def to_bcd(number: int, size: int) -> bytes:
    """Packed decimal of `size` bytes, high digit first."""
    return bytes.fromhex(f"{number:0{2 * size}d}")


def local_us(year: int, month: int, day: int, hour: int, minute: int, second: int = 0) -> int | None:
    """Microseconds UTC of a local date; None if there is no such date."""
    try:
        moment = dt.datetime(year, month, day, hour, minute, second, tzinfo=LOCAL)
    except (ValueError, OverflowError):
        return None
    return (moment - _EPOCH) // _MICROSECOND


def local_of_digits(text: str) -> int | None:
    """Microseconds UTC of `yyyymmddhhmmss`.

    >>> local_of_digits("20261101083000"), local_of_digits("20261301083000")
    (1793493000000000, None)
    """
    if len(text) != 14 or not (text.isascii() and text.isdecimal()):
        return None
    return local_us(
        int(text[:4]), int(text[4:6]), int(text[6:8]), int(text[8:10]), int(text[10:12]), int(text[12:])
    )


def local(us: int) -> dt.datetime:
    """The local date of a time."""
    return (_EPOCH + dt.timedelta(microseconds=us)).astimezone(LOCAL)
