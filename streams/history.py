"""History: readings of a sensor in a window of event time, and the registry's mirror; read only.

A window with more readings than asked for is thinned so that a chart keeps its shape: it is cut into buckets
of as many readings each, of each the lowest and the highest stay, and so do the first and the last of all.
No average is ever made up. Rows of sensors and zones are mappings by column name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from schemas.clock import to_datetime
from streams.copy_rows import rows_in

NEWEST = 1_000_000  # readings that one window looks at, from its end backwards: 40 MB

_SENSOR = sql.SQL(
    "select sensor, gateway, point, category, unit, zone, asset, lon, lat, state, params, district"
    " from sensors"
)


class Point(NamedTuple):
    """One reading; `time` is event time, microseconds UTC."""

    time: int
    value: float
    quality: int


class Text(NamedTuple):
    time: int
    text: str
    quality: int


class History:
    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool

    async def window(self, sensor: int, from_us: int, to_us: int, limit: int) -> list[Point]:
        """Readings from `from_us` up to (not including) `to_us`, oldest first, thinned to at most `limit`."""
        statement = sql.SQL(
            "copy (select time, sensor, value, quality from readings"
            " where sensor = {} and time >= {} and time < {} order by time desc limit {})"
            " to stdout (format binary)"
        ).format(
            sql.Literal(sensor), sql.Literal(to_datetime(from_us)), sql.Literal(to_datetime(to_us)), NEWEST
        )
        async with (
            self._pool.connection() as connection,
            connection.cursor() as cursor,
            cursor.copy(statement) as copy,
        ):
            stream = b"".join([bytes(piece) async for piece in copy])
        rows = rows_in(stream)[::-1]
        rows = rows[thinned(rows["value"], limit)]
        return list(map(Point, rows["time"].tolist(), rows["value"].tolist(), rows["quality"].tolist()))

    async def texts(self, sensor: int, from_us: int, to_us: int, limit: int) -> list[Text]:
        """The newest `limit` readings that are texts, oldest first."""
        rows = await self._rows(
            sql.SQL(
                "select (extract(epoch from time) * 1000000)::bigint as time, text, quality"
                " from reading_texts where sensor = %s and time >= %s and time < %s"
                " order by time desc limit %s"
            ),
            [sensor, to_datetime(from_us), to_datetime(to_us), limit],
        )
        return [Text(**row) for row in reversed(rows)]

    async def sensor(self, sensor: int) -> Mapping[str, Any] | None:
        return await self._row(_SENSOR + sql.SQL(" where sensor = %s"), [sensor])

    async def sensor_by_point(self, gateway: str, point: str) -> Mapping[str, Any] | None:
        where = sql.SQL(" where gateway = %s and point = %s order by sensor limit 1")
        return await self._row(_SENSOR + where, [gateway, point])

    async def sensors(
        self,
        *,
        zone: str | None = None,
        category: str | None = None,
        state: str | None = None,
        after: int = 0,
        limit: int = 1000,
    ) -> list[Mapping[str, Any]]:
        """By number, from the one after `after`: the last number of a page asks for the next one."""
        wanted = {"zone": zone, "category": category, "state": state}
        conditions: list[sql.Composable] = [sql.SQL("sensor > %s")]
        values: list[Any] = [after]
        for name, value in wanted.items():
            if value is not None:
                conditions.append(sql.SQL("{} = %s").format(sql.Identifier(name)))
                values.append(value)
        where = sql.SQL(" where ") + sql.SQL(" and ").join(conditions)
        return await self._rows(_SENSOR + where + sql.SQL(" order by sensor limit %s"), [*values, limit])

    async def neighbours(self, sensor: int, limit: int = 8) -> list[Mapping[str, Any]]:
        """Sensors of the same category and zone, nearest first; without a place, by number."""
        return await self._rows(
            sql.SQL(
                """
                select n.* from sensors s join sensors n
                    on n.zone = s.zone and n.category = s.category and n.sensor <> s.sensor
                where s.sensor = %s and n.state <> 'retired'
                order by (n.lon - s.lon)^2 * cos(radians(s.lat))^2 + (n.lat - s.lat)^2 nulls last, n.sensor
                limit %s
                """
            ),
            [sensor, limit],
        )

    async def zones(self) -> list[Mapping[str, Any]]:
        return await self._rows(
            sql.SQL("select zone, district, name_zh, name_en, partition, lon, lat from zones order by zone"),
            [],
        )

    async def _rows(self, query: sql.SQL | sql.Composed, values: Sequence[Any]) -> list[Mapping[str, Any]]:
        async with self._pool.connection() as connection:
            cursor: psycopg.AsyncCursor[dict[str, Any]] = connection.cursor(row_factory=dict_row)
            async with cursor:
                await cursor.execute(query, values)
                return list(await cursor.fetchall())

    async def _row(self, query: sql.SQL | sql.Composed, values: Sequence[Any]) -> Mapping[str, Any] | None:
        rows = await self._rows(query, values)
        return rows[0] if rows else None


def thinned(values: np.ndarray, limit: int) -> np.ndarray:
    """The indices, rising, of at most `limit` values that keep the line's shape; below 4 the newest ones.

    >>> thinned(np.array([0.0, 1, 9, 1, 0, 1, -7, 1, 0, 2]), 6).tolist()
    [0, 2, 6, 9]
    """
    count = len(values)
    if count <= limit:
        return np.arange(count)
    if limit < 4:
        return np.arange(count - max(limit, 0), count)
    bounds = np.linspace(0, count, (limit - 2) // 2 + 1).astype(np.intp)
    kept = {0, count - 1}
    for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        piece = np.nan_to_num(values[start:end])
        kept |= {start + int(piece.argmin()), start + int(piece.argmax())}
    return np.array(sorted(kept), np.intp)
