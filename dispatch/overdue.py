"""Clocks that ran out: told once each, to the shift leader, as a transition of the case.

Looks for cases by `next_clock_at`, which every change of a case keeps right. Says nothing twice: the
case remembers which of its clocks were told.
"""

from __future__ import annotations

import datetime as dt
import logging
from typing import Any

from prometheus_client import Counter
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from dispatch import clocks, ledger, lifecycle
from dispatch.ledger import Ledger

AT_ONCE = 50
LIVE_KEPT = dt.timedelta(days=1)

_overdue = Counter("cityvigil_dispatch_overdue_total", "Clocks of cases that ran out", ["clock"])
_log = logging.getLogger(__name__)


async def tell(pool: AsyncConnectionPool[AsyncConnection[Any]], now: dt.datetime) -> int:
    """Escalates what is overdue at `now`; says how many clocks. Raises psycopg.OperationalError."""
    total = 0
    while True:
        told = []
        async with pool.connection() as connection, connection.transaction():
            work = Ledger(connection, now)
            rows = await work.rows(
                "select * from cases where next_clock_at <= %s order by next_clock_at limit %s"
                " for update skip locked",
                (now, AT_ONCE),
            )
            for case in map(ledger.case_of, rows):
                before = case
                for clock in clocks.to_tell(case, now):
                    after, transition = lifecycle.apply(before, lifecycle.Overdue(clock), now)
                    await work.record(before, after, transition)
                    told.append((after.case_id, clock))
                    before = after
            await work.finish()
        for case_id, clock in told:
            _overdue.labels(clock).inc()
            _log.warning("case %s: %s is overdue, told to the shift leader", case_id, clock)
        total += len(told)
        if len(rows) < AT_ONCE:
            return total


async def forget_live_events(pool: AsyncConnectionPool[AsyncConnection[Any]], now: dt.datetime) -> None:
    """Drops live events that nobody will resume from."""
    async with pool.connection() as connection:
        await connection.execute("delete from live_events where at < %s", (now - LIVE_KEPT,))
