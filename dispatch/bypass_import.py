"""The journal of level 1 notices into the outbox: what was told without the database is not told again.

A notice that has ended becomes a row of the outbox, delivered or dead, or ends the row that is there; the
place in the journal moves in the same transaction. A row without a case gets its alert's, once there is one.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from prometheus_client import Counter
from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg.types.json import Json
from psycopg_pool import AsyncConnectionPool

from dispatch.claims import Claim, Line
from dispatch.journal import Journal, Place

_imported = Counter(
    "cityvigil_bypass_imported_total", "Notices of the journal that reached the outbox", ["by"]
)
_log = logging.getLogger(__name__)

_KEEP = b"""
insert into outbox (key, alert_id, level, step, recipient, channel, payload, caused_at, created_at, attempts,
                    next_attempt_at, first_attempt_at, sent_at, dead_at, error, via)
values (%(key)s, %(alert_id)s, %(level)s, %(step)s, %(recipient)s, %(channel)s, %(payload)s, %(caused_at)s,
        %(first_at)s, %(attempts)s, %(first_at)s, %(first_at)s, %(sent_at)s, %(dead_at)s, %(error)s, %(via)s)
on conflict (key) do update set
    attempts = greatest(outbox.attempts, excluded.attempts), first_attempt_at = excluded.first_attempt_at,
    sent_at = excluded.sent_at, dead_at = excluded.dead_at, error = excluded.error, via = excluded.via
where outbox.sent_at is null and outbox.dead_at is null
"""
_CASES = b"""
update outbox set case_id = alerts.case_id from alerts
where outbox.case_id is null and alerts.alert_id = outbox.alert_id and alerts.case_id is not null
"""


def ended(lines: list[Line], journal: Journal) -> list[Claim]:
    """The notices that lines have ended, each once."""
    keys = dict.fromkeys(line.key for line in lines if line.what in ("sent", "dead"))
    found = (journal.claims.by_key.get(key) for key in keys)
    return [claim for claim in found if claim is not None and claim.ended_at is not None]


class Importer:
    """Asks PostgreSQL nothing while the journal says nothing and every row has its case."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection[Any]], journal: Journal) -> None:
        self._pool = pool
        self._journal = journal
        self._done: Place | None = None
        self._homeless = True

    async def run_once(self) -> None:
        """Imports what is new. Raises psycopg.OperationalError or OSError."""
        if self._done is not None and not self._homeless:
            lines, _ = await asyncio.to_thread(self._journal.read, self._done)
            if not lines:
                return
        claims: list[Claim] = []
        async with self._pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute("select file, place from bypass_import for update")
            row = await cursor.fetchone()
            assert row is not None, "097_bypass.sql made it"
            after = Place(row["file"], row["place"])
            lines, place = await asyncio.to_thread(self._journal.read, after)
            if place != after:
                await asyncio.to_thread(self._journal.refresh)
                claims = ended(lines, self._journal)
                for claim in claims:
                    await keep(connection, claim)
                await cursor.execute(
                    "update bypass_import set file = %s, place = %s, told = told + %s", (*place, len(claims))
                )
            await cursor.execute(_CASES)
            await cursor.execute("select exists (select from outbox where case_id is null) as found")
            found = await cursor.fetchone()
        self._done, self._homeless = place, found is None or bool(found["found"])
        for claim in claims:
            _imported.labels(claim.by).inc()
            _log.info("notice %s was told by %s at %s", claim.notice.key, claim.by, claim.ended_at)


async def keep(connection: AsyncConnection[Any], claim: Claim) -> None:
    """The outbox's row of a notice that has ended."""
    notice = claim.notice
    await connection.execute(
        _KEEP,
        {
            "key": notice.key,
            "alert_id": notice.payload.get("alert_id"),
            "level": notice.level,
            "step": notice.step,
            "recipient": notice.recipient,
            "channel": notice.key.rpartition("/")[2],
            "payload": Json(notice.payload),
            "caused_at": notice.caused_at,
            "attempts": claim.attempt,
            "first_at": claim.first_at,
            "sent_at": None if claim.is_dead else claim.ended_at,
            "dead_at": claim.ended_at if claim.is_dead else None,
            "error": claim.error,
            "via": claim.by,
        },
    )
