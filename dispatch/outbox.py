"""Sends what the outbox holds: each row until it is delivered, or until trying again cannot help.

At least once: a row is claimed (attempts, first_attempt_at, a lease) before it is tried, so a crash in
between costs a repeat under the same key, never a loss. Woken by NOTIFY. A lane per channel, and one
more for level 1 alone, so that a slow receiver never stands before an urgent notice. What the bypass may send
too is claimed in the journal that both share.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Callable
from typing import Any, Literal

from prometheus_client import Counter, Histogram
from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from dispatch import bypass_import, urgent
from dispatch.claims import Claim, Line
from dispatch.journal import Journal
from dispatch.notify.channel import Channel, Failed, Outgoing

LEASE = dt.timedelta(seconds=20)
"""Longer than any channel tries, or a slow try would be doubled."""

LEFT_FOR = dt.timedelta(seconds=0.5)
"""Until a notice that the bypass is sending is looked at again."""

FIRST_PAUSE = dt.timedelta(seconds=1)
LONGEST_PAUSE = dt.timedelta(minutes=5)
GIVE_UP = dt.timedelta(hours=24)
AT_ONCE = 16
IDLE_S = 5.0

_attempts = Counter("cityvigil_notify_attempts_total", "Tries to deliver a notice", ["channel", "outcome"])
_first = Histogram(
    "cityvigil_notify_first_attempt_seconds",
    "From Kafka's time of the alert, or the act, to the first try",
    ["level"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300),
)
_log = logging.getLogger(__name__)

_CLAIM = b"""
update outbox set attempts = attempts + 1, next_attempt_at = %(lease)s,
       first_attempt_at = coalesce(first_attempt_at, %(now)s)
where id in (
    select id from outbox
    where sent_at is null and dead_at is null and next_attempt_at <= %(now)s
      and channel = %(channel)s and level between %(lowest)s and %(highest)s
    order by level, next_attempt_at, id limit %(limit)s for update skip locked)
returning id, key, recipient, step, level, payload, caused_at, created_at, attempts
"""
_NEXT = b"""
select min(next_attempt_at) as at from outbox
where sent_at is null and dead_at is null
  and channel = %(channel)s and level between %(lowest)s and %(highest)s
"""


def pause_after(attempts: int) -> dt.timedelta:
    """How long to wait after that many failed tries.

    >>> [pause_after(n).total_seconds() for n in (1, 2, 5, 60)]
    [1.0, 2.0, 16.0, 300.0]
    """
    return min(FIRST_PAUSE * (1 << min(attempts - 1, 20)), LONGEST_PAUSE)


class Lane:
    """The rows of one channel with levels `lowest`..`highest`, a few at once."""

    def __init__(
        self,
        pool: AsyncConnectionPool[AsyncConnection[Any]],
        channel: Channel,
        lowest: int,
        highest: int,
        now: Callable[[], dt.datetime],
        journal: Journal | None = None,
    ) -> None:
        self._pool = pool
        self._journal = journal
        self._channel = channel
        self._levels = {"channel": channel.name, "lowest": lowest, "highest": highest}
        self._now = now
        self._tries: set[asyncio.Task[None]] = set()
        self.wake = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` and a `wake` after it; what is being tried then is still finished. Raises
        psycopg.OperationalError."""
        try:
            while not stop.is_set():
                self.wake.clear()
                rows = await self._claim(AT_ONCE - len(self._tries))
                for row in rows:
                    task = asyncio.create_task(self._try(row))
                    self._tries.add(task)
                await self._pause(more=bool(rows))
        finally:
            results = await asyncio.gather(*self._tries, return_exceptions=True)
            self._tries.clear()
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _pause(self, more: bool) -> None:
        """Until there may be something to do: news, a free place, or a row that falls due."""
        if more and len(self._tries) < AT_ONCE:
            await asyncio.sleep(0)
            return
        waits: set[asyncio.Task[Any]] = {asyncio.create_task(self.wake.wait()), *self._tries}
        news = next(iter(waits - self._tries))
        try:
            await asyncio.wait(waits, timeout=await self._idle_s(), return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()
        for task in [task for task in self._tries if task.done()]:
            self._tries.discard(task)
            task.result()

    async def _idle_s(self) -> float:
        if len(self._tries) >= AT_ONCE:
            return IDLE_S
        async with self._pool.connection() as connection:
            row = await (await connection.execute(_NEXT, self._levels)).fetchone()
        if row is None or row[0] is None:
            return IDLE_S
        due: dt.datetime = row[0]
        return min(max((due - self._now()).total_seconds(), 0.0), IDLE_S)

    async def _claim(self, limit: int) -> list[dict[str, Any]]:
        if limit <= 0:
            return []
        now = self._now()
        values = {**self._levels, "now": now, "lease": now + LEASE, "limit": limit}
        async with self._pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(_CLAIM, values)
            rows = await cursor.fetchall()
        for row in rows:
            if row["attempts"] == 1 and not self._is_shared(row):
                _first.labels(str(row["level"])).observe(max((now - row["caused_at"]).total_seconds(), 0.0))
        return sorted(rows, key=lambda row: (row["level"], row["id"]))

    async def _try(self, row: dict[str, Any]) -> None:
        notice = Outgoing(
            key=row["key"],
            recipient=row["recipient"],
            step=row["step"],
            level=row["level"],
            payload=row["payload"],
            caused_at=row["caused_at"],
            attempt=row["attempts"],
        )
        shared = self._journal if self._is_shared(row) else None
        if shared is not None:
            (claimed,) = await asyncio.to_thread(shared.claim, [notice])
            if isinstance(claimed, Claim):
                await self._leave(row, claimed)
                return
            if claimed.attempt == 1:
                _first.labels("1").observe(max((self._now() - row["caused_at"]).total_seconds(), 0.0))
            notice = claimed
        failed = await self._channel.send(notice)
        now = self._now()
        late = now - row["created_at"] > GIVE_UP
        outcome = "sent" if failed is None else "dead" if late or not failed.retry else "retry"
        _attempts.labels(self._channel.name, outcome).inc()
        if shared is not None:
            due = now + pause_after(row["attempts"])
            await asyncio.to_thread(shared.ended, end_of(notice, failed, outcome, now, due, "dispatch"))
        async with self._pool.connection() as connection:
            if failed is None:
                await connection.execute(
                    "update outbox set sent_at = %s, error = null where id = %s", (now, row["id"])
                )
            else:
                await self._failed(connection, row, failed, outcome, now)

    def _is_shared(self, row: dict[str, Any]) -> bool:
        return self._journal is not None and urgent.is_urgent(row["key"])

    async def _leave(self, row: dict[str, Any], claim: Claim) -> None:
        """To whoever sends it, or has sent it."""
        async with self._pool.connection() as connection:
            if claim.ended_at is not None:
                await bypass_import.keep(connection, claim)
                return
            await connection.execute(
                "update outbox set attempts = attempts - 1, next_attempt_at = %s,"
                " first_attempt_at = case when attempts > 1 then first_attempt_at end"
                " where id = %s and sent_at is null and dead_at is null",
                (self._now() + LEFT_FOR, row["id"]),
            )

    async def _failed(
        self,
        connection: AsyncConnection[Any],
        row: dict[str, Any],
        failed: Failed,
        outcome: str,
        now: dt.datetime,
    ) -> None:
        _log.warning("notice %s, try %d: %s (%s)", row["key"], row["attempts"], failed.why, outcome)
        await connection.execute(
            "update outbox set error = %s, next_attempt_at = %s, dead_at = %s where id = %s",
            (
                failed.why,
                now + pause_after(row["attempts"]),
                now if outcome == "dead" else None,
                row["id"],
            ),
        )


def end_of(
    notice: Outgoing, failed: Failed | None, outcome: str, now: dt.datetime, due: dt.datetime, by: str
) -> Line:
    """What the journal says of a try that came to `outcome`."""
    what: dict[str, Literal["sent", "dead", "failed"]] = {"sent": "sent", "dead": "dead"}
    return Line(
        what=what.get(outcome, "failed"),
        at=now,
        by=by,
        key=notice.key,
        attempt=notice.attempt,
        due=due if outcome == "retry" else None,
        error=failed.why if failed else None,
    )


def lanes(
    pool: AsyncConnectionPool[AsyncConnection[Any]],
    channels: list[Channel],
    now: Callable[[], dt.datetime],
    journal: Journal | None = None,
) -> list[Lane]:
    """Two for each channel: level 1, and the rest."""
    return [
        Lane(pool, channel, lowest, highest, now, journal)
        for channel in channels
        for lowest, highest in ((1, 1), (2, 4))
    ]
