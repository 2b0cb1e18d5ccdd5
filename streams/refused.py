"""Rejects in PostgreSQL, for people to look at: the newest 50,000 with the beginning of their raw bytes.

Readings refused are counted by source and reason, for ever, and by sensor and day where they name one. The
whole of each reject stands in the `rejects` topic for its retention; this mirror decodes nothing again. The
caller keeps the topic's offset in the same transaction, so a count is exact.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import NamedTuple

import msgspec
import psycopg

from schemas import reject

KEPT = 50_000
RAW_BYTES = 4_096

_INSERT = """
insert into rejects (log_offset, at, source, reason, detail, raw, size, readings)
select * from unnest (%s::bigint[], %s::timestamptz[], %s::text[], %s::text[], %s::text[], %s::bytea[],
    %s::int[], %s::int[])
on conflict (log_offset) do nothing
"""

_COUNT = """
insert into reject_counts (source, reason, n, last_at)
select source, reason, sum(readings), max(at)
from unnest(%s::text[], %s::text[], %s::timestamptz[], %s::bigint[]) as t (source, reason, at, readings)
group by source, reason
on conflict (source, reason) do update
set n = reject_counts.n + excluded.n, last_at = greatest(reject_counts.last_at, excluded.last_at)
"""

_OF_SENSORS = """
insert into sensor_rejects (sensor, day, n)
select s.sensor, (r.at at time zone interval '8 hours')::date, sum(r.readings)
from unnest(%s::text[], %s::text[], %s::timestamptz[], %s::bigint[]) as r (gateway, point, at, readings)
join sensors s on s.gateway = r.gateway and s.point = r.point
group by 1, 2
on conflict (sensor, day) do update set n = sensor_rejects.n + excluded.n
"""


class _Row(NamedTuple):
    offset: int
    at: dt.datetime
    source: str
    reason: str
    detail: str
    raw: bytes
    size: int
    readings: int


class _Point(NamedTuple):
    """What was refused of one point."""

    gateway: str
    point: str
    at: dt.datetime
    readings: int


async def store(connection: psycopg.AsyncConnection, messages: Iterable[tuple[int, bytes]]) -> list[str]:
    """Stores (offset, message) pairs; what could not be read is skipped and said."""
    rows: list[_Row] = []
    points: list[_Point] = []
    bad: list[str] = []
    for offset, message in messages:
        try:
            found = reject.decode(message)
            row = _row(offset, found)
            rows.append(row)
            if found.point is not None:
                points.append(_Point(row.source, _text(found.point), row.at, row.readings))
        except msgspec.DecodeError as error:
            bad.append(str(error))
    if points:
        await connection.execute(_OF_SENSORS, [list(column) for column in zip(*points, strict=True)])
    if rows:
        columns = [list(column) for column in zip(*rows, strict=True)]
        await connection.execute(_INSERT, columns)
        await connection.execute(_COUNT, [columns[2], columns[3], columns[1], columns[7]])
        await connection.execute("delete from rejects where log_offset <= %s", [rows[-1].offset - KEPT])
    return bad


def _row(offset: int, refused: reject.Reject) -> _Row:
    return _Row(
        offset,
        refused.received_at if refused.received_at.tzinfo else refused.received_at.replace(tzinfo=dt.UTC),
        _text(refused.source),
        _text(refused.reason),
        _text(refused.detail),
        refused.raw[:RAW_BYTES],
        len(refused.raw),
        refused.count,
    )


def _text(text: str) -> str:
    """PostgreSQL's text has no NUL."""
    return text.replace("\0", "\ufffd")
