"""The registry's mirror and the health of sensors as pages look at them: searched, filtered, page by page.

Read only. A page is asked for by the last key of the one before, so that the thousandth page costs what the
first does. Shares are of the last two days of the city, as streams/health.py noted them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

SHARE = 0.1
"""Beyond this share of late, poor or repeated readings a sensor is looked for as such."""
HEALTHS = ("silent", "late", "poor", "twice")
STATES = ("in-service", "waiting", "commissioning", "maintenance", "retired")

_SENSORS = """
select s.sensor, s.gateway, s.point, s.category, s.unit, s.zone, s.asset, s.lon, s.lat, s.state, s.district,
    s.maintenance_from, s.maintenance_to, h.n, h.late, h.poor, h.twice, h.last_at, h.last_value
from sensors s left join lateral (
    select sum(n)::bigint as n, sum(late)::bigint as late, sum(poor)::bigint as poor,
        sum(twice)::bigint as twice, max(last_at) as last_at,
        (array_agg(last_value order by day desc))[1] as last_value
    from sensor_health where sensor = s.sensor and day >= %(day)s
) h on true
"""
_GATEWAYS = """
with page as (
    select gateway, zone, interval_s from gateways
    where gateway > %(after)s and (%(q)s::text is null or gateway ilike %(q)s)
        and (%(zone)s::text is null or zone = %(zone)s)
        and (%(districts)s::text[] is null
            or zone in (select zone from zones where district = any(%(districts)s)))
    order by gateway limit %(limit)s
), heard as (
    select s.gateway, count(distinct s.sensor) as sensors, sum(h.n)::bigint as n, sum(h.late)::bigint as late,
        sum(h.poor)::bigint as poor, sum(h.twice)::bigint as twice, max(h.last_at) as last_at
    from page join sensors s using (gateway)
    left join sensor_health h on h.sensor = s.sensor and h.day >= %(day)s
    where s.state <> 'retired' group by s.gateway
), logged as (
    select gateway, sum(readings)::bigint as repeats from gateway_repeats
    where day >= %(day)s group by gateway
)
select page.*, coalesce(heard.sensors, 0) as sensors, heard.n, heard.late, heard.poor, heard.twice,
    heard.last_at, coalesce(logged.repeats, 0) as repeats, coalesce(g.frames, 0)::bigint as again,
    (coalesce(l.answered, 0) + coalesce(l.loose, 0))::bigint as frames,
    coalesce(l.stored, 0)::bigint as stored,
    coalesce(l.rejected, 0)::bigint as rejected, coalesce(l.given_up, 0)::bigint as given_up,
    a.since as silent_since
from page left join heard using (gateway) left join logged using (gateway) left join ledger l using (gateway)
left join gateway_again g using (gateway)
left join alerts a on a.subject = 'gateway/' || page.gateway and a.rule = 'blind-area' and a.state = 'active'
order by gateway
"""


class Devices:
    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool

    async def sensors(
        self,
        *,
        now: dt.datetime,
        q: str | None = None,
        zone: str | None = None,
        category: str | None = None,
        state: str | None = None,
        health: str | None = None,
        districts: frozenset[str] = frozenset(),
        only: Sequence[int] | None = None,
        after: int = 0,
        limit: int = 50,
    ) -> list[Mapping[str, Any]]:
        """By number, beyond `after`. `q` is looked for in gateway, point and asset; `now` is city time;
        `only` of these numbers."""
        where = ["s.sensor > %(after)s"]
        if q:
            where.append("(s.gateway ilike %(q)s or s.point ilike %(q)s or s.asset ilike %(q)s)")
        where += ["s.zone = %(zone)s"] if zone else []
        where += ["s.category = %(category)s"] if category else []
        if state:
            where.append(f"{_STATE_NOW} = %(state)s")
        if districts:
            where.append("s.district = any(%(districts)s)")
        where += ["s.sensor = any(%(only)s)"] if only is not None else []
        match health:
            case "silent":
                where.append(
                    "(h.last_at is null or h.last_at < %(now)s - interval '1 day')"
                    " and s.state not in ('retired', 'waiting')"
                )
            case "late" | "poor" | "twice":
                where.append(f"h.{health} > {SHARE} * h.n")
        values = {
            "after": after, "q": _like(q), "zone": zone, "category": category, "state": state, "now": now,
            "districts": list(districts), "limit": limit, "day": first_day(now),
            "only": None if only is None else list(only),
        }  # fmt: skip
        query = f"{_SENSORS} where {' and '.join(where)} order by s.sensor limit %(limit)s"
        return await self._rows(query, values)

    async def health(self, sensor: int) -> list[Mapping[str, Any]]:
        """By day, newest first."""
        query = "select * from sensor_health where sensor = %(sensor)s order by day desc"
        return await self._rows(query, {"sensor": sensor})

    async def refused(self, sensor: int, now: dt.datetime) -> int:
        """Readings of yesterday and today that were rejected and named this sensor's point."""
        query = (
            "select coalesce(sum(n), 0)::bigint as n from sensor_rejects"
            " where sensor = %(sensor)s and day >= %(day)s"
        )
        (row,) = await self._rows(query, {"sensor": sensor, "day": first_day(now)})
        return int(row["n"])

    async def gateways(
        self,
        *,
        now: dt.datetime,
        q: str | None = None,
        zone: str | None = None,
        districts: frozenset[str] = frozenset(),
        after: str = "",
        limit: int = 50,
    ) -> list[Mapping[str, Any]]:
        """By name, with what their sensors' health adds up to and what was rejected of them."""
        values = {
            "after": after, "q": _like(q), "zone": zone, "limit": limit, "day": first_day(now),
            "districts": list(districts) or None,
        }  # fmt: skip
        return await self._rows(_GATEWAYS, values)

    async def siblings(self, gateways: Sequence[str]) -> list[Mapping[str, Any]]:
        """Points of these gateways that have a category."""
        query = (
            "select gateway, point, category from sensors where gateway = any(%(gateways)s)"
            " and category is not null order by sensor limit 5000"
        )
        return await self._rows(query, {"gateways": list(gateways)})

    async def waiting(self) -> int:
        """How many points wait for a category."""
        (row,) = await self._rows("select count(*) as n from sensors where state = 'waiting'", {})
        return int(row["n"])

    async def _rows(self, query: str, values: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        async with self._pool.connection() as connection:
            cursor: psycopg.AsyncCursor[dict[str, Any]] = connection.cursor(row_factory=dict_row)
            async with cursor:
                await cursor.execute(query.encode(), values)
                return list(await cursor.fetchall())


# As schemas.registry.Sensor.state_at says.
_STATE_NOW = """
case when s.maintenance_to is null then s.state
    when s.maintenance_from <= %(now)s and %(now)s < s.maintenance_to
        and s.state in ('in-service', 'commissioning', 'maintenance') then 'maintenance'
    when s.state = 'maintenance' then 'in-service' else s.state end
"""


def first_day(now: dt.datetime) -> dt.date:
    """Yesterday, by the city's calendar."""
    return (now.astimezone(dt.timezone(dt.timedelta(hours=8))) - dt.timedelta(days=1)).date()


def _like(q: str | None) -> str | None:
    """Anywhere in a text; % and _ mean themselves."""
    if not q:
        return None
    for sign in "\\%_":
        q = q.replace(sign, "\\" + sign)
    return f"%{q}%"
