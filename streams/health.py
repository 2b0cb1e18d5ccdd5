"""How every sensor reports: counted from what is recorded, added up in memory, noted every half minute.

A reading is late when it was received a quarter of an hour of city time, and a minute of people's, after it
was observed; its quality is poor when no detector would look at it. Approximate by design: beside the
readings, not in their transaction, so who is killed forgets what was not yet noted. Judges no sensor.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
import psycopg

from schemas.clock import to_datetime
from schemas.reading import SCORED, Quality
from streams.copy_rows import HEADER, POSTGRES_EPOCH_US, TRAILER
from streams.recent import Recent

LATE_US = 15 * 60 * 1_000_000
LATE_WALL_US = 60 * 1_000_000
"""Where the city's time runs faster than people's, a slow machine is not the gateways' fault."""
DAY_US = 86_400 * 1_000_000
CITY_OFFSET_US = 8 * 3600 * 1_000_000
DAYS_KEPT = 8

_POOR = ~np.isin(np.arange(256), [int(quality) for quality in SCORED])
_POOR[Quality.historical] = False  # historical readings are as good as they were

_TAKEN = """
insert into sensor_health (sensor, day, n, late, poor, twice, last_at, last_value, last_quality)
select sensor, day, n, late, poor, twice, last_at, last_value, last_quality from health_taken
on conflict (sensor, day) do update set
    n = sensor_health.n + excluded.n, late = sensor_health.late + excluded.late,
    poor = sensor_health.poor + excluded.poor, twice = sensor_health.twice + excluded.twice,
    last_at = greatest(sensor_health.last_at, excluded.last_at),
    last_value = excluded.last_value, last_quality = excluded.last_quality
"""
_REPEATS = """
insert into gateway_repeats (gateway, day, readings)
select * from unnest(%s::text[], %s::date[], %s::bigint[])
on conflict (gateway, day) do update set readings = gateway_repeats.readings + excluded.readings
"""


class Tally(NamedTuple):
    """Arrays by (day, sensor), ascending; `key` is day << 32 | sensor, days since 1970 in the city's time."""

    key: np.ndarray
    n: np.ndarray
    late: np.ndarray
    poor: np.ndarray
    twice: np.ndarray
    last_at: np.ndarray
    last_value: np.ndarray
    last_quality: np.ndarray


def tally(records: np.ndarray, received: np.ndarray, twice: np.ndarray, late_us: int = LATE_US) -> Tally:
    """Of readings (schemas.reading.RECORD) in the order of the log, when each was received, and whether it
    had been said before (streams/recent.py)."""
    day = (received + CITY_OFFSET_US) // DAY_US
    key = day << 32 | records["sensor"].astype(np.int64)
    one = np.ones(len(records), np.int64)
    late = (received - records["time"] > late_us).astype(np.int64)
    poor = _POOR[records["quality"]].astype(np.int64)
    quality = records["quality"].astype(np.int64)
    return _grouped(
        Tally(key, one, late, poor, twice.astype(np.int64), records["time"], records["value"], quality)
    )


def together(a: Tally, b: Tally) -> Tally:
    """Both; where they speak of the same sensor and day, `b` came later."""
    return _grouped(Tally(*(np.concatenate(pair) for pair in zip(a, b, strict=True))))


def _grouped(rows: Tally) -> Tally:
    if not len(rows.key):
        return rows
    order = np.argsort(rows.key)  # not stable, which is faster: the newest is found by its place
    key = rows.key[order]
    first = np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1])))
    last = np.maximum.reduceat(order, first)
    return Tally(
        key[first],
        np.add.reduceat(rows.n[order], first),
        np.add.reduceat(rows.late[order], first),
        np.add.reduceat(rows.poor[order], first),
        np.add.reduceat(rows.twice[order], first),
        np.maximum.reduceat(rows.last_at[order], first),
        rows.last_value[last],
        rows.last_quality[last],
    )


def nothing() -> Tally:
    none = np.empty(0, np.int64)
    return Tally(none, none, none, none, none, none, np.empty(0), none)


class Health:
    """What was counted and not yet noted."""

    def __init__(self, scale: float = 1.0) -> None:
        self._late_us = max(LATE_US, round(LATE_WALL_US * scale))
        self._pieces: list[Tally] = []
        self._recent = Recent()
        self._repeats: Counter[tuple[str, int]] = Counter()

    def add(self, records: np.ndarray, received: np.ndarray) -> None:
        if len(records):
            self._pieces.append(tally(records, received, self._recent.twice(records), self._late_us))
        # Pieces of some seconds are merged, so that an hour without a database is no hour of pieces.
        if len(self._pieces) > 64:
            self._pieces = [self._whole()]

    def repeated(self, gateway: str, readings: int, received_us: int) -> None:
        self._repeats[gateway, (received_us + CITY_OFFSET_US) // DAY_US] += readings

    def _whole(self) -> Tally:
        columns = zip(nothing(), *self._pieces, strict=True)
        return _grouped(Tally(*(np.concatenate(parts) for parts in columns)))

    async def note(self, connection: psycopg.AsyncConnection) -> int:
        """Adds it to the tables, in one transaction; how many sensors it spoke of. What could not be noted
        stays for the next time."""
        taken, repeats = self._whole(), self._repeats
        self._pieces, self._repeats = [], Counter()
        try:
            async with connection.transaction():
                if len(taken.key):
                    await _write(connection, taken)
                if repeats:
                    days = [to_datetime(day * DAY_US).date() for _, day in repeats]
                    values = [[gateway for gateway, _ in repeats], days, list(repeats.values())]
                    await connection.execute(_REPEATS, values)
        except psycopg.OperationalError:
            self._pieces.insert(0, taken)
            self._repeats += repeats
            raise
        return len(taken.key)


async def forget(connection: psycopg.AsyncConnection, city_us: int) -> None:
    """Days that nobody asks for any more."""
    before = to_datetime(city_us + CITY_OFFSET_US - DAYS_KEPT * DAY_US).date()
    await connection.execute("delete from sensor_health where day < %s", [before])
    await connection.execute("delete from gateway_repeats where day < %s", [before])
    await connection.execute("delete from sensor_rejects where day < %s", [before])


async def _write(connection: psycopg.AsyncConnection, taken: Tally) -> None:
    await connection.execute(
        "create temp table if not exists health_taken"
        " (sensor int, day date, n bigint, late bigint, poor bigint, twice bigint, last_at timestamptz,"
        " last_value float8, last_quality smallint) on commit delete rows"
    )
    async with (
        connection.cursor() as cursor,
        cursor.copy("copy health_taken from stdin (format binary)") as copy,
    ):
        await copy.write(_binary(taken))
    await connection.execute(_TAKEN)


_ROW = np.dtype(
    [
        ("fields", ">i2"),
        ("l0", ">i4"), ("sensor", ">i4"),
        ("l1", ">i4"), ("day", ">i4"),
        ("l2", ">i4"), ("n", ">i8"),
        ("l3", ">i4"), ("late", ">i8"),
        ("l4", ">i4"), ("poor", ">i8"),
        ("l5", ">i4"), ("twice", ">i8"),
        ("l6", ">i4"), ("last_at", ">i8"),
        ("l7", ">i4"), ("last_value", ">f8"),
        ("l8", ">i4"), ("last_quality", ">i2"),
    ]
)  # fmt: skip


def _binary(taken: Tally) -> bytes:
    """As PostgreSQL's COPY BINARY has it (streams/copy_rows.py), days since 2000 too."""
    rows = np.zeros(len(taken.key), _ROW)
    rows["fields"] = 9
    for i, size in enumerate((4, 4, 8, 8, 8, 8, 8, 8, 2)):
        rows[f"l{i}"] = size
    rows["sensor"] = taken.key & 0xFFFF_FFFF
    rows["day"] = (taken.key >> 32) - POSTGRES_EPOCH_US // DAY_US
    rows["n"], rows["late"], rows["poor"], rows["twice"] = taken.n, taken.late, taken.poor, taken.twice
    rows["last_at"] = taken.last_at - POSTGRES_EPOCH_US
    rows["last_value"], rows["last_quality"] = taken.last_value, taken.last_quality
    return b"".join((HEADER, rows.tobytes(), TRAILER))
