"""The ledger of frames by gateway, for people to look at: where there is trouble first.

Read only, from the view `ledger`, which adds up what the historian counted in the transaction of the
readings: said = answered + given up + awaited in frames, stored and rejected in readings. Recounts nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

COUNTS = ("said", "answered", "given_up", "awaited", "loose", "stored", "rejected")

_SEEN = """
with seen as (
    select l.*, g.zone from ledger l left join gateways g using (gateway)
    where cardinality(%(districts)s::text[]) = 0
        or g.zone in (select zone from zones where district = any(%(districts)s))
)
"""
_SUMS = ", ".join(f"coalesce(sum({name}), 0)::bigint as {name}" for name in COUNTS)
_TOTALS = (
    f"{_SEEN} select count(*) as gateways, coalesce(bool_and(adds_up), true) as adds_up, {_SUMS} from seen"
)
_ROWS = f"""{_SEEN}
select gateway, zone, adds_up, {", ".join(f"{name}::bigint as {name}" for name in COUNTS)} from seen
order by adds_up, given_up desc, awaited desc, rejected desc, gateway limit %(limit)s
"""


class FrameLedger:
    def __init__(self, pool: AsyncConnectionPool[Any]) -> None:
        self._pool = pool

    async def totals(self, districts: frozenset[str]) -> Mapping[str, Any]:
        """Of all gateways in these districts (none named: of all), with `gateways`, their number."""
        (row,) = await self._read(_TOTALS, districts, 1)
        return row

    async def worst(self, districts: frozenset[str], limit: int) -> list[Mapping[str, Any]]:
        """Rows by gateway: those that do not add up first, then what was given up, awaited, rejected."""
        return await self._read(_ROWS, districts, limit)

    async def _read(self, query: str, districts: frozenset[str], limit: int) -> list[Mapping[str, Any]]:
        async with self._pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(query.encode(), {"districts": sorted(districts), "limit": limit})
            return list(await cursor.fetchall())
