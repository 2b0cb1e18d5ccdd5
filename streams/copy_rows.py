"""Readings as PostgreSQL's COPY BINARY: numpy records in, bytes out, and back.

A row of `readings` has four columns of fixed width and none is NULL, so a whole batch is one structured
array in network order, and no Python runs per row. Writing and reading share the one layout. It opens no
connection and no transaction.
"""

from __future__ import annotations

import struct

import numpy as np
import psycopg

from schemas.reading import RECORD

ROW = np.dtype(
    [
        ("columns", ">i2"),
        ("time_size", ">i4"),
        ("time", ">i8"),  # microseconds since 2000-01-01 UTC, PostgreSQL's epoch
        ("sensor_size", ">i4"),
        ("sensor", ">i4"),
        ("value_size", ">i4"),
        ("value", ">f8"),
        ("quality_size", ">i4"),
        ("quality", ">i2"),
    ]
)
COLUMNS = "time, sensor, value, quality"

_SIZES = np.zeros(1, ROW)
_SIZES["columns"], _SIZES["time_size"], _SIZES["sensor_size"] = 4, 8, 4
_SIZES["value_size"], _SIZES["quality_size"] = 8, 2
# Moved as a whole: numpy copies records field by field, many times slower.
_BYTES, _WORDS = np.dtype((np.void, ROW.itemsize)), np.dtype((np.void, RECORD.itemsize))

HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
TRAILER = struct.pack(">h", -1)
POSTGRES_EPOCH_US = 946_684_800_000_000


def rows_out(records: np.ndarray) -> bytes:
    """A COPY stream of `schemas.reading.RECORD`s, sorted by sensor and time.

    Sorted, because a batch is then one short stretch of pages per sensor, which the block index of an open
    span can tell apart; a batch in order of arrival has every sensor on every page.
    """
    ordered = records.view(_WORDS).take(_order(records)).view(RECORD)
    rows = np.empty(len(ordered), ROW)
    rows.view(_BYTES)[:] = _SIZES.view(_BYTES)
    rows["time"] = ordered["time"] - POSTGRES_EPOCH_US
    rows["sensor"] = ordered["sensor"]
    rows["value"] = ordered["value"]
    rows["quality"] = ordered["quality"]
    return b"".join((HEADER, rows.data, TRAILER))


def _order(records: np.ndarray) -> np.ndarray:
    """By sensor and time. What comes in order, as nearly all does, is sorted by its sensors alone."""
    sensors, times = records["sensor"], records["time"]
    found = np.argsort(sensors, kind="stable")
    sensors, times = sensors[found], times[found]
    if ((sensors[1:] == sensors[:-1]) & (times[1:] < times[:-1])).any():
        return np.lexsort((records["time"], records["sensor"]))
    return found


async def copy_in(connection: psycopg.AsyncConnection, records: np.ndarray) -> None:
    """Appends `schemas.reading.RECORD`s to `readings`."""
    statement = f"copy readings ({COLUMNS}) from stdin (format binary)".encode()
    async with connection.cursor() as cursor, cursor.copy(statement) as copy:
        await copy.write(rows_out(records))


def rows_in(stream: bytes) -> np.ndarray:
    """The rows (`ROW`, with `time` in microseconds since 1970) of a COPY stream of these four columns."""
    body = stream[len(HEADER) : -len(TRAILER)]
    if not stream.startswith(HEADER) or not stream.endswith(TRAILER) or len(body) % ROW.itemsize:
        raise ValueError(f"expected COPY BINARY rows of {ROW.itemsize} bytes, got {len(stream)} bytes")
    rows = np.frombuffer(body, ROW).copy()
    rows["time"] += POSTGRES_EPOCH_US
    return rows
