"""Alerts that nobody was told of, because somebody worked on their sensor: told once it is in service again.

Looks at the registry's mirror, so what a window's end or an import changes is seen within a second or so of
the historian having it. An alert that cleared meanwhile stays recorded and is told to nobody.
"""

from __future__ import annotations

import datetime as dt
import logging
from typing import Any

from prometheus_client import Counter
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from dispatch import intake
from dispatch.grouping import Linked
from dispatch.ledger import Ledger

AT_ONCE = 50

_released = Counter(
    "cityvigil_dispatch_released_total", "Alerts told after their sensor was in service again"
)
_log = logging.getLogger(__name__)

# As schemas.registry.Sensor.state_at says.
_IN_SERVICE_AGAIN = """
select a.* from alerts a join sensors s on a.subject = 'sensor/' || s.gateway || '/' || s.point
where a.suppressed is not null and a.state = 'active' and a.case_id is null
    and case when s.maintenance_to is null then s.state = 'in-service'
        else s.state in ('in-service', 'maintenance')
            and not (s.maintenance_from <= %s and %s < s.maintenance_to) end
order by a.raised_at, a.alert_id limit %s for update of a skip locked
"""


async def release(
    pool: AsyncConnectionPool[AsyncConnection[Any]], now: dt.datetime, city: dt.datetime, linked: Linked
) -> int:
    """How many alerts found a case. Raises psycopg.OperationalError."""
    total = 0
    while True:
        async with pool.connection() as connection, connection.transaction():
            work = Ledger(connection, now)
            rows = await work.rows(_IN_SERVICE_AGAIN, (city, city, AT_ONCE))
            for row in rows:
                taken = await intake.release(work, row, now, linked)
                _log.info("%s: in service again, case %s", row["subject"], taken.case_id,
                          extra={"alert": row["alert_id"]})  # fmt: skip
            await work.finish()
        _released.inc(len(rows))
        total += len(rows)
        if len(rows) < AT_ONCE:
            return total
