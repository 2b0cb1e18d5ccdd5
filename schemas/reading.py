"""One reading as the city stores it: who measured, when, what value, how trustworthy.

Readings travel as numpy records (`RECORD`), never as objects: a frame of 500 is one array.
A value is a float64 (meters count to 10^8 with decimals); states are 0/1; a text is kept in the
frame's text table and the record's value is its index there. Time is event time, microseconds UTC.
"""

from __future__ import annotations

import enum

import numpy as np

RECORD = np.dtype(
    [
        ("time", "<i8"),  # event time, microseconds since 1970 UTC
        ("value", "<f8"),
        ("sensor", "<i4"),  # the registry's number
        ("quality", "u1"),
        ("flags", "u1"),
        ("reserved", "<u2"),
    ]
)
"""24 bytes a reading; the layout is part of the wire format (schemas/frame.py)."""


class Quality(enum.IntEnum):
    """How far a value can be trusted. Stored as a number; the names are those of `cityvigil decode`."""

    good = 0
    suspect = 1
    maintenance = 2
    calibration = 3
    fault = 4
    over_range = 5
    stopped = 6
    manual = 7
    link_lost = 8
    historical = 9
    test = 10


class Flag(enum.IntFlag):
    """What a record's value is."""

    number = 0
    text = 1  # value = index into the frame's texts
    boolean = 2


SCORED = frozenset({Quality.good, Quality.manual, Quality.over_range})
"""Qualities that detectors look at; all others are stored and not scored."""

EARLIEST_US = 946_684_800_000_000  # 2000-01-01: no device of this city is older, so such a clock is unset
FUTURE_SUSPECT_US = 5 * 60 * 1_000_000
FUTURE_REJECT_US = 24 * 3600 * 1_000_000


class Reason(enum.StrEnum):
    """Why input was refused. The first that applies is given."""

    length = "length"
    truncated = "truncated"
    checksum = "checksum"
    syntax = "syntax"
    range = "range"
    unit = "unit"
    unsupported = "unsupported"
    topic = "topic"  # published where this gateway may not
    credentials = "credentials"  # wrong password or unknown gateway
    oversize = "oversize"
